"""One image in, one out: pixels, header, attributes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from acutance import oracle
from acutance.enhancer import Enhancer, Result
from acutance.errors import BackendError
from acutance.geometry import Frame
from acutance.serve.mrd.attributes import Attributes
from acutance.serve.mrd.ranges import Ranges
from acutance.serve.mrd.settings import MrdSettings

images = pytest.importorskip("acutance.serve.mrd.images", reason="no ismrmrd")
protocol = pytest.importorskip("acutance.serve.mrd.protocol", reason="no ismrmrd")

Message = Callable[..., Any]
DTYPES = [d.str for d in protocol.DTYPES.values()]


def enlarger(model: str = "mr-rt-x2", guard: Any = None, **settings: Any) -> Any:
    return images.Enlarger(
        Enhancer(model, "onnxruntime", guard=guard, threads=1),
        MrdSettings.model_validate({"kind": "mrd", "name": "mrd", **settings}),
    )


def answer(image: Any, made_by: Any = None) -> Any:
    return (made_by or enlarger()).answer(image, Ranges(8))


def blocks(pixels: np.ndarray, scale: int = 2) -> np.ndarray:
    c, z, y, x = pixels.shape
    return pixels.reshape(c, z, y // scale, scale, x // scale, scale).mean(axis=(3, 5), dtype=np.complex128)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_type_comes_back_twice_as_fine(message: Message, picture: Message, dtype: str) -> None:
    """Channels and slices stay; a picture is that which an Enhancer makes with the range of the whole image."""
    pixels = picture(dtype, (2, 3, 24, 20))
    image = message(pixels, position=(7.0, -8.0, 9.0), user_int=tuple(range(8)), slice=4, image_series_index=6)
    found = answer(image)
    head = found.image.header
    assert found.outcome == "enhanced" and found.reason == ""
    assert tuple(head.matrix_size) == (40, 48, 3) and head.channels == 2 and found.image.pixels.dtype == pixels.dtype
    before = image.header
    for field, _ in before._fields_:
        if field not in ("matrix_size", "attribute_string_len"):
            old, new = getattr(before, field), getattr(head, field)
            assert (list(old) == list(new)) if hasattr(old, "_length_") else old == new, field
    low, high = (float(v) for v in Attributes(found.image.attributes).get("AcutanceRange"))
    one = pixels[1, 2]
    parts = [one.real, one.imag] if one.dtype.kind == "c" else [one]
    plain = [p if p.dtype in (np.uint16, np.int16) else p.astype(np.float32) for p in parts]
    with Enhancer("mr-rt-x2", "onnxruntime", threads=1) as enhancer:
        made = [enhancer.run(Frame(np.ascontiguousarray(p), "MR", value_range=(low, high))).pixels for p in plain]
    wanted = made[0] + 1j * made[1] if len(made) == 2 else made[0]
    got = found.image.pixels[1, 2]
    if got.dtype.kind in "iu":
        assert (got == np.rint(wanted)).all()
    else:
        np.testing.assert_allclose(got, wanted, rtol=1e-6)


def test_the_base_is_that_of_the_oracle(message: Message, picture: Message) -> None:
    pixels = picture("u2")
    found = answer(message(pixels), enlarger("base"))
    assert found.outcome == "base" and found.reason == ""
    assert np.abs(found.image.pixels[0, 0] - oracle.base(pixels[0, 0], 2)).max() <= 0.501


def test_place_and_size_in_the_patient_stay(message: Message) -> None:
    """Field of view and position are of the whole volume: the size of its area and its middle."""
    image = message(position=(10.0, 20.0, -30.0))
    head = answer(image).image.header
    assert list(head.field_of_view) == [200.0, 240.0, 5.0] and list(head.position) == [10.0, 20.0, -30.0]

    def corner(h: Any) -> np.ndarray:
        """Outer corner of the first pixel."""
        return np.array(h.position) - 0.5 * (
            np.array(h.read_dir) * h.field_of_view[0] + np.array(h.phase_dir) * h.field_of_view[1]
        )

    def step(h: Any) -> float:
        return h.field_of_view[0] / h.matrix_size[0]

    assert (corner(head) == corner(image.header)).all() and step(head) == step(image.header) / 2


def test_spacing_is_rows_then_columns(message: Message, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Frame] = []
    made_by = enlarger()
    run = made_by.enhancer.run
    monkeypatch.setattr(made_by.enhancer, "run", lambda frame: (seen.append(frame), run(frame))[1])
    answer(message(), made_by)  # 20 columns in 200 mm along x, 24 rows in 240 mm along y
    answer(message(field_of_view=(200.0, 120.0, 5.0)), made_by)
    answer(message(field_of_view=(0.0, 0.0, 0.0)), made_by)
    assert [f.spacing for f in seen] == [(10.0, 10.0), (5.0, 10.0), None]
    assert {f.modality for f in seen} == {"MR"}


@pytest.mark.parametrize("dtype", ["<c8", "<c16"])
def test_complex_magnitude_gains_as_a_magnitude_does(message: Message, picture: Message, dtype: str) -> None:
    """Both parts in one range about zero: the magnitude is as near to the truth as that of a magnitude image."""
    truth = picture(dtype, (1, 1, 96, 80))
    pixels = blocks(truth).astype(dtype)
    found = answer(message(pixels, image_type=protocol.ImageType.COMPLEX)).image
    low, high = (float(v) for v in Attributes(found.attributes).get("AcutanceRange"))
    assert low == -high and high == pytest.approx(np.percentile(np.abs(pixels), 99.9), rel=1e-5)
    plain = answer(message(np.abs(pixels).astype("<f4"))).image.pixels
    base = answer(message(pixels), enlarger("base")).image.pixels

    def error(magnitude: np.ndarray) -> float:
        inner = np.s_[..., 8:-8, 8:-8]
        return float(np.sqrt(np.mean((magnitude - np.abs(truth))[inner] ** 2)))

    assert error(np.abs(found.pixels)) < 1.1 * error(plain)
    assert error(np.abs(found.pixels)) < error(np.abs(base))
    turned = np.abs(np.angle(found.pixels * truth.conj())[..., 8:-8, 8:-8])
    assert turned.max() < 0.1


def test_a_half_turn_of_phase_hardly_changes_the_magnitude(message: Message, picture: Message) -> None:
    """Zero is the middle of the range; no network is told that signs mean nothing, but it is nearly so."""
    pixels = picture("<c8")
    plain, turned = (np.abs(answer(message(p)).image.pixels) for p in (pixels, -pixels))
    assert np.abs(turned - plain).max() < 0.03 * plain.max()


@pytest.mark.parametrize("dtype", ["<u2", "<i2", "<f4", "<f8", "<c8", "<c16", "<u4"])
def test_guarded_blocks_average_to_their_pixels(message: Message, picture: Message, dtype: str) -> None:
    """To the bit where pixels have 16 bits, to half a unit for 32-bit integers, else within float32."""
    pixels = picture(dtype, (2, 1, 24, 20))
    found = answer(message(pixels), enlarger(guard="box")).image.pixels
    difference = np.abs(blocks(found) - pixels).max()
    assert difference <= {"u": 0.5, "f": 1e-3, "c": 1e-3}.get(np.dtype(dtype).kind, 0)
    if dtype in ("<u2", "<i2"):
        assert difference == 0
    assert np.abs(found - pixels.repeat(2, 2).repeat(2, 3)).max() > 1  # it is not the nearest pixel


def test_integers_of_32_bits_are_rounded_and_held(message: Message) -> None:
    pixels = np.zeros((1, 1, 16, 16), "<u4")
    pixels[..., 8:] = 2**32 - 1
    found = answer(message(pixels), enlarger("base")).image.pixels
    assert found.min() == 0 and found.max() == 2**32 - 1  # overshoot neither wraps around nor is lost
    signed = np.full((1, 1, 8, 8), -(2**31), "<i4")
    signed[..., 4:] = 2**31 - 1
    assert answer(message(signed), enlarger("base")).image.pixels.min() == -(2**31)


def test_samples_that_are_no_number_stay_where_they_are(message: Message, picture: Message) -> None:
    pixels = picture("<f4")
    pixels[0, 0, 3, 4] = np.nan
    found = answer(message(pixels)).image.pixels
    assert np.isnan(found).sum() == 4 and np.isnan(found[0, 0, 6:8, 8:10]).all()


def test_the_attributes_say_what_was_done(message: Message) -> None:
    text = {"DataRole": ["Image", "NORM"], "ImageType": "MOCO", "WindowCenter": 300, "IceMiniHead": "YWJj", "ROI": "1"}
    attributes = Attributes(answer(message(attributes=text)).image.attributes)
    assert attributes.get("DataRole") == ["Image", "NORM"] and attributes.get("WindowCenter") == ["300"]
    assert attributes.get("IceMiniHead") == ["YWJj"] and attributes.get("ROI") == ["1"]
    assert attributes.get("ImageType") == ["MOCO", "ACUTANCE"]
    assert attributes.get("ImageProcessingHistory") == ["ACUTANCE"]
    assert (
        attributes.get("SeriesDescriptionAdditional") == attributes.get("SequenceDescriptionAdditional") == ["acutance"]
    )
    assert attributes.get("Keep_image_geometry") == ["1"] and attributes.get("AcutanceModel")[0] == "mr-rt-x2"
    assert [float(v) for v in attributes.get("ImageRowDir")] == [1, 0, 0]
    assert [float(v) for v in attributes.get("ImageColumnDir")] == [0, 1, 0]
    assert "mr-rt-x2 x2" in attributes.get("ImageComments")[0] and not attributes.get("AcutanceFellBack")


def test_directions_that_are_there_or_unknown_are_left(message: Message) -> None:
    there = answer(message(attributes={"ImageRowDir": [0, 0, 1]})).image
    assert Attributes(there.attributes).get("ImageRowDir") == ["0", "0", "1"]
    unknown = answer(message(read_dir=(0, 0, 0), phase_dir=(0, 0, 0))).image
    assert not {"ImageRowDir", "ImageColumnDir"} & {*Attributes(unknown.attributes).names()}


def test_settings_of_marks(message: Message) -> None:
    made_by = enlarger("base", series_offset=100, series_suffix="", keep_image_geometry=False)
    found = answer(message(image_series_index=7), made_by).image
    attributes = Attributes(found.attributes)
    assert found.header.image_series_index == 107
    assert not {"SeriesDescriptionAdditional", "Keep_image_geometry"} & {*attributes.names()}
    assert attributes.get("ImageType") == ["ACUTANCE", "BASE"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"image_type": 2}, "phase wraps"),
        ({"attributes": {"DataRole": ["Image", "Quantitative"]}}, "measured quantities"),
        ({"image_type": 6}, "colours"),
        ({"pixels": np.zeros((1, 1, 1, 40000), "u2")}, "more than its header can count"),
        ({"pixels": np.zeros((1, 1, 0, 5), "u2")}, "no pixels"),
        ({"pixels": np.zeros((0, 1, 4, 5), "<c8")}, "no pixels"),
    ],
)
def test_what_must_not_be_changed_keeps_its_pixels(message: Message, fields: dict[str, Any], words: str) -> None:
    image = message(**fields)
    made_by = enlarger()
    found = answer(image, made_by)
    assert found.outcome == "untouched" and words in found.reason and made_by.fallen == 0
    assert (found.image.pixels == image.pixels).all() and found.image.pixels.shape == image.pixels.shape
    assert list(found.image.header.matrix_size) == list(image.header.matrix_size)
    attributes = Attributes(found.image.attributes)
    assert words in attributes.get("AcutanceUntouched")[0] and attributes.get("Keep_image_geometry") == ["1"]


def test_colours_are_one_picture(message: Message) -> None:
    """The network sees luma: gray stays gray."""
    pixels = np.random.default_rng(3).integers(0, 256, (1, 2, 16, 16)).astype("u2").repeat(3, 0)
    found = answer(message(pixels, image_type=6))
    assert found.outcome in ("enhanced", "base") and found.image.pixels.shape == (3, 2, 32, 32)
    assert (found.image.pixels == found.image.pixels[:1]).all() and found.image.pixels.max() <= 255


def test_an_image_without_a_range_is_its_base_and_says_so(message: Message) -> None:
    found = answer(message(np.full((1, 1, 8, 8), 5, "u2")))
    attributes = Attributes(found.image.attributes)
    assert found.outcome == "base" and "no range" in found.reason and (found.image.pixels == 5).all()
    assert attributes.get("ImageType") == ["ACUTANCE", "BASE"] and "no range" in attributes.get("AcutanceFellBack")[0]
    assert "1 of 1 pictures base only" in attributes.get("ImageComments")[0]


def test_a_network_that_fails_once_leaves_one_picture_as_base(
    message: Message, picture: Message, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_by, calls = enlarger(), 0
    run = made_by.enhancer.run

    def sometimes(frame: Frame) -> Result:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise BackendError("out of memory")
        return run(frame)

    monkeypatch.setattr(made_by.enhancer, "run", sometimes)
    pixels = picture("u2", (1, 3, 24, 20))
    found = answer(message(pixels), made_by)
    attributes = Attributes(found.image.attributes)
    assert found.outcome == "base" and "out of memory" in found.reason and made_by.fallen == 1
    assert "mr-rt-x2 x2, 1 of 3 pictures base only" in attributes.get("ImageComments")[0]
    base, network = (answer(message(pixels), enlarger(m)).image.pixels for m in ("base", "mr-rt-x2"))
    got = found.image.pixels
    assert (got[0, 1] == base[0, 1]).all() and (got[0, ::2] == network[0, ::2]).all()
    assert answer(message(pixels), made_by).outcome == "enhanced" and made_by.fallen == 0


def test_when_nothing_works_the_image_leaves_as_it_came(message: Message, monkeypatch: pytest.MonkeyPatch) -> None:
    made_by, image = enlarger(), message()

    def never(*_: Any) -> Result:
        raise MemoryError

    monkeypatch.setattr(made_by.enhancer, "run", never)
    monkeypatch.setattr(made_by.enhancer, "base", never)
    found = answer(image, made_by)
    assert found.outcome == "failed" and "MemoryError" in found.reason
    assert (found.image.pixels == image.pixels).all()
    assert "MemoryError" in Attributes(found.image.attributes).get("AcutanceUntouched")[0]


def test_an_image_whose_attributes_cannot_be_read_leaves_to_the_bit(message: Message) -> None:
    image = message(attributes=b"no <xml")
    found = answer(image)
    assert found.image is image and found.outcome == "failed" and "no XML" in found.reason


@pytest.mark.parametrize("image_type", [1, 2])
def test_attributes_that_are_too_deep_to_be_written_lose_no_image(message: Message, image_type: int) -> None:
    depth = 5000
    deep = b"<ismrmrdMeta>" + b"<a>" * depth + b"</a>" * depth + b"</ismrmrdMeta>"
    image = message(attributes=deep, image_type=image_type)
    found = answer(image)
    assert found.image is image and found.outcome == "failed" and "RecursionError" in found.reason


def test_slices_and_images_of_a_series_share_a_range(message: Message, picture: Message) -> None:
    made_by, ranges = enlarger(), Ranges(2)
    said = []
    for k in range(4):
        pixels = (picture("u2", (1, 2, 24, 20), seed=k) * (1 + 0.2 * k)).astype("u2")
        found = made_by.answer(message(pixels, slice=k, image_series_index=1), ranges)
        said.append(Attributes(found.image.attributes).get("AcutanceRange"))
    assert said[0] != said[1] == said[2] == said[3]
    other = made_by.answer(message(picture("u2") // 8, image_series_index=2), ranges)
    assert float(Attributes(other.image.attributes).get("AcutanceRange")[1]) < float(said[0][1]) / 4
    bright = made_by.answer(message(picture("u2") * 8, image_series_index=1), ranges)
    assert bright.restarted
