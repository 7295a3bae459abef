"""The DICOM file that an instance from the network becomes (PS3.10 7): its data set stays as it came."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset, read_preamble
from pydicom.filewriter import write_file_meta_info
from pydicom.tag import BaseTag
from pydicom.uid import UID

from ...dicom.quiet import quiet
from ...dicom.uids import IMPLEMENTATION
from ...errors import InputError


@dataclasses.dataclass(frozen=True)
class Received:
    """What is known of an instance beside its data set.

    Attributes
    ----------
    class_uid, instance_uid : str
        As the command named them.
    syntax : str
        Transfer Syntax UID of the data set.
    calling_ae, peer : str
        AE title and network address of the sender.
    """

    class_uid: str
    instance_uid: str
    syntax: str
    calling_ae: str = ""
    peer: str = ""


def head(about: Received) -> bytes:
    """Return preamble and file meta information, the sender among it (PS3.10 table 7.1-1)."""
    meta = FileMetaDataset()
    with quiet():
        meta.MediaStorageSOPClassUID = UID(about.class_uid)
        meta.MediaStorageSOPInstanceUID = UID(about.instance_uid)
        meta.TransferSyntaxUID = UID(about.syntax)
        meta.ImplementationClassUID = IMPLEMENTATION
        if about.calling_ae:
            meta.SendingApplicationEntityTitle = about.calling_ae
        if about.peer:
            meta.SendingPresentationAddress = about.peer
        stream = DicomBytesIO()
        stream.write(bytes(128) + b"DICM")
        write_file_meta_info(stream, meta, enforce_standard=True)
    return stream.getvalue()


def sender(path: Path) -> Received:
    """Return what :func:`head` wrote in front of an instance, or what another writer of DICOM files put there."""
    meta, _ = split(path)

    def said(keyword: str) -> str:
        return str(meta.get(keyword) or "").strip()

    return Received(
        said("MediaStorageSOPClassUID"),
        said("MediaStorageSOPInstanceUID"),
        said("TransferSyntaxUID"),
        said("SendingApplicationEntityTitle"),
        said("SendingPresentationAddress"),
    )


def split(path: Path) -> tuple[FileMetaDataset, int]:
    """Return the file meta information of a DICOM file, and at which byte its data set begins.

    Raises
    ------
    InputError
        The file has none, or what it has is damaged.
    """
    with path.open("rb") as file:
        try:
            with quiet():
                read_preamble(file, force=False)
                found = read_dataset(file, False, True, stop_when=_after_meta)
        except Exception:  # whatever pydicom meets in a damaged header
            raise InputError("is damaged: its file meta information cannot be read", path) from None
        return FileMetaDataset(found), file.tell()


def _after_meta(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return tag.group != 2
