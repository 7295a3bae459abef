"""How a truth becomes the smaller picture that is enhanced: every degradation keeps to the project's grid.

Pixel ``j`` of the small picture lies at coordinate ``(j + 0.5) * s - 0.5`` of the truth. All functions take and give
``[rows, cols]`` and compute in float64; they return float32, not rounded.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .errors import UsageError
from .geometry import Array

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

REACH = 4.0
"""Where a Gaussian is cut, in sigma."""

LEAST_SIGMA = 0.1
"""Below it the sample beside the middle weighs less than 1e-21."""


def crop(picture: Array, multiple: int) -> Array:
    """Return a view without the last rows and columns that make no whole ``multiple``."""
    rows, cols = picture.shape[:2]
    return picture[: rows - rows % multiple, : cols - cols % multiple]


def area_mean(picture: Array, scale: int, sigma: float = 0.0) -> F32:
    """Blur with a Gaussian point spread and average blocks of ``scale x scale``.

    Parameters
    ----------
    picture : ndarray
        ``[rows * s, cols * s]``.
    scale : int
    sigma : float
        Of the point spread, in pixels of ``picture``; 0 for none. Beyond its border the picture is mirrored.

    Returns
    -------
    ndarray of float32
        ``[rows, cols]``.

    Raises
    ------
    UsageError
        A side is no multiple of ``scale``, or sigma is negative.
    """
    _check(picture, scale)
    out = np.asarray(picture, dtype=np.float64)
    for axis in (0, 1):
        out = _mean_rows(out.swapaxes(0, axis), scale, sigma).swapaxes(0, axis)
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


def truncate(picture: Array, scale: int) -> F32:
    """Keep the middle ``1 / scale`` of k-space along both axes, with the linear phase that puts it on the grid.

    A plain cut keeps pixel 0 where it was; pixel ``j`` would then lie at ``j * s``, half a small pixel off for large
    ``s``. The values stay signed: no magnitude is taken. At the Nyquist frequency of an even side both signs count
    half.

    Parameters
    ----------
    picture : ndarray
        ``[rows * s, cols * s]``; taken to repeat beyond its border.

    Raises
    ------
    UsageError
        A side is no multiple of ``scale``.
    """
    _check(picture, scale)
    out = np.asarray(picture, dtype=np.float64)
    for axis in (0, 1):
        n = out.shape[axis] // scale
        spectrum = np.fft.rfft(out.swapaxes(axis, 1), axis=1)[:, : n // 2 + 1]
        k = np.arange(n // 2 + 1)
        spectrum = spectrum * np.exp(2j * np.pi * k * (0.5 * scale - 0.5) / (n * scale)) / scale
        out = np.fft.irfft(spectrum, n, axis=1).swapaxes(axis, 1)
    return np.ascontiguousarray(out, dtype=np.float32)


def band_limit(picture: Array, keep: tuple[float, float], taper: float = 0.0) -> F32:
    """Take away high spatial frequencies, as a scanner does that measures less k-space than it has pixels for.

    Parameters
    ----------
    picture : ndarray
        ``[rows, cols]``.
    keep : (float, float)
        Part of k-space that is kept along rows' axis and columns' axis, 0 to 1.
    taper : float
        0 for a sharp edge, 1 for a Hann window over all that is kept; between them a Tukey window.
    """
    out = np.asarray(picture, dtype=np.float64)
    for axis, part in enumerate(keep):
        n = out.shape[axis]
        at = np.arange(n // 2 + 1) / (part * n / 2)
        start = 1.0 - taper
        window = np.where(at <= 1, 1.0, 0.0)
        if taper > 0:
            fall = 0.5 + 0.5 * np.cos(np.pi * np.clip((at - start) / taper, 0, 1))
            window = window * np.where(at > start, fall, 1.0)
        spectrum = np.fft.rfft(out.swapaxes(axis, 1), axis=1) * window
        out = np.fft.irfft(spectrum, n, axis=1).swapaxes(axis, 1)
    return np.ascontiguousarray(out, dtype=np.float32)


def _check(picture: Array, scale: int) -> None:
    rows, cols = picture.shape
    if rows % scale or cols % scale:
        raise UsageError(f"{rows}x{cols} pixels cannot be divided by {scale}; crop them first")
