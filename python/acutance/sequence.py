"""Pictures in time: what a network remembers from one to the next, and when it has to begin anew.

A picture does not go on where the one before ended when the scene was cut, when its size, kind of pixels or place in
the patient changed, when time ran back, or when more time went by than a few dropped pictures take. :class:`Sequence`
tells, by :func:`is_cut` and the timestamps.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
import statistics

import numpy as np
from numpy.typing import NDArray

from . import ops
from .backends import Made
from .geometry import Array, Derivation, Frame, luma

GAP = 3.0
"""Nominal intervals between two pictures above which the second one begins anew: two in a row may be dropped."""

ROUNDING = 0.05
"""Part of an interval by which timestamps may be rounded."""

CELLS = 32
"""Cells along the longer side of a :class:`Sketch`."""

SAMPLES = 4
"""Samples of the picture along each side of a cell."""

DARK = 0.03
"""Part of the range of two sketches that counts as dark."""

REACH = 3
"""Cells by which a scene may move from one picture to the next: about a tenth of the longer side."""

SURROUND = 7
"""Cells on each side of one whose mean is taken from it: what is left is structure, not vignetting or depth gain."""

ALIKE = 0.45
"""Correlation below which the scene was cut. Of training stills of ultrasound and endoscopy that were moved by up to
8 % of their size, turned by up to 8 degrees, zoomed by up to 8 %, brightened and made noisy, 98 of 100 stay above it
(those that are only noisier all do); of pairs of different stills 95 of 100 stay below."""

INTERVALS = 15
"""Intervals whose median is the nominal one."""


@dataclasses.dataclass(frozen=True, eq=False)
class Sketch:
    """A picture as few numbers.

    Attributes
    ----------
    cells : ndarray of float32
        ``[m, n]`` means of luma, bright as large, at most :data:`CELLS` a side.
    noise : float
        Standard error of one cell, texture finer than a cell included.
    """

    cells: NDArray[np.float32]
    noise: float


def sketch(frame: Frame) -> Sketch:
    """Return a picture's sketch; it takes the time of a few thousand samples at any size."""
    rows, cols = frame.rows, frame.cols
    cell = max(rows, cols) / CELLS
    shape = (max(1, round(rows / cell)), max(1, round(cols / cell)))
    taken = [
        ((np.arange(n * SAMPLES) + 0.5) * size / (n * SAMPLES)).astype(np.intp)
        for n, size in zip(shape, (rows, cols), strict=True)
    ]
    samples = frame.pixels[np.ix_(*taken)]
    values = luma(samples) if samples.ndim == 3 else samples.astype(np.float32)
    values = np.nan_to_num(values) * (-1 if frame.inverted else 1)
    blocks = values.reshape(shape[0], SAMPLES, shape[1], SAMPLES).swapaxes(1, 2).reshape(*shape, -1)
    return Sketch(blocks.mean(axis=2), float(np.median(blocks.std(axis=2))) / SAMPLES)


def is_cut(before: Sketch, now: Sketch) -> bool:
    """Tell whether two pictures of one size show different scenes.

    They show the same one if the structure of their sketches correlates by at least :data:`ALIKE` at some shift of up
    to :data:`REACH` cells, the dark surround that both share left out: brightness, contrast, vignetting and noise do
    not matter, and the border of an ultrasound sector does not make two scenes alike. Pictures without structure show
    the same scene when they are equally bright.
    """
    a, b = before.cells, now.cells
    noise = max(before.noise, now.noise)
    if max(a.std(), b.std()) <= 2 * noise:
        return bool(abs(float(a.mean()) - float(b.mean())) > 6 * noise)
    shifts = sorted(itertools.product(range(-REACH, REACH + 1), repeat=2), key=lambda s: s[0] ** 2 + s[1] ** 2)
    least, most = min(a.min(), b.min()), max(a.max(), b.max())
    dark = least + DARK * (most - least)
    first, second = (_structure(x, _within(x > dark)) for x in (a, b))
    return not any(_correlation(*_overlap(first, second, *shift)) >= ALIKE for shift in shifts)


def _within(seen: Array) -> Array:
    """Return ``seen`` without the cells that touch others, which the border of an ultrasound sector may cross."""
    padded = np.pad(seen, 1, mode="edge")
    views = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))
    return np.asarray(views.all(axis=(2, 3)))


def _structure(cells: Array, seen: Array) -> Array:
    """Return ``[2, m, n]``: cells less the mean of the seen ones around them, 0 where none is seen; and ``seen``."""
    total, count = (_around(np.where(seen, x, 0.0)) for x in (cells, np.ones_like(cells)))
    mean = np.divide(total, count, out=np.zeros_like(total), where=count > 0.5)
    return np.stack([np.where(seen, cells - mean, 0.0), seen])


def _around(cells: Array) -> Array:
    """Return sums over the neighbourhood of each cell."""
    padded = np.pad(cells.astype(np.float64), ((SURROUND + 1, SURROUND), (SURROUND + 1, SURROUND)))
    sums, side = padded.cumsum(axis=0).cumsum(axis=1), 2 * SURROUND + 1
    return np.asarray(sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side])


def _overlap(a: Array, b: Array, down: int, right: int) -> tuple[Array, Array]:
    """Return the parts of ``a`` and of ``b`` moved by a shift that lie on each other; all where nothing would."""
    rows, cols = a.shape[1:]
    if 2 * abs(down) >= rows or 2 * abs(right) >= cols:
        return a, b
    return (
        a[:, max(down, 0) : rows + min(down, 0), max(right, 0) : cols + min(right, 0)],
        b[:, max(-down, 0) : rows + min(-down, 0), max(-right, 0) : cols + min(-right, 0)],
    )


def _correlation(a: Array, b: Array) -> float:
    """Return the correlation of the structure ``a[0]`` and ``b[0]`` where not both are dark (``a[1]``, ``b[1]``)."""
    seen = (a[1] > 0) | (b[1] > 0)
    if not seen.any():
        return 0.0
    x, y = a[0][seen], b[0][seen]
    x, y = x - x.mean(), y - y.mean()
    spread = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / spread if spread > 0 else 0.0


@dataclasses.dataclass(frozen=True, eq=False)
class Past:
    """What a picture leaves to the next one.

    Attributes
    ----------
    frame : Frame
        As it came in.
    made : Made
        What the network made of it.
    derivation : Derivation
        How.
    """

    frame: Frame
    made: Made
    derivation: Derivation

    def beside(self, threads: int) -> dict[str, Array]:
        """Return what the network sees beside the next picture, as :class:`acutance.backends.Task` wants it."""
        native = self.frame.pixels.dtype.newbyteorder("=")
        pixels, output = (np.ascontiguousarray(x, native) for x in (self.frame.pixels, self.made.pixels))
        missing, scale = self.frame.missing(), self.derivation.scale
        if missing is not None:
            pixels = ops.fill(pixels, missing, threads=threads)
            output = ops.fill(output, missing.repeat(scale, 0).repeat(scale, 1), threads=threads)
        found = {"lr_previous": pixels, "previous": output}
        return found if self.made.state is None else {**found, "state": self.made.state}

    def shows(self, frame: Frame) -> bool:
        """Tell whether ``frame`` is the same picture once more, as it stands in for a dropped one."""
        last = self.frame
        if (last.mask is None) != (frame.mask is None) or last.padding != frame.padding:
            return False
        masked = last.mask is None or np.array_equal(last.mask, frame.mask)  # type: ignore[arg-type]
        return masked and np.array_equal(last.pixels, frame.pixels)


class Sequence:
    """The memory of one sequence of pictures.

    One picture after the other is asked for by :meth:`before` and, when it is done, handed in to :meth:`keep`; not by
    several threads at a time.

    Parameters
    ----------
    gap : float
        Nominal intervals, the median of the last ones, above which a picture begins anew; pictures without timestamps
        are taken to come one after the other.
    name : str, optional
        What derivations call it.

    Attributes
    ----------
    resets : Counter of str
        How often the sequence began anew, by the reason: ``"scene cut"``, ``"other size"``, ``"other place"``,
        ``"time ran back"``, ``"gap in time"``, and what :meth:`forget` was told.
    """

    def __init__(self, gap: float = GAP, name: str | None = None) -> None:
        self.gap, self.name = gap, name
        self.resets: collections.Counter[str] = collections.Counter()
        self._past: Past | None = None
        self._sketch: Sketch | None = None
        self._intervals: collections.deque[float] = collections.deque(maxlen=INTERVALS)

    def before(self, frame: Frame) -> Past | None:
        """Return what the last picture left for ``frame``, None where it begins anew."""
        found = sketch(frame)
        if self._past is not None and self._sketch is not None:
            reason = self._break(self._past.frame, frame) or ("scene cut" if is_cut(self._sketch, found) else None)
            if reason is not None:
                self.forget(reason)
        self._sketch = found
        return self._past

    def keep(self, past: Past) -> None:
        """Remember what a picture leaves."""
        self._past = past

    def forget(self, reason: str) -> None:
        """Begin anew with the next picture."""
        if self._past is not None:
            self.resets[reason] += 1
        self._past = None

    def _break(self, last: Frame, frame: Frame) -> str | None:
        """Return why ``frame`` cannot follow, apart from what it shows."""
        if last.pixels.shape != frame.pixels.shape or last.pixels.dtype != frame.pixels.dtype:
            return "other size"
        if (last.slope, last.intercept, last.inverted) != (frame.slope, frame.intercept, frame.inverted):
            return "other size"
        if last.plane != frame.plane:
            return "other place"
        if last.timestamp is None or frame.timestamp is None:
            return None
        interval = frame.timestamp - last.timestamp
        if interval < 0:
            return "time ran back"
        if self._intervals and interval > (self.gap + ROUNDING) * statistics.median(self._intervals):
            return "gap in time"
        if interval > 0:
            self._intervals.append(interval)
        return None
