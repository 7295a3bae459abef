"""Pictures in memory and where their pixels lie.

There is one pixel grid: pixels are areas with centres at half-integers, so output pixel ``i`` of scale ``s`` lies at
input coordinate ``(i + 0.5) / s - 0.5``. Everything that moves or names a position goes through this module.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import InputError

DTYPES = ("uint8", "int16", "uint16", "float32")
"""Pixel types the core takes."""

SCALES = (2, 3, 4)

Array = NDArray[Any]


@dataclasses.dataclass(frozen=True)
class Source:
    """Where a Frame came from.

    Attributes
    ----------
    path : str or None
        File it was read from.
    header : object
        The header as its library gives it (``pydicom.Dataset`` without pixels, ``nibabel`` header and affine, or None).
    index : int
        0-based frame or slice number inside the file.
    kind : str
        ``"dicom"``, ``"nifti"``, ``"png"``, ``"tiff"``, ``"jpeg"`` or ``"array"``.
    """

    path: str | None
    header: Any
    index: int
    kind: str


Vector = tuple[float, float, float]


@dataclasses.dataclass(frozen=True)
class Plane:
    """Where the pixels of a picture lie in the patient.

    Attributes
    ----------
    origin : (float, float, float)
        Centre of the first pixel in mm, in DICOM's coordinates: toward the left, the back and the head (PS3.3
        C.7.6.2.1.1).
    down, right : (float, float, float)
        Step in mm to the next row and to the next column.
    thickness : float or None
        Of the slice in mm.
    reference : str
        What the coordinates are of: the Frame of Reference UID, or for NIfTI the kind of space. Planes of different
        references have nothing to do with each other, nor do those without one.
    """

    origin: Vector
    down: Vector
    right: Vector
    thickness: float | None = None
    reference: str = ""

    def at(self, row: float, col: float) -> Vector:
        """Return the place in mm of a pixel coordinate."""
        x, y, z = (o + row * d + col * r for o, d, r in zip(self.origin, self.down, self.right, strict=True))
        return (x, y, z)

    def parallel(self, other: Plane) -> bool:
        """Tell whether both have the same steps, to a thousandth of them."""
        pairs = ((self.down, other.down), (self.right, other.right))
        return all(np.linalg.norm(np.subtract(a, b)) <= 1e-3 * np.linalg.norm(a) for a, b in pairs)

    def refined(self, scale: int) -> Plane:
        """Return the plane of the picture enlarged by ``scale``: its corners stay where they are."""
        first = float(output_to_input(0, scale))
        down, right = ((x / scale, y / scale, z / scale) for x, y, z in (self.down, self.right))
        return dataclasses.replace(self, origin=self.at(first, first), down=down, right=right)


@dataclasses.dataclass(frozen=True)
class Derivation:
    """How an enhanced Frame was made: everything that can change a pixel.

    Attributes
    ----------
    model, version, sha256 : str
        Name, version and SHA-256 of the model file; ``"base"``, the package version and ``""`` without a network.
    precision, backend : str
        What the network computed in and what ran it.
    scale : int
    base, guard, stitch : str
        Filter of the base, ``"box"`` or ``"none"``, ``"exact"`` or ``"feather"``.
    tile, overlap : int
        Side and overlap of feathered tiles in input pixels; 0 with ``stitch="exact"``, whose tiles change no pixel.
    low, high : float
        Real values mapped to 0 and 1.
    range_from : str
        ``"model"`` (fixed by the model), ``"series"``, ``"stream"``, ``"picture"`` (this picture alone) or ``"none"``.
    fell_back : str or None
        Why the picture is the base though a network was asked for.
    software : str
        Package version.
    guide : str or None
        UID or hash of the guide picture.
    mended : str or None
        What was missing in the source and is filled in.
    through_plane : str or None
        How slices were put between thick ones.
    sequence : str or None
        Hash of the files of a sequence, where what a network remembers goes on from file to file.
    generative : bool
        Whether the network was trained to make detail that looks real, which need not be there.
    """

    model: str
    version: str
    sha256: str
    precision: str
    backend: str
    scale: int
    base: str
    guard: str
    stitch: str = "exact"
    tile: int = 0
    overlap: int = 0
    low: float = 0.0
    high: float = 1.0
    range_from: str = "none"
    fell_back: str | None = None
    software: str = ""
    guide: str | None = None
    mended: str | None = None
    through_plane: str | None = None
    sequence: str | None = None
    generative: bool = False

    def canonical(self) -> str:
        """Return the settings as one JSON line with sorted keys, the same for the same settings."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True, separators=(",", ":"))

    def digest(self) -> str:
        """Return the SHA-256 of :meth:`canonical` in hex."""
        return hashlib.sha256(self.canonical().encode()).hexdigest()


@dataclasses.dataclass(frozen=True, eq=False)
class Frame:
    """One 2-D picture.

    Attributes
    ----------
    pixels : ndarray
        ``[rows, cols]`` or ``[rows, cols, 3]`` (RGB) of uint8, int16, uint16 or float32: stored values.
    modality : str
        DICOM modality code (0008,0060): ``"CT"``, ``"MR"``, ``"US"``, ...; ``"OT"`` when not known.
    spacing : (float, float) or None
        Distance of pixel centres in mm: between rows, between columns (order of DICOM PixelSpacing).
    slope, intercept : float
        Real value = slope * stored + intercept (HU for CT).
    bits_stored : int or None
        Bits that hold the value (0028,0101); None: all bits of the dtype.
    padding : (float, float) or None
        Stored values from the first to the second, both included, are padding (0028,0120 and 0028,0121).
    mask : ndarray of bool or None
        ``[rows, cols]``, True where the sample is missing, beside ``padding``.
    inverted : bool
        True for MONOCHROME1: the smallest value is shown white.
    value_range : (float, float) or None
        Robust range (0.1 and 99.9 percentile) of the whole series in real values, the same on each of its Frames.
    window : (float, float) or None
        Centre and width for display, in real values.
    timestamp : float or None
        Seconds; None for still pictures.
    mended : str or None
        What was missing in the source and is filled in; goes into the derivation.
    plane : Plane or None
        Where it lies in the patient, when its header says so.
    source : Source or None
    derivation : Derivation or None
        How it was made, on a Frame that the Enhancer returned.
    """

    pixels: Array
    modality: str = "OT"
    spacing: tuple[float, float] | None = None
    slope: float = 1.0
    intercept: float = 0.0
    bits_stored: int | None = None
    padding: tuple[float, float] | None = None
    mask: NDArray[np.bool_] | None = None
    inverted: bool = False
    value_range: tuple[float, float] | None = None
    window: tuple[float, float] | None = None
    timestamp: float | None = None
    mended: str | None = None
    plane: Plane | None = None
    source: Source | None = None
    derivation: Derivation | None = None

    def __post_init__(self) -> None:
        shape, path = self.pixels.shape, self.source.path if self.source else None
        if self.pixels.dtype.name not in DTYPES:
            raise InputError(f"pixels are {self.pixels.dtype}; wanted one of {', '.join(DTYPES)}", path)
        if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] != 3) or 0 in shape:
            raise InputError(f"pixels have shape {shape}; wanted [rows, cols] or [rows, cols, 3], none empty", path)
        if self.mask is not None and self.mask.shape != shape[:2]:
            raise InputError(f"mask has shape {self.mask.shape}; wanted {shape[:2]}", path)
        if not (np.isfinite(self.slope) and np.isfinite(self.intercept) and self.slope != 0):
            raise InputError(f"slope {self.slope} and intercept {self.intercept} do not map values", path)

    @property
    def rows(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def cols(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def limits(self) -> tuple[float, float]:
        """Smallest and largest stored value that BitsStored and signedness hold; infinite for float pixels."""
        if self.pixels.dtype.kind == "f":
            return (-np.inf, np.inf)
        bits = self.bits_stored or 8 * self.pixels.dtype.itemsize
        if self.pixels.dtype.kind == "i":
            return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        return (0, 2**bits - 1)

    def missing(self) -> NDArray[np.bool_] | None:
        """Return ``[rows, cols]`` of bool, True at padding, masked and non-finite samples; None if there are none."""
        found: NDArray[np.bool_] | None = None if self.mask is None else self.mask.astype(bool)
        if self.padding is not None and self.pixels.ndim == 2:
            low, high = self.padding
            pad: NDArray[np.bool_] = np.asarray((self.pixels >= low) & (self.pixels <= high))
            found = pad if found is None else found | pad
        if self.pixels.dtype.kind == "f":
            finite = np.isfinite(self.pixels)
            bad: NDArray[np.bool_] = np.asarray(~(finite.all(axis=2) if finite.ndim == 3 else finite))
            found = bad if found is None else found | bad
        return found if found is not None and found.any() else None


def output_to_input(i: Array | float, scale: int) -> Any:
    """Return the input coordinate of output pixel ``i``: ``(i + 0.5) / scale - 0.5``."""
    return (np.asarray(i, dtype=np.float64) + 0.5) / scale - 0.5


def refined_spacing(spacing: Sequence[float], scale: int) -> tuple[float, float]:
    """Return the spacing in mm (between rows, between columns) after enlarging by ``scale``."""
    rows, cols = spacing
    return float(rows) / scale, float(cols) / scale


def refined_position(
    position: Sequence[float], orientation: Sequence[float], spacing: Sequence[float], scale: int
) -> tuple[float, float, float]:
    """Move ImagePositionPatient to the centre of the first output pixel.

    Parameters
    ----------
    position : 3 floats
        Image Position (Patient) in mm, DICOM PS3.3 C.7.6.2.1.1.
    orientation : 6 floats
        Image Orientation (Patient): direction of a row (increasing column), then of a column (increasing row).
    spacing : 2 floats
        Old Pixel Spacing in mm: between rows, between columns.
    scale : int

    Returns
    -------
    (float, float, float)
        ``position + 0.5 * (1/scale - 1) * (iop[0:3] * spacing[1] + iop[3:6] * spacing[0])``.
    """
    iop = np.asarray(orientation, dtype=np.float64)
    step = iop[:3] * float(spacing[1]) + iop[3:6] * float(spacing[0])
    x, y, z = np.asarray(position, dtype=np.float64) + 0.5 * (1.0 / scale - 1.0) * step
    return (float(x), float(y), float(z))


def refined_affine(affine: Array, axes: Sequence[int], scale: int) -> NDArray[np.float64]:
    """Return a NIfTI affine after the voxel ``axes`` are enlarged by ``scale``.

    Voxel corners stay where they are: along those axes the columns are divided by ``scale`` and the origin moves by
    ``0.5 * (1/scale - 1)`` old voxels.
    """
    out = np.array(affine, dtype=np.float64)
    for axis in axes:
        out[:3, 3] += 0.5 * (1.0 / scale - 1.0) * out[:3, axis]
        out[:3, axis] /= scale
    return out


_LOW, _HIGH = 0.1, 99.9
_STORED_OFFSET, _STORED_VALUES = 32768, 32768 + 65536
"""Place of stored value 0 among all that int16 and uint16 hold, and their number."""


class RangeCounter:
    """Counts the valid real values of pictures that come one by one, so that a series never has to be held at once.

    Missing samples are left out, colour counts as luma. The order of the pictures does not change the range. Integers
    that share one slope and intercept cost no memory, others what their distinct values take, float pictures their own.
    """

    def __init__(self) -> None:
        self._mapping: tuple[float, float] | None = None
        self._counts = np.zeros(_STORED_VALUES, dtype=np.int64)
        self._others: list[tuple[Array, NDArray[np.int64] | None]] = []

    def add(self, frame: Frame) -> None:
        """Count one picture."""
        missing = frame.missing()
        pixels = luma(frame.pixels) if frame.pixels.ndim == 3 else frame.pixels
        values = pixels.ravel() if missing is None else pixels[~missing]
        mapping = (float(frame.slope), float(frame.intercept))
        if values.dtype.kind == "f":
            self._others.append((values.astype(np.float64) * mapping[0] + mapping[1], None))
            return
        counts = np.bincount(values.astype(np.int32) + _STORED_OFFSET, minlength=_STORED_VALUES)
        self._add(mapping, counts)

    def merge(self, other: RangeCounter) -> None:
        """Count what another one has counted."""
        if other._mapping is not None:
            self._add(other._mapping, other._counts)
        self._others += other._others

    def _add(self, mapping: tuple[float, float], counts: NDArray[np.int64]) -> None:
        if self._mapping in (None, mapping):
            self._mapping = mapping
            self._counts += counts
        else:
            self._others.append(_distinct(mapping, counts))

    def range(self, low: float = _LOW, high: float = _HIGH) -> tuple[float, float]:
        """Return two percentiles, as :func:`robust_range` does."""
        if not self._others:
            if self._mapping is None or not self._counts.any():
                return (0.0, 0.0)
            slope, intercept = self._mapping
            ends = [a + (b - a) * t - _STORED_OFFSET for a, b, t in (_percentile(self._counts, p) for p in (low, high))]
            first, second = (v * slope + intercept for v in ends)
            return (min(first, second), max(first, second))
        parts = [*self._others, *([_distinct(self._mapping, self._counts)] if self._mapping else [])]
        values = np.concatenate([v for v, _ in parts])
        if values.size == 0:
            return (0.0, 0.0)
        if all(n is None for _, n in parts):
            a, b = np.percentile(values, [low, high])
            return (float(a), float(b))
        counts = np.concatenate([np.ones(v.size, np.int64) if n is None else n for v, n in parts])
        order = np.argsort(values, kind="stable")
        values, counts = values[order], counts[order]
        found = [values[a] + (values[b] - values[a]) * t for a, b, t in (_percentile(counts, p) for p in (low, high))]
        return (float(found[0]), float(found[1]))


def robust_range(frames: Iterable[Frame], low: float = _LOW, high: float = _HIGH) -> tuple[float, float]:
    """Return two percentiles of the real values of all valid samples of a series.

    Parameters
    ----------
    frames : iterable of Frame
        One series, taken one by one; each Frame's slope and intercept are applied, missing samples are left out, colour
        counts as luma.
    low, high : float
        Percentiles, 0 to 100.

    Returns
    -------
    (float, float)
        ``(0.0, 0.0)`` when no sample is valid.
    """
    counter = RangeCounter()
    for frame in frames:
        counter.add(frame)
    return counter.range(low, high)


def share_range(frames: Sequence[Frame]) -> list[Frame]:
    """Return the Frames of one series, each with the same robust ``value_range``."""
    found = robust_range(frames)
    return [dataclasses.replace(f, value_range=found) for f in frames]


def luma(rgb: Array) -> NDArray[np.float32]:
    """Return BT.601 luma of ``[..., 3]`` RGB in float32 (ITU-R BT.601-7, 2.5.1)."""
    weights = np.array([0.299, 0.587, 0.114], dtype=np.float32)
    return np.asarray(rgb.astype(np.float32) @ weights, dtype=np.float32)


def _distinct(mapping: tuple[float, float], counts: NDArray[np.int64]) -> tuple[Array, NDArray[np.int64]]:
    """Return the real values that occur, and how often."""
    found = np.flatnonzero(counts)
    return (found - _STORED_OFFSET) * mapping[0] + mapping[1], counts[found]


def _percentile(counts: NDArray[np.int64], percent: float) -> tuple[int, int, float]:
    """Return the two places of ``counts`` between which a percentile lies, and how far: 0 the first, 1 the second.

    Exact, and many times faster than sorting a volume.
    """
    below = np.cumsum(counts)
    total = int(below[-1])
    place = percent / 100 * (total - 1)
    k = int(np.floor(place))
    a = int(np.searchsorted(below, k, side="right"))
    b = int(np.searchsorted(below, min(k + 1, total - 1), side="right"))
    return a, b, place - k
