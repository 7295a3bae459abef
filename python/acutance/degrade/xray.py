"""Projection X-ray: the noise of fewer photons. Its blur and pixels are those of :func:`.grid.area_mean`."""

from __future__ import annotations

import numpy as np

from ..errors import UsageError
from ..geometry import Array
from .grid import F32

DEPTH = 3.0
"""Logarithm of how much weaker the white end of the range is than the black one: a chest radiograph's range."""


def xray_noise(
    picture: Array,
    photons: float,
    rng: np.random.Generator,
    span: tuple[float, float] = (0.0, 255.0),
    depth: float = DEPTH,
) -> F32:
    """Add the Poisson noise of the photons that come through.

    A radiograph shows the logarithm of what arrives (Beer and Lambert's law), dense parts bright, so that bright parts
    are the noisier ones: the standard deviation is ``exp(depth * v / 2) / sqrt(photons) / depth`` of the range at the
    part ``v`` of it. A pixel that no photon reaches counts as one of one photon.

    Parameters
    ----------
    picture : ndarray
        ``[rows, cols]``, bright is dense (MONOCHROME2).
    photons : float
        Per pixel where the picture is black.
    span : (float, float)
        Values of black and white.
    depth : float
        Attenuation, as a natural logarithm, from black to white.

    Returns
    -------
    ndarray of float32
        ``[rows, cols]``, not clipped.
    """
    if not 0 < photons < np.inf:
        raise UsageError(f"{photons} photons make no picture; wanted more than 0")
    low, width = span[0], span[1] - span[0]
    value = (np.asarray(picture, dtype=np.float64) - low) / width
    arrived = np.maximum(rng.poisson(photons * np.exp(-depth * value)), 1)
    return (low - width / depth * np.log(arrived / photons)).astype(np.float32)
