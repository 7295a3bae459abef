"""Computed tomography: the noise of fewer photons, through the projections or straight in the picture.

Both ways are told the same number: the standard deviation in the middle of 300 mm of water, in HU. It goes with the
inverse root of the dose: a quarter of the dose doubles it.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from ..errors import UsageError
from ..geometry import Array
from .grid import F32, F64

Window = Literal["ramp", "shepp-logan", "cosine", "hamming", "hann"]
"""What the ramp filter is multiplied by; the names are scikit-image's."""

WATER = 0.0193
"""Attenuation of water per mm at 70 keV (NIST XCOM), about the mean energy of a spectrum of 120 kV."""

BODY = 300.0
"""mm of water that noise is told for."""

VIEWS = 360
"""Projections over half a turn."""

COARSE, DIRECTIONS = 64, 24
"""Pixels a side and directions from which the fast way takes how much a body weakens the rays."""


def window(frequency: F64, kind: Window) -> F64:
    """Return the apodisation at frequencies of 0 to 0.5 cycles a sample; 0 above."""
    f = np.abs(np.asarray(frequency, dtype=np.float64))
    found: dict[str, F64] = {
        "ramp": np.ones_like(f),
        "shepp-logan": np.sinc(f),
        "cosine": np.cos(np.pi * f),
        "hamming": 0.54 + 0.46 * np.cos(2 * np.pi * f),
        "hann": 0.5 + 0.5 * np.cos(2 * np.pi * f),
    }
    return np.where(f <= 0.5, found[kind], 0.0)


def photons(noise: float, spacing: float, views: int = VIEWS, kind: Window = "hann") -> float:
    """Return the photons per ray, before the body, that give a noise in the middle of :data:`BODY` mm of water.

    Filtered back-projection of ``views`` projections with white noise of variance ``v`` and samples ``a`` apart has the
    variance ``pi**2 / views * v / a**2`` times the integral of ``(f * W(f))**2`` (Kak and Slaney, *Principles of
    Computerized Tomographic Imaging*, 1988, section 5.2), here times ``(2 + cos(2 pi f)) / 3`` for the linear
    interpolation between samples. ``v`` is one over the photons that arrive.

    Parameters
    ----------
    noise : float
        Standard deviation in HU.
    spacing : float
        Of the pixels, and of the rays, in mm.
    """
    if not 0 < noise < np.inf:
        raise UsageError(f"noise of {noise} HU cannot be had from photons; wanted more than 0")
    f = (np.arange(4096) + 0.5) / 8192
    integral = float(np.mean((f * window(f, kind)) ** 2 * (2 + np.cos(2 * np.pi * f)) / 3))
    wanted = (WATER * noise / 1000) ** 2
    return float(np.exp(WATER * BODY) * np.pi**2 / views * integral / (spacing**2 * wanted))


def projection_noise(
    picture: Array,
    noise: float,
    spacing: float,
    rng: np.random.Generator,
    views: int = VIEWS,
    kind: Window = "hann",
) -> F32:
    """Add the noise of parallel projections with a finite number of photons.

    Projections of the picture are given Poisson noise, and what that changes is reconstructed by filtered
    back-projection (Kak and Slaney, 1988, sections 3.3 and 5.2) and added, so that the picture itself keeps its
    sharpness and its place. A ray through which no photon comes counts as one. Outside the picture is air.

    Parameters
    ----------
    picture : ndarray
        ``[rows, cols]`` in HU.
    noise : float
        Standard deviation in the middle of :data:`BODY` mm of water in HU; 0 for none.
    spacing : float
        Of the pixels in mm.

    Returns
    -------
    ndarray of float32
        ``[rows, cols]`` in HU.

    Raises
    ------
    UsageError
        scikit-image is not installed.
    """
    hu = np.asarray(picture, dtype=np.float64)
    if noise == 0:
        return hu.astype(np.float32)
    try:
        from skimage import transform
    except ModuleNotFoundError:
        raise UsageError(
            "projections need scikit-image, which is not installed: pip install 'acutance[evaluate]'"
        ) from None
    side = int(np.ceil(np.hypot(*hu.shape))) + 2
    before = [(side - n) // 2 for n in hu.shape]
    pads = [(b, side - n - b) for b, n in zip(before, hu.shape, strict=True)]
    angles = np.arange(views) * (180.0 / views)
    radon: Any = transform.radon
    iradon: Any = transform.iradon
    lines: F64 = radon(np.pad(_attenuation(hu), pads) * spacing, angles, circle=True)
    emitted = photons(noise, spacing, views, kind)
    arrived = np.maximum(rng.poisson(emitted * np.exp(-lines)), 1)
    error: F64 = iradon(-np.log(arrived / emitted) - lines, angles, filter_name=kind, circle=True) / spacing
    inside = error[before[0] : before[0] + hu.shape[0], before[1] : before[1] + hu.shape[1]]
    noisy: F32 = (hu + inside * (1000 / WATER)).astype(np.float32)
    return noisy


def ct_noise(picture: Array, noise: float, spacing: float, rng: np.random.Generator, kind: Window = "hann") -> F32:
    """Add noise as :func:`projection_noise` does, some hundred times as fast and without its streaks.

    White noise is given the power spectrum of filtered back-projection, ``f * W(f)**2`` (Riederer, Pelc and Chesler,
    *The noise power spectrum in computed X-ray tomography*, Phys. Med. Biol. 23 (1978)), times ``sinc(f)**4`` for the
    linear interpolation, and at each pixel the strength that follows from how much the body weakens the rays through
    it. That its direction also differs from pixel to pixel is left out.

    Parameters
    ----------
    picture : ndarray
        ``[rows, cols]`` in HU.
    noise : float
        Standard deviation in the middle of :data:`BODY` mm of water in HU; 0 for none.
    spacing : float
        Of the pixels in mm.

    Returns
    -------
    ndarray of float32
        ``[rows, cols]`` in HU.
    """
    hu = np.asarray(picture, dtype=np.float32)
    if noise == 0:
        return hu.copy()
    rows, cols = hu.shape
    f = np.hypot(np.fft.fftfreq(rows)[:, None], np.fft.rfftfreq(cols)[None, :])
    amplitude = np.sqrt(f) * window(f, kind) * np.sinc(f) ** 2
    white = rng.standard_normal(hu.shape, dtype=np.float32)
    shaped = np.fft.irfft2(np.fft.rfft2(white) * amplitude, hu.shape)
    # Columns but the first and the Nyquist one stand for two in the half spectrum.
    twice = np.full(amplitude.shape[1], 2.0)
    twice[0] = 1.0
    if cols % 2 == 0:
        twice[-1] = 1.0
    power = float((amplitude**2 * twice).sum() / hu.size)
    noisy: F32 = (hu + shaped * (noise / np.sqrt(power)) * _strength(hu, noise, spacing)).astype(np.float32)
    return noisy


def _attenuation(hu: Array) -> F64:
    """Return the attenuation per mm; nothing is below vacuum."""
    return np.maximum(WATER * (1 + np.asarray(hu, dtype=np.float64) / 1000), 0.0)


def _strength(hu: Array, noise: float, spacing: float) -> F64:
    """Return the noise at each pixel relative to the middle of :data:`BODY` mm of water.

    The variance at a pixel is the mean over the rays through it of that of their line integrals.
    """
    step = -(-max(hu.shape) // COARSE)
    rows, cols = (-(-n // step) for n in hu.shape)
    padded = np.pad(hu, [(0, m * step - n) for m, n in zip((rows, cols), hu.shape, strict=True)], mode="edge")
    coarse = _attenuation(padded.reshape(rows, step, cols, step).mean(axis=(1, 3))) * (spacing * step)
    y, x = np.mgrid[:rows, :cols] - np.array([(rows - 1) / 2, (cols - 1) / 2])[:, None, None]
    half = int(np.ceil(np.hypot(rows, cols) / 2)) + 1
    most = np.log(photons(noise, spacing))
    variance = np.zeros((rows, cols))
    for angle in (np.arange(DIRECTIONS) + 0.5) * (np.pi / DIRECTIONS):
        at = (x * np.cos(angle) + y * np.sin(angle)).ravel() + half
        low = at.astype(np.int64)
        part, weights = at - low, coarse.ravel()
        lines = np.bincount(low, weights * (1 - part), 2 * half + 2)
        lines += np.bincount(low + 1, weights * part, 2 * half + 2)
        ray = np.exp(np.minimum(lines, most) - WATER * BODY)
        variance += (ray[low] * (1 - part) + ray[low + 1] * part).reshape(rows, cols)
    fine = np.sqrt(variance / DIRECTIONS)
    for axis, n in enumerate(hu.shape):
        fine = _stretched(fine.swapaxes(0, axis), n, step).swapaxes(0, axis)
    return fine


def _stretched(values: F64, n: int, step: int) -> F64:
    """Interpolate along the first axis from the middles of ``step`` samples to ``n`` samples."""
    at = np.clip((np.arange(n) + 0.5) / step - 0.5, 0, len(values) - 1)
    low = np.minimum(at.astype(np.int64), max(len(values) - 2, 0))
    part = (at - low)[:, None]
    high = np.minimum(low + 1, len(values) - 1)
    out: F64 = values[low] * (1 - part) + values[high] * part
    return out
