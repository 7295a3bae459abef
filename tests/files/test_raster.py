"""PNG, JPEG and TIFF pictures in, PNG and TIFF out."""

from __future__ import annotations

import dataclasses
import hashlib
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from acutance.errors import InputError, UsageError
from acutance.files import raster, record
from acutance.geometry import Derivation, Frame

DERIVATION = Derivation("base", "0.1", "", "fp32", "base", 2, "cubic", "none")


def noise(*shape: int, dtype: Any = np.uint8, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, endpoint=True).astype(dtype)


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".tif", ".tiff"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(7, 5), (1, 1), (33, 20, 3)])
def test_pixels_and_spacing_come_back(tmp_path: Path, suffix: str, dtype: Any, shape: tuple[int, ...]) -> None:
    pixels, path = noise(*shape, dtype=dtype), tmp_path / f"a{suffix}"
    raster.write(path, [Frame(pixels, spacing=(0.5, 0.2))])
    (frame,) = raster.read(path)
    np.testing.assert_array_equal(frame.pixels, pixels)
    assert frame.pixels.dtype == dtype
    assert frame.spacing == pytest.approx((0.5, 0.2), rel=1e-3)
    assert (frame.modality, frame.slope, frame.intercept, frame.derivation) == ("OT", 1.0, 0.0, None)
    assert frame.source is not None and frame.source.path == str(path)
    assert frame.source.header.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_modality_is_what_the_caller_says(tmp_path: Path) -> None:
    raster.write(tmp_path / "a.png", [Frame(noise(4, 4))])
    assert raster.read(tmp_path / "a.png", modality="US")[0].modality == "US"


def test_a_picture_without_resolution_has_no_spacing(tmp_path: Path) -> None:
    for suffix in (".png", ".tif"):
        raster.write(tmp_path / f"a{suffix}", [Frame(noise(4, 4))])
        assert raster.read(tmp_path / f"a{suffix}")[0].spacing is None


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_the_record_and_the_profile_are_carried(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(noise(6, 4, 3)).save(tmp_path / "a.png", icc_profile=b"some profile")
    (frame,) = raster.read(tmp_path / "a.png")
    bigger = dataclasses.replace(frame, pixels=frame.pixels.repeat(2, 0).repeat(2, 1), derivation=DERIVATION)
    raster.write(tmp_path / f"b{suffix}", [bigger])
    wanted = record.Record(hashlib.sha256((tmp_path / "a.png").read_bytes()).hexdigest(), (DERIVATION,))
    assert raster.read_record(tmp_path / f"b{suffix}") == wanted
    assert raster.read_record(tmp_path / "a.png") is None
    with Image.open(tmp_path / f"b{suffix}") as image:
        assert image.info["icc_profile"] == b"some profile"
        np.testing.assert_array_equal(np.asarray(image), bigger.pixels)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_all_modes_of_png_become_gray_or_rgb(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(noise(9, 7, 3) | 1).convert(mode)
    image.save(tmp_path / "a.png")
    (frame,) = raster.read(tmp_path / "a.png")
    wanted = np.asarray(image.convert("L" if mode in ("1", "L", "LA") else "RGB"))
    np.testing.assert_array_equal(frame.pixels, wanted)


@pytest.mark.parametrize("mode", ["LA", "RGBA", "P", "L", "1", "RGB"])
def test_transparent_pixels_are_refused(tmp_path: Path, mode: str) -> None:
    image = Image.new("L" if mode == "LA" else "RGB" if mode == "RGBA" else mode, (4, 4))
    extra: dict[str, Any] = {}
    if mode.endswith("A"):
        image.putalpha(Image.fromarray(noise(4, 4)))
    else:
        extra["transparency"] = (0, 0, 0) if mode == "RGB" else 0
    image.save(tmp_path / "a.png", **extra)
    with pytest.raises(InputError, match="transparent"):
        raster.read(tmp_path / "a.png")


def test_opaque_pictures_that_name_a_transparent_value_they_do_not_hold_are_read(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 9, np.uint8)).save(tmp_path / "a.png", transparency=200)
    assert raster.read(tmp_path / "a.png")[0].pixels.shape == (4, 4)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(path: Path, pixels: Any, colour: int, *between: bytes, interlace: int = 0) -> None:
    """Write unfiltered 16-bit pixels; with ``interlace`` the one pixel of Adam7's first pass."""
    rows, cols = pixels.shape[:2]
    raw = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    head = struct.pack(">IIBBBBB", cols, rows, 16, colour, 0, 0, interlace)
    body = b"".join((chunk(b"IHDR", head), *between, chunk(b"IDAT", zlib.compress(raw)), chunk(b"IEND", b"")))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def test_16_bit_colour_keeps_all_its_bits(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    pixels = noise(5, 6, 3, dtype=np.uint16)
    png_of(path, pixels, 2)
    np.testing.assert_array_equal(raster.read(path)[0].pixels, pixels)
    opaque = np.dstack([pixels, np.full((5, 6), 65535, np.uint16)])
    png_of(path, opaque, 6)
    np.testing.assert_array_equal(raster.read(path)[0].pixels, pixels)
    png_of(path, pixels[:1, :1], 2, interlace=1)
    np.testing.assert_array_equal(raster.read(path)[0].pixels, pixels[:1, :1])


def test_16_bit_colour_with_one_transparent_pixel_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    pixels = noise(5, 6, 3, dtype=np.uint16)
    almost = np.dstack([pixels, np.full((5, 6), 65535, np.uint16)])
    almost[2, 2, 3] = 65534
    png_of(path, almost, 6)
    with pytest.raises(InputError, match="transparent"):
        raster.read(path)
    png_of(path, pixels, 2, chunk(b"tRNS", pixels[3, 3].astype(">u2").tobytes()))
    with pytest.raises(InputError, match="transparent"):
        raster.read(path)
    png_of(path, pixels, 2, chunk(b"tRNS", (pixels[3, 3] ^ 1).astype(">u2").tobytes()))
    assert raster.read(path)[0].pixels.shape == (5, 6, 3)
    png_of(path, almost[..., 2:], 4)
    with pytest.raises(InputError, match="16-bit gray with transparency"):
        raster.read(path)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_pictures_are_set_upright(tmp_path: Path, orientation: int) -> None:
    from PIL import ImageOps

    image = Image.fromarray(noise(6, 9, 3))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(tmp_path / "a.png", exif=exif, dpi=(100, 200))
    with Image.open(tmp_path / "a.png") as stored:
        wanted = np.asarray(ImageOps.exif_transpose(stored))
    (frame,) = raster.read(tmp_path / "a.png")
    np.testing.assert_array_equal(frame.pixels, wanted)
    fine, coarse = 25.4 / 200, 25.4 / 100
    turned = orientation >= 5
    assert frame.spacing == pytest.approx((coarse, fine) if turned else (fine, coarse), rel=1e-3)


def test_jpeg_is_read_and_only_read(tmp_path: Path) -> None:
    for mode in ("L", "RGB"):
        image = Image.fromarray(noise(30, 20, 3)).convert(mode)
        image.save(tmp_path / "a.jpg", dpi=(72, 72))
        (frame,) = raster.read(tmp_path / "a.jpg")
        with Image.open(tmp_path / "a.jpg") as again:
            np.testing.assert_array_equal(frame.pixels, np.asarray(again))
        assert frame.spacing is None and frame.source is not None and frame.source.kind == "jpeg"
    with pytest.raises(UsageError, match=r"\.png, \.tif"):
        raster.write(tmp_path / "b.jpg", [frame])
    Image.new("CMYK", (4, 4)).save(tmp_path / "a.jpg")
    with pytest.raises(InputError, match="CMYK"):
        raster.read(tmp_path / "a.jpg")


def test_animations_are_refused(tmp_path: Path) -> None:
    first, second = (Image.fromarray(noise(4, 4, seed=s)) for s in (1, 2))
    first.save(tmp_path / "a.png", save_all=True, append_images=[second])
    with pytest.raises(InputError, match="animation"):
        raster.read(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_every_cut_and_every_flipped_byte_is_read_or_named(tmp_path: Path, suffix: str) -> None:
    whole = tmp_path / f"whole{suffix}"
    Image.fromarray(noise(24, 20, 3)).save(whole)
    data, path = whole.read_bytes(), tmp_path / f"a{suffix}"
    rng = np.random.default_rng(0)
    damaged = [data[:n] for n in range(0, len(data) - 40, max(1, len(data) // 60))]
    for at in rng.integers(0, len(data), 80):
        damaged.append(data[:at] + bytes([data[at] ^ int(rng.integers(1, 256))]) + data[at + 1 :])
    refused = 0
    for case in damaged:
        path.write_bytes(case)
        try:
            raster.read(path)
        except InputError as e:
            refused += 1
            assert str(path) in str(e) and "\n" not in str(e)
    assert refused >= 60


def test_a_header_that_promises_too_much_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    png_of(path, noise(4, 4, dtype=np.uint16), 0)
    data = bytearray(path.read_bytes())
    data[16:24] = struct.pack(">II", 16384, 16384)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    path.write_bytes(data)
    with pytest.raises(InputError, match="promises 268435456 bytes"):
        raster.read(path)
    with pytest.raises(InputError, match="268435456 pixels, more than the limit of 1000"):
        raster.read(path, max_pixels=1000)


def test_what_png_cannot_hold_is_refused_with_the_way_out(tmp_path: Path) -> None:
    for frames, word in (
        ([Frame(noise(4, 4))] * 2, "one picture, not 2"),
        ([Frame(noise(4, 4).astype(np.int16))], "not int16"),
        ([Frame(noise(4, 4), inverted=True)], "here it is white"),
    ):
        with pytest.raises(UsageError, match=rf"{word}.*write \.tif"):
            raster.write(tmp_path / "a.png", frames)
        raster.write(tmp_path / "a.tif", frames)
        assert len(raster.read(tmp_path / "a.tif")) == len(frames)
    assert not (tmp_path / "a.png").exists()


def test_other_files_are_no_pictures(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"GIF89a...")
    with pytest.raises(InputError, match="no PNG, TIFF or JPEG"):
        raster.read(tmp_path / "a.png")
    with pytest.raises(InputError, match="cannot be read"):
        raster.read(tmp_path / "none.png")
    assert raster.read_record(tmp_path / "a.png") is None
