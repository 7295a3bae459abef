"""Reading and writing the pages of TIFF files.

TIFF Revision 6.0, https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import tifffile
from PIL import TiffImagePlugin

from ..errors import InputError
from ..geometry import Array, Frame
from .values import Page, check_promise, check_size, damage, drop_alpha, storable

MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""First bytes of TIFF and BigTIFF files, little and big endian."""

_EXPANSION = 4096
"""More bytes than one byte becomes in any compression of TIFF."""

_BIG = 2**32 - 2**25
"""Bytes from which on a file is BigTIFF."""

_MM = {2: 25.4, 3: 10.0}
"""ResolutionUnit: inch and centimetre; 1 is no unit."""

_IMAGEJ_MM = {"mm": 1.0, "cm": 10.0, "um": 0.001, "µm": 0.001, "\\u00b5m": 0.001, "micron": 0.001, "inch": 25.4}

_ICC = 34675
"""Tag of the colour profile, of type 7 (bytes)."""

_GRAY, _PALETTE = ("MINISBLACK", "MINISWHITE"), "PALETTE"


def pages(path: str | os.PathLike[str], max_pixels: int | None = None) -> Iterator[Page]:
    """Yield the pages of a file in order, smaller copies (NewSubfileType) left out. See :func:`raster.read`."""
    path = Path(path)
    logging.getLogger("tifffile").addHandler(logging.NullHandler())
    with damage(path), tifffile.TiffFile(path) as file:
        found = [p for p in file.pages if isinstance(p, tifffile.TiffPage) and not p.is_reduced]
        if not found:
            raise InputError("holds no picture", path)
        check_size(sum(p.imagewidth * p.imagelength * p.imagedepth for p in found), max_pixels, path)
        for page in found:
            _check(page, file, path)
        announced = (file.imagej_metadata or {}).get("images", len(found))
        if announced != len(found):
            raise InputError(
                f"is an ImageJ stack of {announced} pictures on {len(found)} pages; save it as BigTIFF", path
            )
        for number, page in enumerate(found):
            yield _page(page, file, path, number)


def write(
    file: IO[bytes], frames: Sequence[Frame], *, text: str | None, icc: bytes | None = None, packed: bool = True
) -> None:
    """Write one page for each Frame.

    Parameters
    ----------
    file : binary file
    frames : sequence of Frame
    text : str or None
        ImageDescription of the first page, ASCII.
    icc : bytes, optional
        Colour profile.
    packed : bool
        Compress with deflate.
    """
    size = sum(f.pixels.nbytes for f in frames)
    with tifffile.TiffWriter(file, bigtiff=size > _BIG) as out:
        for i, frame in enumerate(frames):
            gray = "miniswhite" if frame.inverted else "minisblack"
            per_cm = None if frame.spacing is None else (10 / frame.spacing[1], 10 / frame.spacing[0])
            out.write(
                frame.pixels,
                photometric="rgb" if frame.pixels.ndim == 3 else gray,
                compression="zlib" if packed else None,
                description=text if i == 0 else None,
                resolution=per_cm,
                resolutionunit="CENTIMETER" if per_cm else "NONE",
                extratags=() if icc is None else ((_ICC, 7, len(icc), icc, True),),
                metadata=None,
                software="acutance",
                contiguous=False,
            )


def description(path: str | os.PathLike[str]) -> str | None:
    """Return the ImageDescription of the first page, or None."""
    with damage(Path(path)), tifffile.TiffFile(path) as file:
        return file.pages.first.description or None


def _check(page: tifffile.TiffPage, file: tifffile.TiffFile, path: Path) -> None:
    """Refuse what is no gray or RGB picture, and pages that promise more than the file holds."""
    photometric = _name(page.photometric)
    if photometric not in (*_GRAY, _PALETTE, "RGB", "YCBCR"):
        raise InputError(f"has {photometric} pixels; wanted gray, palette or RGB", path)
    if page.imagedepth != 1 or page.dtype is None:
        raise InputError("has pages that are volumes; wanted pictures", path)
    extra = [int(v) for v in page.extrasamples]
    colours = page.samplesperpixel - len(extra)
    if colours != (3 if photometric in ("RGB", "YCBCR") else 1) or len(extra) > 1 or extra == [0]:
        raise InputError(f"has {page.samplesperpixel} samples for each pixel; wanted gray or RGB", path)
    end = max((a + n for a, n in zip(page.dataoffsets, page.databytecounts, strict=False)), default=0)
    if end > file.filehandle.size:
        raise InputError(f"is cut short: a page ends at byte {end}, the file at {file.filehandle.size}", path)
    bits = page.imagewidth * page.imagelength * page.samplesperpixel * page.bitspersample
    held = sum(page.databytecounts)
    check_promise(bits // 8, held, 1 if int(page.compression) == 1 else _EXPANSION, path)


def _page(page: tifffile.TiffPage, file: tifffile.TiffFile, path: Path, number: int) -> Page:
    pixels = _pixels(page, path)
    bits = 8 if pixels.dtype == np.int8 else None
    if page.bitspersample < 8 * pixels.dtype.itemsize and pixels.dtype.kind in "iu":
        bits = page.bitspersample
    if _name(page.photometric) == _PALETTE:
        pixels, bits = _colours(page, pixels), None
    profile = page.tags.get(_ICC)
    orientation = page.tags.valueof(274, 1)
    return Page(
        drop_alpha(storable(pixels, path), path),
        _spacing(page, file),
        None if profile is None else bytes(profile.value),
        bits,
        int(page.compression) != 1,
        _name(page.photometric) == "MINISWHITE",
        int(orientation),
    )


def _pixels(page: tifffile.TiffPage, path: Path) -> Array:
    """Decode a page; by Pillow's libtiff where tifffile knows no decoder of its own (LZW, JPEG)."""
    try:
        pixels = page.asarray()
    except ValueError as e:
        if "imagecodecs" not in str(e) and "not supported" not in str(e):
            raise
        pixels = _by_pillow(page, path)
    if pixels.ndim == 3 and page.planarconfig is not None and int(page.planarconfig) == 2:
        pixels = np.moveaxis(pixels, 0, -1)
    return np.asarray(pixels)


def _by_pillow(page: tifffile.TiffPage, path: Path) -> Array:
    if (page.bitspersample > 8 and page.samplesperpixel > 1) or page.bitspersample not in (1, 8, 16):
        name, bits = _name(page.compression), page.bitspersample
        raise InputError(f"has {bits}-bit pixels compressed by {name}, not read here; save it with deflate", path)
    with TiffImagePlugin.TiffImageFile(path) as image:
        image.seek(page.index)
        return np.asarray(image.convert("RGB") if image.mode == "YCbCr" else image)


def _name(code: object) -> str:
    """Return the name of a TIFF code; codes that tifffile does not know are numbers."""
    return str(getattr(code, "name", code))


def _colours(page: tifffile.TiffPage, indices: Array) -> Array:
    """Look up a palette ``[3, n]`` of 16-bit values; 8-bit ones times 257, or times 256, become uint8."""
    table = np.asarray(page.colormap).T
    if not (table % 257).any() or not (table % 256).any():
        table = (table >> 8).astype(np.uint8)
    return np.asarray(table[indices])


def _spacing(page: tifffile.TiffPage, file: tifffile.TiffFile) -> tuple[float, float] | None:
    """Return millimetres between rows and between columns, where the resolution has a unit."""
    unit = _MM.get(int(page.tags.valueof(296, 2)))
    if file.imagej_metadata is not None:
        unit = _IMAGEJ_MM.get(str(file.imagej_metadata.get("unit", "")))
    found: list[Any] = [page.tags.valueof(283), page.tags.valueof(282)]
    if unit is None or None in found:
        return None
    try:
        rows, cols = (unit * v[1] / v[0] for v in found)
    except (ZeroDivisionError, TypeError, IndexError):
        return None
    return (rows, cols) if all(math.isfinite(v) and v > 0 for v in (rows, cols)) else None
