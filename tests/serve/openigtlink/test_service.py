"""The filter between pyigtl's programs, and between peers that misbehave."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastcrc")

from acutance import Enhancer
from acutance.errors import OutputError
from acutance.serve.openigtlink.message import HEADER, Parts, crc64

Filters = Callable[..., Any]


@pytest.mark.parametrize("source", ["client", "server"])
@pytest.mark.parametrize("receivers", ["client", "server"])
def test_pyigtl_on_both_sides(
    peers: ModuleType, filters: Filters, programs: Callable[[str, int], Any], source: str, receivers: str
) -> None:
    """Each side of the filter as client or server; pyigtl is the other one."""
    ports = {"source": peers.free_port(), "receivers": peers.free_port()}
    roles = {"source": source, "receivers": receivers}
    other = {"client": "server", "server": "client"}
    found = {side: programs("server", ports[side]) for side in roles if roles[side] == "client"}
    made = filters(suffix="_x2", **{s: {"role": roles[s], "port": ports[s]} for s in roles})
    found |= {side: programs(other[roles[side]], ports[side]) for side in roles if roles[side] == "server"}
    peers.wait_for(lambda: made.service.source.connections and made.service.receivers.connections)
    sent = peers.image(version=2, metadata={"who": "probe"})
    found["source"].send_message(sent)
    found["source"].send_message(peers.transform(3))
    got = found["receivers"].wait_for_message("Image_x2", timeout=5)
    with Enhancer("base", scale=2) as enhancer:
        assert np.array_equal(got.image[0], enhancer.run(sent.image[0]).pixels)
    assert got.timestamp == sent.timestamp
    assert got.metadata["who"] == "probe" and got.metadata["acutance.base"]
    tool = found["receivers"].wait_for_message("Tool3", timeout=5)
    assert np.array_equal(tool.matrix[:3], 3 * np.eye(4)[:3])
    assert made.service.health() is None


def test_all_but_pictures_pass_byte_for_byte_and_in_order(peers: ModuleType, filters: Filters) -> None:
    made = filters()
    source, receiver = made.source(), made.receiver()
    unknown = HEADER.pack(3, b"XRAYDOSE", b"Any", 7, 3, crc64((b"abc",))) + b"abc"
    status = HEADER.pack(2, b"STATUS", b"Any", 7, 0, 0)
    sent = [peers.transform(n, 1 + n % 2).pack() for n in range(40)] + [unknown, status]
    source.send(*sent)
    assert [b"".join(bytes(p) for p in receiver.receive().parts) for _ in sent] == sent
    assert made.total("messages_passed_total", side="source") == len(sent)


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        (np.zeros((1, 4, 5), np.int8), "scalar"),
        (np.zeros((1, 4, 5), np.float64), "scalar"),
        (np.zeros((3, 4, 5), np.uint8), "volume"),
        (np.zeros((1, 4, 5, 2), np.uint8), "components"),
    ],
)
def test_pictures_of_other_kinds_pass_unchanged(
    peers: ModuleType, filters: Filters, pixels: np.ndarray, reason: str
) -> None:
    made = filters(suffix="_x2")
    source, receiver = made.source(), made.receiver()
    sent = peers.image(pixels=pixels).pack()
    source.send(sent)
    assert b"".join(bytes(p) for p in receiver.receive().parts) == sent
    assert made.total("messages_passed_total", reason=reason) == 1


@pytest.mark.parametrize(("shape", "dtype"), [((1, 9, 8), np.uint16), ((1, 9, 8), np.float32), ((1, 9, 8, 3), np.uint8),
                                              ((1, 9, 8, 4), np.uint8), ((1, 9, 8, 3), np.uint16)])  # fmt: skip
def test_every_kind_of_picture_is_enlarged(
    peers: ModuleType, filters: Filters, shape: tuple[int, ...], dtype: Any
) -> None:
    made = filters(enhance={"model": "base", "scale": 3, "threads": 1})
    source, receiver = made.source(), made.receiver()
    sent = peers.picture(shape=shape, dtype=dtype)
    source.send(peers.image(pixels=sent))
    got = peers.unpacked(receiver.receive()).image
    assert got.dtype == dtype and got.shape == (1, 27, 24, *shape[3:])
    with Enhancer("base", scale=3) as enhancer:
        assert np.array_equal(got[0][..., :3], enhancer.run(np.ascontiguousarray(sent[0][..., :3])).pixels) or (
            len(shape) == 3 and np.array_equal(got[0], enhancer.run(sent[0]).pixels)
        )
    if shape[3:] == (4,):
        assert np.array_equal(got[0, ::3, ::3, 3], sent[0, ..., 3])


def test_a_network_enhances_and_says_so(peers: ModuleType, filters: Filters) -> None:
    made = filters(enhance={"model": "gray-rt-x2", "threads": 1}, stream={"deadline_ms": 5000})
    source, receiver = made.source(), made.receiver()
    sent = peers.image(version=2, pixels=peers.picture(shape=(1, 40, 48)))
    source.send(sent)
    got = receiver.receive()
    said = {e.key.decode(): e.value.decode() for e in Parts.of(got).metadata}
    assert said == {"acutance.model": "gray-rt-x2", "acutance.scale": "2"}
    with Enhancer("gray-rt-x2") as enhancer:
        expected = enhancer.run(sent.image[0], "US").pixels
    assert np.array_equal(peers.unpacked(got).image[0], expected)


def test_a_base_in_version_1_is_counted(peers: ModuleType, filters: Filters) -> None:
    made = filters()
    source, receiver = made.source(), made.receiver()
    source.send(peers.image(version=1))
    assert receiver.receive().version == 1
    assert made.total("base_unmarked_total") == 1


def test_queries_go_to_the_source_and_other_messages_of_receivers_do_not(peers: ModuleType, filters: Filters) -> None:
    made = filters(suffix="_x2")
    source, receiver = made.source(), made.receiver()
    peers.wait_for(lambda: made.service.source.connections)
    receiver.send(peers.transform(1), HEADER.pack(1, b"GET_IMAGE", b"Image_x2", 5, 0, 0))
    got = source.receive()
    assert (got.kind, got.device, got.stamp) == ("GET_IMAGE", b"Image", 5)
    assert made.total("messages_refused_total", side="receivers", reason="not forwarded") == 1
    source.send(HEADER.pack(1, b"RTS_IMAGE", b"Image", 6, 0, 0))
    assert receiver.receive().kind == "RTS_IMAGE"


def test_what_receivers_asked_for_is_asked_again_of_a_source_that_comes_back(
    peers: ModuleType, filters: Filters
) -> None:
    made = filters()
    receiver = made.receiver()
    for kind, device in ((b"STT_IMAGE", b"A"), (b"STT_TDATA", b""), (b"STT_IMAGE", b"B"), (b"STP_IMAGE", b"A")):
        receiver.send(HEADER.pack(1, kind, device, 5, 0, 0))
    peers.wait_for(lambda: made.total("messages_in_total", side="receivers") == 4)
    for _ in range(2):
        source = made.source()
        assert [(m.kind, m.device) for m in (source.receive(), source.receive())] == [
            ("STT_TDATA", b""),
            ("STT_IMAGE", b"B"),
        ]
        source.close()


def bad_crc(peers: ModuleType) -> bytes:
    data = bytearray(peers.image().pack())
    data[-1] ^= 1
    return bytes(data)


def test_a_damaged_message_is_left_out_and_the_next_one_is_not(peers: ModuleType, filters: Filters) -> None:
    made = filters()
    source, receiver = made.source(), made.receiver()
    contradiction = HEADER.pack(1, b"IMAGE", b"", 0, 4, crc64((b"abcd",))) + b"abcd"
    source.send(bad_crc(peers), contradiction, peers.transform(1))
    assert receiver.receive().kind == "TRANSFORM"
    assert made.total("messages_refused_total", reason="crc") == 1
    assert made.total("messages_refused_total", reason="contradiction") == 1


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"GET / HTTP/1.1\r\nHost: scanner\r\nAccept: everything there is\r\n\r\n", "no message: version"),
        (HEADER.pack(1, b"\xff\xfe", b"", 0, 0, 0), "no message: type"),
        (HEADER.pack(1, b"IMAGE", b"", 0, 2**63, 0), "no message: size"),
    ],
)
def test_garbage_ends_its_connection_alone(peers: ModuleType, filters: Filters, data: bytes, reason: str) -> None:
    made = filters()
    honest, bad, receiver = made.source(), made.source(), made.receiver()
    bad.send(data)
    assert bad.closed()
    assert made.total("connections_lost_total", reason=reason) == 1
    honest.send(peers.image())
    assert receiver.receive().kind == "IMAGE"


def test_half_a_message_ends_its_connection(peers: ModuleType, filters: Filters) -> None:
    made = filters(stall_s=1.0)
    honest, gone, slow, receiver = made.source(), made.source(), made.source(), made.receiver()
    gone.send(peers.image().pack()[:100])
    gone.close()
    slow.send(peers.image().pack()[:100])
    assert slow.closed()  # after a second without a byte
    assert made.total("connections_lost_total", reason="half a message") == 1
    assert made.total("connections_lost_total", reason="stalled: half a message") == 1
    honest.send(peers.image())
    assert receiver.receive().kind == "IMAGE"


def test_a_receiver_that_never_reads_holds_up_nobody(peers: ModuleType, filters: Filters) -> None:
    made = filters(stall_s=2.0, backlog_mib=4)
    source, dead, receiver = made.source(), made.receiver(), made.receiver()
    pixels = peers.picture(shape=(1, 700, 1000))
    for n in range(12):
        source.send(peers.image(pixels=pixels, timestamp=float(n + 1)), peers.transform(n))
        kinds = {receiver.receive().kind, receiver.receive().kind}
        assert kinds == {"IMAGE", "TRANSFORM"}
    assert made.total("pictures_superseded_total") > 0
    peers.wait_for(lambda: made.total("connections_lost_total", reason="stalled: nothing taken") == 1)
    assert len(made.service.receivers.connections) == 1
    dead.close()


def test_a_slow_receiver_gets_the_latest_picture(peers: ModuleType, filters: Filters) -> None:
    made = filters()
    source, receiver = made.source(), made.receiver()
    pixels = peers.picture(shape=(1, 700, 1000))
    for n in range(20):
        source.send(peers.image(pixels=pixels, timestamp=float(n + 1)))
        peers.wait_for(lambda n=n: made.total("frames_out_total") == n + 1)
    stamps = [receiver.receive().seconds]
    while stamps[-1] < 20.0:
        stamps.append(receiver.receive().seconds)
    assert stamps == sorted(stamps) and len(stamps) < 20


def test_devices_beyond_the_limit_pass_unchanged(peers: ModuleType, filters: Filters) -> None:
    made = filters(devices=2)
    source, receiver = made.source(), made.receiver()
    for device in ("A", "B", "C", "A"):
        source.send(peers.image(device))
        got = receiver.receive()
        assert peers.unpacked(got).image.shape == ((1, 12, 16) if device == "C" else (1, 24, 32))
    assert made.total("messages_passed_total", reason="devices") == 1
    assert [s.name for s in made.streams.all()] == ["test-1", "test-2"]


def test_a_silent_device_makes_room(peers: ModuleType, filters: Filters, monkeypatch: pytest.MonkeyPatch) -> None:
    from acutance.serve.openigtlink import service

    monkeypatch.setattr(service, "SILENT_S", 0.0)
    made = filters(devices=1)
    source, receiver = made.source(), made.receiver()
    for device in ("A", "B", "A"):
        source.send(peers.image(device))
        assert peers.unpacked(receiver.receive()).image.shape == (1, 24, 32)
    assert len(made.streams.all()) == 1


def test_a_server_takes_whom_it_may_and_no_more(peers: ModuleType, filters: Filters) -> None:
    made = filters(
        source={"role": "server", "port": 0, "allow": ["10.0.0.0/8"]},
        receivers={"role": "server", "port": 0, "connections": 1},
    )
    assert made.source().closed()
    made.receiver()
    second = peers.Peer.at(made.service.receivers.port)
    assert second.closed()
    second.close()
    assert made.total("connections_refused_total", reason="address") == 1
    assert made.total("connections_refused_total", reason="full") == 1


def test_a_client_comes_back_when_its_server_does(peers: ModuleType, filters: Filters) -> None:
    port = peers.free_port()
    made = filters(source={"role": "client", "port": port})
    assert "no connection to source" in made.service.health()
    receiver = made.receiver()
    for n in range(2):
        with socket.create_server(("127.0.0.1", port)) as listener:
            listener.settimeout(5)
            source = peers.Peer(listener.accept()[0])
        peers.wait_for(lambda: made.service.health() is None)
        source.send(peers.transform(n))
        assert receiver.receive().device == f"Tool{n}".encode()
        source.close()
        peers.wait_for(lambda: made.service.health() is not None)


def test_a_taken_port_is_named(peers: ModuleType, filters: Filters) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OutputError, match=f"receivers: cannot listen at 127.0.0.1:{port}"):
            filters(receivers={"role": "server", "port": port})


def test_stopping_sends_what_was_begun(peers: ModuleType, filters: Filters) -> None:
    made = filters()
    source, receiver = made.source(), made.receiver()
    source.send(peers.image(), peers.transform(1))
    peers.wait_for(lambda: made.total("messages_in_total") == 2)
    made.service.stop(5.0)
    assert {receiver.receive().kind, receiver.receive().kind} == {"IMAGE", "TRANSFORM"}
    assert receiver.closed()
    assert made.service.health() is not None


def test_files_and_threads_are_given_back(peers: ModuleType, filters: Filters) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    made = filters()
    source = made.source()
    source.send(peers.image())
    peers.wait_for(lambda: made.total("messages_in_total") == 1)
    source.close()
    made.service.stop(2.0)
    peers.wait_for(lambda: len(list(Path("/proc/self/fd").iterdir())) <= before)


def test_the_log_says_little_however_much_goes_wrong(
    peers: ModuleType, filters: Filters, caplog: pytest.LogCaptureFixture
) -> None:
    made = filters()
    source, receiver = made.source(), made.receiver()
    secret = peers.image("DOE^JANE")
    damaged = bytearray(secret.pack())
    damaged[-1] ^= 1
    source.send(*[bytes(damaged)] * 50, secret)
    assert receiver.receive().kind == "IMAGE"
    lines = [r for r in caplog.records if r.levelname == "WARNING"]
    assert [line.message for line in lines] == ["source: a message is left out"]
    everything = "\n".join(str(vars(r)) for r in caplog.records) + str(made.metrics.snapshot())
    assert "DOE" not in everything


def test_a_flood_of_small_messages_leaves_time_for_pictures(peers: ModuleType, filters: Filters) -> None:
    made = filters()
    flood, source, receiver = made.source(), made.source(), made.receiver()
    flood.send(*[peers.transform(1).pack() * 20_000])
    source.send(peers.image())
    began = time.monotonic()
    while receiver.receive().kind != "IMAGE":
        assert time.monotonic() - began < 5.0
