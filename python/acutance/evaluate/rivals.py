"""What a user would take instead of a network: each makes an ``s`` times larger picture on the project's grid.

A rival takes the stored values ``[rows, cols]`` and gives float32 ``[rows * s, cols * s]``, not rounded;
:func:`acutance.evaluate.score.rounded` rounds and clamps as the core does.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from ..geometry import Array
from ..oracle import base, mirror
from . import linear

F32 = NDArray[np.float32]
Rival = Callable[[Array, int], F32]


def nearest(picture: Array, scale: int) -> F32:
    """Repeat each pixel."""
    return np.asarray(picture, dtype=np.float32).repeat(scale, 0).repeat(scale, 1)


def bilinear(picture: Array, scale: int) -> F32:
    """Interpolate linearly between pixel centres; mirrored at the border."""
    out = np.asarray(picture, dtype=np.float32)
    for axis in (1, 0):
        n = out.shape[axis]
        at = (np.arange(n * scale) + 0.5) / scale - 0.5
        left = np.floor(at).astype(np.int64)
        part = np.expand_dims((at - left).astype(np.float32), 1 - axis)
        before, after = out.take(mirror(left, n), axis), out.take(mirror(left + 1, n), axis)
        out = before + part * (after - before)
    return out


def cubic(picture: Array, scale: int) -> F32:
    """Keys' cubic convolution, a = -0.5: the core's base."""
    return base(picture, scale, "cubic")


def lanczos(picture: Array, scale: int) -> F32:
    """Lanczos' windowed sinc with 8 taps."""
    return base(picture, scale, "lanczos4")


def zero_filled(picture: Array, scale: int) -> F32:
    """Pad k-space with zeros, with the linear phase that puts the result on the project's grid.

    The trigonometric polynomial through the pixels, taken at ``(i + 0.5) / s - 0.5``; the picture repeats beyond its
    border. The Nyquist frequency of an even side counts half at either sign.
    """
    out = np.asarray(picture, dtype=np.float32)
    for axis in (0, 1):
        out = _zero_filled(np.moveaxis(out, axis, -1), scale)
        out = np.moveaxis(out, -1, axis)
    return np.ascontiguousarray(out)


def _zero_filled(rows: F32, scale: int) -> F32:
    n = rows.shape[-1]
    spectrum = scipy.fft.rfft(rows, axis=-1)
    k = np.arange(spectrum.shape[-1])
    gain = np.exp(2j * np.pi * k * (0.5 / scale - 0.5) / n) * scale
    if n % 2 == 0:
        gain[-1] /= 2
    out: F32 = scipy.fft.irfft(spectrum * gain.astype(np.complex64), n * scale, axis=-1)
    return out


def fitted(modality: str) -> Rival:
    """Return the linear filter that was fitted to a modality's training scans; see :mod:`.linear`."""
    return lambda picture, scale: linear.apply(linear.load(modality, scale), picture)


def rivals_of(modality: str, scale: int) -> dict[str, Rival]:
    """Return the rivals of a modality by name, weakest first."""
    found: dict[str, Rival] = {"nearest": nearest, "bilinear": bilinear, "cubic": cubic, "lanczos": lanczos}
    if modality == "MR":
        found["zero-filled"] = zero_filled
    if linear.available(modality, scale):
        found["linear 5x5"] = fitted(modality)
    return found


NAMES = ("nearest", "bilinear", "cubic", "lanczos", "zero-filled", "linear 5x5")
"""Every name that :func:`rivals_of` knows."""
