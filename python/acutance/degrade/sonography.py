"""Ultrasound: what shows in a B-mode picture happens to the echo's envelope, before its logarithm is shown.

The value ``v``, 0 to 1 of the range, stands for an envelope of ``10 ** ((v - 1) * D / 20)`` with the dynamic range
``D`` in dB (log compression; Dutt and Greenleaf, *Adaptive speckle reduction filter for log-compressed B-scan images*,
IEEE Trans. Med. Imaging 15 (1996), section II).
"""

from __future__ import annotations

import numpy as np

from ..errors import UsageError
from ..geometry import Array
from .grid import F32, F64, area_mean

DYNAMIC_RANGE = 60.0
"""dB from black to white."""


def envelope(picture: Array, span: tuple[float, float] = (0.0, 255.0), decibels: float = DYNAMIC_RANGE) -> F64:
    """Undo the log compression; white is 1."""
    value = (np.asarray(picture, dtype=np.float64) - span[0]) / (span[1] - span[0])
    echo: F64 = 10 ** ((value - 1) * (decibels / 20))
    return echo


def compressed(echo: Array, span: tuple[float, float] = (0.0, 255.0), decibels: float = DYNAMIC_RANGE) -> F32:
    """Show an envelope on a logarithmic scale; what is below the dynamic range is black."""
    value = 1 + (20 / decibels) * np.log10(np.maximum(echo, 10 ** (-decibels / 20)))
    return (span[0] + value * (span[1] - span[0])).astype(np.float32)


def ultrasound(
    picture: Array,
    scale: int,
    sigma: tuple[float, float],
    span: tuple[float, float] = (0.0, 255.0),
    decibels: float = DYNAMIC_RANGE,
) -> F32:
    """Blur the envelope with a point spread that is wider across the beam than along it, and average blocks.

    Parameters
    ----------
    picture : ndarray
        ``[rows * s, cols * s]``, rows along the beam, speckle included: it belongs to the truth.
    sigma : (float, float)
        Of the point spread along the beam and across it, in pixels of ``picture``.
    span : (float, float)
        Values of black and white.
    decibels : float
        Dynamic range of the picture.

    Returns
    -------
    ndarray of float32
        ``[rows, cols]``.
    """
    # float32 would cost the weakest echoes nothing: 60 dB are a factor of 1000.
    return compressed(area_mean(envelope(picture, span, decibels), scale, sigma), span, decibels)


def speckle(
    picture: Array,
    looks: int,
    rng: np.random.Generator,
    cell: tuple[float, float] = (0.5, 1.0),
    span: tuple[float, float] = (0.0, 255.0),
    decibels: float = DYNAMIC_RANGE,
) -> F32:
    """Multiply the envelope with speckle, for truths that lack it; a degradation of both would hide the truth's own.

    The envelope of many scatterers in a cell is Rayleigh's, of mean 1.91 standard deviations (Wagner, Smith, Sandrik
    and Lopez, *Statistics of speckle in ultrasound B-scans*, IEEE Trans. Sonics Ultrason. 30 (1983)); averaging
    ``looks`` independent pictures makes it weaker by the root of their number.

    Parameters
    ----------
    picture : ndarray
        ``[rows, cols]``.
    looks : int
        Pictures that are averaged.
    cell : (float, float)
        Sigma of the correlation along the beam and across it, in pixels.

    Returns
    -------
    ndarray of float32
        ``[rows, cols]``; the mean of the envelope is kept.
    """
    if looks < 1:
        raise UsageError(f"{looks} looks make no sense; wanted 1 or more")
    echo = envelope(picture, span, decibels)
    total = np.zeros(echo.shape)
    for _ in range(looks):
        real, imaginary = (area_mean(rng.standard_normal(echo.shape), 1, cell) for _ in range(2))
        field = np.hypot(real, imaginary).astype(np.float64)
        total += field / field.mean()
    return compressed(echo * (total / looks), span, decibels)
