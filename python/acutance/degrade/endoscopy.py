"""Endoscopy: blur, resizing, noise and JPEG, twice over, as a camera and the chain behind it do.

The scheme and its ranges are those of Wang et al., *Real-ESRGAN: training real-world blind super-resolution with pure
synthetic data*, ICCV workshops (2021), section 3, with the numbers of its published training options,
without its sinc filter. They are made for pictures from the web, so by default a draw takes half of each strength.
"""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import PIL.Image

from ..geometry import Array
from .grid import F32, F64, area_mean, check

SIGMAS = ((0.2, 3.0), (0.2, 1.5))
"""Of the point spread in pixels, by pass, at full strength."""

BLURRED = (1.0, 0.8)
"""Part of the pictures that is blurred, by pass."""

SIZES = ((0.15, 1.5), (0.3, 1.2))
"""Smallest and largest factor of a resize, by pass."""

RESIZED = ((0.2, 0.7), (0.3, 0.4))
"""Part of the pictures made larger and smaller, by pass."""

LEVELS = ((1.0, 30.0), (1.0, 25.0))
"""Standard deviation of Gaussian noise in stored units of 8 bits, by pass; half of the pictures have it."""

SHOTS = ((0.05, 3.0), (0.05, 2.5))
"""Factor on the Poisson noise of 256 counts, by pass; the other half has it."""

QUALITIES = (30.0, 95.0)
"""Of JPEG."""


@dataclasses.dataclass(frozen=True)
class Pass:
    """What happens once.

    Attributes
    ----------
    sigma : (float, float)
        Of the point spread along rows' axis and columns', in pixels.
    size : float
        Factor of a resize.
    level : float
        Standard deviation of Gaussian noise, in stored units of 8 bits.
    shot : float
        Factor on the Poisson noise of 256 counts at white.
    quality : int or None
        Of JPEG; None for none.
    """

    sigma: tuple[float, float]
    size: float
    level: float
    shot: float
    quality: int | None


def draw_passes(rng: np.random.Generator, strength: float = 0.5) -> tuple[Pass, Pass]:
    """Draw both passes.

    Parameters
    ----------
    strength : float
        1 for the published ranges. Sigma, noise and what JPEG's quality lacks to 100 are multiplied by it; the
        logarithm of a resize's factor is.
    """
    return _draw(rng, strength, 0), _draw(rng, strength, 1)


def _draw(rng: np.random.Generator, strength: float, k: int) -> Pass:
    sigma = tuple(rng.uniform(*SIGMAS[k], 2) * strength * (rng.random() < BLURRED[k]))
    turn, (larger, smaller) = rng.random(), RESIZED[k]
    least, most = SIZES[k]
    size = rng.uniform(1, most) if turn < larger else rng.uniform(least, 1) if turn < larger + smaller else 1.0
    gaussian = rng.random() < 0.5
    level, shot = rng.uniform(*LEVELS[k]) * strength, rng.uniform(*SHOTS[k]) * strength
    quality = round(100 - strength * (100 - rng.uniform(*QUALITIES)))
    return Pass(
        (float(sigma[0]), float(sigma[1])),
        float(size**strength),
        float(level) if gaussian else 0.0,
        0.0 if gaussian else float(shot),
        quality,
    )


def endoscope(picture: Array, scale: int, passes: tuple[Pass, Pass], rng: np.random.Generator) -> F32:
    """Put a picture through two passes of :func:`draw_passes` and end at its size divided by ``scale``.

    The first pass's resize is relative to ``picture``, the second one's to the result. Resizing is linear, or
    where it makes smaller the mean over areas, so that nothing moves.

    Parameters
    ----------
    picture : ndarray
        ``[rows * s, cols * s]``, 0 to 255.

    Returns
    -------
    ndarray of float32
        ``[rows, cols]``; whole numbers of 0 to 255 after JPEG.
    """
    check(picture, scale)
    rows, cols = (n // scale for n in picture.shape)
    out = np.asarray(picture, dtype=np.float32)
    for one, (tall, wide) in zip(passes, (picture.shape, (rows, cols)), strict=True):
        out = area_mean(out, 1, one.sigma)
        out = _resized(out, max(1, round(tall * one.size)), max(1, round(wide * one.size)))
        if one is passes[1]:
            out = _resized(out, rows, cols)
        out = _noisy(out, one, rng)
        out = out if one.quality is None else jpeg(out, one.quality)
    return out


def _noisy(picture: F32, one: Pass, rng: np.random.Generator) -> F32:
    if one.level > 0:
        picture = picture + rng.standard_normal(picture.shape, dtype=np.float32) * np.float32(one.level)
    if one.shot > 0:
        counts = np.clip(picture, 0, 255) * (256 / 255)
        picture = picture + ((rng.poisson(counts) - counts) * (255 / 256 * one.shot)).astype(np.float32)
    return picture


def jpeg(picture: Array, quality: int) -> F32:
    """Write ``[rows, cols]``, rounded and clamped to 0 to 255, as a gray JPEG and read it back."""
    stored = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
    file = io.BytesIO()
    PIL.Image.fromarray(stored).save(file, "jpeg", quality=quality)
    file.seek(0)
    with PIL.Image.open(file) as image:
        return np.asarray(image, dtype=np.float32)


def _resized(picture: F32, rows: int, cols: int) -> F32:
    tall, wide = _weights(picture.shape[0], rows), _weights(picture.shape[1], cols)
    return (tall @ picture @ wide.T).astype(np.float32)


def _weights(before: int, after: int) -> F64:
    """Return the weights ``[after, before]`` of a resize along one axis: exact areas, or between the two nearest."""
    old, new = np.arange(before)[None, :], np.arange(after)[:, None]
    ratio = before / after
    if ratio >= 1:
        overlap = np.minimum((new + 1) * ratio, old + 1) - np.maximum(new * ratio, old)
        areas: F64 = np.clip(overlap, 0, None) / ratio
        return areas
    at = np.clip((new + 0.5) * ratio - 0.5, 0, before - 1)
    near: F64 = np.clip(1 - np.abs(at - old), 0, None)
    return near
