"""Text in the pixels: where it may be, and what is blanked (PS3.15 E.3.1)."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from ..dicom import groups
from ..dicom.classes import IMAGE_CLASSES, SECONDARY_CAPTURE
from ..dicom.layout import integer, text
from ..errors import UsageError
from ..geometry import Frame

Mask = NDArray[np.bool_]

_PICTURES = (1, 2, 3, 4)
"""Region Spatial Format of 2D, M-mode, spectral and waveform regions; 5, graphics, may be text (PS3.3 C.8.5.5.1.1)."""

_SCREENS = {"SCREEN SAVE", "SCREENSAVE", "DOSE_INFO", "DOSE INFO"}
"""Values of Image Type that scanners give to captured screens and dose sheets."""

_WITH_TEXT = ("US", "ES")
"""Modalities whose machines put the patient's name on the picture unless they say otherwise."""


@dataclasses.dataclass(frozen=True)
class Rectangle:
    """A part of a picture in pixels, counted from 0 at the upper left."""

    row: int
    col: int
    rows: int
    cols: int

    @classmethod
    def parse(cls, said: str) -> Rectangle:
        """Return the rectangle that ``ROW,COL,ROWS,COLS`` names.

        Raises
        ------
        UsageError
            It is something else, or empty.
        """
        numbers = [int(x) for x in said.split(",")] if re.fullmatch(r"\d{1,6}(,\d{1,6}){3}", said) else []
        if not numbers or min(numbers[2:]) < 1:
            raise UsageError(f"--blank is '{said}'; wanted ROW,COL,ROWS,COLS in pixels, as 0,0,60,640")
        return cls(*numbers)

    def fits(self, rows: int, cols: int) -> bool:
        """Tell whether it lies wholly in a picture."""
        return self.row + self.rows <= rows and self.col + self.cols <= cols


def outside_regions(header: Dataset, rows: int, cols: int) -> Mask | None:
    """Return what lies outside all ultrasound regions (PS3.3 C.8.5.5), None where there are none.

    Returns
    -------
    ndarray of bool or None
        ``[rows, cols]``. Regions of graphics, and such that are empty or outside the picture, do not count.
    """
    outside = np.ones((rows, cols), bool)
    for region in groups.items(header, "SequenceOfUltrasoundRegions"):
        corners = [integer(region, f"RegionLocation{x}") for x in ("MinX0", "MinY0", "MaxX1", "MaxY1")]
        if integer(region, "RegionSpatialFormat") not in _PICTURES or any(x is None or x < 0 for x in corners):
            continue
        x0, y0, x1, y1 = (x or 0 for x in corners)  # the last row and column belong to it
        outside[y0 : y1 + 1, x0 : x1 + 1] = False
    return None if outside.all() else outside


def why_named(header: Dataset, outside: Mask | None) -> str | None:
    """Return why the pixels may name a person, given what is blanked anyway; None where nothing says so."""
    said = {x.strip().upper() for x in text(header, "ImageType").strip("[]").replace("'", "").split(",")}
    burned = text(header, "BurnedInAnnotation").upper()
    if text(header, "SOPClassUID") in SECONDARY_CAPTURE:
        return "is a secondary capture, which may hold a screen with a name on it"
    if said & _SCREENS:
        return "is a captured screen or a dose sheet by its Image Type"
    if burned == "NO" or (outside is not None and outside.any()):
        return None
    if burned == "YES":
        return "says that text is burned into its pixels (Burned In Annotation)"
    modality = text(header, "Modality").upper() or IMAGE_CLASSES.get(text(header, "SOPClassUID"), "")
    if modality in _WITH_TEXT:
        lacks = "has ultrasound regions that cover all of it" if outside is not None else "has no ultrasound regions"
        lacks = lacks if modality == "US" else "is from an endoscope"
        return f"{lacks} and does not say that no text is burned into its pixels"
    return None


def blanked(frames: Sequence[Frame], mask: Mask) -> list[Frame]:
    """Return frames with black where the mask is true: with their own least value, or the greatest if that is black."""
    darkest = max(f.pixels.max() for f in frames) if frames[0].inverted else min(f.pixels.min() for f in frames)
    value = 0 if frames[0].pixels.ndim == 3 else darkest
    made = []
    for frame in frames:
        pixels = frame.pixels.copy()
        pixels[mask] = value
        made.append(dataclasses.replace(frame, pixels=pixels))
    return made
