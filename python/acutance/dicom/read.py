"""A DICOM file in, Frames out."""

from __future__ import annotations

import os
from typing import Any

from pydicom.dataset import Dataset

from .. import geometry
from ..errors import InputError
from ..geometry import Frame, Source
from . import groups
from .classes import IMAGE_CLASSES, MODALITIES, check_class
from .container import Container
from .decode import Decoded, decode
from .layout import MAX_PIXELS, Layout, integer, layout, numbers, text
from .places import plane
from .quiet import quiet


def read(path: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS) -> list[Frame]:
    """Read the image frames of one DICOM file.

    Parameters
    ----------
    path : str or os.PathLike
    max_pixels : int
        Pixels, all frames together, above which the file is refused before memory is taken.

    Returns
    -------
    list of Frame
        One per image frame, in order, with stored values, the mapping to real values (PS3.3 C.11.1, C.7.6.16.2.9),
        spacing (:func:`spacing`), plane, padding and window. Colour is RGB. All have the same ``source.header`` (the
        data set without pixels) and, when there are several, the same ``value_range``.

    Raises
    ------
    InputError
        The file is not a DICOM image that is enhanced, is damaged or cut short, or cannot be decoded; the message names
        which and never holds a value of the header that could identify a patient.
    """
    with quiet(), Container(path) as file:
        header = file.header
        check_kind(header, file.path)
        if file.pixels is None:
            raise InputError("has no pixel data", file.path)
        found = layout(header, file.path, max_pixels)
        decoded = decode(file, found)
        _note_loss(header, decoded)
        frames = [_frame(header, pixels, found, i, file.path) for i, pixels in enumerate(decoded.frames)]
    return geometry.share_range(frames) if len(frames) > 1 else frames


def check_kind(header: Dataset, path: str | os.PathLike[str] | None) -> None:
    """Raise InputError unless the header is of an image on the allow-list that can be named as a source."""
    check_class(text(header, "SOPClassUID"), path)
    if not text(header, "SOPInstanceUID"):
        raise InputError("has no SOP Instance UID, so nothing derived from it could name its source", path)


def _note_loss(header: Dataset, decoded: Decoded) -> None:
    """Write into the header what its transfer syntax has lost, if it does not say so (PS3.3 C.7.6.1.1.5)."""
    if decoded.lossy is not None and text(header, "LossyImageCompression") != "01":
        header.LossyImageCompression = "01"
        header.LossyImageCompressionRatio = round(decoded.ratio, 2)
        header.LossyImageCompressionMethod = decoded.lossy


def _frame(header: Dataset, pixels: geometry.Array, found: Layout, index: int, path: str) -> Frame:
    gray = found.samples == 1
    slope, intercept = rescale(header, index) or (1.0, 0.0) if gray else (1.0, 0.0)
    return Frame(
        pixels,
        modality=modality(header, index),
        spacing=spacing(header, index),
        slope=slope,
        intercept=intercept,
        bits_stored=found.stored,
        padding=padding(header, found) if gray else None,
        inverted=found.photometric == "MONOCHROME1",
        window=window(header, index) if gray else None,
        timestamp=timestamp(header, index),
        plane=plane(header, index),
        source=Source(path, header, index, "dicom"),
    )


def modality(header: Dataset, index: int = 0) -> str:
    """Return the modality whose values the pixels are.

    That of the header (0008,0060) where it is one of the standard's, since messages name it; ``"OT"`` else, and for CT
    whose values are not Hounsfield units: captured screens, files without rescale, and maps of other quantities
    (Rescale Type, PS3.3 C.11.1.1.2).
    """
    said = text(header, "Modality").upper() or IMAGE_CLASSES.get(text(header, "SOPClassUID"), "OT")
    said = said if said in MODALITIES else "OT"
    if said == "CT":
        unit = text(groups.item(header, "PixelValueTransformationSequence", index) or header, "RescaleType").upper()
        if rescale(header, index) is None or unit not in ("", "HU", "HU_MOD"):
            return "OT"
    return said


def rescale(header: Dataset, index: int = 0) -> tuple[float, float] | None:
    """Return rescale slope and intercept of a frame, None without them."""
    for place in (groups.item(header, "PixelValueTransformationSequence", index), header):
        if place is not None:
            slope, intercept = numbers(place, "RescaleSlope", 1), numbers(place, "RescaleIntercept", 1)
            if slope is not None and intercept is not None:
                return slope[0], intercept[0]
    return None


def window(header: Dataset, index: int = 0) -> tuple[float, float] | None:
    """Return the first window of a frame, centre and width in real values (PS3.3 C.11.2, C.7.6.16.2.10)."""
    for place in (groups.item(header, "FrameVOILUTSequence", index), header):
        if place is not None:
            centre, width = numbers(place, "WindowCenter", 1), numbers(place, "WindowWidth", 1)
            if centre is not None and width is not None and width[0] > 0:
                return centre[0], width[0]
    return None


def padding(header: Dataset, found: Layout) -> tuple[float, float] | None:
    """Return the range of stored values that are padding (PS3.3 C.7.5.1.1.2), None without or outside Bits Stored."""
    value = integer(header, "PixelPaddingValue")
    if value is None:
        return None
    limit = integer(header, "PixelPaddingRangeLimit", value)
    ends = sorted(_as_stored(x, found) for x in (value, value if limit is None else limit))
    low, high = found.limits
    return (float(ends[0]), float(ends[1])) if low <= ends[0] and ends[1] <= high else None


def _as_stored(value: int, found: Layout) -> int:
    """Undo a value read with the wrong sign: writers confuse the VRs US and SS."""
    if found.signed and value > 0x7FFF:
        return value - 0x10000
    if not found.signed and value < 0:
        return value + 0x10000
    return value


_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")


def spacing(header: Dataset, index: int = 0) -> tuple[float, float] | None:
    """Return the distance of a frame's pixel centres in mm: between rows, between columns.

    Pixel Spacing (PS3.3 10.7.1.3) in the functional groups or the data set, else Imager Pixel Spacing, else Nominal
    Scanned Pixel Spacing, else the deltas of ultrasound regions in cm when all agree (C.8.5.5); None without any.
    """
    measures = groups.item(header, "PixelMeasuresSequence", index)
    for place in (header,) if measures is None else (measures, header):
        for keyword in _SPACINGS:
            found = numbers(place, keyword, 2)
            if found is not None and min(found) > 0:
                return found[0], found[1]
    return _region_spacing(header)


def _region_spacing(header: Dataset) -> tuple[float, float] | None:
    found = set()
    for region in groups.items(header, "SequenceOfUltrasoundRegions"):
        if integer(region, "RegionSpatialFormat") != 1:
            continue
        x, y = numbers(region, "PhysicalDeltaX", 1), numbers(region, "PhysicalDeltaY", 1)
        units = {integer(region, "PhysicalUnitsXDirection"), integer(region, "PhysicalUnitsYDirection")}
        if x is None or y is None or units != {3} or x[0] == 0 or y[0] == 0:
            return None
        found.add((10 * abs(y[0]), 10 * abs(x[0])))
    return found.pop() if len(found) == 1 else None


def timestamp(header: Dataset, index: int) -> float | None:
    """Return the seconds since the first frame, from Frame Time or Frame Time Vector (PS3.3 C.7.6.5)."""
    pointer: Any = header.get("FrameIncrementPointer")
    if pointer == 0x00181063:
        step = numbers(header, "FrameTime", 1)
        return None if step is None else index * step[0] / 1000
    if pointer == 0x00181065:
        steps = numbers(header, "FrameTimeVector", index + 1)
        return None if steps is None else sum(steps[1:]) / 1000
    return None
