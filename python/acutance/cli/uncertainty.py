"""How sure results are, written beside them: a map in the kind of the source, and a picture for the eye."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..enhancer import Result
from ..errors import InputError
from ..files import overlay, record
from ..geometry import Derivation, Frame
from ..io import SUFFIXES

MARK = "_uncertainty"


class Bounds:
    """The half widths of the pictures of one file, gathered while they are made."""

    def __init__(self) -> None:
        self._frames: list[Frame] = []
        self._half: list[NDArray[np.float32]] = []
        self._lacking = 0

    def add(self, result: Result) -> None:
        """Take what is needed of the next result."""
        if result.lower is None or result.upper is None:
            self._lacking += 1
            return
        width = result.upper.astype(np.float32) - result.lower.astype(np.float32)
        width = width.mean(axis=2) if width.ndim == 3 else width
        self._half.append(np.nan_to_num(width * np.float32(abs(result.frame.slope) / 2)))
        self._frames.append(result.frame)

    def write(self, target: Path) -> str | None:
        """Write the map and the picture beside ``target``; return what could not be done.

        Raises
        ------
        OutputError
        UsageError
            A DICOM Parametric Map is wanted and highdicom is not installed.
        """
        if self._lacking:
            return "its uncertainty is not known: a picture in it was made without the network"
        note = None
        if has_map(self._frames[0]):
            try:
                self._write_map(map_of(target))
            except InputError as e:
                note = e.message
        middle = len(self._frames) // 2
        frame = self._frames[middle]
        derivations = [f.derivation for f in self._frames if f.derivation is not None]
        unit = "HU" if frame.modality == "CT" else ""
        overlay.write(picture_of(target), frame, self._half[middle], unit, _record(frame, derivations))
        return note

    def _write_map(self, path: Path) -> None:
        source = self._frames[0].source
        if source is not None and source.kind == "dicom":
            from .. import dicom
            from ..dicom import parametric

            dicom.write(path, parametric.derive_map(self._frames, self._half))
            return
        from ..files import nifti

        pairs = zip(self._frames, self._half, strict=True)
        frames = [dataclasses.replace(f, pixels=half, slope=1.0, intercept=0.0) for f, half in pairs]
        nifti.write(path, frames, real=True)


def has_map(frame: Frame) -> bool:
    """Tell whether a map is written: of NIfTI, and of DICOM that lies in a frame of reference."""
    if frame.source is None or frame.source.kind != "dicom":
        return frame.source is not None and frame.source.kind == "nifti"
    return frame.plane is not None and bool(frame.plane.reference)


def is_right(target: Path, frames: Sequence[Frame], planned: Sequence[Derivation]) -> bool:
    """Tell whether what belongs beside a right result is there."""
    from ..files import raster

    if has_map(frames[0]) and not map_of(target).is_file():
        return False
    picture = picture_of(target)
    return picture.is_file() and raster.read_record(picture) == _record(frames[0], planned)


def map_of(target: Path) -> Path:
    """Return the place of the map beside a result."""
    stem, end = _parts(target)
    return target.with_name(f"{stem}{MARK}{end}")


def picture_of(target: Path) -> Path:
    """Return the place of the picture beside a result."""
    return target.with_name(f"{_parts(target)[0]}{MARK}.png")


def _parts(target: Path) -> tuple[str, str]:
    """Return a file name without its end, and the end."""
    lower = target.name.lower()
    for end in sorted((s for found in SUFFIXES.values() for s in found), key=len, reverse=True):
        if lower.endswith(end):
            return target.name[: -len(end)], target.name[-len(end) :]
    return target.name, ""


def _record(frame: Frame, derivations: Sequence[Derivation]) -> record.Record | None:
    source = frame.source
    if source is None:
        return None
    name = source.header.get("SOPInstanceUID", "") if source.kind == "dicom" else source.header.sha256
    return record.made(derivations, str(name))
