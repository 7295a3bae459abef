"""Examples with a guide: of two scans of one subject, or with a guide made of the truth itself.

Few data sets hold pairs. A made guide is another contrast of the same slice: its noise is filtered away first, so that
a network cannot learn the truth's noise from it; then values go through curves, monotone or not, that change over the
picture, and blur, noise and a displacement of its own are added.
"""

from __future__ import annotations

import copy
import dataclasses
import itertools
import os
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .. import degrade, ops, tiling
from ..errors import UsageError
from ..evaluate import scans, score
from . import degrading, examples
from .examples import Batch, Example, Pool, Truth, Truths, unshuffled
from .recipe import GuidedTask, Recipe

F32 = NDArray[np.float32]

KNOTS = 6
"""Of a made guide's curves, from air to the brightest tissue."""

FIELD = 4
"""Nodes a side of the grids from which smooth fields are interpolated."""

SHADING = 0.2
"""How much brighter or darker a made guide is at a place than another, as the coils of a scanner make it."""

SUBSAMPLES = 2
"""Most planes that are sampled through the thickness of a slice."""


@dataclasses.dataclass(frozen=True, eq=False)
class Pair:
    """A truth and the same place in another scan of the subject, ``[rows, cols]``, its range mapped to 0 and 1."""

    truth: Truth
    guide: F32


@dataclasses.dataclass(frozen=True, eq=False)
class GuidedExample(Example):
    """An example with a guide.

    Attributes
    ----------
    guide : ndarray of float32
        ``[(rows + 2 * halo) * s, (cols + 2 * halo) * s]``, mirrored at its edge.
    """

    guide: F32


def task_of(recipe: Recipe) -> GuidedTask:
    """Return the task's settings of a recipe for guided networks.

    Raises
    ------
    UsageError
        Its task is another.
    """
    if not isinstance(recipe.task, GuidedTask):
        raise UsageError(f"recipe '{recipe.name}' has the task `{recipe.task.kind}`; wanted `guided`")
    return recipe.task


def _field(shape: tuple[int, ...], rng: np.random.Generator) -> F32:
    """Return a smooth field between 0 and 1."""
    nodes = rng.random((FIELD, FIELD))
    where = np.meshgrid(*(np.linspace(0, FIELD - 1, n) for n in shape), indexing="ij")
    field = ndimage.map_coordinates(nodes, where, order=3, mode="nearest")
    return np.asarray(np.clip(field, 0, 1), dtype=np.float32)


def _curve(rng: np.random.Generator) -> Callable[[F32], F32]:
    """Return a map of values 0 to 1 that leaves air dark: rising, falling or free, a third of the times each."""
    heights = rng.random(KNOTS)
    kind = rng.integers(3)
    if kind < 2:
        heights = np.sort(heights)[:: 1 if kind == 0 else -1]
    at = np.concatenate([[0.0, 0.05], np.sort(rng.uniform(0.1, 1.0, KNOTS - 1))])
    heights = np.concatenate([[0.0], heights])

    def curve(values: F32) -> F32:
        return np.asarray(np.interp(values, at, heights), dtype=np.float32)

    return curve


def contrast(truth: F32, rng: np.random.Generator) -> F32:
    """Return another contrast of a slice ``[rows, cols]``, both between about 0 and 1."""
    calm = ndimage.median_filter(truth, size=3, mode="mirror")
    mix = _field(truth.shape, rng)
    found = mix * _curve(rng)(calm) + (1 - mix) * _curve(rng)(calm)
    return np.asarray(found * (1 + SHADING * (2 * _field(truth.shape, rng) - 1)), dtype=np.float32)


def displaced(guide: F32, by: float, rng: np.random.Generator) -> F32:
    """Return a guide shifted by at most so many pixels along each axis, mostly by much less, by cubic splines."""
    # Registered scans of one session are some tenths of a pixel off, as a rule: the median of the cube is an eighth.
    moved = ndimage.shift(guide, by * rng.uniform(-1, 1, 2) ** 3, order=3, mode="mirror")
    return np.asarray(moved, dtype=np.float32)


def made(truth: F32, wanted: GuidedTask, rng: np.random.Generator) -> F32:
    """Return a guide made of a truth ``[rows, cols]`` between about 0 and 1."""
    guide = degrade.area_mean(contrast(truth, rng), 1, float(rng.uniform(*wanted.blur)))
    noise = rng.standard_normal(guide.shape, dtype=np.float32) * float(rng.uniform(*wanted.noise))
    return displaced(guide, wanted.shift, rng) + noise


def make(pair: Pair | Truth, recipe: Recipe, halo: int, rng: np.random.Generator) -> GuidedExample:
    """Degrade a truth once, and give it a guide: its own, or one that is made of it.

    Parameters
    ----------
    halo : int
        Rim of mirrored pixels around the picture, in input pixels.
    """
    wanted, scale = task_of(recipe), recipe.model.scale
    truth = pair.truth if isinstance(pair, Pair) else pair
    # The same draws cut the guide where the truth is cut.
    again = copy.deepcopy(rng)
    example = examples.make(truth, recipe, halo, rng)
    if isinstance(pair, Pair):
        seen = degrading.Slice(pair.guide, (0.0, 1.0), truth.spacing)
        seen = degrading.vary(seen, recipe.data, recipe.degradation, scale, again)
        guide = displaced(seen.pixels, wanted.shift, rng)
    else:
        rows, cols = example.drift.shape
        small = np.ascontiguousarray(example.picture[halo : halo + rows, halo : halo + cols])
        base, _ = ops.assemble(None, small, tiling.plan(rows, cols, 64, 0, scale), base=recipe.model.base, threads=1)
        guide = made((base + example.residual) / np.float32(example.jitter), wanted, rng)
    return GuidedExample(**vars(example), guide=np.pad(guide, halo * scale, mode="symmetric"))


class GuidedPool(Pool):
    """As :class:`acutance.train.examples.Pool`, of examples with guides."""

    def __init__(self, truths: Truths, pairs: list[Pair], recipe: Recipe, halo: int, step: int = 0) -> None:
        self.pairs = pairs
        super().__init__(truths, recipe, halo, step)

    def _example(self, number: int) -> GuidedExample:
        rng = np.random.default_rng([self.recipe.training.seed, 0, number + self.recipe.training.pool])
        real = bool(self.pairs) and rng.random() < task_of(self.recipe).real
        drawn = self.pairs[rng.integers(len(self.pairs))] if real else self.truths.draw(rng)
        return make(drawn, self.recipe, self.halo, rng)

    def guided(self, step: int, count: int) -> tuple[Batch, F32]:
        """Return the patches of a step and their guides ``[N, s*s, h, w]``, some of them zeros."""
        drawn, s = self.draw(step, count), self.recipe.model.scale
        side = self.recipe.training.patch + 2 * self.halo
        guides = np.stack(
            [unshuffled(place.cut(x.guide, side, s), s) for x, place in drawn if isinstance(x, GuidedExample)]
        )
        rng = np.random.default_rng([self.recipe.training.seed, 0, 1 << 41, step])
        guides[rng.random(count) < task_of(self.recipe).missing] = 0
        return self.patches(drawn), guides


def coregistered(folder: str | os.PathLike[str], recipe: Recipe) -> list[Pair]:
    """Return the slices of each train scan of a group with the same places in each other scan of it.

    A truth is halved first where its input would be finer than the guide.
    """
    groups: dict[str, list[scans.Scan]] = defaultdict(list)
    for modality in recipe.data.modalities:
        for scan in scans.find(folder, "train", modality):
            if scan.group:
                groups[scan.group].append(scan)
    ordered = itertools.chain.from_iterable(itertools.permutations(group, 2) for group in groups.values())
    return [pair for target, guide in ordered for pair in _slices(target, guide, recipe)]


def _slices(target: scans.Scan, guide: scans.Scan, recipe: Recipe) -> Iterable[Pair]:
    import nibabel
    from nibabel.processing import resample_from_to

    series, other = scans.load(target), scans.load(guide)
    if series is None or other is None or series.spacing is None or other.spacing is None:
        return
    scale, span = recipe.model.scale, series.span(recipe.model.mapping)
    halve = 2 if scale * np.mean(series.spacing) < np.mean(other.spacing) else 1
    images: list[Any] = [nibabel.load(x.path) for x in (target, guide)]
    spacing = [float(x) for x in images[0].header.get_zooms()]
    axis = score.acquisition_axis(images[0].shape, spacing)
    planes = int(np.clip(round(spacing[axis] / min(other.spacing)), 1, SUBSAMPLES))
    steps = np.array([1 / planes if i == axis else halve for i in range(3)])
    shape = [n * planes if i == axis else n // halve for i, n in enumerate(images[0].shape)]
    # Pixels are areas: the new grid's first one begins where the old one's does.
    grid = images[0].affine @ np.block([[np.diag(steps), (0.5 * (steps - 1))[:, None]], [np.zeros(3), 1]])
    low, high = other.span(recipe.model.mapping)
    # Beyond the guide's edge is what a missing guide has: zero, once mapped.
    real: Any = nibabel.Nifti1Image(images[1].get_fdata(dtype=np.float32), images[1].affine)  # type: ignore[no-untyped-call]
    moved: Any = resample_from_to(real, (shape, grid), order=3, cval=low)  # type: ignore[no-untyped-call]
    volume = np.moveaxis(moved.get_fdata(), axis, 0)
    for i, pixels in series.truths(halve):
        seen = (volume[i * planes : (i + 1) * planes].mean(axis=0) - low) / (high - low)
        pixels = degrade.area_mean(pixels, halve) if halve > 1 else pixels
        yield Pair(Truth(pixels, target.modality, series.value_range, span), seen.astype(np.float32))
