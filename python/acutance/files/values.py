"""Stored values that the core takes, and limits that hold before memory is taken."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..geometry import DTYPES, Array

MAX_PIXELS = 1 << 28
"""Pixels of one file, all pictures together, that are read when no other limit is given."""

EXPANSION = 1032
"""Most bytes that one byte of a deflate stream can become (258 bytes for 2 bits)."""

TRANSPARENT = "has transparent pixels; put it on a background first, or remove its transparency"

_EXACT_IN_FLOAT32 = 1 << 24


@dataclasses.dataclass(frozen=True, eq=False)
class Page:
    """One picture as its file holds it.

    Attributes
    ----------
    pixels : ndarray
        ``[rows, cols]`` or ``[rows, cols, 3]`` of a dtype that the core takes.
    spacing : (float, float) or None
        Millimetres between rows and between columns.
    icc : bytes or None
        Colour profile.
    bits : int or None
        Bits that hold the value, when they are fewer than the dtype's.
    packed : bool
        Whether the pixels were compressed.
    inverted : bool
        Whether 0 is white.
    orientation : int
        TIFF 6.0 and EXIF tag 274: 1 upright, 2 to 8 mirrored, turned or both.
    """

    pixels: Array
    spacing: tuple[float, float] | None = None
    icc: bytes | None = None
    bits: int | None = None
    packed: bool = True
    inverted: bool = False
    orientation: int = 1


def drop_alpha(values: Array, path: str | os.PathLike[str] | None = None) -> Array:
    """Return the gray or RGB part of ``[rows, cols, 2 or 4]`` whose last channel is opaque; other shapes as they are.

    Raises
    ------
    InputError
        A pixel is not opaque.
    """
    if values.ndim != 3 or values.shape[2] not in (2, 4):
        return values
    opaque = np.iinfo(values.dtype).max if values.dtype.kind in "iu" else 1
    if (values[..., -1] != opaque).any():
        raise InputError(TRANSPARENT, path)
    return np.ascontiguousarray(values[..., 0] if values.shape[2] == 2 else values[..., :3])


def storable(values: Array, path: str | os.PathLike[str] | None = None) -> Array:
    """Return ``values`` in a dtype that the core takes, without changing one of them.

    Parameters
    ----------
    values : ndarray
        Any real dtype. uint8, int16, uint16 and float32 stay; bool becomes 0 and 255 of uint8; other integers become
        int16 or uint16 where they fit (unsigned ones uint16), else float32 where it holds them exactly; float16 and
        float64 become float32.

    Raises
    ------
    InputError
        A value does not fit, or the dtype is none of numbers.
    """
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    if values.dtype.name in DTYPES:
        return values
    if values.dtype.kind == "b":
        return values.astype(np.uint8) * np.uint8(255)
    if values.dtype.kind in "iu":
        return _integers(values, path)
    if values.dtype.kind == "f":
        with np.errstate(over="ignore"):
            single = values.astype(np.float32)
        if not np.array_equal(single, values, equal_nan=True):
            raise InputError(
                f"holds {values.dtype} values that float32 does not hold exactly; save it as float32", path
            )
        return single
    raise InputError(f"holds {values.dtype} values; wanted integers or real numbers", path)


def _integers(values: Array, path: str | os.PathLike[str] | None) -> Array:
    low, high = int(values.min()), int(values.max())
    for dtype in (np.int16, np.uint16) if values.dtype.kind == "i" else (np.uint16,):
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return values.astype(dtype)
    if max(-low, high) <= _EXACT_IN_FLOAT32:
        return values.astype(np.float32)
    raise InputError(f"holds {values.dtype} values {low} to {high}; wanted at most {_EXACT_IN_FLOAT32} in size", path)


def check_size(pixels: int, limit: int | None, path: str | os.PathLike[str] | None) -> None:
    """Raise InputError when a file has more pixels than ``limit`` (None: :data:`MAX_PIXELS`)."""
    limit = MAX_PIXELS if limit is None else limit
    if pixels > limit:
        raise InputError(f"has {pixels} pixels, more than the limit of {limit}; raise the limit (--max-pixels)", path)


def check_promise(promised: int, held: int, expansion: int, path: str | os.PathLike[str] | None) -> None:
    """Raise InputError when ``held`` bytes cannot expand to the ``promised`` ones."""
    if promised > held * expansion:
        raise InputError(f"its header promises {promised} bytes of pixels, which {held} bytes cannot hold", path)


@contextlib.contextmanager
def damage(path: Path) -> Iterator[None]:
    """Turn what Pillow and tifffile raise on a damaged file into an InputError."""
    try:
        yield
    except InputError:
        raise
    except MemoryError:
        raise InputError("needs more memory than there is", path) from None
    except Exception as e:  # both raise what their codecs raise
        why = e.strerror if isinstance(e, OSError) and e.strerror else "damaged or cut short"
        raise InputError(f"cannot be read ({why})", path) from None
