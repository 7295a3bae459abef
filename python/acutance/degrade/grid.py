"""The grid, and what every modality shares: point spread and area mean (docs/protocol.md)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..geometry import Array

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

REACH = 4.0
"""Where a Gaussian is cut, in sigma."""

FWHM = 2 * float(np.sqrt(2 * np.log(2)))
"""Full width at half maximum of a Gaussian of sigma 1."""

LEAST_SIGMA = 0.1
"""Below it the sample beside the middle weighs less than 1e-21."""


def crop(picture: Array, multiple: int) -> Array:
    """Return a view without the last rows and columns that make no whole ``multiple``."""
    rows, cols = picture.shape[:2]
    return picture[: rows - rows % multiple, : cols - cols % multiple]


def area_mean(picture: Array, scale: int, sigma: float | tuple[float, float] = 0.0) -> F32:
    """Blur with a Gaussian point spread and average blocks of ``scale x scale``, as a detector's pixels do.

    Parameters
    ----------
    picture : ndarray
        ``[rows * s, cols * s]``.
    scale : int
    sigma : float or (float, float)
        Of the point spread, in pixels of ``picture``, along both axes or along rows' axis and columns'; 0 for none.
        Beyond its border the picture is mirrored.

    Returns
    -------
    ndarray of float32
        ``[rows, cols]``.

    Raises
    ------
    UsageError
        A side is no multiple of ``scale``, or sigma is negative.
    """
    check(picture, scale)
    out = np.asarray(picture, dtype=np.float64)
    for axis, spread in enumerate(sigma if isinstance(sigma, tuple) else (sigma, sigma)):
        out = _mean_rows(out.swapaxes(0, axis), scale, spread).swapaxes(0, axis)
    return np.ascontiguousarray(out, dtype=np.float32)


def _mean_rows(picture: F64, scale: int, sigma: float) -> F64:
    """Blur and average along the first axis, as one strided sum over the taps of both."""
    kernel = np.convolve(gaussian(sigma), np.full(scale, 1 / scale))
    before = len(gaussian(sigma)) // 2
    n = len(picture)
    padded = np.pad(picture, ((before, before), (0, 0)), mode="symmetric")
    out = np.zeros((n // scale, picture.shape[1]))
    for k, weight in enumerate(kernel):
        out += weight * padded[k : k + n - scale + 1 : scale]
    return out


def gaussian(sigma: float) -> F64:
    """Return a sampled Gaussian of odd length and unit sum; ``[1]`` for next to no sigma."""
    if not 0 <= sigma < np.inf:
        raise UsageError(f"a point spread of sigma {sigma} makes no sense; wanted 0 or more")
    if sigma < LEAST_SIGMA:
        return np.ones(1)
    reach = int(np.ceil(REACH * sigma))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    total: F64 = weights / weights.sum()
    return total


def check(picture: Array, scale: int) -> None:
    """Raise UsageError where a side of ``picture`` is no multiple of ``scale``."""
    rows, cols = picture.shape
    if rows % scale or cols % scale:
        raise UsageError(f"{rows}x{cols} pixels cannot be divided by {scale}; crop them first")
