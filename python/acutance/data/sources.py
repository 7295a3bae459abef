"""Which series a build takes, and why it leaves others out: from headers alone."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pydicom.dataset import Dataset

from .. import dicom
from ..beside import is_temporary
from ..cli import inputs
from ..deidentify.key import KEY_NAME, Key
from ..dicom.classes import SECONDARY_CAPTURE
from ..dicom.layout import numbers, text
from ..errors import InputError, UsageError
from ..evaluate.score import MODALITIES
from ..io import kind_of
from .subjects import Line, Links, Table

OF_CODE = {
    "CT": "CT",
    "MR": "MR",
    "PT": "PET",
    "NM": "NM",
    "CR": "XR",
    "DX": "XR",
    "MG": "XR",
    "XA": "XR",
    "RF": "XR",
    "US": "US",
    "ES": "ENDO",
}
"""Modality of the protocol for each DICOM code (PS3.3 C.7.3.1.1.1) that has one."""

_KEYWORDS = (
    "ImageType",
    "BurnedInAnnotation",
    "SeriesDescription",
    "ProtocolName",
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "StudyInstanceUID",
    "FrameOfReferenceUID",
    "Rows",
    "Columns",
    "PixelSpacing",
    "EchoTime",
)

_WELL_KNOWN = "1.2.840.10008."
"""Frames of reference of atlases (PS3.6 A-2) are no person's own."""

_LOCALIZERS = re.compile(r"\b(loc|localizer|localiser|scout|scanogram|survey|surview|topogram|3-?pl(ane)?)\b", re.I)

_REFORMATS = {"MPR", "REFORMATTED", "RESAMPLED", "CPR", "PROJECTION IMAGE", "MIP", "MINIP", "SCREEN SAVE"}

_NO_MAGNITUDE = {"P", "PHASE", "PHASE MAP", "R", "REAL", "I", "IMAGINARY", "VELOCITY", "VELOCITY MAP"}


@dataclasses.dataclass(frozen=True)
class Item:
    """One series to be.

    Attributes
    ----------
    paths : tuple of str
        Its files in the order of their slices.
    kind : str
    modality : str
        Of the protocol.
    name : str
        Keyed hash that stays the same when the series grows.
    made_from : str
        Keyed hash of the files.
    links : frozenset of str
    line : Line or None
        Of the user's table.
    """

    paths: tuple[str, ...]
    kind: str
    modality: str
    name: str
    made_from: str
    links: Links
    line: Line | None

    @property
    def title(self) -> str:
        """How it is called in messages."""
        return titled(self.paths)


@dataclasses.dataclass(frozen=True)
class Left:
    """What is left out, and why; ``bad`` where the user may have wanted it."""

    title: str
    reason: str
    bad: bool


def titled(paths: Sequence[str]) -> str:
    """Return the first of some paths and the number of the others."""
    return f"{paths[0]} and {len(paths) - 1} more" if len(paths) > 1 else paths[0]


def modality_named(said: str | None) -> str | None:
    """Return the modality of the protocol by its name or a DICOM code.

    Raises
    ------
    UsageError
        It is neither.
    """
    if said is None or said.upper() in MODALITIES:
        return said and said.upper()
    if said.upper() not in OF_CODE:
        raise UsageError(f"--modality is '{said}'; wanted one of {', '.join((*MODALITIES, *OF_CODE))}")
    return OF_CODE[said.upper()]


def find(
    folders: Sequence[str], out: Path, key: Key, table: Table | None, modality: str | None
) -> tuple[list[Item], list[Left]]:
    """Sort the files of some folders into series.

    Parameters
    ----------
    folders : sequence of str
        Folders, searched to any depth, and files.
    out : Path
        The data set, which is not searched.
    key : Key
    table : Table or None
    modality : str or None
        Of files that do not say theirs: all but DICOM.
    """
    roots: dict[str, Path] = {}
    kinds: dict[str, str] = {}
    left: list[Left] = []
    for folder in folders:
        found, skipped = inputs.collect([folder], [], out)
        left += [Left(x.path, x.reason, x.counts) for x in skipped]
        root = Path(folder) if Path(folder).is_dir() else Path(folder).parent
        for item in found:
            path = os.fspath(item.path)
            if path in kinds or item.path.name == KEY_NAME or is_temporary(item.path.name):
                continue
            try:
                kinds[path], roots[path] = kind_of(path), root
            except InputError as e:
                left.append(Left(path, e.message, True))
    items = list(_dicom([p for p, k in kinds.items() if k == "dicom"], roots, key, table, left.append))
    for path, kind in kinds.items():
        if kind == "dicom":
            continue
        if modality is None:
            left.append(Left(path, "does not say its modality; name it with --modality", True))
        else:
            items.append(_picture(path, roots[path], kind, modality, key, table))
    return items, left


def _dicom(
    paths: Sequence[str], roots: dict[str, Path], key: Key, table: Table | None, leave: Callable[[Left], None]
) -> Iterator[Item]:
    found = dicom.find(paths, _KEYWORDS)
    for error in found.skipped:
        leave(Left(str(error.path), error.message, True))
    for series in found.series:
        stacks: dict[str, list[int]] = {}
        for i, header in enumerate(series.headers):
            stacks.setdefault(_stack(header), []).append(i)
        for stack, members in stacks.items():
            files, header = tuple(series.paths[i] for i in members), series.headers[members[0]]
            why = unwanted(header, series.modality)
            if why:
                leave(Left(titled(files), *why))
                continue
            patient = text(header, "PatientID")
            line = table.line_of(Path(files[0]), roots[files[0]], patient) if table else None
            uids = sorted(text(series.headers[i], "SOPInstanceUID") for i in members)
            yield Item(
                files,
                "dicom",
                OF_CODE[series.modality],
                key.token("series", series.uid, stack),
                key.token("files", *uids),
                _links(header, line.patient if line else "", series.uid, key),
                line,
            )


def _stack(header: Dataset) -> str:
    """Return what is the same for all slices of one stack: a series may hold several echoes and orientations."""
    orientation = numbers(header, "ImageOrientationPatient", 6) or ()
    size = tuple(text(header, x) for x in ("Rows", "Columns", "PixelSpacing", "ImageType", "EchoTime"))
    return repr((size, tuple(round(x, 2) + 0.0 for x in orientation)))


def unwanted(header: Dataset, modality: str) -> tuple[str, bool] | None:
    """Return why a DICOM picture is no truth, and whether the user may have thought it one; None where it is."""
    said = [x.strip().upper() for x in text(header, "ImageType").strip("[]").replace("'", "").split(",")]
    said += [""] * (2 - len(said))
    named = f"{text(header, 'SeriesDescription')} {text(header, 'ProtocolName')}".replace("_", " ")
    volume, projection = modality in ("CT", "MR", "PT", "NM"), OF_CODE.get(modality) == "XR"
    if {"LOCALIZER", "SCOUT", "TOPOGRAM"} & set(said) or (volume and _LOCALIZERS.search(named)):
        return "is a localiser", False
    if volume and text(header, "SOPClassUID") in SECONDARY_CAPTURE:
        return "is a secondary capture, which holds a screen and no measured values", False
    if said[1] == "SECONDARY" or _REFORMATS & set(said):
        return "is a secondary image (Image Type), made of others", False
    if said[0] in ("DERIVED", "MIXED") and not projection:
        return "is a derived image (Image Type)", False
    if modality == "MR" and _NO_MAGNITUDE & set(said[2:]):
        return "is no magnitude image (Image Type)", False
    if text(header, "BurnedInAnnotation").upper() == "YES":
        return "has text burned into its pixels (Burned In Annotation), which may name a person", False
    if modality not in OF_CODE:
        return f"has modality {modality if modality.isalpha() else 'OT'}, which no recipe is for", True
    return None


def _links(header: Dataset, patient: str, series: str, key: Key) -> Links:
    """Return the keyed hashes of what one person alone has; ``patient`` is the user's own word for it."""
    found: list[tuple[str, ...]] = []
    named = patient or text(header, "PatientID")
    person = (text(header, "PatientName"), text(header, "PatientBirthDate"))
    if named:  # whoever issued it: two people under one id in one split do no harm
        found.append(("patient", named))
    elif person[0]:
        found.append(("person", *person))
    for keyword in ("StudyInstanceUID", "FrameOfReferenceUID"):
        uid = text(header, keyword)
        if uid and not uid.startswith(_WELL_KNOWN):
            found.append((keyword, uid))
    return frozenset(key.token(*x) for x in found or [("series", series)])


def _picture(path: str, root: Path, kind: str, modality: str, key: Key, table: Table | None) -> Item:
    """Return the item of a file that names no patient: all that lies in one folder below the root is one person's."""
    line = table.line_of(Path(path), root, "") if table else None
    if line is not None and line.patient:
        link = key.token("patient", line.patient)
    else:
        inside = Path(path).relative_to(root).parts
        link = key.token("folder", os.path.realpath(root / inside[0] if len(inside) > 1 else root))
    real, about = os.path.realpath(path), Path(path).stat()
    made_from = key.token("file", real, str(about.st_size), str(about.st_mtime_ns))
    return Item((path,), kind, modality, key.token("file", real), made_from, frozenset([link]), line)
