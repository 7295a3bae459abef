"""Magnetic resonance: what a scanner that measures less k-space, thicker slices or with more noise would show."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..geometry import Array
from .grid import F32, F64, FWHM, REACH, check

CENTRE = 0.1
"""Part of the k-space lines, in the middle, that is never lost: without it contrast goes, not detail."""


def truncate(picture: Array, scale: int) -> F32:
    """Keep the middle ``1 / scale`` of k-space along both axes, with the linear phase that puts it on the grid.

    The edge is sharp, so that contours ring as a scanner's do that applies no window: Gibbs ringing (Haacke et al.,
    *Magnetic Resonance Imaging*, 1999, chapter 13).

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
    check(picture, scale)
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

    This is what a truth looks like that its scanner interpolated by filling k-space with zeros (Haacke et al., 1999,
    chapter 13).

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


def rician(picture: Array, sigma: float, rng: np.random.Generator) -> F32:
    """Return the magnitude of a signal with noise in both channels of the receiver.

    Gudbjartsson and Patz, *The Rician distribution of noisy MRI data*, Magn. Reson. Med. 34 (1995), eq. 1: where the
    signal is far above the noise the result is normal with standard deviation ``sigma``, where there is none it is
    Rayleigh's with mean ``sigma * sqrt(pi / 2)``. Noise is usually told as a part of the largest signal: 1 to 9 %.

    Parameters
    ----------
    picture : ndarray
        Magnitude, in any unit whose zero is no signal; where ringing made it negative, its sign is lost. With sigma 0
        the picture is returned as it is.
    sigma : float
        Standard deviation in each channel, in the unit of ``picture``.

    Returns
    -------
    ndarray of float32
        Of the shape of ``picture``.
    """
    if not 0 <= sigma < np.inf:
        raise UsageError(f"noise of sigma {sigma} makes no sense; wanted 0 or more")
    signal = np.asarray(picture, dtype=np.float32)
    if sigma == 0:
        return signal.copy()
    real, imaginary = rng.standard_normal((2, *signal.shape), dtype=np.float32) * np.float32(sigma)
    noisy: F32 = np.hypot(signal + real, imaginary)
    return noisy


def lost_lines(picture: Array, part: float, rng: np.random.Generator) -> tuple[F32, NDArray[np.bool_]]:
    """Set random lines of k-space to zero, as in a hurried or disturbed measurement.

    The lines run along the columns' axis, so that rows' axis is the phase-encoding direction, in which the picture
    smears and folds. The middle tenth is kept, as in sampling schemes for compressed sensing (Lustig et al., *Sparse
    MRI*, Magn. Reson. Med. 58 (2007), "Random undersampling").

    Parameters
    ----------
    picture : ndarray
        ``[rows, cols]``.
    part : float
        Of all lines that is lost, 0 to 0.9.

    Returns
    -------
    picture : ndarray of float32
        Magnitude, ``[rows, cols]``; where no line is lost the picture itself.
    lost : ndarray of bool
        ``[rows]``, in the order of :func:`numpy.fft.fftfreq`.
    """
    if not 0 <= part <= 1 - CENTRE:
        raise UsageError(f"{part:g} of the lines cannot be lost; wanted 0 to {1 - CENTRE:g}")
    rows = len(picture)
    outer = np.flatnonzero(np.abs(np.fft.fftfreq(rows)) > CENTRE / 2)
    lost = np.zeros(rows, dtype=bool)
    lost[rng.choice(outer, min(len(outer), round(part * rows)), replace=False)] = True
    if not lost.any():
        return np.array(picture, dtype=np.float32), lost
    spectrum = np.fft.fft(np.asarray(picture, dtype=np.float64), axis=0)
    spectrum[lost] = 0
    return np.abs(np.fft.ifft(spectrum, axis=0)).astype(np.float32), lost


def thick_slices(
    volume: Array, ratio: float, width: float | None = None, profile: Literal["box", "gauss"] = "box"
) -> F32:
    """Return the slices that a two-dimensional acquisition would have measured of a volume.

    Each is the mean of the volume along the slice axis, weighted by the excitation's profile (Greenspan,
    *Super-resolution in medical imaging*, Comput. J. 52 (2009), section 2), which is integrated over each old slice.
    Slice ``k`` lies at coordinate ``(k + 0.5) * ratio - 0.5`` of the volume. Beyond its ends the volume is mirrored.

    Parameters
    ----------
    volume : ndarray
        ``[N, rows, cols]``.
    ratio : float
        From one slice's middle to the next one's, in slices of ``volume``; 1 or more.
    width : float, optional
        Of a slice, in slices of ``volume``: of the box, or full width at half maximum. None: as ``ratio``. Less than
        that leaves a gap, more an overlap.

    Returns
    -------
    ndarray of float32
        ``[floor(N / ratio), rows, cols]``.

    Raises
    ------
    UsageError
        A number makes no sense, or the volume is thinner than one slice.
    """
    wide = ratio if width is None else width
    if not 1 <= ratio < np.inf or not 0 < wide < np.inf:
        raise UsageError(f"slices {wide:g} wide and {ratio:g} apart make no sense; wanted more than 0, and 1 or more")
    data = np.asarray(volume, dtype=np.float64)
    weights = _profiles(len(data), ratio, wide, profile)
    return np.tensordot(weights, data, axes=1).astype(np.float32)


def _profiles(count: int, ratio: float, width: float, profile: Literal["box", "gauss"]) -> F64:
    """Return the weights ``[slices, count]`` of the old slices, each row summing to 1."""
    slices = int(count / ratio + 1e-9)
    if slices == 0:
        raise UsageError(f"a volume of {count} slices holds none that is {ratio:g} of them")
    sigma = width / FWHM
    reach = width / 2 if profile == "box" else REACH * sigma
    out = np.zeros((slices, count))
    for k in range(slices):
        middle = (k + 0.5) * ratio - 0.5
        at = np.arange(math.floor(middle - reach), math.ceil(middle + reach) + 1)
        edges = np.append(at - 0.5, at[-1] + 0.5) - middle
        if profile == "box":
            share = np.clip(edges / width + 0.5, 0, 1)
        else:
            share = np.array([0.5 * math.erf(z / (sigma * math.sqrt(2))) for z in edges])
        mirrored = at % (2 * count)
        np.add.at(out[k], np.where(mirrored < count, mirrored, 2 * count - 1 - mirrored), np.diff(share))
    total: F64 = out / out.sum(axis=1, keepdims=True)
    return total
