"""What a header says of its pixels, checked before memory is taken for them."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

from pydicom.dataset import Dataset

from ..errors import InputError
from .classes import OTHER_PHOTOMETRIC, PHOTOMETRIC

MAX_PIXELS = 1 << 28
"""Pixels of one file, all frames together, that are read when no other limit is given."""


@dataclasses.dataclass(frozen=True)
class Layout:
    """The Image Pixel Module (PS3.3 C.7.6.3), checked.

    Attributes
    ----------
    rows, columns, frames, samples : int
    photometric : str
    allocated, stored, high : int
        Bits Allocated, Bits Stored and High Bit.
    signed : bool
    planar : int
        Planar Configuration.
    """

    rows: int
    columns: int
    frames: int
    samples: int
    photometric: str
    allocated: int
    stored: int
    high: int
    signed: bool
    planar: int

    @property
    def frame_bytes(self) -> int:
        """Bytes of one uncompressed frame; YBR_FULL_422 halves both chroma samples (PS3.3 C.7.6.3.1.2)."""
        samples = 2 if self.photometric == "YBR_FULL_422" else self.samples
        return self.rows * self.columns * samples * self.allocated // 8

    @property
    def limits(self) -> tuple[int, int]:
        """Smallest and largest stored value."""
        if self.signed:
            return -(1 << (self.stored - 1)), (1 << (self.stored - 1)) - 1
        return 0, (1 << self.stored) - 1


def integer(header: Dataset, keyword: str, default: int | None = None) -> int | None:
    """Return an element as an integer, ``default`` when it is absent, empty or no single number."""
    try:
        value = header.get(keyword)
        return default if value is None or value == "" else int(value)
    except Exception:  # what a damaged value raises depends on its VR
        return default


def numbers(header: Dataset, keyword: str, count: int) -> tuple[float, ...] | None:
    """Return the first ``count`` finite numbers of an element, None when it holds fewer or something else."""
    try:
        value: Any = header.get(keyword)
        values = [value] if isinstance(value, (int, float)) else list(value or ())
        found = tuple(float(x) for x in values[:count])
    except Exception:
        return None
    ok = len(found) == count and all(abs(x) < float("inf") for x in found)
    return found if ok else None


def text(header: Dataset, keyword: str) -> str:
    """Return an element as text without surrounding blanks, empty when it is absent or cannot be read."""
    try:
        value = header.get(keyword)
        return "" if value is None else str(value).strip()
    except Exception:
        return ""


def layout(header: Dataset, path: str | os.PathLike[str] | None, max_pixels: int = MAX_PIXELS) -> Layout:
    """Check what a header says of its pixels.

    Raises
    ------
    InputError
        Something is missing, or is not what is enhanced: palette colour, single bits, more than 16 bits, too large.
    """
    photometric = text(header, "PhotometricInterpretation").upper()
    if photometric == "PALETTE COLOR":
        raise InputError("its pixels are palette colour: indices cannot be interpolated", path)
    if photometric not in PHOTOMETRIC:
        said = photometric if photometric in OTHER_PHOTOMETRIC else "none of the standard" if photometric else "missing"
        raise InputError(f"its photometric interpretation is {said}; wanted one of {', '.join(PHOTOMETRIC)}", path)
    if text(header, "PixelPresentation").upper() in ("COLOR", "MIXED"):
        raise InputError(
            "its pixels are partly palette colour (Pixel Presentation), which cannot be interpolated", path
        )
    rows, columns = integer(header, "Rows"), integer(header, "Columns")
    if not rows or not columns or rows < 0 or columns < 0:
        raise InputError("its header gives no Rows and Columns", path)
    frames = _frames(header, path)
    if rows * columns * frames > max_pixels:
        raise InputError(
            f"has {frames} x {rows} x {columns} pixels; at most {max_pixels} are read unless the limit is raised", path
        )
    samples = integer(header, "SamplesPerPixel", 1 if photometric.startswith("MONOCHROME") else 3)
    if samples != (1 if photometric.startswith("MONOCHROME") else 3):
        raise InputError(f"is damaged: {photometric} pixels with {samples} samples each", path)
    found = Layout(
        rows,
        columns,
        frames,
        samples,
        photometric,
        *_bits(header, path),
        planar=integer(header, "PlanarConfiguration", 0) or 0,
    )
    if samples == 3 and (found.signed or (photometric.startswith("YBR") and found.allocated != 8)):
        raise InputError(f"its {photometric} pixels have {found.allocated} bits; wanted 8 unsigned", path)
    return found


def _frames(header: Dataset, path: str | os.PathLike[str] | None) -> int:
    if "NumberOfFrames" not in header or text(header, "NumberOfFrames") == "":
        return 1
    frames = integer(header, "NumberOfFrames")
    if frames is None or frames < 1:
        raise InputError("is damaged: its Number of Frames is no positive number", path)
    return frames


def _bits(header: Dataset, path: str | os.PathLike[str] | None) -> tuple[int, int, int, bool]:
    """Return Bits Allocated, Bits Stored, High Bit and signedness (PS3.5 8.1.1)."""
    allocated = integer(header, "BitsAllocated")
    if allocated is None:
        raise InputError("its header gives no Bits Allocated", path)
    stored = integer(header, "BitsStored", allocated)
    high = integer(header, "HighBit", (stored or 1) - 1)
    if allocated not in (8, 16, 32) or not stored or not 2 <= stored <= 16:
        raise InputError(f"its pixels have {stored} bits stored in {allocated}; wanted 2 to 16 in 8, 16 or 32", path)
    if high is None or not stored - 1 <= high < allocated:
        raise InputError(f"is damaged: {stored} bits stored below bit {high} of {allocated}", path)
    return allocated, stored, high, integer(header, "PixelRepresentation", 0) == 1
