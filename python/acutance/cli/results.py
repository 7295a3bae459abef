"""Whether a file is one of our results, and whether it is the one that would be made now."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..files import record
from ..geometry import Derivation, Frame
from ..io import kind_of

_TAGS = ["SOPInstanceUID", "ImageType", "ContributingEquipmentSequence"]


def is_result(path: str | os.PathLike[str], kind: str | None = None) -> bool:
    """Tell whether this package made a file."""
    try:
        kind = kind or kind_of(path)
    except InputError:
        return False
    if kind != "dicom":
        return _record(path, kind) is not None
    header = _header(path)
    if header is None:
        return False
    from ..dicom.provenance import is_ours

    return is_ours(header)


def is_right(
    path: str | os.PathLike[str], frames: Sequence[Frame], planned: Sequence[Derivation], compress: str | None
) -> bool:
    """Tell whether a file is already what enhancing ``frames`` as ``planned`` would make of them.

    DICOM: its SOP Instance UID, which follows from source and settings, and its transfer syntax. Others: the record of
    settings that it carries, with the hash of the source file. A result that fell back to its base while running has
    another UID or record than the plan, and is not right.
    """
    source = frames[0].source
    if source is None or not Path(path).is_file():
        return False
    if source.kind != "dicom":
        return _record(path) == record.Record(source.header.sha256, tuple(planned))
    from .. import dicom

    return has_uid(path, dicom.derived_uid(source.header, planned), compress)


def has_uid(path: str | os.PathLike[str], uid: str, compress: str | None) -> bool:
    """Tell whether a file is the DICOM object of that UID, in the transfer syntax that was asked for."""
    from ..dicom.derive import SYNTAXES

    header = _header(path) if Path(path).is_file() else None
    if header is None or header.file_meta.get("TransferSyntaxUID") != SYNTAXES[compress]:
        return False
    return bool(header.get("SOPInstanceUID") == uid)


def _record(path: str | os.PathLike[str], kind: str | None = None) -> record.Record | None:
    from ..files import nifti, raster

    try:
        kind = kind or kind_of(path)
    except InputError:
        return None
    return nifti.read_record(path) if kind == "nifti" else raster.read_record(path)


def _header(path: str | os.PathLike[str]) -> Any:
    """Return the elements that tell where a DICOM file is from, or None."""
    import pydicom

    from ..dicom.quiet import quiet

    try:
        with quiet():
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_TAGS)
            for keyword in _TAGS:
                header.get(keyword)  # a damaged value raises here
            return header
    except Exception:  # pydicom raises what its parts raise; damaged files are none of our results
        return None
