"""A DICOM file up to its pixels, and where its pixels lie: nothing is read that the file does not hold."""

from __future__ import annotations

import dataclasses
import io
import os
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import pydicom
from pydicom import uid
from pydicom.dataset import FileDataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag

from ..errors import InputError
from .quiet import quiet

HEADER_LIMIT = 1 << 24
"""Bytes that a deflated header may inflate to."""

_MENDED_LIMIT = 1 << 31
"""Bytes of a file that may be taken into memory to mend its start."""

_KINDS = {0x0008: "float", 0x0009: "double float", 0x0010: "integer"}
_LONG_VRS = ("OB", "OW", "OF", "OD", "OL", "OV", "UN")
_UNDEFINED = 0xFFFFFFFF


@dataclasses.dataclass(frozen=True)
class Pixels:
    """The element that holds the pixels.

    Attributes
    ----------
    kind : str
        ``"integer"``, ``"float"`` or ``"double float"``.
    vr : str
    length : int or None
        Bytes that the element promises; None: undefined, as encapsulated data have it.
    """

    kind: str
    vr: str
    length: int | None


class Container:
    """An open DICOM file: ``header`` without pixels, ``syntax`` (transfer syntax UID), and ``pixels`` or None.

    Parameters
    ----------
    path : str or os.PathLike
    tags : sequence of str, optional
        Keywords of the elements to read; all when not given.

    Raises
    ------
    InputError
        The file cannot be read, is not DICOM, or is damaged before its pixels.
    """

    def __init__(self, path: str | os.PathLike[str], tags: Sequence[str] | None = None) -> None:
        self.path = os.fspath(path)
        self._inflater: _Inflater | None = None
        self._stream = self._open()
        try:
            with quiet():
                self._prepare()
                self.header: FileDataset = pydicom.dcmread(
                    self._stream,
                    stop_before_pixels=True,
                    force=True,
                    specific_tags=None if tags is None else list(tags),
                )
                _complete(self.header)
                self.header.buffer = None  # it outlives the open file
                self.syntax = self._syntax()
                self.pixels = self._locate()
        except InputError:
            self.close()
            raise
        except Exception:  # whatever pydicom's parser meets in a damaged file
            self.close()
            raise InputError("is damaged: its header cannot be read as DICOM", self.path) from None

    def close(self) -> None:
        self._stream.close()

    def __enter__(self) -> Container:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def little_endian(self) -> bool:
        return bool(self.header.original_encoding[1])

    def native(self, expected: int) -> bytes:
        """Return the first ``expected`` bytes of uncompressed pixel data, and one more if that is odd and there is one.

        Raises
        ------
        InputError
            The element or the file holds fewer.
        """
        assert self.pixels is not None
        if self.pixels.length is None:
            raise InputError("is damaged: its uncompressed pixel data have no length", self.path)
        held = min(self.pixels.length, self._left(expected))
        if held < expected:
            raise InputError(f"is cut short: {expected} bytes of pixels are promised, {held} are there", self.path)
        return self._stream.read(min(self.pixels.length, expected + expected % 2))

    def encapsulated(self) -> bytes:
        """Return the fragments of compressed pixel data, offset table first, as PS3.5 A.4 lays them out.

        Raises
        ------
        InputError
            The items do not follow each other as they should, or the file ends inside one.
        """
        assert self.pixels is not None
        start = stop = self._stream.tell()
        end = start + self._left(0)
        if self.pixels.length is not None:
            end = min(end, start + self.pixels.length)
        while stop + 8 <= end:
            group, element, length = struct.unpack("<HHI", self._stream.read(8))
            if (group, element) == (0xFFFE, 0xE0DD):
                break
            if (group, element) != (0xFFFE, 0xE000) or length == _UNDEFINED:
                raise InputError("is damaged: its compressed pixel data are no sequence of fragments", self.path)
            if stop + 8 + length > end:
                raise InputError("is cut short inside its compressed pixel data", self.path)
            stop += 8 + length
            self._stream.seek(stop)
        self._stream.seek(start)
        return self._stream.read(stop - start)

    def _open(self) -> BinaryIO:
        path = Path(self.path)
        try:
            if path.is_dir():
                raise InputError("is a folder; wanted a file", self.path)
            stream = _Bounded(path)
            start = stream.read(132)
        except OSError as e:
            raise InputError(f"cannot be read ({e.strerror or type(e).__name__})", self.path) from None
        if not start or not (start[128:] == b"DICM" or looks_like_dicom(start)):
            stream.close()
            raise InputError("is empty" if not start else "is not a DICOM file", self.path)
        stream.seek(0)
        return stream

    def _prepare(self) -> None:
        """Mend what pydicom does not take: "DICM" without the preamble before it, and deflated data (PS3.5 A.5)."""
        start = self._stream.read(132)
        self._stream.seek(0)
        if start.startswith(b"DICM"):
            self._replace(bytes(128))
        self._stream.seek(132 if start[128:] == b"DICM" or start.startswith(b"DICM") else 0)
        meta = read_dataset(self._stream, False, True, stop_when=_after_meta) if _starts_meta(self._stream) else None
        end = self._stream.tell()
        self._stream.seek(0)
        if meta is None or meta.get("TransferSyntaxUID") != uid.DeflatedExplicitVRLittleEndian:
            return
        head = self._stream.read(end)
        self._inflater = _Inflater(self._stream.read(self._left(0)))
        body = self._inflater.take(HEADER_LIMIT)
        syntax = uid.ExplicitVRLittleEndian.encode().ljust(len(uid.DeflatedExplicitVRLittleEndian), b"\0")
        self._stream.close()
        self._stream = io.BytesIO()
        self._stream.write(head.replace(uid.DeflatedExplicitVRLittleEndian.encode(), syntax) + body)
        self._stream.seek(0)

    def _replace(self, prefix: bytes) -> None:
        """Continue on a copy in memory of the whole stream after ``prefix``."""
        size = self._left(0)
        if size > _MENDED_LIMIT:
            raise InputError(f"has no preamble and more than {_MENDED_LIMIT} bytes", self.path)
        whole = prefix + self._stream.read(size)
        self._stream.close()
        self._stream = io.BytesIO(whole)

    def _syntax(self) -> str:
        """Return the transfer syntax; without one, the native syntax that pydicom found the header to be in."""
        said = self.header.file_meta.get("TransferSyntaxUID")
        if said:
            return str(said)
        implicit, little = self.header.original_encoding
        if not little:
            return str(uid.ExplicitVRBigEndian)
        return str(uid.ImplicitVRLittleEndian if implicit else uid.ExplicitVRLittleEndian)

    def _locate(self) -> Pixels | None:
        """Read tag, VR and length of the element that parsing stopped at; the stream is at its value afterwards."""
        implicit, little = self.header.original_encoding
        order = "<" if little else ">"
        start = self._stream.read(8)
        if len(start) < 8:
            return None
        group, element = struct.unpack_from(order + "HH", start)
        if group != 0x7FE0 or element not in _KINDS:
            return None
        vr = "OW" if implicit else start[4:6].decode("latin-1")
        if implicit:
            (length,) = struct.unpack_from(order + "I", start, 4)
        elif vr in _LONG_VRS:
            (length,) = struct.unpack(order + "I", self._stream.read(4))
        else:
            (length,) = struct.unpack_from(order + "H", start, 6)
        return Pixels(_KINDS[element], vr, None if length == _UNDEFINED else length)

    def _left(self, wanted: int) -> int:
        """Return how many bytes follow in the stream; deflated ones are inflated until there are ``wanted``."""
        at = self._stream.tell()
        end = self._stream.seek(0, os.SEEK_END)
        if self._inflater is not None and end - at < wanted:
            end += self._stream.write(self._inflater.take(wanted - (end - at)))
        self._stream.seek(at)
        return end - at


def _complete(header: FileDataset) -> None:
    """Take class and UID from the file meta information where the data set does not say them itself."""
    for keyword, meta in (("SOPClassUID", "MediaStorageSOPClassUID"), ("SOPInstanceUID", "MediaStorageSOPInstanceUID")):
        if not header.get(keyword) and header.file_meta.get(meta):
            setattr(header, keyword, header.file_meta.get(meta))


class _Bounded(io.BufferedReader):
    """A file that takes no memory for bytes it does not hold, whatever length a damaged header asks for."""

    def __init__(self, path: Path) -> None:
        raw = io.FileIO(path, "r")
        self._size = os.fstat(raw.fileno()).st_size
        super().__init__(raw)

    def read(self, size: int | None = -1, /) -> bytes:
        left = max(self._size - self.tell(), 0)
        return super().read(left if size is None or size < 0 else min(size, left))


class _Inflater:
    """Inflates a raw deflate stream piece by piece."""

    def __init__(self, data: bytes) -> None:
        self._object = zlib.decompressobj(-zlib.MAX_WBITS)
        self._data = data

    def take(self, size: int) -> bytes:
        """Return at most ``size`` further bytes, fewer at the end or where the data are damaged."""
        try:
            out = self._object.decompress(self._data, size)
        except zlib.error:
            out = b""
        self._data = self._object.unconsumed_tail
        return out


def looks_like_dicom(start: bytes) -> bool:
    """Tell whether a file without "DICM" begins as a DICOM data set: an element of group 2 or 8 (PS3.5 7.1)."""
    if start[:4] == b"DICM":
        return True
    if len(start) < 8 or start[:2] not in (b"\x02\x00", b"\x08\x00", b"\x00\x08"):
        return False
    little = start[1] == 0
    (element,) = struct.unpack_from("<H" if little else ">H", start, 2)
    vr = start[4:6]
    explicit = vr.isalpha() and vr.isupper()
    (length,) = struct.unpack_from("<I", start, 4)
    return element < 0x3000 and (explicit or (little and length <= 1 << 16))


def _starts_meta(stream: BinaryIO) -> bool:
    at = stream.tell()
    start = stream.read(2)
    stream.seek(at)
    return start == b"\x02\x00"


def _after_meta(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return tag.group != 2
