"""Transfer syntaxes, and what a compressed frame says of its own size before it is decoded."""

from __future__ import annotations

import dataclasses
import itertools
import os
import struct

from pydicom import uid

from ..errors import InputError
from .classes import name

NATIVE: tuple[str, ...] = (
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.DeflatedExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
)

JPEG_8: tuple[str, ...] = (uid.JPEGBaseline8Bit,)
JPEG_12: tuple[str, ...] = (uid.JPEGExtended12Bit, "1.2.840.10008.1.2.4.53", "1.2.840.10008.1.2.4.55")
"""Extended sequential, and the retired spectral selection and full progression (PS3.5 A.4.1)."""
JPEG_LOSSLESS: tuple[str, ...] = (uid.JPEGLossless, uid.JPEGLosslessSV1)
JPEG_LS: tuple[str, ...] = (uid.JPEGLSLossless, uid.JPEGLSNearLossless)
JPEG_2000: tuple[str, ...] = (
    uid.JPEG2000Lossless,
    uid.JPEG2000,
    uid.HTJ2KLossless,
    uid.HTJ2KLosslessRPCL,
    uid.HTJ2K,
)
COMPRESSED: tuple[str, ...] = (uid.RLELossless, *JPEG_8, *JPEG_12, *JPEG_LOSSLESS, *JPEG_LS, *JPEG_2000)

_METHODS = {
    **dict.fromkeys((*JPEG_8, *JPEG_12), "ISO_10918_1"),
    uid.JPEGLSNearLossless: "ISO_14495_1",
    uid.JPEG2000: "ISO_15444_1",
    uid.HTJ2K: "ISO_15444_15",
}


def check_syntax(syntax: str, path: str | os.PathLike[str] | None) -> None:
    """Raise InputError unless pixels in this transfer syntax are read."""
    if syntax not in NATIVE and syntax not in COMPRESSED:
        raise InputError(f"its transfer syntax {name(syntax)} is not one that is read", path)


def lossy_method(syntax: str, frame: bytes) -> str | None:
    """Return the Lossy Image Compression Method (PS3.3 C.7.6.1.1.5.1) that made ``frame``, None if it lost nothing.

    JPEG 2000 syntaxes that may be lossy are asked for their wavelet: the reversible 5-3 counts as lossless.
    """
    method = _METHODS.get(syntax)
    if method in ("ISO_15444_1", "ISO_15444_15"):
        at = frame.find(b"\xff\x52")
        if at >= 0 and len(frame) > at + 13 and frame[at + 13] == 1:
            return None
    return method


@dataclasses.dataclass(frozen=True)
class Stream:
    """What a compressed frame says of itself: size, samples per pixel, bits per sample."""

    rows: int
    columns: int
    samples: int
    bits: int


def inspect(syntax: str, frame: bytes) -> Stream | None:
    """Return what the header of a JPEG, JPEG-LS or JPEG 2000 codestream says; None if it is no such codestream."""
    try:
        if syntax in JPEG_2000:
            return _jpeg_2000(frame)
        return _jpeg(frame)
    except (struct.error, IndexError):
        return None


def _jpeg(frame: bytes) -> Stream | None:
    """Walk the marker segments to the frame header (ISO/IEC 10918-1 B.2.2, ISO/IEC 14495-1 C.2.2)."""
    if frame[:2] != b"\xff\xd8":
        return None
    at = 2
    while at + 4 <= len(frame):
        if frame[at] != 0xFF:
            return None
        marker = frame[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        (length,) = struct.unpack_from(">H", frame, at + 2)
        if marker in _SOF:
            bits, rows, columns, samples = struct.unpack_from(">BHHB", frame, at + 4)
            return Stream(rows, columns, samples, bits)
        if marker == 0xDA or length < 2:
            return None
        at += 2 + length
    return None


_SOF = frozenset((*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0), 0xF7))


def _jpeg_2000(frame: bytes) -> Stream | None:
    """Read the SIZ segment (ISO/IEC 15444-1 A.5.1), also inside a JP2 file that some writers leave around it."""
    at = frame.find(b"\xff\x4f\xff\x51")
    if at < 0:
        return None
    x1, y1, x0, y0 = struct.unpack_from(">4I", frame, at + 8)
    (samples,) = struct.unpack_from(">H", frame, at + 40)
    return Stream(y1 - y0, x1 - x0, samples, (frame[at + 42] & 0x7F) + 1)


def segments(frame: bytes) -> list[bytes]:
    """Return the segments of an RLE frame (PS3.5 G.5), none if its header makes no sense."""
    if len(frame) < 64:
        return []
    count, *offsets = struct.unpack_from("<16I", frame)
    used = [*offsets[:count], len(frame)]
    if not 1 <= count <= 15 or used[0] != 64 or sorted(used) != used:
        return []
    return [frame[a:b] for a, b in itertools.pairwise(used)]


def unpack(segment: bytes, size: int) -> bytearray | None:
    """Undo the PackBits of one RLE segment (PS3.5 G.3) up to ``size`` bytes; None if it holds fewer."""
    out = bytearray()
    at, end, made = 0, len(segment), 0
    while made < size and at + 1 < end:
        head = segment[at]
        if head < 128:
            out += segment[at + 1 : at + head + 2]
            at += head + 2
            made = len(out)
        elif head > 128:
            out += segment[at + 1 : at + 2] * (257 - head)
            at += 2
            made += 257 - head
        else:
            at += 1
    return out[:size] if len(out) >= size else None
