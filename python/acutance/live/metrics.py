"""What is counted and timed while services run: plain numbers, whoever shows them."""

from __future__ import annotations

import bisect
import collections
import dataclasses
import threading
from collections.abc import Iterator

import numpy as np

Labels = tuple[tuple[str, str], ...]
"""Names and values of the labels of one series of numbers, by name."""

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Seconds up to which the buckets of a :class:`Times` reach; one more holds what took longer."""

RECENT = 1000
"""Last durations whose percentiles are exact."""

QUANTILES = (0.5, 0.9, 0.99)

MOST_SERIES = 200
"""Series of one name. Those beyond are added up in one whose labels all say ``other``: peers cannot fill the memory."""

OTHER = "other"


@dataclasses.dataclass
class Times:
    """Durations of one kind.

    Attributes
    ----------
    counts : list of int
        Durations in each bucket of :data:`BOUNDS`, and beyond the last.
    total : float
        Seconds, of all.
    recent : deque of float
        Seconds, the last :data:`RECENT`.
    """

    counts: list[int] = dataclasses.field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    total: float = 0.0
    recent: collections.deque[float] = dataclasses.field(default_factory=lambda: collections.deque(maxlen=RECENT))

    def add(self, seconds: float) -> None:
        """Count one duration."""
        self.counts[bisect.bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds
        self.recent.append(seconds)

    def copy(self) -> Times:
        return Times(list(self.counts), self.total, self.recent.copy())

    def quantiles(self) -> dict[float, float]:
        """Return the :data:`QUANTILES` of the last durations in seconds; nothing before the first."""
        if not self.recent:
            return {}
        found = np.quantile(np.fromiter(self.recent, np.float64), QUANTILES)
        return dict(zip(QUANTILES, found.tolist(), strict=True))


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """All numbers at one moment: by name, then by labels."""

    counts: dict[str, dict[Labels, float]]
    values: dict[str, dict[Labels, float]]
    times: dict[str, dict[Labels, Times]]


class _Store:
    """The numbers of a process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.counts: dict[str, dict[Labels, float]] = {}
        self.values: dict[str, dict[Labels, float]] = {}
        self.times: dict[str, dict[Labels, Times]] = {}
        self.helps: dict[str, str] = {}


class Metrics:
    """Counters, values and durations by name and labels; threads may share it.

    A name stands for one kind of number and always has labels of the same names. Labels never hold what a picture or
    its header says: names of services and streams, reasons and stages that the program itself words.
    """

    def __init__(self) -> None:
        self._store, self._bound = _Store(), {}

    _store: _Store
    _bound: dict[str, str]

    def of(self, **labels: str) -> Metrics:
        """Return the same metrics with labels that each number gets beside its own."""
        bound = Metrics.__new__(Metrics)
        bound._store, bound._bound = self._store, {**self._bound, **labels}
        return bound

    def count(self, name: str, n: float = 1, **labels: str) -> None:
        """Add to a counter, whose name ends in ``_total``; ``n=0`` shows that it is there."""
        with self._store.lock:
            series = self._store.counts.setdefault(name, {})
            key = self._key(series, labels)
            series[key] = series.get(key, 0) + n

    def set(self, name: str, value: float, **labels: str) -> None:
        """Set a value that may rise and fall."""
        with self._store.lock:
            series = self._store.values.setdefault(name, {})
            series[self._key(series, labels)] = value

    def observe(self, name: str, seconds: float, **labels: str) -> None:
        """Count a duration, in seconds; its name ends in ``_seconds``."""
        with self._store.lock:
            series = self._store.times.setdefault(name, {})
            series.setdefault(self._key(series, labels), Times()).add(seconds)

    def describe(self, name: str, text: str) -> None:
        """Say in a sentence what a number is."""
        with self._store.lock:
            self._store.helps[name] = text

    def help(self, name: str) -> str:
        """Return what :meth:`describe` was told, or the name in words."""
        with self._store.lock:
            return self._store.helps.get(name, name.replace("_", " "))

    def total(self, name: str, **labels: str) -> float:
        """Return the sum of the counters of a name whose labels hold all that are given, bound ones included."""
        wanted = {*{**self._bound, **labels}.items()}
        with self._store.lock:
            return sum(n for key, n in self._store.counts.get(name, {}).items() if wanted <= set(key))

    def snapshot(self) -> Snapshot:
        """Return a copy of all numbers, whatever labels are bound."""
        store = self._store
        with store.lock:
            return Snapshot(
                {name: dict(series) for name, series in store.counts.items()},
                {name: dict(series) for name, series in store.values.items()},
                {name: {k: t.copy() for k, t in series.items()} for name, series in store.times.items()},
            )

    def _key(self, series: dict[Labels, float] | dict[Labels, Times], labels: dict[str, str]) -> Labels:
        """Return the labels under which a number is kept in its series."""
        key = tuple(sorted({**self._bound, **labels}.items()))
        if key in series or len(series) < MOST_SERIES:
            return key
        return tuple((name, OTHER) for name, _ in key)


def each(series: dict[str, dict[Labels, float]]) -> Iterator[tuple[str, dict[str, str], float]]:
    """Go through counters or values: name, labels, number."""
    for name, found in sorted(series.items()):
        for labels, value in found.items():
            yield name, dict(labels), value
