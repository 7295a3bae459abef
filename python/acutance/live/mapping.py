"""The value range of a stream: taken from its first pictures and then kept, so that the picture does not pump."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from ..geometry import Frame, RangeCounter, luma

FARTHEST = 0.25
"""Part of the frozen width by which an adapting end may leave where it was frozen."""

SAMPLES = 20_000
"""Pixels of a picture that an adapting range looks at."""


class StreamRange:
    """Robust range of a stream, in real values.

    Pictures without any range (a dark screen before the scan) are not counted. A picture of another size or kind of
    values begins anew: it is another picture, whatever sends it.

    Parameters
    ----------
    freeze_after : int
        Pictures that the range is taken from; from the first on it is that of all until then.
    adapt : float
        Part of the way that each end then goes with every picture toward that picture's own; 0: none. An end never
        leaves where it was frozen by more than :data:`FARTHEST` of the width.
    low, high : float
        Percentiles.
    """

    def __init__(self, freeze_after: int = 8, adapt: float = 0.0, low: float = 0.1, high: float = 99.9) -> None:
        self._after, self._adapt, self._percentiles = freeze_after, adapt, (low, high)
        self._kind: tuple[object, ...] | None = None
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forget the range."""
        self._counter: RangeCounter | None = RangeCounter()
        self._seen = 0
        self._frozen: tuple[float, float] | None = None
        self._now: tuple[float, float] | None = None

    @property
    def frozen(self) -> bool:
        """Whether the first pictures have been seen."""
        return self._frozen is not None

    def of(self, frame: Frame) -> tuple[float, float] | None:
        """Count a picture and return the range for it; None where neither it nor those before have one."""
        kind = (frame.pixels.shape, frame.pixels.dtype, frame.modality, frame.slope, frame.intercept, frame.inverted)
        if kind != self._kind:
            self._kind = kind
            self.begin_anew()
        if self._counter is not None:
            self._count(frame)
        elif self._adapt > 0:
            self._move(frame)
        return self._now

    def _count(self, frame: Frame) -> None:
        one = RangeCounter()
        one.add(frame)
        if not _wide(one.range(*self._percentiles)):
            return
        assert self._counter is not None
        self._counter.merge(one)
        self._seen += 1
        self._now = self._counter.range(*self._percentiles)
        if self._seen == self._after:
            self._frozen, self._counter = self._now, None

    def _move(self, frame: Frame) -> None:
        found = _sampled(frame, self._percentiles)
        if not _wide(found):
            return
        assert self._now is not None and self._frozen is not None
        reach = FARTHEST * (self._frozen[1] - self._frozen[0])
        low, high = (
            float(np.clip(now + self._adapt * (to - now), start - reach, start + reach))
            for now, to, start in zip(self._now, found, self._frozen, strict=True)
        )
        self._now = (low, high)


def _sampled(frame: Frame, percentiles: tuple[float, float]) -> tuple[float, float]:
    """Return the range of a picture, from at most about :data:`SAMPLES` of its pixels."""
    step = max(1, math.isqrt(frame.rows * frame.cols // SAMPLES))
    grid = (slice(None, None, step), slice(None, None, step))
    mask = None if frame.mask is None else frame.mask[grid]
    few = dataclasses.replace(frame, pixels=frame.pixels[grid], mask=mask)
    missing = few.missing()
    values = (luma(few.pixels) if few.pixels.ndim == 3 else few.pixels)[... if missing is None else ~missing]
    if values.size == 0:
        return (0.0, 0.0)
    ends = np.percentile(values, percentiles) * frame.slope + frame.intercept
    return (float(ends.min()), float(ends.max()))


def _wide(found: tuple[float, float]) -> bool:
    return bool(np.isfinite(found).all()) and found[1] > found[0]
