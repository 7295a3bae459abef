"""Where the first output pixel lies in the patient."""

from __future__ import annotations

from pydicom.dataset import Dataset

from .. import geometry
from . import groups
from .layout import numbers
from .pixel_units import decimal


def move(dataset: Dataset, scale: int) -> None:
    """Move every Image Position (Patient) to the centre of the first output pixel, in place.

    In the data set (PS3.3 C.7.6.2), in the Plane Position of each frame of an enhanced object (C.7.6.16.2.3), and in
    the detectors of nuclear medicine (C.8.4.11). Needs the old spacing. A position without orientation or Pixel Spacing
    stays: nothing says where its pixels lie.
    """
    measures = groups.item(dataset, "PixelMeasuresSequence", 0)
    spacing = numbers(dataset, "PixelSpacing", 2) or (measures and numbers(measures, "PixelSpacing", 2)) or None
    _move(dataset, dataset, spacing, scale)
    for detector in groups.items(dataset, "DetectorInformationSequence"):
        _move(detector, detector, spacing, scale)
    moved: set[int] = set()
    for index in range(max(len(groups.items(dataset, groups.PER_FRAME)), 1)):
        position = groups.item(dataset, "PlanePositionSequence", index)
        if position is None or id(position) in moved:
            continue
        moved.add(id(position))
        measures = groups.item(dataset, "PixelMeasuresSequence", index)
        own = numbers(measures, "PixelSpacing", 2) if measures is not None else spacing
        _move(position, groups.item(dataset, "PlaneOrientationSequence", index) or dataset, own, scale)


def _move(place: Dataset, orientation: Dataset, spacing: tuple[float, ...] | None, scale: int) -> None:
    position, directions = numbers(place, "ImagePositionPatient", 3), numbers(orientation, "ImageOrientationPatient", 6)
    if position is None or directions is None or spacing is None:
        return
    moved = geometry.refined_position(position, directions, spacing, scale)
    place.ImagePositionPatient = [decimal(x) for x in moved]
