"""TIFF pages of every kind that scanners and microscopes of the field write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from acutance.errors import InputError
from acutance.files import raster
from acutance.geometry import Frame


def ramp(*shape: int, dtype: Any = np.uint8) -> Any:
    return (np.arange(np.prod(shape)) % 120).reshape(shape).astype(dtype)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "int8", "uint32", "int32", "float64"])
@pytest.mark.parametrize(
    "how",
    [
        {},
        {"compression": "zlib"},
        {"tile": (16, 16)},
        {"byteorder": ">"},
        {"photometric": "miniswhite"},
        {"bigtiff": 1},
    ],
)
def test_gray_pages_are_read_and_written(tmp_path: Path, dtype: str, how: dict[str, Any]) -> None:
    pixels = ramp(20, 30, dtype=dtype)
    made = {k: v for k, v in how.items() if k in ("byteorder", "bigtiff")}
    tifffile.imwrite(tmp_path / "a.tif", pixels, **how)
    (frame,) = raster.read(tmp_path / "a.tif")
    np.testing.assert_array_equal(frame.pixels, pixels)
    assert frame.inverted == ("photometric" in how)
    assert frame.bits_stored == (8 if dtype == "int8" else None)
    raster.write(tmp_path / "b.tif", [frame])
    (again,) = raster.read(tmp_path / "b.tif")
    np.testing.assert_array_equal(again.pixels, pixels)
    assert again.inverted == frame.inverted
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        assert (int(file.pages[0].compression) != 1) == ("compression" in how), made


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_colour_pages_lie_by_pixel(tmp_path: Path, planar: str, dtype: str) -> None:
    pixels = ramp(6, 5, 3, dtype=dtype)
    stored = pixels if planar == "contig" else np.moveaxis(pixels, -1, 0)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", planarconfig=planar)
    np.testing.assert_array_equal(raster.read(tmp_path / "a.tif")[0].pixels, pixels)


@pytest.mark.parametrize(
    ("how", "mode"),
    [
        *((how, mode) for how in ("raw", "tiff_lzw", "packbits") for mode in ("L", "RGB", "I;16", "1", "P")),
        ("jpeg", "L"),
        ("jpeg", "RGB"),
        ("group4", "1"),
    ],
)
def test_what_pillow_compresses_is_read(tmp_path: Path, how: str, mode: str) -> None:
    colour = Image.fromarray(ramp(20, 24, 3))
    image = Image.fromarray(ramp(20, 24, dtype=np.uint16)) if mode == "I;16" else colour.convert(mode)
    image.save(tmp_path / "a.tif", compression=how)
    (frame,) = raster.read(tmp_path / "a.tif")
    with Image.open(tmp_path / "a.tif") as again:
        wanted = np.asarray(again.convert({"1": "L", "P": "RGB"}.get(mode, again.mode)))
    np.testing.assert_array_equal(frame.pixels, wanted)


def test_16_bit_palettes_stay_16_bit(tmp_path: Path) -> None:
    table = np.arange(3 * 256, dtype=np.uint16).reshape(3, 256) * 80
    tifffile.imwrite(tmp_path / "a.tif", ramp(4, 4), photometric="palette", colormap=table)
    (frame,) = raster.read(tmp_path / "a.tif")
    np.testing.assert_array_equal(frame.pixels, table.T[ramp(4, 4)])


@pytest.mark.parametrize(
    ("how", "spacing"),
    [
        ({"resolution": (100, 50), "resolutionunit": "CENTIMETER"}, (0.2, 0.1)),
        ({"resolution": (254, 254), "resolutionunit": "INCH"}, (0.1, 0.1)),
        ({"resolution": (72, 72), "resolutionunit": "NONE"}, None),
        ({"imagej": True, "resolution": (4, 2), "metadata": {"unit": "mm"}}, (0.5, 0.25)),
        ({"imagej": True, "resolution": (4, 2), "metadata": {"unit": "um"}}, (0.0005, 0.00025)),
        ({"imagej": True, "resolution": (4, 2), "metadata": {"unit": "pixel"}}, None),
        ({}, None),
    ],
)
def test_spacing_is_known_only_with_its_unit(tmp_path: Path, how: dict[str, Any], spacing: Any) -> None:
    tifffile.imwrite(tmp_path / "a.tif", ramp(4, 6), **how)
    found = raster.read(tmp_path / "a.tif")[0].spacing
    assert found is None if spacing is None else found == pytest.approx(spacing)


def test_pages_are_pictures_of_one_series(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as out:
        out.write(ramp(8, 9), subfiletype=0)
        out.write(ramp(4, 4), subfiletype=1)
        out.write(ramp(7, 5) + 100)
    frames = raster.read(tmp_path / "a.tif")
    assert [f.pixels.shape for f in frames] == [(8, 9), (7, 5)]
    assert [f.source.index for f in frames if f.source] == [0, 1]
    assert frames[0].value_range == frames[1].value_range is not None
    raster.write(tmp_path / "b.tif", frames)
    again = raster.read(tmp_path / "b.tif")
    assert all((a.pixels == b.pixels).all() for a, b in zip(frames, again, strict=True))


def test_opaque_alpha_is_dropped_and_other_samples_are_refused(tmp_path: Path) -> None:
    rgba = np.dstack([ramp(4, 5, 3), np.full((4, 5), 255, np.uint8)])
    tifffile.imwrite(tmp_path / "a.tif", rgba, photometric="rgb", extrasamples=["unassalpha"])
    np.testing.assert_array_equal(raster.read(tmp_path / "a.tif")[0].pixels, rgba[..., :3])
    rgba[0, 0, 3] = 0
    tifffile.imwrite(tmp_path / "a.tif", rgba, photometric="rgb", extrasamples=["unassalpha"])
    with pytest.raises(InputError, match="transparent"):
        raster.read(tmp_path / "a.tif")
    tifffile.imwrite(tmp_path / "a.tif", rgba, photometric="rgb", extrasamples=["unspecified"])
    with pytest.raises(InputError, match="4 samples"):
        raster.read(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("how", "word"),
    [
        ({"photometric": "separated", "data": ramp(4, 4, 4)}, "SEPARATED"),
        ({"photometric": "minisblack", "data": ramp(4, 4, 2), "planarconfig": "contig"}, "2 samples"),
        ({"photometric": "minisblack", "data": ramp(3, 16, 16), "volumetric": True, "tile": (1, 16, 16)}, "volumes"),
        ({"data": ramp(4, 4).astype(np.complex64)}, "complex64"),
    ],
)
def test_other_pictures_are_refused_by_name(tmp_path: Path, how: dict[str, Any], word: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", how.pop("data"), **how)
    with pytest.raises(InputError, match=word):
        raster.read(tmp_path / "a.tif")


def test_deep_colour_that_no_decoder_here_knows_is_refused_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: object) -> None:
        raise ValueError("<COMPRESSION.LZW: 5> requires the 'imagecodecs' package")

    tifffile.imwrite(tmp_path / "a.tif", ramp(4, 4, 3, dtype=np.uint16), photometric="rgb")
    monkeypatch.setattr(tifffile.TiffPage, "asarray", unknown)
    with pytest.raises(InputError, match="16-bit pixels compressed by NONE, not read here; save it with deflate"):
        raster.read(tmp_path / "a.tif")


def test_pages_beyond_the_end_and_pages_too_large_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", ramp(100, 100))
    data = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "b.tif").write_bytes(data[:-5000])
    with pytest.raises(InputError, match="cut short"):
        raster.read(tmp_path / "b.tif")
    with pytest.raises(InputError, match="10000 pixels, more than the limit of 9999"):
        raster.read(tmp_path / "a.tif", max_pixels=9999)
    at = data.index(bytes([0x01, 0x01, 4, 0, 1, 0, 0, 0]))  # tag 257, ImageLength: LONG, one value
    (tmp_path / "b.tif").write_bytes(data[: at + 8] + b"\x60\xea" + data[at + 10 :])
    with pytest.raises(InputError, match="promises 6000000 bytes"):
        raster.read(tmp_path / "b.tif")


def test_writing_the_same_picture_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    for suffix in (".tif", ".png"):
        for name in "ab":
            raster.write(tmp_path / f"{name}{suffix}", [Frame(ramp(9, 9), spacing=(0.3, 0.3))])
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()
