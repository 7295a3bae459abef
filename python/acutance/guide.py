"""A second, sharper picture of the same subject, brought onto the grid of an enlarged picture.

Where the guide has no data it is 0, as networks were trained for a guide that is not there.
"""

from __future__ import annotations

import abc
import hashlib
import itertools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .geometry import Array, Frame, Plane, luma, robust_range

_BAND = 1 << 16
"""Output pixels that are resampled at once."""

_MOST = 8
"""Samples of the guide that are averaged along an axis of an output pixel, at most."""

_SAME = 1e-3
"""Fraction of a sample, or mm between slices, that does not count."""


class Guide(abc.ABC):
    """What can guide a network.

    Attributes
    ----------
    name : str
        UID or hash.
    """

    name: str

    @abc.abstractmethod
    def reaches(self, frame: Frame) -> bool:
        """Tell whether the guide has anything to say of a picture.

        Raises
        ------
        InputError
            They do not lie in one space.
        """

    @abc.abstractmethod
    def on(self, frame: Frame, scale: int) -> NDArray[np.float32]:
        """Return ``[rows * scale, cols * scale]`` as a network sees it: its own robust range mapped to 0 to 1.

        Raises
        ------
        InputError
        """


class Flat(Guide):
    """A guide that lies on the grid of the enlarged picture already.

    Parameters
    ----------
    pixels : ndarray
        ``[rows * scale, cols * scale]`` or RGB, of integers or floats; NaN where there are no data.
    """

    def __init__(self, pixels: Array) -> None:
        pixels = np.asarray(pixels)
        if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] != 3) or pixels.size == 0:
            raise InputError(f"the guide has shape {pixels.shape}; wanted [rows, cols] or [rows, cols, 3]")
        self.name = hashlib.sha256(np.ascontiguousarray(pixels).data).hexdigest()
        values = luma(pixels) if pixels.ndim == 3 else pixels.astype(np.float32)
        self._mapped = np.nan_to_num(_mapped(values, robust_range([Frame(values)]), False), copy=False)

    def reaches(self, frame: Frame) -> bool:
        return True

    def on(self, frame: Frame, scale: int) -> NDArray[np.float32]:
        wanted = (frame.rows * scale, frame.cols * scale)
        if self._mapped.shape != wanted:
            raise InputError(
                f"the guide has {self._mapped.shape[0]} x {self._mapped.shape[1]} pixels; wanted {wanted[0]} x "
                f"{wanted[1]}, the size of the result, or a volume that says where it lies"
            )
        return self._mapped


class Volume(Guide):
    """A guide of slices that say where they lie in the patient.

    Parameters
    ----------
    frames : sequence of Frame
        Parallel slices of one series in any order, or one slice, each with its ``plane``.
    name : str, optional
        UID or hash; a hash of the values when not given.

    Raises
    ------
    InputError
        The slices are no volume: a plane is missing, they are not parallel or of different sizes, several lie at one
        place, or all values are the same.
    """

    def __init__(self, frames: Sequence[Frame], name: str = "") -> None:
        path = frames[0].source.path if frames and frames[0].source else None
        planes = [_plane(f, path) for f in frames]
        if not planes:
            raise InputError("the guide has no slices", path)
        first, shape = planes[0], frames[0].pixels.shape[:2]
        self._normal = _normal(first)
        if any(f.pixels.shape[:2] != shape for f in frames) or not all(map(first.parallel, planes)):
            raise InputError("the guide's slices are not parallel and of one size, so they are no volume", path)
        self.reference = first.reference
        if any(p.reference != self.reference for p in planes):
            raise InputError("the guide's slices do not share one frame of reference", path)
        places = np.array([np.dot(self._normal, p.origin) for p in planes])
        order = np.argsort(places, kind="stable")
        self._places = places[order]
        steps = np.diff(self._places)
        if steps.size and steps.min() < _SAME:
            raise InputError("several slices of the guide lie at one place; wanted one volume", path)
        spacing = float(np.median(steps)) if steps.size else 0.0
        self._half = 0.505 * max(spacing, first.thickness or (0.0 if spacing else 1.0))
        self._origins = np.array([planes[i].origin for i in order])
        self._down, self._right = np.array(first.down), np.array(first.right)
        self._finest = min(float(np.linalg.norm(v)) for v in (self._down, self._right))
        self._through = min(self._finest, spacing or math.inf)
        self._values = np.stack([_real(frames[i]) for i in order])
        self._values = _mapped(self._values, robust_range(frames), frames[0].inverted, path)
        self._valid = np.isfinite(self._values)
        np.nan_to_num(self._values, copy=False)
        self.name = name or hashlib.sha256(self._values.data).hexdigest()

    def reaches(self, frame: Frame) -> bool:
        plane = self._checked(frame)
        corners = [plane.at(r, c) for r in (-0.5, frame.rows - 0.5) for c in (-0.5, frame.cols - 0.5)]
        along, rows, cols = self._coordinates(np.array(corners))
        reach = self._half + (plane.thickness or 0.0) / 2
        outside = along.min() > self._places[-1] + reach or along.max() < self._places[0] - reach
        for found, count in ((rows, self._values.shape[1]), (cols, self._values.shape[2])):
            outside = outside or found.min() > count - 0.5 or found.max() < -0.5
        return not outside

    def on(self, frame: Frame, scale: int) -> NDArray[np.float32]:
        plane = self._checked(frame).refined(scale)
        down, right = np.array(plane.down), np.array(plane.right)
        normal = _normal(plane)
        offsets = [
            a * down + b * right + c * normal
            for a, b, c in itertools.product(
                _spread(float(np.linalg.norm(down)), self._finest, 1.0),
                _spread(float(np.linalg.norm(right)), self._finest, 1.0),
                _spread(plane.thickness or 0.0, self._through, plane.thickness or 0.0),
            )
        ]
        rows, cols = frame.rows * scale, frame.cols * scale
        out = np.empty((rows, cols), np.float32)
        band = max(1, _BAND // cols)
        across = np.arange(cols)[:, None] * right
        for start in range(0, rows, band):
            stop = min(start + band, rows)
            points = np.array(plane.origin) + np.arange(start, stop)[:, None, None] * down + across
            total, weight = np.zeros(points.shape[:2], np.float32), np.zeros(points.shape[:2], np.float32)
            for offset in offsets:
                value, valid = self._sample((points + offset).reshape(-1, 3))
                total += (value * valid).reshape(total.shape)
                weight += valid.reshape(total.shape)
            out[start:stop] = np.divide(total, weight, out=np.zeros_like(total), where=weight > 0)
        return out

    def _checked(self, frame: Frame) -> Plane:
        path = frame.source.path if frame.source else None
        plane = frame.plane
        if plane is None:
            raise InputError("does not say where it lies in the patient, so no guide can be brought onto it", path)
        if not plane.reference or plane.reference != self.reference:
            got = [x or "none" for x in (plane.reference, self.reference)]
            raise InputError(
                f"has the frame of reference {got[0]}, its guide {got[1]}: they do not lie in one space; register them "
                "or take a guide from the same examination",
                path,
            )
        return plane

    def _coordinates(self, points: NDArray[np.float64]) -> tuple[Array, Array, Array]:
        """Return of points ``[n, 3]`` in mm the place along the normal in mm, and row and column among the pixels."""
        along = points @ self._normal
        at = np.interp(along, self._places, np.arange(len(self._places)))
        numbers = np.arange(len(self._places))
        origins = np.stack([np.interp(at, numbers, self._origins[:, i]) for i in range(3)], axis=1)
        solve = np.linalg.pinv(np.stack([self._down, self._right], axis=1))
        rows, cols = solve @ (points - origins).T
        return along, rows, cols

    def _sample(self, points: NDArray[np.float64]) -> tuple[Array, Array]:
        """Return the values at points by linear interpolation, and where there are any."""
        along, rows, cols = self._coordinates(points)
        slices = np.interp(along, self._places, np.arange(len(self._places)))
        nearest = self._places[np.rint(slices).astype(np.intp)]
        valid = np.abs(along - nearest) <= self._half
        count, height, width = self._values.shape
        edge = 0.5 + _SAME
        valid &= (rows > -edge) & (rows < height - 1 + edge) & (cols > -edge) & (cols < width - 1 + edge)
        (k, dk), (i, di), (j, dj) = (_split(x, n) for x, n in ((slices, count), (rows, height), (cols, width)))
        value, held = np.zeros(len(points), np.float32), np.zeros(len(points), np.float32)
        for a, b, c in itertools.product((0, 1), repeat=3):
            weight = np.abs(1 - a - dk) * np.abs(1 - b - di) * np.abs(1 - c - dj)
            where = (
                np.minimum(k + a, count - 1),
                np.minimum(i + b, height - 1),
                np.minimum(j + c, width - 1),
            )
            value += weight * self._values[where]
            held += weight * self._valid[where]
        return value, valid & (held > 1 - _SAME)


def _spread(extent: float, step: float, size: float) -> NDArray[np.float64]:
    """Return offsets of samples over ``size`` so that they lie no further apart than ``step``, ``extent`` in mm."""
    count = min(max(math.ceil(extent / step - _SAME), 1), _MOST)
    return ((np.arange(count) + 0.5) / count - 0.5) * size


def _split(x: Array, count: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return for places along an axis the sample before and the fraction that the next one gets."""
    x = np.clip(x, 0, count - 1)
    before = np.floor(x).astype(np.intp)
    return before, (x - before).astype(np.float32)


def _plane(frame: Frame, path: str | None) -> Plane:
    if frame.plane is None:
        raise InputError("the guide does not say where its slices lie in the patient", path)
    return frame.plane


def _normal(plane: Plane) -> NDArray[np.float64]:
    found = np.cross(plane.right, plane.down)
    return np.asarray(found / np.linalg.norm(found))


def _real(frame: Frame) -> NDArray[np.float32]:
    """Return real values, NaN where samples are missing; colour as luma."""
    pixels = luma(frame.pixels) if frame.pixels.ndim == 3 else frame.pixels
    values = pixels.astype(np.float32) * np.float32(frame.slope) + np.float32(frame.intercept)
    missing = frame.missing()
    if missing is not None:
        values[missing] = np.nan
    return values


def _mapped(
    values: NDArray[np.float32], span: tuple[float, float], inverted: bool, path: str | None = None
) -> NDArray[np.float32]:
    low, high = span
    if not high > low:
        raise InputError("the guide has the same value everywhere", path)
    mapped = (values - np.float32(low)) / np.float32(high - low)
    return np.asarray(1 - mapped if inverted else mapped, dtype=np.float32)
