"""Frames become the slices of a shard: what a training sees, with nothing left to decode."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .. import degrade
from ..dicom.layout import numbers, text
from ..errors import InputError
from ..evaluate import score
from ..files import nifti
from ..geometry import Array, Frame, luma

AIR = -1024
"""HU that missing samples get, and below which nothing is kept."""

EIGHT_BIT = ("XR", "US", "ENDO")


@dataclasses.dataclass(frozen=True, eq=False)
class Prepared:
    """A series as it is stored.

    Attributes
    ----------
    slices : ndarray
        ``[slices, rows, cols]``.
    spacing_mm, slope, intercept, eight_bit, prepared
        As in :class:`acutance.evaluate.shards.Shard`.
    """

    slices: Array
    spacing_mm: tuple[float | None, float, float] | None
    slope: float
    intercept: float
    eight_bit: bool
    prepared: tuple[str, ...]


def prepare(frames: Sequence[Frame], modality: str) -> Prepared:
    """Return the slices of one series.

    Stored values stay as they are, but: CT becomes whole HU, not below -1024; colour becomes luma (ITU-R BT.601), or
    its one channel where all three agree; what is shown inverted (MONOCHROME1) is turned; missing samples take the
    least value; slices with different rescaling become real values in float32; what was compressed with loss is
    area-meaned by 2.

    Parameters
    ----------
    frames : sequence of Frame
    modality : str
        Of the protocol.

    Raises
    ------
    InputError
        The pictures differ in size, are smaller than 2 pixels a side after all, or hold values that no shard holds.
    """
    path = frames[0].source.path if frames[0].source else None
    if len({f.pixels.shape[:2] for f in frames}) > 1:
        raise InputError("holds pictures of several sizes; wanted one size in a series", path)
    mappings = {(f.slope, f.intercept) for f in frames}
    slope, intercept = mappings.pop() if len(mappings) == 1 and modality != "CT" else (1.0, 0.0)
    eight_bit, lossy = modality in EIGHT_BIT and all(f.limits == (0, 255) for f in frames), _lossy(frames[0])
    slices = [_upright(f, _gray(f.pixels)) for f in frames]
    done = ["luma"] if any(s.dtype != f.pixels.dtype for s, f in zip(slices, frames, strict=True)) else []
    done += ["turned from MONOCHROME1"] if any(f.inverted for f in frames) else []
    if modality == "CT":
        done += [] if all(_is_whole(f) for f in frames) else ["rounded to whole HU"]
        slices = [_hounsfield(f, s) for f, s in zip(frames, slices, strict=True)]
    elif mappings:
        done += ["real values, as slices differ in rescaling"]
        slices = [
            (s * np.float64(f.slope) + f.intercept).astype(np.float32) for f, s in zip(frames, slices, strict=True)
        ]
    elif eight_bit and all(s.dtype.kind in "iu" for s in slices):
        slices = [s.astype(np.uint8) for s in slices]
    stacked = np.stack(slices)
    if _fill(stacked, frames, modality):
        done += ["missing samples filled"]
    spacing = _spacing(frames)
    if lossy:
        done += ["area mean by 2, as it was compressed with loss"]
        stacked = _halved(stacked, modality)
        spacing = spacing and (spacing[0], 2 * spacing[1], 2 * spacing[2])
    if 0 in stacked.shape:
        raise InputError(f"is {frames[0].rows}x{frames[0].cols} pixels; wanted at least 2x2", path)
    return Prepared(stacked, spacing, slope, intercept, eight_bit, tuple(done))


def _gray(pixels: Array) -> Array:
    """Return gray pixels as they are; luma of colour, or its one channel where all three agree."""
    if pixels.ndim == 2:
        return pixels
    red, green, blue = np.moveaxis(pixels, 2, 0)
    if np.array_equal(red, green) and np.array_equal(red, blue):
        return np.ascontiguousarray(red)
    return luma(pixels)


def _upright(frame: Frame, pixels: Array) -> Array:
    """Return values of which the smallest is shown black."""
    if not frame.inverted:
        return pixels
    if pixels.dtype.kind == "f":
        return -pixels
    return (np.int32(sum(frame.limits)) - pixels).astype(pixels.dtype)


def _real(frame: Frame, pixels: Array) -> NDArray[np.float64]:
    return np.asarray(pixels * np.float64(frame.slope) + frame.intercept, dtype=np.float64)


def _is_whole(frame: Frame) -> bool:
    return frame.pixels.dtype.kind in "iu" and float(frame.slope).is_integer() and float(frame.intercept).is_integer()


def _hounsfield(frame: Frame, pixels: Array) -> Array:
    """Return whole HU; what is no number becomes air."""
    values = np.rint(np.nan_to_num(_real(frame, pixels), nan=AIR, posinf=AIR, neginf=AIR)).clip(min=AIR)
    if values.max() > np.iinfo(np.int16).max:
        path = frame.source.path if frame.source else None
        raise InputError(f"holds {values.max():.0f} HU; wanted at most {np.iinfo(np.int16).max}", path)
    return values.astype(np.int16)


def _fill(slices: Array, frames: Sequence[Frame], modality: str) -> bool:
    """Put the least valid value of the series, air for CT, where samples are missing; tell whether any were."""
    missing = [f.missing() for f in frames]
    if all(m is None for m in missing):
        return False
    masks = np.stack([np.zeros(s.shape, bool) if m is None else m for s, m in zip(slices, missing, strict=True)])
    if masks.all():
        path = frames[0].source.path if frames[0].source else None
        raise InputError("holds no valid sample", path)
    slices[masks] = AIR if modality == "CT" else slices[~masks].min()
    return True


def _halved(slices: Array, modality: str) -> Array:
    """Return area means by 2; of CT in whole HU, as the protocol takes it as int16 alone."""
    dtype = np.dtype(np.int16 if modality == "CT" else np.float32)
    return np.stack([score.rounded(degrade.area_mean(degrade.crop(s, 2), 2), dtype) for s in slices])


def _lossy(frame: Frame) -> bool:
    """Tell whether pixels were once compressed with loss (PS3.3 C.7.6.1.1.5)."""
    if frame.source is None:
        return False
    return frame.source.kind == "jpeg" or (
        frame.source.kind == "dicom" and text(frame.source.header, "LossyImageCompression") == "01"
    )


def _spacing(frames: Sequence[Frame]) -> tuple[float | None, float, float] | None:
    """Return the spacing between slices, where it is known and one, between rows and between columns."""
    first = frames[0]
    if first.spacing is None:
        return None
    return (_step(frames), *first.spacing)


def _step(frames: Sequence[Frame]) -> float | None:
    """Return the distance of neighbouring slices in mm: the median where positions are given."""
    source = frames[0].source
    if source is None or len(frames) < 2:
        return None
    if source.kind == "nifti":
        return nifti.distance(source.header)
    if source.kind != "dicom":
        return None
    headers = {id(f.source.header): f.source.header for f in frames if f.source is not None}
    places = [numbers(h, "ImagePositionPatient", 3) for h in headers.values()]
    known = np.array([p for p in places if p is not None], dtype=np.float64)
    if len(known) < 2:
        return None
    steps = np.linalg.norm(np.diff(known, axis=0), axis=1)
    return float(np.round(np.median(steps), 4)) or None
