"""The Haar wavelet-based perceptual similarity index (HaarPSI) of gray pictures.

R. Reisenhofer, S. Bosse, G. Kutyniok, T. Wiegand: A Haar wavelet-based perceptual similarity index for image quality
assessment. Signal Processing: Image Communication 61 (2018) 33-43, with the constants of that paper (C = 30,
alpha = 4.2).

The authors halve the pictures first, which stands for a viewing distance. The protocol leaves that step out, as their
code allows: the mean of 2x2 pixels is just what a picture that was enlarged by 2 began with, so that repeating pixels
would score 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

C, ALPHA, SCALES = 30.0, 4.2, 3

SMALLEST = 2**SCALES
"""Rows and columns that a picture must have at least, after halving."""

F32 = NDArray[np.float32]


def decompose(picture: NDArray[np.floating], halve: bool = False) -> F32:
    """Return the magnitudes of the Haar coefficients that the index compares.

    Parameters
    ----------
    picture : ndarray of float
        ``[rows, cols]``, in 0 to 255.
    halve : bool
        Take the mean of 2x2 pixels first.

    Returns
    -------
    ndarray of float32
        ``[2, 3, rows, cols]``, of half as many if asked for: differences across rows and across columns, at three
        scales.

    Raises
    ------
    ValueError
        The picture is too small.
    """
    x: F32 = np.asarray(picture, dtype=np.float32)
    if halve:
        x = np.pad(x, ((0, x.shape[0] % 2), (0, x.shape[1] % 2)))
        x = (x[::2, ::2] + x[1::2, ::2] + x[::2, 1::2] + x[1::2, 1::2]) * np.float32(0.25)
    if min(x.shape) < SMALLEST:
        raise ValueError(f"HaarPSI of {x.shape[0]}x{x.shape[1]} pixels; wanted at least {SMALLEST} a side")
    out = np.empty((2, SCALES, *x.shape), dtype=np.float32)
    for k in range(SCALES):
        half = 2**k
        padded = np.pad(x, (half - 1, half)) * np.float32(0.5 / half)
        for axis in range(2):
            box = _sums(_sums(padded, half, axis), 2 * half, 1 - axis)
            box = box if axis == 0 else box.T
            step = box[half:] - box[:-half]
            np.abs(step if axis == 0 else step.T, out=out[axis, k])
    return out


def similarity(a: F32, b: F32, mask: NDArray[np.bool_] | None = None) -> float:
    """Return the index of two decomposed pictures, in 0 to 1.

    Parameters
    ----------
    a, b : ndarray of float32
        From :func:`decompose`.
    mask : ndarray of bool, optional
        ``[rows, cols]`` of ``a`` and ``b``: only there are similarities summed.

    Returns
    -------
    float
        NaN for an empty mask; 1 where both pictures have no structure.
    """
    fine_a, fine_b = a[:, : SCALES - 1], b[:, : SCALES - 1]
    local = ((2 * fine_a * fine_b + np.float32(C)) / (fine_a**2 + fine_b**2 + np.float32(C))).mean(axis=1)
    weight = np.maximum(a[:, -1], b[:, -1])
    if mask is not None:
        if not mask.any():
            return float("nan")
        weight = weight * mask
    total = float(weight.sum(dtype=np.float64))
    if total == 0:
        return 1.0
    mean = float((weight / (1 + np.exp(np.float32(-ALPHA) * local))).sum(dtype=np.float64)) / total
    return float((np.log(mean / (1 - mean)) / ALPHA) ** 2)


def haarpsi(truth: NDArray[np.floating], result: NDArray[np.floating], halve: bool = False) -> float:
    """Return the index of two pictures ``[rows, cols]`` in 0 to 255."""
    return similarity(decompose(truth, halve), decompose(result, halve))


def _sums(x: F32, n: int, axis: int) -> F32:
    """Sums of ``n`` (a power of two) neighbours along an axis, by doubling."""
    x = np.moveaxis(x, axis, 0)
    width = 1
    while width < n:
        x = x[width:] + x[:-width]
        width *= 2
    return np.moveaxis(x, 0, axis)
