"""Framing: however the stream is cut the messages are the same, and no damage does more than end a connection."""

from __future__ import annotations

import dataclasses
import itertools
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("fastcrc")
pyigtl = pytest.importorskip("pyigtl")

from acutance.errors import InputError  # noqa: E402
from acutance.serve.openigtlink.image import Image  # noqa: E402
from acutance.serve.openigtlink.message import (  # noqa: E402
    EXTENDED,
    HEADER,
    Entry,
    FramingError,
    Message,
    Parts,
    Reader,
    assembled,
    begun,
    crc64,
)

RECORDED = (Path(__file__).parent / "recorded.igtl").read_bytes()
"""What pyigtl 0.3.4 packed: IMAGE of uint8 in version 1, TRANSFORM, STRING, IMAGE of uint16 in version 2 with
metadata, IMAGE of RGB, GET_IMAGE without a body, TRANSFORM in version 2."""

KINDS = ["IMAGE", "TRANSFORM", "STRING", "IMAGE", "IMAGE", "GET_IMAGE", "TRANSFORM"]
LARGEST = 1 << 20


def read(data: bytes) -> list[Message]:
    return list(Reader(LARGEST).feed(data))


def whole(message: Message) -> bytes:
    return b"".join(bytes(part) for part in message.parts)


def test_crc_is_the_one_of_the_protocol() -> None:
    from pyigtl.messages import CRC64

    data = np.random.default_rng(0).bytes(1000)
    assert crc64((data[:300], b"", memoryview(data)[300:])) == CRC64(data)
    assert crc64((b"123456789",)) == 0x6C40DF5F0B497347  # check value of CRC-64/ECMA-182


def test_recorded_messages_are_read() -> None:
    found = read(RECORDED)
    assert [m.kind for m in found] == KINDS
    assert [m.version for m in found] == [1, 1, 1, 2, 1, 1, 2]
    assert [m.device for m in found] == [b"Image", b"Tool1", b"Note", b"Volume", b"Colour", b"Image", b"Tool2"]
    assert found[0].seconds == 1234.5
    assert all(m.intact() for m in found)
    assert b"".join(map(whole, found)) == RECORDED
    assert Parts.of(found[3]).metadata == (Entry(b"who", b"probe 1", 3), Entry(b"depth", b"55", 3))


@given(st.lists(st.integers(0, len(RECORDED)), max_size=40))
def test_any_cut_of_the_stream_gives_the_same_messages(cuts: list[int]) -> None:
    reader = Reader(LARGEST)
    ends = [0, *sorted(cuts), len(RECORDED)]
    found = [m for a, b in itertools.pairwise(ends) for m in reader.feed(RECORDED[a:b])]
    assert [whole(m) for m in found] == [whole(m) for m in read(RECORDED)]
    assert not reader.midway


@given(st.lists(st.tuples(st.integers(0, len(RECORDED) - 1), st.integers(1, 255)), min_size=1, max_size=6))
def test_damage_ends_in_a_known_error_or_is_noticed(damage: list[tuple[int, int]]) -> None:
    data = bytearray(RECORDED)
    for at, flip in damage:
        data[at] ^= flip
    found = []
    try:
        found.extend(Reader(LARGEST).feed(data))
    except FramingError as e:
        assert e.reason in ("version", "type", "size")
    for message in found:
        if message.intact() and message.kind == "IMAGE":
            try:
                image = Image.of(message)
            except InputError:
                continue
            if image is not None and image.unfit(2) is None:
                assert image.frame("US").pixels.size


@given(st.binary(max_size=400))
def test_garbage_is_no_message_or_no_end(data: bytes) -> None:
    try:
        assert all(m.kind for m in Reader(LARGEST).feed(data))
    except FramingError as e:
        assert "header" in str(e)


@given(st.binary(max_size=300), st.sampled_from([1, 2, 3]))
def test_any_content_with_a_right_crc_is_an_image_or_an_error(body: bytes, version: int) -> None:
    header = HEADER.pack(version, b"IMAGE", b"", 0, len(body), crc64((body,)))
    (message,) = read(header + body)
    assert message.intact()
    try:
        Image.of(message)
    except InputError as e:
        assert str(e)


@pytest.mark.parametrize("at", [58, 100, 200])
def test_a_changed_byte_of_the_body_is_noticed(at: int) -> None:
    data = bytearray(RECORDED)
    data[at] ^= 1
    assert [m.intact() for m in read(bytes(data))] == [False] + [True] * 6


@pytest.mark.parametrize(
    ("field", "reason"),
    [((0, ">H", 9), "version"), ((2, "12s", b"\x07GARBAGE"), "type"), ((2, "12s", b""), "type"),
     ((42, ">Q", LARGEST + 1), "size"), ((42, ">Q", 2**64 - 1), "size")],
)  # fmt: skip
def test_a_senseless_header_is_named(field: tuple[int, str, object], reason: str) -> None:
    at, form, value = field
    header = bytearray(RECORDED[:58])
    struct.pack_into(form, header, at, value)
    with pytest.raises(FramingError) as error:
        begun(header, LARGEST)
    assert error.value.reason == reason


def test_an_announced_body_takes_no_memory_before_it_comes() -> None:
    import resource

    header = HEADER.pack(1, b"IMAGE", b"", 0, 1 << 30, 0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    reader = Reader(1 << 32)
    assert list(reader.feed(header)) == []
    assert len(reader.room()) == 1 << 30
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10  # KiB


def test_metadata_and_extended_header_come_through() -> None:
    message = read(RECORDED)[3]
    extended = EXTENDED.pack(16, 0, 0, 77) + b"more"  # a later version's longer extended header
    parts = dataclasses.replace(Parts.of(message), extended=extended)
    again = Parts(parts.extended, parts.content, (*parts.metadata, Entry("Größe".encode(), "µ".encode())))
    (back,) = read(b"".join(map(bytes, assembled(message, b"New", again.packed((parts.content,))))))
    assert back.intact() and (back.kind, back.device, back.stamp) == ("IMAGE", b"New", message.stamp)
    found = Parts.of(back)
    assert found.metadata == again.metadata and bytes(found.content) == bytes(parts.content)
    assert EXTENDED.unpack(found.extended[:12])[3] == 77 and found.extended[12:] == b"more"


@pytest.mark.parametrize(
    "body",
    [
        b"\0\0\0",
        EXTENDED.pack(11, 0, 0, 0) + b"x" * 20,
        EXTENDED.pack(13, 0, 0, 0),
        EXTENDED.pack(12, 2, 2**32 - 1, 0) + b"x" * 20,
        EXTENDED.pack(12, 2, 0, 0) + b"\0\1",
        EXTENDED.pack(12, 10, 1, 0) + struct.pack(">HHHI", 1, 1, 3, 1) + b"k",
        EXTENDED.pack(12, 10, 3, 0) + struct.pack(">HHHI", 1, 1, 3, 1) + b"kvx",
    ],
)
def test_sizes_that_do_not_fit_are_refused(body: bytes) -> None:
    (message,) = read(HEADER.pack(2, b"IMAGE", b"", 0, len(body), crc64((body,))) + body)
    with pytest.raises(InputError):
        Parts.of(message)


def test_a_new_name_leaves_the_rest() -> None:
    message = read(RECORDED)[0]
    (back,) = read(whole(message.renamed(b"a name of 20 letters")))
    assert back.device == b"a name of 20 letters" and back.intact()
    assert (back.stamp, bytes(back.body)) == (message.stamp, bytes(message.body))
