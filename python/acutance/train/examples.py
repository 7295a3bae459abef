"""Truths of the train split become batches of patches.

A pool of degraded slices lies in memory. Every few steps its oldest slice is made anew with another degradation, and
patches are cut from it at random. All of it follows from the seed and the step, so that a training that was killed goes
on as if it had not been.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .. import degrade, ops, tiling
from ..errors import UsageError
from ..evaluate import scans, score
from ..geometry import Array
from . import degrading
from .degrading import uniform
from .recipe import Recipe

F32 = NDArray[np.float32]


@dataclasses.dataclass(frozen=True, eq=False)
class Truth:
    """One slice that may become an example.

    Attributes
    ----------
    pixels : ndarray
        ``[rows, cols]``.
    modality : str
    value_range : (float, float)
        The protocol's range.
    span : (float, float)
        Values that are mapped to 0 and 1.
    spacing : (float, float) or None
        Of the pixels in mm.
    """

    pixels: Array
    modality: str
    value_range: tuple[float, float]
    span: tuple[float, float]
    spacing: tuple[float, float] | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Example:
    """One degraded slice, in mapped units.

    Attributes
    ----------
    picture : ndarray of float32
        ``[rows + 2 * halo, cols + 2 * halo]``, mirrored at its edge.
    residual : ndarray of float32
        ``[rows * s, cols * s]``: truth less base.
    drift : ndarray of float32
        ``[rows, cols]``: input less the mean of the truth's block, what the guard puts back.
    places : ndarray of int
        ``[n, 2]``: pixels that show something; patches are cut around them.
    jitter : float
        Factor that the mapped values were stretched by.
    """

    picture: F32
    residual: F32
    drift: F32
    places: NDArray[np.int64]
    jitter: float


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a patch lies in a picture, in input pixels, and how it is turned: mirrored first, then by quarter turns."""

    top: int
    left: int
    turns: int
    mirrored: bool

    def cut(self, pictures: F32, side: int, scale: int = 1) -> F32:
        """Return the patch ``[..., side * scale, side * scale]`` of pictures that are ``scale`` times as fine."""
        top, left, wide = self.top * scale, self.left * scale, side * scale
        found = pictures[..., top : top + wide, left : left + wide]
        return np.rot90(found.swapaxes(-1, -2) if self.mirrored else found, self.turns, (-2, -1))


@dataclasses.dataclass(frozen=True, eq=False)
class Batch:
    """Patches as the loop takes them.

    Attributes
    ----------
    picture : ndarray of float32
        ``[N, 1, patch + 2 * halo, patch + 2 * halo]``.
    residual : ndarray of float32
        ``[N, s*s, patch, patch]``, in the order of the network's output.
    drift : ndarray of float32
        ``[N, 1, patch, patch]``.
    jitter : ndarray of float32
        ``[N, 1, 1, 1]``: what errors are divided by, so that a stretched range counts no more than another.
    """

    picture: F32
    residual: F32
    drift: F32
    jitter: F32


class Truths:
    """The slices of a recipe's training scans, by modality, then subject."""

    def __init__(self, folder: str | os.PathLike[str], recipe: Recipe) -> None:
        self.by_modality: list[list[list[Truth]]] = []
        self.scans: list[scans.Scan] = []
        for modality in recipe.data.modalities:
            subjects: dict[str, list[Truth]] = {}
            for scan in scans.find(folder, "train", modality, reformats=recipe.data.reformats):
                series = scans.load(scan)
                if series is None:
                    continue
                self.scans.append(scan)
                span = series.span(recipe.model.mapping)
                if span[0] == span[1]:
                    continue
                found = [
                    Truth(pixels, modality, series.value_range, span, series.spacing) for _, pixels in series.truths(1)
                ]
                subjects.setdefault(scan.subject, []).extend(found)
            usable = [s for s in subjects.values() if s]
            if not usable:
                raise UsageError(f"the train split has no {modality} scan to train recipe '{recipe.name}' on")
            self.by_modality.append(usable)

    def draw(self, rng: np.random.Generator) -> Truth:
        """Draw a modality evenly, a subject by the root of its number of slices, and one of these evenly."""
        subjects = self.by_modality[rng.integers(len(self.by_modality))]
        weights = np.sqrt([len(s) for s in subjects])
        slices = subjects[rng.choice(len(subjects), p=weights / weights.sum())]
        return slices[rng.integers(len(slices))]


def make(truth: Truth, recipe: Recipe, halo: int, rng: np.random.Generator) -> Example:
    """Degrade a truth once.

    Parameters
    ----------
    halo : int
        Rim of mirrored pixels around the picture, in input pixels.
    """
    wanted, scale = recipe.degradation, recipe.model.scale
    start = degrading.Slice(np.asarray(truth.pixels, dtype=np.float32), truth.value_range, truth.spacing)
    small, pixels = degrading.small(degrading.vary(start, recipe.data, wanted, scale, rng), wanted, scale, rng)
    shown = score.foreground(truth.modality, pixels, truth.value_range)
    low, high = truth.span
    jitter = float(np.exp(uniform(rng, [float(np.log(x)) for x in wanted.jitter])))
    factor = jitter / (high - low)
    small, pixels = (small - low) * factor, (pixels - low) * factor
    if wanted.noise_kind == "mapped" and rng.random() < wanted.noisy:
        small = small + rng.standard_normal(small.shape, dtype=np.float32) * uniform(rng, wanted.noise)
    small = np.ascontiguousarray(small, dtype=np.float32)
    rows, cols = small.shape
    outside = np.zeros(small.shape, dtype=bool)
    if wanted.missing and rng.random() < wanted.missing:
        small, pixels, outside = degrading.lose(small, pixels, scale, rng)
    base, _ = ops.assemble(None, small, tiling.plan(rows, cols, 64, 0, scale), base=recipe.model.base, threads=1)
    blocks = shown.reshape(rows, scale, cols, scale).any(axis=(1, 3)) & ~outside
    places = np.argwhere(blocks if blocks.any() else ~outside)
    drift = small - degrade.area_mean(pixels, scale)
    return Example(np.pad(small, halo, mode="symmetric"), pixels - base, drift, places, jitter)


class Pool:
    """Degraded slices at one step of the training.

    Parameters
    ----------
    step : int
        The step that comes next.
    """

    def __init__(self, truths: Truths, recipe: Recipe, halo: int, step: int = 0) -> None:
        self.truths, self.recipe, self.halo = truths, recipe, halo
        last = step // recipe.training.refresh
        size = recipe.training.pool
        self.examples = {n % size: self._example(n) for n in range(last - size + 1, last + 1)}

    def _example(self, number: int) -> Example:
        rng = np.random.default_rng([self.recipe.training.seed, 0, number + self.recipe.training.pool])
        return make(self.truths.draw(rng), self.recipe, self.halo, rng)

    def draw(self, step: int, count: int) -> list[tuple[Example, Place]]:
        """Return the places of a step's patches; steps come one after the other."""
        training = self.recipe.training
        if step % training.refresh == 0:
            number = step // training.refresh
            self.examples[number % training.pool] = self._example(number)
        rng = np.random.default_rng([training.seed, 0, 1 << 40, step])
        chosen = [self.examples[int(i)] for i in rng.integers(training.pool, size=count)]
        return [(example, self._place(example, rng)) for example in chosen]

    def batch(self, step: int, count: int) -> Batch:
        """Return the patches of a step; steps come one after the other."""
        return self.patches(self.draw(step, count))

    def patches(self, drawn: Sequence[tuple[Example, Place]]) -> Batch:
        """Return the patches at places."""
        parts = [self._patch(example, place) for example, place in drawn]
        picture, residual, drift = (np.stack(x) for x in zip(*parts, strict=True))
        jitter = np.array([example.jitter for example, _ in drawn], dtype=np.float32)
        return Batch(picture[:, None], residual, drift[:, None], jitter[:, None, None, None])

    def _place(self, example: Example, rng: np.random.Generator) -> Place:
        side = self.recipe.training.patch
        rows, cols = example.drift.shape
        if min(rows, cols) < side:
            raise UsageError(f"a truth gives {rows}x{cols} pixels, smaller than the recipe's patch of {side}")
        row, col = example.places[rng.integers(len(example.places))] - rng.integers(0, side, 2)
        top, left = int(np.clip(row, 0, rows - side)), int(np.clip(col, 0, cols - side))
        return Place(top, left, int(rng.integers(4)), bool(rng.integers(2)))

    def _patch(self, example: Example, place: Place) -> tuple[F32, F32, F32]:
        side, s = self.recipe.training.patch, self.recipe.model.scale
        picture = place.cut(example.picture, side + 2 * self.halo)
        residual = unshuffled(place.cut(example.residual, side, s), s)
        return picture, residual, place.cut(example.drift, side)


def unshuffled(picture: F32, scale: int) -> F32:
    """Return ``[..., s*s, h, w]`` of ``[..., h * s, w * s]``, in the order of a network's output."""
    *more, rows, cols = picture.shape
    blocks = picture.reshape(*more, rows // scale, scale, cols // scale, scale)
    blocks = np.moveaxis(blocks, (-3, -1), (-4, -3))
    return blocks.reshape(*more, scale**2, rows // scale, cols // scale)
