"""Slices of one volume, where they lie, and the isotropic grid that takes their place."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..geometry import Array
from . import along

SAME = 0.05
"""Voxels whose sides differ by no more than this fraction count as isotropic."""

EVEN = 0.05
"""Part of the slice distance by which a slice may lie elsewhere than evenly spaced ones do."""

SHORT = 0.8
"""Part of the wanted ratio that the networks' passes reach at least; interpolation does the rest."""

MOST_PASSES = 5


@dataclasses.dataclass(frozen=True, eq=False)
class Stack:
    """Parallel slices in the order of their places.

    Attributes
    ----------
    voxels : ndarray of float32
        ``[slices, rows, cols]``, real values; missing ones filled.
    places : ndarray of float64
        Centres in mm along the axis of the stack, increasing.
    thickness : float or None
        Width of the slice profile in mm; None: as far as the slices are apart.
    spacing : (float, float)
        Millimetres between rows and between columns.
    modality : str
    value_range : (float, float)
        Robust range of all slices in real values.
    inverted : bool
        True for MONOCHROME1.
    missing : ndarray of bool or None
        ``[slices, rows, cols]``, True where a voxel was padding or masked.
    """

    voxels: along.F32
    places: along.F64
    thickness: float | None
    spacing: tuple[float, float]
    modality: str
    value_range: tuple[float, float]
    inverted: bool = False
    missing: NDArray[np.bool_] | None = None


@dataclasses.dataclass(frozen=True)
class Grid:
    """Evenly spaced old slices, and the new ones.

    Old slice ``j`` is centred at ``start + j * distance`` and new slice ``i`` at ``first + i * step``; the outer faces
    of the first old and the first new slice are the same: new slice ``i`` lies at old coordinate
    ``(i + 0.5) * step / distance - 0.5``.

    Attributes
    ----------
    start, distance : float
    old : int
        Evenly spaced old slices, those that are missing among them.
    step : float
        Side of the new voxels, mm.
    count : int
        New slices.
    width : float
        Of the slice profile, mm.
    gaps : tuple of (int, int)
        For each place where slices are missing: the number of the slice before it, from 0, and how many are missing.
    uneven : bool
        The slices that are there are not evenly spaced and are interpolated onto a grid that is.
    """

    start: float
    distance: float
    old: int
    step: float
    count: int
    width: float
    gaps: tuple[tuple[int, int], ...] = ()
    uneven: bool = False

    @property
    def first(self) -> float:
        """Centre of the first new slice in mm."""
        return self.start + 0.5 * (self.step - self.distance)

    @property
    def ratio(self) -> float:
        return self.distance / self.step

    @property
    def nodes(self) -> along.F64:
        """Centres of the evenly spaced old slices."""
        return self.start + self.distance * np.arange(self.old, dtype=np.float64)

    @property
    def targets(self) -> along.F64:
        """Centres of the new slices."""
        return self.first + self.step * np.arange(self.count, dtype=np.float64)

    @property
    def isotropic(self) -> bool:
        """Whether the old slices are as far apart as the new ones."""
        return abs(self.ratio - 1) <= SAME and not self.gaps and not self.uneven

    def notes(self) -> tuple[str, ...]:
        """Return a line for each kind of thing that is wrong with the slices."""
        found = []
        if self.gaps:
            where = ", ".join(f"{n} after slice {k + 1}" for k, n in self.gaps[:6])
            missing = sum(n for _, n in self.gaps)
            listed = f"{where}, ..." if len(self.gaps) > 6 else where
            found.append(f"{missing} missing {'slice is' if missing == 1 else 'slices are'} interpolated ({listed})")
        if self.uneven:
            found.append(f"slices that are not evenly spaced are interpolated to {self.distance:.4g} mm")
        return tuple(found)

    def filled(self, places: Array) -> NDArray[np.bool_]:
        """Tell which new slices lie where no old one was, ``[count]``: farther from all than half their distance."""
        nearest = np.abs(self.targets[:, None] - np.asarray(places)[None]).min(axis=1)
        return np.asarray(nearest > 0.5 * self.distance * (1 + EVEN) + 1e-6) & bool(self.gaps or self.uneven)


def plan(places: Array, thickness: float | None, step: float) -> Grid:
    """Return the grid for slices at ``places``, in mm and increasing, with new slices ``step`` mm apart.

    The slice distance is the median one. A distance of a whole number of these is a gap of missing slices.

    Raises
    ------
    InputError
        There is one slice only, two lie at the same place, or they are closer than ``step``.
    """
    places = np.asarray(places, np.float64)
    if len(places) < 2:
        raise InputError("is a single slice; isotropic voxels want a volume")
    between = np.diff(places)
    typical = float(np.median(between))
    if between.min() <= 1e-3 * max(typical, 1e-3):
        k = int(np.argmin(between))
        raise InputError(
            f"has two slices at the same place (slices {k + 1} and {k + 2}): phases, echoes or repeats of a volume; "
            "give one of them at a time"
        )
    units = np.maximum(np.rint(between / typical), 1)
    even = bool((np.abs(between / units - typical) <= EVEN * typical).all())
    old = int(units.sum()) + 1 if even else max(round((places[-1] - places[0]) / typical) + 1, 2)
    distance = float(places[-1] - places[0]) / (old - 1)
    if distance < step * (1 - SAME):
        raise InputError(f"has slices {distance:.4g} mm apart, closer than its pixels ({step:.4g} mm): none are thick")
    gaps = tuple((k, int(n) - 1) for k, n in enumerate(units) if n > 1) if even else ()
    if not even:
        gaps = tuple((k, round(d / typical) - 1) for k, d in enumerate(between) if d > 1.5 * typical)
    width = distance if thickness is None or not 0 < thickness < np.inf else float(thickness)
    count = max(round(old * distance / step), 1)
    return Grid(float(places[0]), distance, old, float(step), count, width, gaps, not even)


def passes(ratio: float, scales: Iterable[int]) -> tuple[int, ...]:
    """Return by which scales to enlarge one after the other: the smallest product not below 0.8 of ``ratio``.

    Fewer passes go before more of the same product; () when no scale is given.
    """
    known = sorted(set(scales))
    if not known:
        return ()
    if ratio <= 1 + SAME:
        return ()
    best: tuple[float, int, tuple[int, ...]] | None = None
    for length in range(1, MOST_PASSES + 1):
        for found in itertools.combinations_with_replacement(reversed(known), length):
            product = float(np.prod(found))
            key = (product, length, found)
            if product >= SHORT * ratio and (best is None or key < best):
                best = key
    return best[2] if best is not None else (known[-1],) * MOST_PASSES
