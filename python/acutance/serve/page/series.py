"""What is looked at: the slices of series, read when they are wanted."""

from __future__ import annotations

import dataclasses
import os
import secrets
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ... import dicom, io
from ...dicom.layout import integer, text
from ...errors import InputError
from ...geometry import Frame
from .kept import Kept

_KINDS = {"dicom": "DICOM", "nifti": "NIfTI", "png": "PNG", "tiff": "TIFF", "jpeg": "JPEG"}


@dataclasses.dataclass(frozen=True)
class Series:
    """Pictures that are scrolled through.

    Attributes
    ----------
    id : str
    kind : str
        Of the files, as :func:`acutance.io.kind_of` gives it.
    modality : str
    label : str
        What it is called; holds nothing that names a patient.
    name : str
        What names it and perhaps the patient: shown only where that is wanted.
    slices : tuple of (Path, int)
        File and number in it of each picture.
    rows, cols : int
        Of the first picture.
    """

    id: str
    kind: str
    modality: str
    label: str
    name: str
    slices: tuple[tuple[Path, int], ...]
    rows: int
    cols: int

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files, each once, in order."""
        return tuple(dict.fromkeys(path for path, _ in self.slices))


@dataclasses.dataclass(frozen=True)
class Skipped:
    """A file that is not looked at, and why."""

    path: Path
    reason: str


class Reader:
    """Reads files and keeps what was read last.

    Parameters
    ----------
    limit : int
        Bytes of pixels that are kept.
    max_pixels : int
        Of a file.
    """

    def __init__(self, limit: int, max_pixels: int) -> None:
        self.max_pixels = max_pixels
        self._kept: Kept[list[Frame]] = Kept(limit)
        self._lock = threading.Lock()

    def frames(self, path: Path) -> list[Frame]:
        """Return the pictures of a file.

        Raises
        ------
        InputError
            It cannot be read.
        """
        with self._lock:
            found = self._kept.get(path)
            if found is None:
                found = io.read(path, max_pixels=self.max_pixels)
                self._kept.put(path, found, sum(f.pixels.nbytes for f in found))
            return found

    def frame(self, series: Series, number: int) -> Frame:
        """Return a picture of a series.

        Raises
        ------
        InputError
            Its file cannot be read, or has changed.
        """
        path, index = series.slices[number]
        frames = self.frames(path)
        if index >= len(frames):
            raise InputError("has other pictures than when it was opened", path)
        return frames[index]

    def forget(self, series: Series) -> None:
        """Let go of what was read of a series."""
        for path in series.paths:
            self._kept.forget(path)


def find(paths: Iterable[Path], reader: Reader) -> tuple[list[Series], list[Skipped]]:
    """Sort files, and what lies in folders, into series: DICOM by its headers, each other file as one.

    Nothing is raised for a file that cannot be read: it is among the skipped.
    """
    series: list[Series] = []
    skipped: list[Skipped] = []
    medical: list[Path] = []
    for path in dict.fromkeys(_files(paths)):
        try:
            kind = io.kind_of(path)
            if kind == "dicom":
                medical.append(path)
            else:
                series.append(_other(path, kind, reader))
        except InputError as e:
            skipped.append(Skipped(path, e.message))
    found = dicom.find(medical, ("NumberOfFrames", "Rows", "Columns", "SeriesNumber", "PatientName"))
    skipped += [Skipped(Path(e.path or ""), e.message) for e in found.skipped]
    return [*map(_dicom, found.series), *series], skipped


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    """Go through files, and folders to any depth without what is hidden in them."""
    for given in paths:
        if not given.is_dir():
            yield given
            continue
        for folder, folders, names in os.walk(given):
            folders[:] = sorted(x for x in folders if not x.startswith("."))
            yield from (Path(folder, x) for x in sorted(names) if not x.startswith("."))


def _dicom(found: dicom.Series) -> Series:
    slices: list[tuple[Path, int]] = []
    for path, header in zip(found.paths, found.headers, strict=True):
        count = min(
            integer(header, "NumberOfFrames", 1) or 1, Path(path).stat().st_size
        )  # a header may promise anything
        slices += [(Path(path), i) for i in range(max(1, count))]
    first = found.headers[0]
    number = integer(first, "SeriesNumber")
    rows, cols = (integer(first, side, 0) or 0 for side in ("Rows", "Columns"))
    label = found.modality if number is None else f"{found.modality} {number}"
    return _made("dicom", found.modality, label, text(first, "PatientName"), slices, rows, cols)


def _other(path: Path, kind: str, reader: Reader) -> Series:
    frames = reader.frames(path)
    slices = [(path, i) for i in range(len(frames))]
    return _made(kind, frames[0].modality, _KINDS[kind], path.name, slices, frames[0].rows, frames[0].cols)


def _made(
    kind: str, modality: str, label: str, name: str, slices: Sequence[tuple[Path, int]], rows: int, cols: int
) -> Series:
    return Series(secrets.token_hex(8), kind, modality, label, name, tuple(slices), rows, cols)
