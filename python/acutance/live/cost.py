"""What a picture will take, told from what pictures like it took; and how fast they come."""

from __future__ import annotations

import collections
import math
import statistics
from collections.abc import Hashable

WINDOW = 32
"""Last durations that a prediction looks at."""

PERCENT = 95
"""Percentile of them that it gives: one slow picture among 32 does not change it."""

MOST_KINDS = 16
"""Kinds of pictures that are remembered; the one that was not seen for longest is forgotten."""

LONGEST = 2.0
"""Seconds between two pictures above which they are not taken to follow each other."""


class Costs:
    """Durations of one stage, by kind of picture.

    Parameters
    ----------
    warm_up : int
        First durations of a kind that do not count: they hold what is only done once, as allocating and building.
    """

    def __init__(self, warm_up: int = 0) -> None:
        self._warm_up = warm_up
        self._kinds: collections.OrderedDict[Hashable, tuple[list[int], collections.deque[float]]]
        self._kinds = collections.OrderedDict()

    def add(self, kind: Hashable, seconds: float) -> None:
        """Remember what a picture took."""
        cold, durations = self._kinds.setdefault(kind, ([self._warm_up], collections.deque(maxlen=WINDOW)))
        self._kinds.move_to_end(kind)
        if len(self._kinds) > MOST_KINDS:
            self._kinds.popitem(last=False)
        if cold[0] > 0:
            cold[0] -= 1
        else:
            durations.append(seconds)

    def renew(self, kind: Hashable, seconds: float) -> None:
        """Forget what pictures of a kind took, but for the last one."""
        self._kinds[kind] = ([0], collections.deque([seconds], maxlen=WINDOW))

    def predict(self, kind: Hashable) -> float | None:
        """Return the seconds within which :data:`PERCENT` of 100 pictures of a kind were done; None if not known."""
        _, durations = self._kinds.get(kind, ([0], ()))
        if not durations:
            return None
        return sorted(durations)[math.ceil(PERCENT / 100 * len(durations)) - 1]


class Pace:
    """Tells the interval at which pictures come, in spite of bursts and pauses: the median of the last ones."""

    def __init__(self) -> None:
        self._last: float | None = None
        self._intervals: collections.deque[float] = collections.deque(maxlen=15)

    def add(self, now: float) -> None:
        """Note that a picture has come, at a time in seconds."""
        if self._last is not None and 0 < now - self._last <= LONGEST:
            self._intervals.append(now - self._last)
        self._last = now

    @property
    def interval(self) -> float | None:
        """Seconds; None before two pictures have come."""
        return statistics.median(self._intervals) if self._intervals else None
