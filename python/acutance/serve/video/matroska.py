"""Raw pictures with their timestamps as a Matroska stream, which ffmpeg reads from a pipe (RFC 9559).

Times are in nanoseconds, fine enough that each comes back as the tick it was. Each picture is a cluster of its own.
"""

from __future__ import annotations

SEGMENT_OF_UNKNOWN_SIZE = bytes.fromhex("18538067 01ffffffffffffff")

LARGEST = 1 << 28
"""Bytes of one picture that ffmpeg takes."""


def _element(name: str, payload: bytes) -> bytes:
    """Return an EBML element; its size always takes 8 bytes (RFC 8794, section 4)."""
    return bytes.fromhex(name) + _size(len(payload)) + payload


def _size(n: int) -> bytes:
    return (n | 1 << 56).to_bytes(8, "big")


def _number(name: str, value: int) -> bytes:
    return _element(name, value.to_bytes(8, "big"))


def header(rows: int, cols: int, gray: bool, interval: int) -> bytes:
    """Return what comes before the first picture of uint8 gray or RGB.

    Parameters
    ----------
    interval : int
        Nanoseconds from one picture to the next, as a rule: how long the last one lasts.
    """
    ebml = _number("4286", 1) + _number("42f7", 1) + _number("42f2", 4) + _number("42f3", 8)
    ebml += _element("4282", b"matroska") + _number("4287", 4) + _number("4285", 2)
    colours = b"Y800" if gray else b"RGB\x18"
    video = _number("b0", cols) + _number("ba", rows) + _element("2eb524", colours)
    track = _number("d7", 1) + _number("73c5", 1) + _number("83", 1) + _number("23e383", interval)
    track += _element("86", b"V_UNCOMPRESSED")
    tracks = _element("1654ae6b", _element("ae", track + _element("e0", video)))
    info = _element("1549a966", _number("2ad7b1", 1) + _element("4d80", b"acutance") + _element("5741", b"acutance"))
    return _element("1a45dfa3", ebml) + SEGMENT_OF_UNKNOWN_SIZE + info + tracks


def before(nanoseconds: int, size: int) -> bytes:
    """Return what comes before the ``size`` bytes of a picture."""
    block = b"\x81" + bytes(2) + b"\x80"  # track 1, at the time of the cluster, a key frame
    simple = bytes.fromhex("a3") + _size(len(block) + size) + block
    time = _number("e7", nanoseconds)
    return bytes.fromhex("1f43b675") + _size(len(time) + len(simple) + size) + time + simple
