"""What a recipe's ``[degradation]`` does to one truth, in its own values; each choice is drawn from one Generator.

What a recipe leaves out draws nothing, so that a new option changes no example of a recipe without it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .. import degrade, ops
from ..errors import UsageError
from .recipe import Data, Degradation

F32 = NDArray[np.float32]
Mask = NDArray[np.bool_]

SPECKLE_LOOKS = (1, 4)
"""Pictures that a truth's added speckle is averaged over."""


@dataclasses.dataclass(frozen=True, eq=False)
class Slice:
    """A truth on its way.

    Attributes
    ----------
    pixels : ndarray of float32
        ``[rows, cols]``.
    value_range : (float, float)
        The protocol's range.
    spacing : (float, float) or None
        In mm.
    """

    pixels: F32
    value_range: tuple[float, float]
    spacing: tuple[float, float] | None

    def millimetres(self) -> tuple[float, float]:
        """Return the spacing.

        Raises
        ------
        UsageError
            It is not known.
        """
        if self.spacing is None:
            raise UsageError("the recipe's degradation is in mm, but a scan does not say its spacing; leave it out")
        return self.spacing


def uniform(rng: np.random.Generator, span: Sequence[float]) -> float:
    """Draw evenly from a range."""
    return float(rng.uniform(span[0], span[1]))


def vary(truth: Slice, data: Data, wanted: Degradation, scale: int, rng: np.random.Generator) -> Slice:
    """Draw the truth: maybe halved, shifted by some pixels against the grid, limited in k-space, speckled."""
    pixels, spacing = truth.pixels, truth.spacing
    if rng.random() < data.halve and min(pixels.shape) >= 256:
        pixels = degrade.area_mean(degrade.crop(pixels, 2), 2)
        spacing = None if spacing is None else (2 * spacing[0], 2 * spacing[1])
    top, left = rng.integers(0, scale, 2)
    pixels = degrade.crop(pixels[top:, left:], scale)
    if rng.random() < wanted.limited:
        keep = (uniform(rng, wanted.limit), uniform(rng, wanted.limit))
        pixels = degrade.band_limit(pixels, keep, uniform(rng, wanted.taper))
    if wanted.speckled and rng.random() < wanted.speckled:
        pixels = degrade.speckle(
            pixels, int(rng.integers(SPECKLE_LOOKS[0], SPECKLE_LOOKS[1] + 1)), rng, span=truth.value_range
        )
    return Slice(np.ascontiguousarray(pixels, dtype=np.float32), truth.value_range, spacing)


def small(truth: Slice, wanted: Degradation, scale: int, rng: np.random.Generator) -> tuple[F32, F32]:
    """Return the degraded picture and its truth, which is blurred too where it stands for another scanner's.

    Noise is in it unless the recipe's is of the kind that is added in mapped units.
    """
    sigma = 0.0 if rng.random() < wanted.sharp else uniform(rng, wanted.sigma)
    noisy = wanted.noise_kind != "mapped" and rng.random() < wanted.noisy
    level = uniform(rng, wanted.noise) if noisy else 0.0
    pixels = truth.pixels
    if wanted.kind == "k-space":
        if sigma > 0:
            pixels = degrade.area_mean(pixels, 1, sigma)
        out = degrade.truncate(pixels, scale)
        if wanted.lossy and rng.random() < wanted.lossy:
            out, _ = degrade.lost_lines(out, uniform(rng, wanted.lost), rng)
    elif wanted.kind == "ultrasound":
        across = sigma * uniform(rng, wanted.lateral)
        out = degrade.ultrasound(pixels, scale, (sigma, across), truth.value_range)
    elif wanted.kind == "endoscope":
        out = degrade.endoscope(pixels, scale, degrade.draw_passes(rng, uniform(rng, wanted.strength)), rng)
    elif wanted.kind == "emission":
        counts = 1 / level**2 if level > 0 and wanted.noise_kind == "counts" else None
        out = degrade.emission(pixels, scale, sigma * degrade.FWHM, truth.millimetres(), counts, rng)
    else:
        out = degrade.area_mean(pixels, scale, sigma)
    return _noisy(out, truth, wanted, level, scale, rng), pixels


def _noisy(picture: F32, truth: Slice, wanted: Degradation, level: float, scale: int, rng: np.random.Generator) -> F32:
    if level == 0:
        return picture
    low, high = truth.value_range
    if wanted.noise_kind == "rician":
        return degrade.rician(picture, level * (high - low), rng)
    if wanted.noise_kind == "ct":
        return degrade.ct_noise(picture, level, float(np.mean(truth.millimetres())) * scale, rng)
    if wanted.noise_kind == "x-ray":
        return degrade.xray_noise(picture, 1 / (degrade.DEPTH * level) ** 2, rng, truth.value_range)
    if wanted.noise_kind == "stored":
        noise = rng.standard_normal(picture.shape, dtype=np.float32) * np.float32(level * (high - low))
        return np.clip(np.rint(picture + noise), low, high)
    return picture


def lose(picture: F32, truth: F32, scale: int, rng: np.random.Generator) -> tuple[F32, F32, Mask]:
    """Lose some lines, or what lies outside of a field of view, and fill it with the nearest samples.

    Parameters
    ----------
    picture : ndarray of float32
        ``[rows, cols]``.
    truth : ndarray of float32
        ``[rows * s, cols * s]``.

    Returns
    -------
    picture, truth : ndarray of float32
        Nothing is known of the truth beyond a field of view: there it is filled as well. Behind a line it stays.
    outside : ndarray of bool
        ``[rows, cols]``, True beyond the field of view.
    """
    if rng.random() < 0.5:
        lines = degrade.dead_lines((picture.shape[0], picture.shape[1]), rng)
        return ops.fill(picture, lines, threads=1), truth, np.zeros_like(lines)
    outside = degrade.padded((picture.shape[0], picture.shape[1]), rng)
    fine = outside.repeat(scale, axis=0).repeat(scale, axis=1)
    return ops.fill(picture, outside, threads=1), ops.fill(truth, fine, threads=1), outside
