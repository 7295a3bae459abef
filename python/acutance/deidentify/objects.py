"""One DICOM file, de-identified."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from pydicom.dataset import Dataset, FileDataset

from .. import dicom
from ..dicom.container import Container
from ..dicom.derive import finished
from ..dicom.layout import MAX_PIXELS, text
from ..dicom.quiet import quiet
from ..errors import InputError
from ..geometry import Frame
from . import burned_in
from .attributes import clean
from .burned_in import Rectangle
from .key import Key
from .profile import Retain


@dataclasses.dataclass(frozen=True)
class Settings:
    """How files are de-identified.

    Attributes
    ----------
    key : Key
    retained : tuple of Retain
        Options of the profile that keep more.
    blank : tuple of Rectangle
        Blanked in every picture.
    allow_burned_in : bool
        Take pictures whose pixels may name a person.
    compress : {"jpeg2000", "rle"} or None
        Lossless compression of the pixels; none when not given.
    max_pixels : int
        Of one file, above which it is refused.
    """

    key: Key
    retained: tuple[Retain, ...] = ()
    blank: tuple[Rectangle, ...] = ()
    allow_burned_in: bool = False
    compress: Literal["jpeg2000", "rle"] | None = None
    max_pixels: int = MAX_PIXELS


def deidentify(path: str | os.PathLike[str], settings: Settings) -> FileDataset:
    """Return a file's image as the confidentiality profile wants it.

    The pixels are decoded and written anew, so that nothing rides along in comments of compressed frames, bits above
    Bits Stored, or bytes behind the picture. Outside ultrasound regions they are blanked.

    Raises
    ------
    InputError
        The file is no DICOM image that is read here, its pixels may name a person, or a rectangle leaves the picture.
    OutputError
        It cannot be compressed.
    """
    read = dicom.read(path, max_pixels=settings.max_pixels)
    assert read[0].source is not None
    header = read[0].source.header
    frames, cleaned = _without_text(header, read, settings, path)
    with quiet():
        out = clean(header, settings.key, settings.retained, pixels_cleaned=cleaned)
        return finished(out, frames, settings.compress, os.fspath(path))


def _without_text(
    header: Dataset, frames: Sequence[Frame], settings: Settings, path: str | os.PathLike[str]
) -> tuple[Sequence[Frame], bool]:
    """Return the frames with what may be text blanked, and whether anything was."""
    rows, cols = frames[0].rows, frames[0].cols
    outside = burned_in.outside_regions(header, rows, cols)
    why = burned_in.why_named(header, outside)
    if why and not settings.blank and not settings.allow_burned_in:
        raise InputError(f"{why}; --blank says what to blank, --allow-burned-in takes it as it is", path)
    mask = np.zeros((rows, cols), bool) if outside is None else outside
    for part in settings.blank:
        if not part.fits(rows, cols):
            raise InputError(f"is {rows} x {cols} pixels, and --blank leaves it", path)
        mask[part.row : part.row + part.rows, part.col : part.col + part.cols] = True
    return (burned_in.blanked(frames, mask), True) if mask.any() else (frames, False)


def place(made: Dataset) -> Path:
    """Return where a de-identified object lies in an output folder: its subject, study, series and own UID."""
    study, series = (text(made, x) or "none" for x in ("StudyInstanceUID", "SeriesInstanceUID"))
    return Path(text(made, "PatientID"), study, series, f"{text(made, 'SOPInstanceUID')}.dcm")


def is_ours(path: Path, made: Dataset) -> bool:
    """Tell whether a file is the same object, de-identified before."""
    try:
        with quiet(), Container(path, ("SOPInstanceUID", "PatientIdentityRemoved")) as file:
            same = text(file.header, "SOPInstanceUID") == text(made, "SOPInstanceUID")
            return same and text(file.header, "PatientIdentityRemoved") == "YES"
    except InputError:
        return False
