"""How sharp an edge comes out: slanted-edge spatial frequency response, after ISO 12233:2017, 6.2 and annex D."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

OVERSAMPLING = 4
"""Bins per pixel of the edge profile."""

ANGLE = 5.0
"""Degrees between the edge and the columns."""

F64 = NDArray[np.float64]


def phantom(side: int = 128, low: float = 0.0, high: float = 1.0, angle: float = ANGLE, shift: float = 0.0) -> F64:
    """Return a straight edge, dark on the left, each pixel the exact mean over its area.

    Parameters
    ----------
    side : int
        Rows and columns.
    low, high : float
        Values on the two sides.
    angle : float
        Degrees between the edge and the columns, not a multiple of 90.
    shift : float
        Distance of the edge from the picture's centre, in pixels.

    Returns
    -------
    ndarray of float64
        ``[side, side]``.

    Notes
    -----
    The area of a pixel beyond the edge is a piecewise quadratic of the centre's distance from it: the integral of the
    convolution of two boxes as wide as the pixel's sides seen along the edge's normal.
    """
    normal = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    at = np.arange(side) - (side - 1) / 2
    distance = at[None, :] * normal[0] + at[:, None] * normal[1] - shift
    a, b = abs(normal[0]), abs(normal[1])
    covered = np.zeros_like(distance)
    for sign, offset in ((1, (a + b) / 2), (-1, (a - b) / 2), (-1, (b - a) / 2), (1, -(a + b) / 2)):
        covered += sign * np.maximum(distance + offset, 0) ** 2 / 2
    return np.asarray(low + (high - low) * covered / (a * b))


def profile(picture: NDArray[np.floating]) -> F64:
    """Return the values across a nearly vertical edge, :data:`OVERSAMPLING` for each pixel, the edge in the middle.

    Parameters
    ----------
    picture : ndarray of float
        ``[rows, cols]`` with one edge from top to bottom and nothing else.
    """
    values = np.asarray(picture, dtype=np.float64)
    rows, cols = values.shape
    slope, start = _line(values)
    # The distance from the edge along its normal, in bins.
    distance = (np.arange(cols)[None, :] - (start + slope * np.arange(rows)[:, None])) / np.hypot(1, slope)
    end = start + slope * (rows - 1)
    reach = int(min(start, end, cols - 1 - start, cols - 1 - end))
    bins = np.round(distance * OVERSAMPLING).astype(np.int64) + reach * OVERSAMPLING
    inside = (bins >= 0) & (bins <= 2 * reach * OVERSAMPLING)
    count = np.bincount(bins[inside], minlength=2 * reach * OVERSAMPLING + 1)
    found = np.bincount(bins[inside], values[inside], minlength=count.size) / np.maximum(count, 1)
    if (count == 0).any():
        filled = np.flatnonzero(count)
        found = np.interp(np.arange(count.size), filled, found[filled])
    return np.asarray(found)


def response(picture: NDArray[np.floating]) -> tuple[F64, F64]:
    """Measure the modulation transfer function across a nearly vertical edge.

    Parameters
    ----------
    picture : ndarray of float
        As of :func:`profile`.

    Returns
    -------
    frequency : ndarray of float64
        Cycles per pixel, from 0 up to 1.
    mtf : ndarray of float64
        1 at frequency 0. Corrected for the width of the bins and of the derivative.
    """
    across = profile(picture)
    spread = (across[2:] - across[:-2]) * np.hamming(across.size - 2)
    spectrum = np.abs(np.fft.rfft(spread, 16 * spread.size))
    frequency = np.fft.rfftfreq(16 * spread.size, 1 / OVERSAMPLING)
    kept = frequency <= 1
    frequency, spectrum = frequency[kept], spectrum[kept]
    blur = np.sinc(frequency / OVERSAMPLING) * np.sinc(2 * frequency / OVERSAMPLING)
    return np.asarray(frequency, dtype=np.float64), np.asarray(spectrum / spectrum[0] / blur)


def overshoot(picture: NDArray[np.floating]) -> float:
    """Return how far the values across an edge go beyond its two sides, the further one, as a part of the step.

    The sides are the medians of the outer quarters of the :func:`profile`.
    """
    across = profile(picture)
    quarter = across.size // 4
    sides = float(np.median(across[:quarter])), float(np.median(across[-quarter:]))
    low, high = min(sides), max(sides)
    return float(max(across.max() - high, low - across.min(), 0.0) / (high - low))


def mtf50(picture: NDArray[np.floating]) -> float:
    """Return the lowest frequency, in cycles per pixel, at which a nearly vertical edge keeps half its contrast.

    NaN when it keeps more than half up to 1 cycle per pixel.
    """
    frequency, mtf = response(picture)
    below = np.flatnonzero(mtf < 0.5)
    if below.size == 0:
        return float("nan")
    k = int(below[0])
    return float(np.interp(0.5, mtf[[k, k - 1]], frequency[[k, k - 1]]))


def _line(values: F64) -> tuple[float, float]:
    """Fit the edge's column as ``start + slope * row`` to the centroids of the rows' derivatives.

    Fitted twice: the second time each row is windowed around the first line, so that noise and ringing far from the
    edge do not move it (ISO 12233:2017, D.4).
    """
    rows, cols = values.shape
    steps = np.diff(values, axis=1)
    at = np.arange(cols - 1) + 0.5
    row = np.arange(rows)
    window = np.hamming(cols - 1)[None, :] * np.ones((rows, 1))
    slope = start = 0.0
    for _ in range(2):
        weights = steps * window
        centre = (weights * at).sum(axis=1) / weights.sum(axis=1)
        slope, start = np.polyfit(row, centre, 1)
        offset = at[None, :] - (start + slope * row)[:, None]
        window = np.where(np.abs(offset) < cols / 4, 0.54 + 0.46 * np.cos(4 * np.pi * offset / cols), 0)
    return float(slope), float(start)
