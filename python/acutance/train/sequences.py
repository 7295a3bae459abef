"""Sequences made of stills: a truth is moved, bent, covered and cut away, frame by frame, and each frame degraded.

There is next to no real sequence that may be trained on. Frames are sampled from a still by cubic splines along a
smooth motion; all of it follows from the seed and the step, as in :mod:`.examples`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .. import degrade, ops, tiling
from ..errors import UsageError
from .degrading import uniform
from .examples import Place, Truth, Truths, unshuffled
from .recipe import Recipe, SequenceTask

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

WAVES = 3
"""Plane waves that a deformation is the sum of."""

WAVELENGTH = (40.0, 200.0)
"""Of them, in truth pixels."""

LONGEST_GAP = 3
"""Frames that may be dropped in a row."""

OCCLUDER = (0.05, 0.2)
"""Half axes of what passes in front, as a part of the window's side."""


@dataclasses.dataclass(frozen=True, eq=False)
class Clip:
    """One degraded sequence, in mapped units.

    Attributes
    ----------
    frames : ndarray of float32
        ``[frames, rows, cols]``.
    base : ndarray of float32
        ``[frames, rows * s, cols * s]``.
    truth : ndarray of float32
        As ``base``.
    starts : ndarray of bool
        ``[frames]``: before which frames what is remembered is set to zero.
    jitter : float
        Factor that the mapped values were stretched by.
    """

    frames: F32
    base: F32
    truth: F32
    starts: NDArray[np.bool_]
    jitter: float


class Motion:
    """A smooth motion: shift with acceleration, rotation and zoom about the origin, and waves that run through.

    Parameters
    ----------
    wanted : SequenceTask
        How much of each.
    """

    def __init__(self, wanted: SequenceTask, rng: np.random.Generator) -> None:
        angle = rng.uniform(0, 2 * np.pi)
        self.velocity = uniform(rng, wanted.shift) * np.array([np.sin(angle), np.cos(angle)])
        self.acceleration = rng.normal(size=2) * wanted.shift[1] * 0.1
        self.turn = np.deg2rad(rng.uniform(-1, 1) * wanted.turn)
        self.zoom = rng.uniform(-1, 1) * wanted.zoom
        angles = rng.uniform(0, 2 * np.pi, WAVES)
        numbers = 2 * np.pi / rng.uniform(*WAVELENGTH, WAVES)
        self.numbers = np.stack([np.sin(angles), np.cos(angles)], axis=1) * numbers[:, None]
        self.heights = rng.normal(size=(WAVES, 2)) * uniform(rng, wanted.bend) / WAVES**0.5
        self.phases = rng.uniform(0, 2 * np.pi, WAVES)
        self.speeds = rng.uniform(-0.5, 0.5, WAVES)

    def at(self, time: float, points: F64) -> F64:
        """Return where in the still ``points`` ``[2, ...]`` of a frame at a time lie, in pixels from its origin."""
        cos, sin = np.cos(self.turn * time), np.sin(self.turn * time)
        scale = np.exp(self.zoom * time)
        rows, cols = points * scale
        moved = np.stack([cos * rows - sin * cols, sin * rows + cos * cols])
        shift = self.velocity * time + 0.5 * self.acceleration * time**2
        for number, height, phase, speed in zip(self.numbers, self.heights, self.phases, self.speeds, strict=True):
            wave = np.sin(number[0] * points[0] + number[1] * points[1] + phase + speed * time)
            moved += height[:, None, None] * wave
        return np.asarray(moved + shift[:, None, None])


def times(wanted: SequenceTask, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return when the frames of a clip were taken: one after the other, some twice, with gaps where some were lost."""
    draws = rng.random(wanted.frames - 1)
    gaps = rng.integers(2, LONGEST_GAP + 2, wanted.frames - 1)
    steps = np.where(draws < wanted.repeated, 0, np.where(draws < wanted.repeated + wanted.dropped, gaps, 1))
    return np.concatenate([[0], np.cumsum(steps)])


def scene(pixels: F32, side: int, wanted: SequenceTask, rng: np.random.Generator) -> Callable[[float], F32]:
    """Return the camera of a moving still: the frame ``[side, side]`` that is seen at a time.

    Parameters
    ----------
    pixels : ndarray of float32
        ``[rows, cols]``; mirrored beyond its border.
    """
    coefficients = ndimage.spline_filter(pixels, order=3, mode="mirror")
    middle = np.array([rng.uniform(min(side, n) / 2, n - min(side, n) / 2) for n in pixels.shape])
    points = np.indices((side, side)).astype(np.float64) - (side - 1) / 2
    motion = Motion(wanted, rng)
    occluder = _occluder(side, wanted, rng) if rng.random() < wanted.occluded else None

    def sample(at: F64) -> F32:
        where = at + middle[:, None, None] - 0.5
        return np.asarray(ndimage.map_coordinates(coefficients, where, order=3, mode="mirror", prefilter=False))

    def frame(time: float) -> F32:
        seen = sample(motion.at(time, points))
        if occluder is not None:
            cover, inside = occluder(time, points)
            seen = seen + cover * (sample(inside) - seen)
        return np.asarray(seen, dtype=np.float32)

    return frame


def _occluder(side: int, wanted: SequenceTask, rng: np.random.Generator) -> Callable[[float, F64], tuple[F64, F64]]:
    """Return an ellipse that shows another part of the still and moves by itself: its cover, 0 to 1, and that part."""
    axes = rng.uniform(*OCCLUDER, 2) * side
    begin = rng.uniform(-0.5, 0.5, 2) * side
    velocity = rng.normal(size=2) * max(wanted.shift[1], 1.0)
    elsewhere = rng.uniform(-1, 1, 2) * side

    def at(time: float, points: F64) -> tuple[F64, F64]:
        own = points - (begin + velocity * time)[:, None, None]
        radius = np.sqrt((own[0] / axes[0]) ** 2 + (own[1] / axes[1]) ** 2)
        # The edge is about a pixel wide.
        cover = 1 / (1 + np.exp(np.clip((radius - 1) * axes.min() * 4, -50, 50)))
        return cover, own + elsewhere[:, None, None]

    return at


def make(draw: Callable[[], Truth], recipe: Recipe, side: int, rng: np.random.Generator) -> Clip:
    """Make one clip.

    Parameters
    ----------
    draw : callable
        Gives the still; another one after a cut.
    side : int
        Of the degraded frames.
    """
    wanted, scale = task_of(recipe), recipe.model.scale
    cut = int(rng.integers(1, wanted.frames)) if rng.random() < wanted.cut else wanted.frames
    told = rng.random() < 0.5
    starts = np.zeros(wanted.frames, dtype=bool)
    jitter = float(np.exp(rng.uniform(*np.log(recipe.degradation.jitter))))
    truths: list[F32] = []
    taken = times(wanted, rng)
    for begin, end in ((0, cut), (cut, wanted.frames)):
        if begin == end:
            continue
        still = draw()
        low, high = still.span
        pixels = (np.asarray(still.pixels, dtype=np.float32) - low) * (jitter / (high - low))
        camera = scene(pixels, side * scale, wanted, rng)
        truths += [camera(float(t)) for t in taken[begin:end]]
        starts[begin] = begin == 0 or told
    truth = np.stack(truths)
    frames = _degraded(truth, recipe, rng)
    plan = tiling.plan(side, side, 64, 0, scale)
    base = [ops.assemble(None, x, plan, base=recipe.model.base, threads=1)[0] for x in frames]
    return Clip(frames, np.stack(base), truth, starts, jitter)


def _degraded(truth: F32, recipe: Recipe, rng: np.random.Generator) -> F32:
    """Return the small frames: one point spread for the clip, noise of its own for each frame."""
    wanted, scale = recipe.degradation, recipe.model.scale
    if (wanted.kind, wanted.noise_kind) != ("area", "mapped"):
        got = f"{wanted.kind} and {wanted.noise_kind}"
        raise UsageError(f"sequences are degraded by kind area with noise_kind mapped; '{recipe.name}' says {got}")
    sigma = 0.0 if rng.random() < wanted.sharp else uniform(rng, wanted.sigma)
    small = np.stack([degrade.area_mean(x, scale, sigma) for x in truth])
    if rng.random() < wanted.noisy:
        small += rng.standard_normal(small.shape, dtype=np.float32) * uniform(rng, wanted.noise)
    return small


def task_of(recipe: Recipe) -> SequenceTask:
    """Return the task's settings of a recipe for sequences.

    Raises
    ------
    UsageError
        Its task is another.
    """
    if not isinstance(recipe.task, SequenceTask):
        raise UsageError(f"recipe '{recipe.name}' has the task `{recipe.task.kind}`; wanted `sequence`")
    return recipe.task


class Clips:
    """Clips at one step of the training; as :class:`acutance.train.examples.Pool`.

    Parameters
    ----------
    halo : int
        Rim around a patch, in input pixels.
    step : int
        The step that comes next.
    """

    def __init__(self, truths: Truths, recipe: Recipe, halo: int, step: int = 0) -> None:
        self.truths, self.recipe = truths, recipe
        self.side = recipe.training.patch + 2 * halo
        self.window = max(task_of(recipe).window, self.side)
        last, size = step // recipe.training.refresh, recipe.training.pool
        self.clips = {n % size: self._clip(n) for n in range(last - size + 1, last + 1)}

    def _clip(self, number: int) -> Clip:
        rng = np.random.default_rng([self.recipe.training.seed, 0, number + self.recipe.training.pool])
        return make(lambda: self.truths.draw(rng), self.recipe, self.window, rng)

    def batch(self, step: int, count: int) -> dict[str, NDArray[np.float32]]:
        """Return the patches of a step; steps come one after the other.

        Returns
        -------
        dict
            ``frames`` ``[N, frames, 1, h, w]``, ``base`` and ``truth`` ``[N, frames, s*s, h, w]`` in the order of the
            network's output, ``keep`` ``[N, frames, 1, 1, 1]`` (0 where what is remembered is set to zero before the
            frame, else 1) and ``jitter`` ``[N, 1, 1, 1]``.
        """
        training = self.recipe.training
        if step % training.refresh == 0:
            number = step // training.refresh
            self.clips[number % training.pool] = self._clip(number)
        rng = np.random.default_rng([training.seed, 0, 1 << 40, step])
        chosen = [self.clips[int(i)] for i in rng.integers(training.pool, size=count)]
        parts = [self._patch(clip, rng) for clip in chosen]
        frames, base, truth = (np.stack(x) for x in zip(*parts, strict=True))
        keep = np.array([~clip.starts for clip in chosen], dtype=np.float32)
        jitter = np.array([clip.jitter for clip in chosen], dtype=np.float32)
        return {
            "frames": frames[:, :, None],
            "base": base,
            "truth": truth,
            "keep": keep[:, :, None, None, None],
            "jitter": jitter[:, None, None, None],
        }

    def _patch(self, clip: Clip, rng: np.random.Generator) -> tuple[F32, F32, F32]:
        side, s = self.side, self.recipe.model.scale
        top, left = rng.integers(0, self.window - side + 1, 2)
        place = Place(int(top), int(left), int(rng.integers(4)), bool(rng.integers(2)))
        base, truth = (unshuffled(place.cut(x, side, s), s) for x in (clip.base, clip.truth))
        return place.cut(clip.frames, side), base, truth
