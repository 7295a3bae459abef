"""Where messages begin and end."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.metadata
import runpy
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

protocol = pytest.importorskip("acutance.serve.mrd.protocol", reason="no ismrmrd")
ismrmrd = pytest.importorskip("ismrmrd", reason="no ismrmrd")

GOLDEN = Path(__file__).with_name("golden")
STREAMS = ("images", "raw")
MEGA = 10**6


def golden(name: str) -> bytes:
    return (GOLDEN / f"{name}.bin").read_bytes()


def read(data: bytes, image_bytes: int = MEGA, other_bytes: int = MEGA) -> Iterable[Any]:
    """Read all messages of a stream; EOFError where it ends within one."""
    place = 0

    def take(count: int) -> bytes:
        nonlocal place
        if place + count > len(data):
            raise EOFError
        place += count
        return data[place - count : place]

    while place < len(data):
        parsing = protocol.parse(struct.unpack("<H", take(2))[0], image_bytes, other_bytes)
        try:
            wanted = next(parsing)
            while True:
                wanted = parsing.send(take(wanted))
        except StopIteration as done:
            yield done.value


def wire(messages: Iterable[Any]) -> bytes:
    return b"".join(part for m in messages for part in m.wire())


@pytest.mark.parametrize("name", STREAMS)
def test_what_the_package_sends_leaves_as_it_came(name: str) -> None:
    """Whatever its version; the one that the streams were recorded from still sends the same."""
    sent = runpy.run_path(str(GOLDEN / "make.py"))["stream"](name)
    assert wire(read(sent)) == sent
    assert sent == golden(name) or importlib.metadata.version("ismrmrd") != "1.15.0"


@pytest.mark.parametrize("name", STREAMS)
def test_recorded_streams_leave_as_they_came(name: str) -> None:
    found = list(read(golden(name)))
    assert wire(found) == golden(name)
    assert sum(m.size for m in found) == len(golden(name))
    Id = protocol.Id
    if name == "images":
        assert [m.id for m in found] == [Id.CONFIG_FILE, Id.HEADER, *[Id.IMAGE] * 8, Id.CLOSE]
        assert [m.pixels.dtype.str for m in found[2:-1]] == ["<u2", "<i2", "<u4", "<f4", "<f8", "<c8", "<c16", "<u2"]
        assert found[3].pixels.shape == (1, 2, 9, 8) and protocol.words(found[0]) == "acutance"
        assert found[2].pixels.ravel()[:3].tolist() == [0, 7919 % 1009, 2 * 7919 % 1009]
    else:
        kinds = [Id.CONFIG_TEXT, Id.HEADER, Id.TEXT, Id.ACQUISITION, Id.WAVEFORM, Id.ACQUISITION, Id.NDARRAY, Id.CLOSE]
        assert [m.id for m in found] == kinds
        assert protocol.words(found[2]) == "a text for the other side"


@pytest.mark.parametrize("name", STREAMS)
@hypothesis.given(data=st.data())
def test_a_stream_that_breaks_off_gives_whole_messages_alone(name: str, data: st.DataObject) -> None:
    whole = golden(name)
    ends = np.cumsum([m.size for m in read(whole)]).tolist()
    cut = data.draw(st.integers(0, len(whole)) | st.sampled_from(ends))
    found: list[Any] = []
    messages = iter(read(whole[:cut]))
    with contextlib.suppress(EOFError, StopIteration):
        while True:
            found.append(next(messages))
    assert wire(found) == whole[: max([e for e in ends if e <= cut], default=0)]


def test_headers_have_the_documented_sizes() -> None:
    """MRD documentation, "Message Types": 198, 340 and 40 bytes."""
    sizes = [ctypes.sizeof(h) for h in (protocol.ImageHeader, protocol.AcquisitionHeader, protocol.WaveformHeader)]
    assert sizes == [198, 340, 40]


def test_ids_are_those_of_the_package() -> None:
    ids = pytest.importorskip("ismrmrd.serialization").ISMRMRDMessageID
    assert {i.value for i in ids} - {0} == {i.value for i in protocol.Id} - {6, 7, 8}


def test_types_are_those_of_the_package() -> None:
    """All but int32, which the package writes with 8 bytes where numpy's int has 8, against the documentation."""
    for number, dtype in protocol.DTYPES.items():
        if number != ismrmrd.DATATYPE_INT:
            assert ismrmrd.image.get_dtype_from_data_type(number) == dtype
    assert protocol.DTYPES[ismrmrd.DATATYPE_INT].itemsize == 4


@pytest.mark.parametrize(
    "message",
    [
        (6, struct.pack("<QQQ", 0, 9, 5) + b"query"),
        (7, struct.pack("<QQ", 9, 6) + b"answer"),
        (8, struct.pack("<Q", 3) + b"bad"),
        (1030, struct.pack("<3H", 4, 0, 0) + b"four"),
    ],
)
def test_gadgetrons_messages_and_arrays_of_no_dimension(message: tuple[int, bytes]) -> None:
    data = struct.pack("<H", message[0]) + message[1]
    (found,) = read(data)
    assert wire([found]) == data


def image_start(**fields: Any) -> bytes:
    head = protocol.ImageHeader()
    head.data_type, head.channels, head.matrix_size[:] = 1, 1, (4, 4, 1)
    for name, value in fields.items():
        if name == "matrix_size":
            head.matrix_size[:] = value
        else:
            setattr(head, name, value)
    return struct.pack("<H", 1022) + bytes(head)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (struct.pack("<H", 1009), "message id 1009 is not known"),
        (struct.pack("<H", 0), "message id 0 is not known"),
        (
            image_start(matrix_size=(65535,) * 3, channels=65535, data_type=8),
            "an image of 65535 x 65535 x 65535 pixels",
        ),
        (image_start(data_type=9), "data type 9 is not known"),
        (image_start(data_type=0), "data type 0 is not known"),
        (image_start() + struct.pack("<Q", 2**63), "a text of attributes"),
        (struct.pack("<HI", 5, 2**32 - 1), "message TEXT of 4294967295 bytes is too large"),
        (struct.pack("<HQQQ", 6, 0, 0, 2**64 - 1), "message QUERY"),
        (struct.pack("<H3H", 1030, 5, 0, 8), "8 dimensions"),
        (struct.pack("<H3H2Q", 1030, 5, 0, 2, 2**63, 2**63), "an array of"),
    ],
)
def test_what_cannot_be_is_named_before_it_is_read(data: bytes, words: str) -> None:
    with pytest.raises(protocol.ProtocolError, match=words):
        list(read(data))


def test_large_acquisitions_and_waveforms_are_bounded() -> None:
    acquisition, waveform = protocol.AcquisitionHeader(), protocol.WaveformHeader()
    acquisition.number_of_samples = acquisition.active_channels = 65535
    waveform.number_of_samples = waveform.channels = 65535
    for number, head in ((1008, acquisition), (1026, waveform)):
        with pytest.raises(protocol.ProtocolError, match=r"limits\.message_mb"):
            list(read(struct.pack("<H", number) + bytes(head)))


@hypothesis.given(st.binary(max_size=400), st.sampled_from([i.value for i in protocol.Id]))
def test_any_bytes_are_a_message_or_an_error(data: bytes, number: int) -> None:
    found: list[Any] = []
    try:
        for message in read(struct.pack("<H", number) + data, 10_000, 10_000):
            found.append(message)
    except (EOFError, protocol.ProtocolError):
        pass
    assert (struct.pack("<H", number) + data).startswith(wire(found))


@pytest.mark.parametrize("dtype", [d.str for d in protocol.DTYPES.values()])
def test_an_image_that_is_made_is_read_back(dtype: str) -> None:
    pixels = np.arange(48).reshape(2, 2, 3, 4).astype(dtype)
    made = protocol.image(protocol.ImageHeader(), b"<ismrmrdMeta/>", pixels)
    (found,) = read(wire([made]))
    assert found.attributes == b"<ismrmrdMeta/>" and found.header.attribute_string_len == 14
    assert found.pixels.dtype == pixels.dtype and (found.pixels == pixels).all()
    if dtype != "<i4":
        theirs = ismrmrd.Image.from_bytes(wire([made])[2:])
        assert (theirs.data == pixels).all() and theirs.matrix_size == (4, 3, 2)
