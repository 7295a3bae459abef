"""What is measured on one enlarged slice beside PSNR."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from ..geometry import Array
from . import score

SSIM_SIGMA = 1.5
SSIM_RADIUS = 5
"""Reach of the Gaussian window: scikit-image cuts it at 3.5 sigma and leaves this border out of the mean."""

F32 = NDArray[np.float32]


def ssim(truth: F32, result: F32, data_range: float, mask: NDArray[np.bool_] | None = None) -> tuple[float, float]:
    """Return the mean structural similarity of the whole picture, and of ``mask``.

    Wang et al., IEEE Trans. Image Processing 13(4), 2004: Gaussian window of sigma 1.5, K1 = 0.01, K2 = 0.03,
    population covariance, by scikit-image. Both means leave out a border as wide as the window's radius.

    Parameters
    ----------
    truth, result : ndarray of float32
        ``[rows, cols]``, at least 11 a side.
    data_range : float
    mask : ndarray of bool, optional
        ``[rows, cols]``; None, or nothing in it, gives NaN for the second mean.
    """
    mean, local = structural_similarity(  # type: ignore[no-untyped-call]
        truth,
        result,
        data_range=data_range,
        gaussian_weights=True,
        sigma=SSIM_SIGMA,
        use_sample_covariance=False,
        full=True,
    )
    if mask is None:
        return float(mean), float("nan")
    inner = slice(SSIM_RADIUS, -SSIM_RADIUS)
    chosen = local[inner, inner][mask[inner, inner]]
    return float(mean), float(chosen.mean(dtype=np.float64)) if chosen.size else float("nan")


def block_error(result: Array, picture: Array, scale: int) -> float:
    """Return ``max |mean of block - input|`` in stored units.

    Parameters
    ----------
    result : ndarray
        ``[rows * s, cols * s]``.
    picture : ndarray
        ``[rows, cols]``: what was enlarged.
    """
    rows, cols = picture.shape
    sums = result.astype(np.float64).reshape(rows, scale, cols, scale).sum(axis=(1, 3))
    return float(np.abs(sums / scale**2 - picture.astype(np.float64)).max())


def consistency(
    result: Array,
    picture: Array,
    degradation: score.Degradation,
    scale: int,
    spacing: Sequence[float] | None = None,
) -> float:
    """Return ``max |D(result) - input|`` in stored units, ``D`` being what made the input of the truth.

    Parameters
    ----------
    result : ndarray
        ``[rows * s, cols * s]``.
    picture : ndarray
        ``[rows, cols]``: what was enlarged.
    spacing : 2 floats, optional
        Of the result in mm; needed where the degradation is in mm.
    """
    again = degradation.apply(np.asarray(result, dtype=np.float32), scale, spacing)
    return float(np.abs(again - np.asarray(picture, dtype=np.float32)).max())


def power(difference: F32, mask: NDArray[np.bool_] | None = None) -> float:
    """Return the variance of a picture, of its ``mask`` where there is one: the integral of its power spectrum."""
    return float(np.var(difference if mask is None else difference[mask], dtype=np.float64))


def fine_energy(picture: F32, scale: int) -> float:
    """Return the energy of a picture above the Nyquist frequency of its ``s`` times smaller version.

    Power summed over all radial frequencies above ``0.5 / s`` cycles per pixel, under a Hann window with the mean
    taken off, so that the border's jump does not count.
    """
    rows, cols = picture.shape
    window = np.outer(np.hanning(rows), np.hanning(cols)).astype(np.float32)
    spectrum = scipy.fft.rfft2((picture - picture.mean(dtype=np.float64).astype(np.float32)) * window)
    power = spectrum.real.astype(np.float64) ** 2 + spectrum.imag.astype(np.float64) ** 2
    power[:, 1 : (cols + 1) // 2] *= 2  # the half of the spectrum that a real picture repeats
    radius = np.hypot(np.fft.fftfreq(rows)[:, None], np.fft.rfftfreq(cols)[None, :])
    return float(power[radius > 0.5 / scale].sum())
