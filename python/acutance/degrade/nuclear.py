"""PET and SPECT: a wide point spread and few counts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..geometry import Array
from .grid import F32, FWHM, area_mean


def emission(
    picture: Array,
    scale: int,
    fwhm: float,
    spacing: Sequence[float],
    counts: float | None,
    rng: np.random.Generator,
) -> F32:
    """Blur with a point spread in mm, average blocks, and count.

    Clinical PET resolves 4 to 7 mm (Moses, *Fundamental limits of spatial resolution in PET*, Nucl. Instrum. Methods A
    648 (2011)); counts are Poisson's (Shepp and Vardi, *Maximum likelihood reconstruction for emission tomography*,
    IEEE Trans. Med. Imaging 1 (1982), section II). That reconstruction correlates the noise of neighbours is left out.

    Parameters
    ----------
    picture : ndarray
        ``[rows * s, cols * s]``, activity, 0 where there is none; below 0 counts as none once there is noise.
    fwhm : float
        Full width at half maximum of the point spread in mm.
    spacing : 2 floats
        Of ``picture`` in mm, row then column.
    counts : float or None
        Expected in the brightest pixel of the result; None for no noise.

    Returns
    -------
    ndarray of float32
        ``[rows, cols]``, in the unit of ``picture``.
    """
    sigma = (fwhm / FWHM / spacing[0], fwhm / FWHM / spacing[1])
    small = area_mean(picture, scale, sigma)
    brightest = float(small.max(initial=0.0))
    if counts is None or brightest <= 0:
        return small
    gain = counts / brightest
    return (rng.poisson(np.maximum(small, 0) * gain) / gain).astype(np.float32)
