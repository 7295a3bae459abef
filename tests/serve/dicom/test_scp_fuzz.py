"""Whatever peers send, the node serves the honest one, and nothing of the others stays behind.

``ACUTANCE_FUZZ_EXAMPLES=100000 pytest tests/serve/dicom/test_scp_fuzz.py`` goes on for longer, from another start each
time.
"""

from __future__ import annotations

import gc
import os
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("pynetdicom")

EXAMPLES = int(os.environ.get("ACUTANCE_FUZZ_EXAMPLES", "60"))

fuzz = hypothesis.settings(
    max_examples=EXAMPLES,
    derandomize="ACUTANCE_FUZZ_EXAMPLES" not in os.environ,
    database=None,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.data_too_large],
)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture(scope="module")
def node(peers: ModuleType) -> Iterator[Any]:
    """A node that has left nothing behind at the end: no thread, no file, no memory, no place."""
    first = peers.node()
    first.scp.start()
    assert first.works()  # what is opened once and for all is open now
    first.scp.stop(5.0)
    gc.collect()
    threads, files = threading.active_count(), open_files()
    made = peers.node(begin_s=0.5, stall_s=0.5, idle_s=0.5, object_mb=1, memory_mb=4)
    made.scp.start()
    yield made
    assert made.works()
    end = time.monotonic() + 5
    while made.scp._connections.taken and time.monotonic() < end:
        time.sleep(0.01)
    assert made.scp._connections.taken == made.scp._node.places.taken == 0
    assert made.scp._node.memory.left == 4 << 20
    assert "failure" not in made.counts("association_ends_total")
    made.scp.stop(5.0)
    assert (threading.active_count(), open_files()) == (threads, files)


def say(node: Any, said: bytes) -> None:
    """Send bytes, end, and read until the node ends, too."""
    with node.peer() as peer:
        try:
            peer.send(said)
            peer.sock.shutdown(1)
            while peer.sock.recv(65536):
                pass
        except OSError:
            pass


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """Return bytes with some changed, cut out, put in, or an end missing."""
    made = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(made) - 1, 0)))
        kind = draw(st.sampled_from(("change", "length", "cut", "insert", "end", "repeat")))
        if kind == "change" and made:
            made[at] = draw(st.integers(0, 255))
        elif kind == "length":
            made[at : at + 4] = draw(
                st.sampled_from((b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\0\0\1", b"\x7f\xff\xff\xff"))
            )
        elif kind == "cut":
            del made[at : at + draw(st.integers(1, 40))]
        elif kind == "insert":
            made[at:at] = draw(st.binary(max_size=40))
        elif kind == "repeat":
            made[at:at] = made[at : at + draw(st.integers(1, 200))]
        else:
            del made[at:]
    return bytes(made)


@fuzz
@given(said=st.binary(max_size=300))
def test_any_bytes(node: Any, said: bytes) -> None:
    say(node, said)


@fuzz
@given(kind=st.integers(0, 9), length=st.integers(0, 2**32 - 1), body=st.binary(max_size=300), ready=st.booleans())
def test_any_pdu(node: Any, peers: ModuleType, kind: int, length: int, body: bytes, ready: bool) -> None:
    said = struct.pack(">BxL", kind, len(body) if length % 2 else length) + body
    say(node, (peers.request() if ready else b"") + said)


@fuzz
@given(data=st.data())
def test_a_damaged_request(node: Any, peers: ModuleType, data: st.DataObject) -> None:
    say(node, data.draw(damaged(peers.request())) + peers.ECHO)


@fuzz
@given(data=st.data())
def test_a_damaged_association(node: Any, peers: ModuleType, data: st.DataObject) -> None:
    rest = peers.ECHO + peers.store(peers.dataset(), piece=300) + peers.RELEASE
    say(node, peers.request() + data.draw(damaged(rest)))


@fuzz
@given(data=st.data())
def test_a_damaged_command(node: Any, peers: ModuleType, data: st.DataObject) -> None:
    command = data.draw(damaged(peers.command(1, peers.CT, peers.INSTANCE, data=True)))
    whole = peers.pdata(peers.pdv(3, 3, command)) + peers.pdata(peers.pdv(3, 2, peers.dataset()))
    say(node, peers.request() + whole)


@fuzz
@given(data=st.data())
def test_a_damaged_dataset_is_answered(node: Any, peers: ModuleType, data: st.DataObject) -> None:
    with node.peer() as peer:
        peer.associate()
        assert peer.store(data.draw(damaged(peers.dataset()))) in (0, 0xC000, 0xA900)
        peer.send(peers.RELEASE)
        assert peer.read()[:1] == b"\x06"


@fuzz
@given(data=st.data(), vr=st.binary(min_size=2, max_size=2))
def test_wrong_vrs_are_answered(node: Any, peers: ModuleType, data: st.DataObject, vr: bytes) -> None:
    said = peers.dataset()
    old = data.draw(st.sampled_from((b"UI", b"SQ", b"PN", b"US", b"OW")))
    with node.peer() as peer:
        peer.associate()
        assert peer.store(said.replace(old, vr)) in (0, 0xC000, 0xA900)


@pytest.mark.parametrize("frames", [b"1", b"1000000000"])
def test_a_header_of_a_billion_pixels_costs_what_its_bytes_cost(node: Any, peers: ModuleType, frames: bytes) -> None:
    said = peers.dataset(pixels=bytes(64))
    rows = peers.element(0x0028, 0x0010, b"US", struct.pack("<H", 16))
    large = peers.element(0x0028, 0x0008, b"IS", frames)
    large += b"".join(peers.element(0x0028, n, b"US", b"\xff\xff") for n in (0x0010, 0x0011))
    start = time.monotonic()
    with node.peer() as peer:
        peer.associate()
        assert peer.store(said.replace(rows, large)) == 0
        pixels = struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OW", 0, 64)
        assert peer.store(said.replace(pixels, pixels[:8] + b"\xfe\xff\xff\xff")) == 0xC000
    assert time.monotonic() - start < 2


def test_many_elements_do_not_hold_others_up(node: Any, peers: ModuleType) -> None:
    said = peers.dataset(pixels=b"") + struct.pack("<HH2sH", 0x0009, 0x0010, b"LO", 0) * 120000
    with node.peer() as peer:
        peer.associate()
        peer.send(peers.store(said))
        assert node.works()
        assert peer.status() == 0


def test_many_associations_at_once(node: Any, peers: ModuleType) -> None:
    def rude(number: int) -> None:
        for turn in range(5):
            said = (peers.request() + peers.store(peers.dataset()))[: 37 * (number + turn)]
            with node.peer() as peer:
                peer.send(said)

    crowd = [threading.Thread(target=rude, args=(n,)) for n in range(30)]
    for one in crowd:
        one.start()
    for one in crowd:
        one.join()
    end = time.monotonic() + 5
    while node.scp._connections.taken and time.monotonic() < end:
        time.sleep(0.01)
    assert node.works()
