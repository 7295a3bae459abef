"""Writing PNG files of 8 and 16 bits, gray and RGB (Pillow writes no 16-bit RGB), and reading their text chunks.

PNG Specification, third edition, https://www.w3.org/TR/png-3/
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from ..geometry import Array

SIGNATURE = b"\x89PNG\r\n\x1a\n"

_BAND_BYTES = 1 << 22
"""Bytes of picture that are filtered at once."""

_TEXT_LIMIT = 1 << 26
"""Bytes of a text chunk that are read."""


def write(
    file: IO[bytes],
    pixels: Array,
    *,
    text: dict[str, str] | None = None,
    spacing: tuple[float, float] | None = None,
    icc: bytes | None = None,
) -> None:
    """Write a picture.

    Parameters
    ----------
    file : binary file
    pixels : ndarray
        ``[rows, cols]`` or ``[rows, cols, 3]`` of uint8 or uint16.
    text : dict of str
        Keyword and Latin-1 text of each ``tEXt`` chunk (11.3.3.2).
    spacing : (float, float), optional
        Millimetres between rows and between columns, for ``pHYs`` (11.3.4.3).
    icc : bytes, optional
        Colour profile, for ``iCCP`` (11.3.2.3).
    """
    rows, cols = pixels.shape[:2]
    colour = 2 if pixels.ndim == 3 else 0
    file.write(SIGNATURE)
    _chunk(file, b"IHDR", struct.pack(">IIBBBBB", cols, rows, 8 * pixels.dtype.itemsize, colour, 0, 0, 0))
    if icc is not None:
        _chunk(file, b"iCCP", b"ICC profile\0\0" + zlib.compress(icc))
    if spacing is not None:
        per_metre = [round(1000 / v) for v in spacing]
        if all(0 < v < 1 << 31 for v in per_metre):
            _chunk(file, b"pHYs", struct.pack(">IIB", per_metre[1], per_metre[0], 1))
    for keyword, value in (text or {}).items():
        _chunk(file, b"tEXt", keyword.encode("latin-1") + b"\0" + value.encode("latin-1"))
    packer = zlib.compressobj(6)
    for band in _filtered(pixels):
        data = packer.compress(band)
        if data:
            _chunk(file, b"IDAT", data)
    _chunk(file, b"IDAT", packer.flush())
    _chunk(file, b"IEND", b"")


def read_text(path: str | os.PathLike[str], keyword: str) -> str | None:
    """Return the text under ``keyword`` that stands before the pixels of a PNG file, or None."""
    wanted = keyword.encode("latin-1") + b"\0"
    with Path(path).open("rb") as file:
        if file.read(8) != SIGNATURE:
            return None
        while len(head := file.read(8)) == 8 and head[4:] not in (b"IDAT", b"IEND"):
            (length,) = struct.unpack(">I", head[:4])
            if head[4:] == b"tEXt" and length < _TEXT_LIMIT:
                data = file.read(length)
                file.seek(4, os.SEEK_CUR)
                if data.startswith(wanted):
                    return data[len(wanted) :].decode("latin-1")
            else:
                file.seek(length + 4, os.SEEK_CUR)
    return None


def _chunk(file: IO[bytes], kind: bytes, data: bytes) -> None:
    file.write(struct.pack(">I", len(data)) + kind)
    file.write(data)
    file.write(struct.pack(">I", zlib.crc32(data, zlib.crc32(kind))))


def _filtered(pixels: Array) -> Iterator[bytes]:
    """Yield bands of rows, each row behind filter type 4 (Paeth, 9.4)."""
    rows, bpp = pixels.shape[0], pixels.dtype.itemsize * (pixels.shape[2] if pixels.ndim == 3 else 1)
    width = pixels.shape[1] * bpp
    step = max(1, _BAND_BYTES // width)
    above = np.zeros((1, width), np.uint8)
    for first in range(0, rows, step):
        big = np.ascontiguousarray(pixels[first : first + step], dtype=pixels.dtype.newbyteorder(">"))
        raw = big.view(np.uint8).reshape(-1, width)
        up = np.concatenate([above, raw[:-1]]).astype(np.int16)
        left, corner = np.zeros_like(up), np.zeros_like(up)
        left[:, bpp:], corner[:, bpp:] = raw[:, :-bpp], up[:, :-bpp]
        to_left, to_up, to_corner = abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)
        guess = np.where(to_up <= to_corner, up, corner)
        guess = np.where((to_left <= to_up) & (to_left <= to_corner), left, guess)
        band = np.empty((len(raw), width + 1), np.uint8)
        band[:, 0] = 4
        band[:, 1:] = raw - guess.astype(np.uint8)
        above = raw[-1:]
        yield band.tobytes()
