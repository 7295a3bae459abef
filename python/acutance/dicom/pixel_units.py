"""Header attributes that count or measure pixels, and what enlarging makes of them.

One table for all classes of the allow-list. What is measured in millimetres of the patient or in elements of the
detector does not change: slice thickness and spacing, reconstruction diameter and Reconstruction Pixel Spacing (which
differs from Pixel Spacing where pixels are processed afterwards, PS3.3 C.8.15.3.7), Acquisition Matrix, Detector
Element Spacing, Detector Binning and Field of View Origin (detector pixels, C.8.11.4), exposed area, Zoom Center and
Zoom Factor of a gamma camera (C.8.4.11.1.3), Localizing Cursor Position (mm). Pixel Aspect Ratio stays, both sides
grow alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pydicom.dataset import Dataset
from pydicom.valuerep import DSfloat

from .layout import integer, numbers

Rule = Callable[[float, int], Any]


def _divided(value: float, scale: int) -> DSfloat:
    return decimal(value / scale)


def _multiplied(value: float, scale: int) -> float:
    return value * scale


def _count(value: float, scale: int) -> int:
    return int(value) * scale


def _first(value: float, scale: int) -> int:
    """Column or row, from 1, of the first output pixel of a block."""
    return (int(value) - 1) * scale + 1


def _last(value: float, scale: int) -> int:
    """Column or row, from 1, of the last output pixel of a block."""
    return int(value) * scale


def _centre(value: float, scale: int) -> int:
    """Column or row, from 1, of the output pixel at or just before the centre of a block."""
    return _first(value, scale) + (scale - 1) // 2


RULES: dict[str, Rule] = {
    # distance of pixel centres in mm: PS3.3 10.7.1.3
    "PixelSpacing": _divided,
    "ImagerPixelSpacing": _divided,
    "NominalScannedPixelSpacing": _divided,
    # Display Shutter, C.7.6.11: rows and columns from 1; the open area keeps every pixel of its edge
    "ShutterLeftVerticalEdge": _first,
    "ShutterRightVerticalEdge": _last,
    "ShutterUpperHorizontalEdge": _first,
    "ShutterLowerHorizontalEdge": _last,
    "CenterOfCircularShutter": _centre,
    "RadiusOfCircularShutter": _count,
    "VerticesOfThePolygonalShutter": _centre,
    # X-Ray Collimator, C.8.7.3: the same
    "CollimatorLeftVerticalEdge": _first,
    "CollimatorRightVerticalEdge": _last,
    "CollimatorUpperHorizontalEdge": _first,
    "CollimatorLowerHorizontalEdge": _last,
    "CenterOfCircularCollimator": _centre,
    "RadiusOfCircularCollimator": _count,
    "VerticesOfThePolygonalCollimator": _centre,
    # Mask, C.7.6.10: shift of the mask in pixels
    "MaskSubPixelShift": _multiplied,
    # US Region Calibration, C.8.5.5.1.9 and C.8.5.5.1.10: displacements in pixels from the reference pixel
    "DopplerSampleVolumeXPosition": _count,
    "DopplerSampleVolumeYPosition": _count,
    "TMLinePositionX0": _count,
    "TMLinePositionY0": _count,
    "TMLinePositionX1": _count,
    "TMLinePositionY1": _count,
    # the same, retired
    "DopplerSampleVolumeXPositionRetired": _count,
    "DopplerSampleVolumeYPositionRetired": _count,
    "TMLinePositionX0Retired": _count,
    "TMLinePositionY0Retired": _count,
    "TMLinePositionX1Retired": _count,
    "TMLinePositionY1Retired": _count,
}

DROPPED = (
    "IconImageSequence",  # a smaller picture of the source, C.7.6.1.1.6
    "HistogramSequence",  # counts of pixels, C.11.5
    "GraphicAnnotationSequence",  # places in the source's pixels, of presentation states, C.10.5
    "DisplayedAreaSelectionSequence",
    "SmallestPixelValueInSeries",  # of the source's series
    "LargestPixelValueInSeries",
    "ImagePosition",  # retired, ACR-NEMA
    "PixelDataProviderURL",  # the source's pixels elsewhere
    "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
    "EncapsulatedPixelDataValueTotalLength",
    "DigitalSignaturesSequence",  # of the source, C.12.1.1.3
    "MACParametersSequence",
    "EncryptedAttributesSequence",
    "SOPInstanceStatus",  # authorisation of the source, C.12.1
    "SOPAuthorizationDateTime",
    "SOPAuthorizationComment",
    "AuthorizationEquipmentCertificationNumber",
    "InstanceCreationDate",  # left out, so that running twice makes the same file
    "InstanceCreationTime",
    "InstanceCreatorUID",
)
"""Attributes of the source that do not hold for what is derived from it."""

HISTORY = ("OriginalAttributesSequence", "NonconformingModifiedAttributesSequence")
"""Sequences about earlier values: what is in them stays as it is."""


def decimal(value: float) -> DSfloat:
    """Return a number in the at most 16 characters of VR DS (PS3.5 6.2)."""
    return DSfloat(value, auto_format=True)


def rescale(dataset: Dataset, scale: int) -> None:
    """Change every attribute of :data:`RULES`, wherever it stands, and the ultrasound regions, in place."""
    for element in list(dataset):
        if element.keyword in HISTORY:
            continue
        if element.keyword == "SequenceOfUltrasoundRegions":
            for region in element.value or ():
                _rescale_region(region, scale)
        if element.VR == "SQ":
            for item in element.value or ():
                rescale(item, scale)
        elif element.keyword in RULES and not element.is_empty:
            try:
                element.value = _changed(element.value, RULES[element.keyword], scale)
            except (TypeError, ValueError, OverflowError):  # no number, so its old value would be wrong
                del dataset[element.tag]


def _changed(value: Any, rule: Rule, scale: int) -> Any:
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [rule(float(x), scale) for x in value]
    return rule(float(value), scale)


_REGION_AXES = (("X", "MinX0", "MaxX1"), ("Y", "MinY0", "MaxY1"))


def _rescale_region(region: Dataset, scale: int) -> None:
    """Change the places and the calibration of one ultrasound region (PS3.3 C.8.5.5.1.14 to C.8.5.5.1.17).

    Bounds are indices from 0, both included. The reference pixel counts from the region's corner; its centre moves by a
    fraction of a pixel where ``scale`` is even, which its physical value takes up.
    """
    for axis, lowest, highest in _REGION_AXES:
        low, high, reference = f"RegionLocation{lowest}", f"RegionLocation{highest}", f"ReferencePixel{axis}0"
        physical, delta = f"ReferencePixelPhysicalValue{axis}", f"PhysicalDelta{axis}"
        step = numbers(region, delta, 1)
        first, last, at = integer(region, low), integer(region, high), integer(region, reference)
        if first is not None:
            setattr(region, low, first * scale)
        if last is not None:
            setattr(region, high, last * scale + scale - 1)
        if at is not None:
            moved = at * scale + (scale - 1) // 2
            setattr(region, reference, moved)
            value = numbers(region, physical, 1)
            if value is not None and step is not None:
                setattr(region, physical, value[0] + ((moved + 0.5) / scale - 0.5 - at) * step[0])
        if step is not None:
            setattr(region, delta, step[0] / scale)
