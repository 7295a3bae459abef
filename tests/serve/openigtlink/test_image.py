"""The content of IMAGE messages, and where the pixels of the answer lie."""

from __future__ import annotations

import struct
from types import ModuleType
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastcrc")

from acutance.errors import InputError
from acutance.geometry import refined_affine
from acutance.serve.openigtlink.image import IMAGE, Image, named, refined, unnamed
from acutance.serve.openigtlink.message import HEADER, Message, Parts, Reader, crc64


def read(data: Any) -> Message:
    (message,) = Reader(1 << 24).feed(data if isinstance(data, bytes) else data.pack())
    return message


def handmade(pixels: np.ndarray, **changes: Any) -> Message:
    """An IMAGE with any scalar type, byte order and part: fields of its header by name."""
    j, i = pixels.shape[:2]
    number = {"i1": 2, "u1": 3, "i2": 4, "u2": 5, "i4": 6, "u4": 7, "f4": 10, "f8": 11}[pixels.dtype.str[1:]]
    said = {
        "version": 1,
        "components": 1 if pixels.ndim == 2 else pixels.shape[2],
        "scalar": number,
        "order": 1 if pixels.dtype.str[0] == ">" else 2,
        "size": (i, j, 1),
        "first": (0, 0, 0),
        "part": (i, j, 1),
        "data": pixels.tobytes(),
        **changes,
    }
    matrix = (0.5, 0, 0, 0, 0.4, 0, 0, 0, 3, 1, 2, 3)
    four = (said[name] for name in ("version", "components", "scalar", "order"))
    body = IMAGE.pack(*four, 1, *said["size"], *matrix, *said["first"], *said["part"]) + said["data"]
    return read(HEADER.pack(1, b"IMAGE", b"Image", 0, len(body), crc64((body,))) + body)


def test_what_pyigtl_packs_is_read(peers: ModuleType) -> None:
    image = Image.of(read(peers.image(pixels=peers.picture(shape=(1, 6, 10), dtype=np.int16))))
    assert image is not None and image.unfit(2) is None
    frame = image.frame("US")
    assert np.array_equal(frame.pixels, peers.picture(shape=(1, 6, 10), dtype=np.int16)[0])
    assert frame.spacing == pytest.approx((0.5, 0.4)) and frame.timestamp == 1234.5 and frame.modality == "US"


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_pyigtl_finds_every_place_where_it_was(peers: ModuleType, version: int, scale: int) -> None:
    source = peers.image(version=version, metadata={"who": "probe"} if version == 2 else {})
    image = Image.of(read(source))
    assert image is not None
    large = source.image[0].repeat(scale, 0).repeat(scale, 1)
    parts = image.enlarged(large, "_x", "centre", {"acutance.scale": str(scale)})
    answer = read(b"".join(map(bytes, parts)))
    assert answer.intact() and answer.version == version
    found = peers.unpacked(answer)
    assert np.array_equal(found.image[0], large) and found.image.dtype == np.uint8
    assert np.allclose(found.ijk_to_world_matrix, refined_affine(peers.MATRIX, (0, 1), scale), atol=1e-5)
    corner, old = found.ijk_to_world_matrix @ (-0.5, -0.5, 0, 1), peers.MATRIX @ (-0.5, -0.5, 0, 1)
    assert np.allclose(corner, old, atol=1e-5)
    assert (found.timestamp, found.device_name, found.world_coordinate_system) == (1234.5, "Image_x", "lps")
    assert found.metadata == ({"who": "probe", "acutance.scale": str(scale)} if version == 2 else {})


def test_a_position_of_the_first_pixel_moves() -> None:
    matrix = (0.5, 0, 0, 0, 0.4, 0, 0, 0, 3, 1, 2, 3)
    assert refined(matrix, 2, "first") == pytest.approx((0.25, 0, 0, 0, 0.2, 0, 0, 0, 3, 0.875, 1.9, 3))
    assert refined(matrix, 2, "centre") == pytest.approx((0.25, 0, 0, 0, 0.2, 0, 0, 0, 3, 1, 2, 3))
    assert refined((-3e38,) * 9 + (3e38,) * 3, 2, "first")[9] == np.inf  # more than a float32 holds is no error


@pytest.mark.parametrize("scalar", ["u1", "i2", "u2", "f4"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("components", [1, 3, 4])
def test_scalars_orders_and_components_come_back_as_they_came(scalar: str, order: str, components: int) -> None:
    shape = (5, 7) if components == 1 else (5, 7, components)
    values = np.random.default_rng(1).integers(0, 200, shape).astype(order + scalar)
    image = Image.of(handmade(values))
    assert image is not None and image.unfit(2) is None
    frame = image.frame("US")
    assert frame.pixels.dtype.isnative and np.array_equal(frame.pixels, values[..., :3] if components > 3 else values)
    large = frame.pixels.repeat(2, 0).repeat(2, 1)
    again = Image.of(read(b"".join(map(bytes, image.enlarged(large, "", "centre", {})))))
    assert again is not None and again.size == (14, 10, 1)
    assert (again.scalar, again.order, again.components) == (scalar, image.order, components)
    assert np.array_equal(again.pixels, values.repeat(2, 0).repeat(2, 1))


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (handmade(np.zeros((4, 4), np.int8)), "scalar"),
        (handmade(np.zeros((4, 4), np.int32)), "scalar"),
        (handmade(np.zeros((4, 4), np.float64)), "scalar"),
        (handmade(np.zeros((4, 4, 2), np.uint8)), "components"),
        (handmade(np.zeros((8, 4), np.uint8), size=(4, 4, 2), part=(4, 4, 2)), "volume"),
        (handmade(np.zeros((2, 4), np.uint8), size=(4, 4, 1), first=(0, 2, 0)), "part"),
        (handmade(np.zeros((1, 40000), np.uint8)), "size"),
    ],
)
def test_what_is_not_enhanced_is_named(message: Message, reason: str) -> None:
    image = Image.of(message)
    assert image is not None and image.unfit(2) == reason


def test_another_layout_is_left_alone() -> None:
    assert Image.of(handmade(np.zeros((4, 4), np.uint8), version=2)) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"scalar": 9},
        {"order": 0},
        {"components": 0},
        {"components": 3},
        {"data": b"x" * 15},
        {"size": (3, 4, 1)},
        {"first": (1, 0, 0)},
        {"part": (4, 0, 1)},
        {"part": (65535, 65535, 65535), "size": (65535, 65535, 65535)},
    ],
)
def test_contradictions_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        Image.of(handmade(np.zeros((4, 4), np.uint8), **changes))


def test_a_short_body_is_refused() -> None:
    body = b"\0\1\1\3" * 10
    with pytest.raises(InputError):
        Image.of(read(HEADER.pack(1, b"IMAGE", b"", 0, len(body), crc64((body,))) + body))


def test_a_matrix_of_nothing_gives_no_spacing() -> None:
    message = handmade(np.zeros((4, 4), np.uint8))
    body = bytearray(message.body)
    struct.pack_into(">12f", body, 12, *[0.0] * 12)
    image = Image.of(read(HEADER.pack(1, b"IMAGE", b"", 0, len(body), crc64((body,))) + bytes(body)))
    assert image is not None and image.frame("US").spacing is None and image.frame("US").timestamp is None


def test_names_have_their_suffix_within_20_bytes() -> None:
    assert named(b"Image", "_x2") == b"Image_x2"
    assert named(b"a name of 20 letters", "_x2") == b"a name of 20 lett_x2"
    assert unnamed(b"Image_x2", "_x2") == b"Image" and unnamed(b"Image", "_x2") == b"Image"


def test_notes_replace_older_ones_of_the_same_key(peers: ModuleType) -> None:
    image = Image.of(read(peers.image(version=2, metadata={"acutance.model": "old", "who": "probe"})))
    assert image is not None
    answer = read(b"".join(map(bytes, image.enlarged(image.pixels, "", "centre", {"acutance.model": "new"}))))
    assert [(e.key, e.value) for e in Parts.of(answer).metadata] == [(b"who", b"probe"), (b"acutance.model", b"new")]
