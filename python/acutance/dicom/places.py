"""Where a picture, and the first output pixel, lies in the patient."""

from __future__ import annotations

from pydicom.dataset import Dataset

from .. import geometry
from ..geometry import Plane
from . import groups
from .layout import integer, numbers, text
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


def plane(header: Dataset, index: int) -> Plane | None:
    """Return where a frame lies in the patient, None when its position, orientation or Pixel Spacing is not given.

    Plane Position, Plane Orientation and Pixel Measures of enhanced objects (PS3.3 C.7.6.16.2), else the Image Plane
    module (C.7.6.2), which says only where the one frame of a file lies.
    """
    position = groups.item(header, "PlanePositionSequence", index)
    if position is None and (integer(header, "NumberOfFrames", 1) or 1) > 1:
        return None
    measures = groups.item(header, "PixelMeasuresSequence", index) or header
    turned = groups.item(header, "PlaneOrientationSequence", index) or header
    origin = numbers(position or header, "ImagePositionPatient", 3)
    directions, spacing = numbers(turned, "ImageOrientationPatient", 6), numbers(measures, "PixelSpacing", 2)
    if origin is None or directions is None or spacing is None or min(spacing) <= 0:
        return None
    thickness = numbers(measures, "SliceThickness", 1)
    (a, b, c), (d, e, f) = directions[:3], directions[3:]
    return Plane(
        origin=(origin[0], origin[1], origin[2]),
        down=(d * spacing[0], e * spacing[0], f * spacing[0]),
        right=(a * spacing[1], b * spacing[1], c * spacing[1]),
        thickness=thickness[0] if thickness and thickness[0] > 0 else None,
        reference=text(header, "FrameOfReferenceUID"),
    )


def _move(place: Dataset, orientation: Dataset, spacing: tuple[float, ...] | None, scale: int) -> None:
    position, directions = numbers(place, "ImagePositionPatient", 3), numbers(orientation, "ImageOrientationPatient", 6)
    if position is None or directions is None or spacing is None:
        return
    moved = geometry.refined_position(position, directions, spacing, scale)
    place.ImagePositionPatient = [decimal(x) for x in moved]
