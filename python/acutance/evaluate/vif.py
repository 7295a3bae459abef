"""Visual information fidelity in the pixel domain (VIFp) of gray pictures.

H. R. Sheikh, A. C. Bovik: Image information and visual quality. IEEE Trans. Image Processing 15(2), 2006, in the
authors' multi-scale form without wavelets: four scales, Gaussian windows of 17, 9, 5 and 3 pixels, channel noise of
variance 2.
It is the share of the truth's information that the result still carries: 1 for a perfect result, more for one with more
contrast.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

SIDES = (17, 9, 5, 3)
"""Pixels of each scale's window, whose sigma is a fifth of it."""

CHANNEL_NOISE = 2.0
"""Variance of what the eye itself adds, in squared gray levels of 255."""

SMALLEST = 64
"""Rows and columns that a picture must have at least, so that the last scale is left with some."""

LEAST = 1e-8

F32 = NDArray[np.float32]


@dataclasses.dataclass(frozen=True, eq=False)
class _Scale:
    """A picture at one scale with its local statistics."""

    picture: F32
    mean: F32
    variance: F32


def decompose(picture: NDArray[np.floating]) -> list[_Scale]:
    """Return what the index compares.

    Parameters
    ----------
    picture : ndarray of float
        ``[rows, cols]``, in 0 to 255.

    Raises
    ------
    ValueError
        The picture is too small.
    """
    # Taken around the middle gray, which changes nothing but how much of float32 the squares use up.
    x: F32 = np.asarray(picture, dtype=np.float32) - np.float32(128)
    if min(x.shape) < SMALLEST:
        raise ValueError(f"VIF of {x.shape[0]}x{x.shape[1]} pixels; wanted at least {SMALLEST} a side")
    out = []
    for k, side in enumerate(SIDES):
        if k > 0:
            x = np.ascontiguousarray(_mean(x, side)[::2, ::2])
        mean = _mean(x, side)
        out.append(_Scale(x, mean, np.maximum(_mean(x * x, side) - mean * mean, 0)))
    return out


def fidelity(truth: list[_Scale], result: list[_Scale]) -> float:
    """Return the index of a decomposed result against the decomposed truth; 1 where the truth has no structure."""
    kept = there = LEAST
    for side, a, b in zip(SIDES, truth, result, strict=True):
        shared = _mean(a.picture * b.picture, side) - a.mean * b.mean
        gain = shared / (a.variance + np.float32(LEAST))
        rest = b.variance - gain * shared
        flat = a.variance < LEAST
        lost = flat | (b.variance < LEAST)
        rest = np.where(flat, b.variance, rest)
        source = np.where(flat, 0, a.variance)
        against = gain < 0
        rest = np.maximum(np.where(against, b.variance, rest), np.float32(LEAST))
        gain = np.where(lost | against, 0, gain)
        rest = np.where(b.variance < LEAST, 0, rest)
        kept += float(np.log10(1 + gain**2 * source / (rest + CHANNEL_NOISE)).sum(dtype=np.float64))
        there += float(np.log10(1 + source / CHANNEL_NOISE).sum(dtype=np.float64))
    return kept / there


def vif(truth: NDArray[np.floating], result: NDArray[np.floating]) -> float:
    """Return the index of two pictures ``[rows, cols]`` in 0 to 255."""
    return fidelity(decompose(truth), decompose(result))


def _mean(x: F32, side: int) -> F32:
    """Weigh a window of ``side`` pixels with a Gaussian, only where it lies inside."""
    at = np.arange(side) - side // 2
    weights = np.exp(-(at**2) / (2 * (side / 5) ** 2))
    weights /= weights.sum()
    r = side // 2
    out: F32 = correlate1d(correlate1d(x, weights, 0)[r:-r], weights, 1)[:, r:-r]
    return out
