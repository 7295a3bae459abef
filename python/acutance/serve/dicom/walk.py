"""Whether a data set can be understood: its elements are followed to the end, no value is decoded.

Sequences and items of undefined length are gone through without recursion, and the number of steps is bounded, so that
neither depth nor count of elements costs more than a moment. What lies in a value of defined length is skipped.
"""

from __future__ import annotations

import struct
import zlib

from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from .messages import uid

MOST_STEPS = 2_000_000
"""Elements and items: an enhanced object of ten thousand frames has less than half as many."""

MOST_DEPTH = 100

_CLASS, _INSTANCE = 0x00080016, 0x00080018
_ITEM, _END_OF_ITEM, _END_OF_SEQUENCE = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_UNDEFINED = 0xFFFFFFFF

_SHORT = frozenset(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())
_LONG = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
"""Value representations with a length of 2 and of 4 bytes (PS3.5 7.1.2)."""


class NotUnderstood(Exception):
    """A data set ends too early or makes no sense."""


def uids(data: memoryview, syntax: str, most: int) -> tuple[str, str] | None:
    """Return SOP Class UID and SOP Instance UID of a data set that goes on to its end without a fault.

    Parameters
    ----------
    data : memoryview
        Of bytes.
    syntax : str
        Its transfer syntax.
    most : int
        Bytes that a deflated data set may inflate to.

    Returns
    -------
    tuple of str, or None
        Empty where the data set holds none. None for a deflated data set, which is only inflated, not kept.

    Raises
    ------
    NotUnderstood
    """
    if syntax == DeflatedExplicitVRLittleEndian:
        _inflate(data, most)
        return None
    try:
        found = _Walk(data, syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian).run()
    except struct.error:
        raise NotUnderstood("ends within the header of an element") from None
    return uid(found.get(_CLASS, b"")), uid(found.get(_INSTANCE, b""))


def _inflate(data: memoryview, most: int) -> None:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    size, rest = 0, bytes(data)
    try:
        while not inflater.eof:
            part = inflater.decompress(rest, 1 << 20)
            rest, size = inflater.unconsumed_tail, size + len(part)
            if size > most:
                raise NotUnderstood("inflates to more than is taken")
            if not part and not rest and not inflater.eof:
                raise NotUnderstood("ends within deflated data")
    except zlib.error:
        raise NotUnderstood("is not deflated as its transfer syntax says") from None


class _Walk:
    """Follows the elements of one data set."""

    def __init__(self, data: memoryview, implicit: bool, little: bool) -> None:
        order = "<" if little else ">"
        self._data, self._at = data, 0
        self._tag = struct.Struct(order + "HH")
        self._short, self._long = struct.Struct(order + "H"), struct.Struct(order + "L")
        self._open = [(False, implicit)]  # innermost last: whether it is a sequence, whether its items are implicit

    def run(self) -> dict[int, bytes]:
        found: dict[int, bytes] = {}
        data, size = self._data, len(self._data)
        for _ in range(MOST_STEPS):
            if self._at == size:
                break
            group, element = self._tag.unpack_from(data, self._at)
            tag = group << 16 | element
            start, length, is_sequence = self._header(tag)
            if length == _UNDEFINED:
                self._at = start
                self._enter(is_sequence)
                continue
            if length > size - start:
                raise NotUnderstood("ends within a value")
            if tag in (_CLASS, _INSTANCE) and len(self._open) == 1:
                found[tag] = bytes(data[start : start + min(length, 66)])
            self._at = start + length
        else:
            raise NotUnderstood("has too many elements")
        if len(self._open) > 1:
            raise NotUnderstood("ends within a sequence")
        return found

    def _enter(self, implicit: bool) -> None:
        is_sequence, _ = self._open[-1]
        if len(self._open) > MOST_DEPTH:
            raise NotUnderstood("has sequences in sequences without end")
        self._open.append((not is_sequence, implicit))

    def _header(self, tag: int) -> tuple[int, int, bool]:
        """Return where the value of an element begins, its length, and whether what is in it has implicit VR."""
        data, at = self._data, self._at
        is_sequence, implicit = self._open[-1]
        if tag >> 16 == 0xFFFE:
            (length,) = self._long.unpack_from(data, at + 4)
            if tag == _ITEM and is_sequence:
                return at + 8, length, implicit
            if tag == (_END_OF_SEQUENCE if is_sequence else _END_OF_ITEM) and len(self._open) > 1 and not length:
                self._open.pop()
                return at + 8, 0, implicit
            raise NotUnderstood("has an item or the end of one in a wrong place")
        if is_sequence:
            raise NotUnderstood("has an element between the items of a sequence")
        if implicit:
            (length,) = self._long.unpack_from(data, at + 4)
            return at + 8, length, True
        vr = bytes(data[at + 4 : at + 6])
        if vr in _SHORT:
            (length,) = self._short.unpack_from(data, at + 6)
            return at + 8, length, False
        if vr in _LONG:
            (length,) = self._long.unpack_from(data, at + 8)
            return at + 12, length, vr == b"UN"  # what is in a UN is implicit, little endian (PS3.5 6.2.2)
        raise NotUnderstood("has a value representation that there is none of")
