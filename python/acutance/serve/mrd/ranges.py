"""The value range of a series whose images must be answered as they come."""

from __future__ import annotations

import collections
from collections.abc import Hashable

import numpy as np

from ...geometry import Array, Frame, robust_range
from ...live.mapping import StreamRange

SAMPLES = 2**20
"""Values of one image that are counted; of larger ones every n-th."""

MOST_SERIES = 64
"""Series of a connection whose ranges are kept; the one not seen for longest is forgotten."""

PERCENTILES = (0.1, 99.9)
"""Where a model does not say otherwise."""

REACH = 2.0
"""How far beyond its low end a range holds, in its widths: networks are trained with ranges off by up to this."""


class SeriesRange:
    """Robust range of the images so far, which stays as it is after the first ones.

    An image much brighter than those (the first slices of a stack may hold little but air) would be mapped to values
    that no network has seen in its training. The range is then begun anew with it, which is counted; images before and
    after it differ in how they were mapped.

    Parameters
    ----------
    freeze_after : int
    percentiles : (float, float)

    Attributes
    ----------
    restarts : int
    """

    def __init__(self, freeze_after: int, percentiles: tuple[float, float] = PERCENTILES) -> None:
        self.restarts = 0
        self._percentiles = percentiles
        self._range = StreamRange(freeze_after, 0.0, *percentiles)
        self._last = (0.0, 0.0)

    def add(self, values: Array, signed: bool) -> tuple[float, float]:
        """Count an image; return the range for it, the same in all of its pictures, and empty where there is none.

        Parameters
        ----------
        values : ndarray
            Real; magnitudes of complex values.
        signed : bool
            Zero is the middle of the range, not its low end: the range is that of the magnitudes, both ways.
        """
        frame = _sample(np.abs(values.astype(np.float32)) if signed else values)
        if self._range.frozen and self._beyond(*robust_range([frame], *self._percentiles)):
            self.restarts += 1
            self._range.begin_anew()
        self._last = self._range.of(frame) or (0.0, 0.0)
        low, high = self._last
        return (-high, high) if signed else (low, high)

    def _beyond(self, low: float, high: float) -> bool:
        """Tell whether a range reaches out of the frozen one too far, to either side."""
        start, end = self._last
        spare = (REACH - 1) * (end - start)
        return high > end + spare or low < start - spare


class Ranges:
    """The ranges of the series of one connection.

    Parameters
    ----------
    freeze_after : int
    """

    def __init__(self, freeze_after: int) -> None:
        self._freeze_after = freeze_after
        self._series: collections.OrderedDict[Hashable, SeriesRange] = collections.OrderedDict()

    def of(self, series: Hashable, percentiles: tuple[float, float] = PERCENTILES) -> SeriesRange:
        """Return the range of a series, a new one for one that was not seen or was forgotten."""
        key = series, percentiles
        found = self._series.get(key) or SeriesRange(self._freeze_after, percentiles)
        self._series[key] = found
        self._series.move_to_end(key)
        while len(self._series) > MOST_SERIES:
            self._series.popitem(last=False)
        return found


def _sample(values: Array) -> Frame:
    """Return up to :data:`SAMPLES` values as a picture of one row."""
    flat = values.reshape(1, -1)
    return Frame(np.ascontiguousarray(flat[:, :: -(-flat.size // SAMPLES)]))
