"""Which files form a series, and in which order, from headers only."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from pydicom.dataset import Dataset

from ..errors import InputError
from . import groups
from .container import Container
from .layout import integer, numbers, text
from .quiet import quiet
from .read import check_kind, modality

_TAGS = (
    "SOPClassUID",
    "SOPInstanceUID",
    "Modality",
    "SeriesInstanceUID",
    "AcquisitionNumber",
    "InstanceNumber",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "RescaleSlope",
    "RescaleIntercept",
    "RescaleType",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)

_Key = tuple[tuple[float, ...], float, float, float, str, str]


@dataclasses.dataclass(frozen=True)
class Series:
    """The files of one series in the order of their places in the patient.

    Attributes
    ----------
    uid : str
        Series Instance UID, that of the object itself where it has none.
    modality : str
        As :func:`acutance.dicom.read` gives it, of the first file.
    paths : tuple of str
    headers : tuple of Dataset
        The elements of each file that were asked for, beside those that it is sorted by.
    """

    uid: str
    modality: str
    paths: tuple[str, ...]
    headers: tuple[Dataset, ...] = ()


@dataclasses.dataclass(frozen=True)
class Found:
    """What :func:`find` found.

    Attributes
    ----------
    series : tuple of Series
        In the order in which their first files were given.
    skipped : tuple of InputError
        One for each file that is no DICOM image that is enhanced, with its path and the reason.
    """

    series: tuple[Series, ...]
    skipped: tuple[InputError, ...]


def find(paths: Iterable[str | os.PathLike[str]], keywords: Sequence[str] = ()) -> Found:
    """Group DICOM files into series.

    Parameters
    ----------
    paths : iterable of str or os.PathLike
        Files, and folders, which are searched to any depth; hidden files in folders are left out.
    keywords : sequence of str
        Of elements that are wanted in :attr:`Series.headers`; none: no header is kept.

    Returns
    -------
    Found
        Files of a series are sorted by orientation, then by the position of their first pixel along the normal of the
        slice (Image Position and Image Orientation (Patient), PS3.3 C.7.6.2.1.1), then by Acquisition Number and
        Instance Number; never by name. Nothing of the pixels is read.
    """
    members: dict[str, list[tuple[_Key, str, str]]] = {}
    headers: dict[str, Dataset] = {}
    skipped: list[InputError] = []
    seen: set[str] = set()
    for path in _files(paths):
        if path in seen:
            continue
        seen.add(path)
        try:
            with quiet(), Container(path, (*_TAGS, *keywords)) as file:
                check_kind(file.header, path)
                if file.pixels is None:
                    raise InputError("has no pixel data", path)
                uid = text(file.header, "SeriesInstanceUID") or text(file.header, "SOPInstanceUID")
                members.setdefault(uid, []).append((_key(file.header, path), path, modality(file.header)))
                if keywords:
                    headers[path] = file.header
        except InputError as e:
            skipped.append(e)
    series = []
    for uid, found in members.items():
        found.sort()
        order = tuple(path for _, path, _ in found)
        series.append(Series(uid, found[0][2], order, tuple(headers[path] for path in order if keywords)))
    return Found(tuple(series), tuple(skipped))


def _files(paths: Iterable[str | os.PathLike[str]]) -> Iterator[str]:
    for given in paths:
        if not Path(given).is_dir():
            yield os.fspath(given)
            continue
        for folder, folders, names in os.walk(given):
            folders[:] = sorted(x for x in folders if not x.startswith("."))
            yield from (os.path.join(folder, x) for x in sorted(names) if not x.startswith("."))  # noqa: PTH118


def _key(header: Dataset, path: str) -> _Key:
    """Return what a file is sorted by within its series."""
    plane = groups.item(header, "PlanePositionSequence", 0) or header
    turned = groups.item(header, "PlaneOrientationSequence", 0) or header
    position, orientation = numbers(plane, "ImagePositionPatient", 3), numbers(turned, "ImageOrientationPatient", 6)
    axis: tuple[float, ...] = ()
    along = math.inf
    if position is not None and orientation is not None:
        (a, b, c), (d, e, f) = orientation[:3], orientation[3:]
        normal = (b * f - c * e, c * d - a * f, a * e - b * d)
        axis = tuple(round(x, 3) + 0.0 for x in normal)
        along = round(sum(x * y for x, y in zip(normal, position, strict=True)), 4)
    acquisition, instance = (integer(header, x) for x in ("AcquisitionNumber", "InstanceNumber"))
    return (
        axis,
        along,
        math.inf if acquisition is None else acquisition,
        math.inf if instance is None else instance,
        text(header, "SOPInstanceUID"),
        path,
    )
