"""Clients of all sorts talk to the server."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from acutance.enhancer import Enhancer
from acutance.errors import BackendError, UsageError
from acutance.live.metrics import Metrics

ismrmrd = pytest.importorskip("ismrmrd", reason="no ismrmrd")
serialization = pytest.importorskip("ismrmrd.serialization", reason="no ismrmrd")
protocol = pytest.importorskip("acutance.serve.mrd.protocol", reason="no ismrmrd")

Serve = Callable[..., Any]
GOLDEN = Path(__file__).with_name("golden")
CLOSE = struct.pack("<H", 4)


def image(index: int = 0, shape: tuple[int, ...] = (1, 1, 12, 10)) -> Any:
    made = ismrmrd.Image.from_array(np.arange(np.prod(shape)).reshape(shape).astype(np.uint16) + index)
    made.image_index, made.image_type = index, ismrmrd.IMTYPE_MAGNITUDE
    return made


def until(condition: Callable[[], bool], seconds: float = 15.0) -> None:
    """Wait for what another thread does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def texts(items: list[Any]) -> list[str]:
    return [i for i in items if isinstance(i, str)]


def images(items: list[Any]) -> list[Any]:
    return [i for i in items if isinstance(i, ismrmrd.Image)]


def acquisition(counter: int) -> Any:
    return ismrmrd.Acquisition.from_array(np.full((2, 8), counter, np.complex64), scan_counter=counter)


def test_images_are_answered_as_they_come(serve: Serve) -> None:
    """Before the next is sent, and before the close message."""
    client = serve().client()
    client.send(serialization.ConfigFile("acutance"))
    answers = serialization.ProtocolDeserializer(client.file).deserialize()
    for k in range(3):
        client.send(image(k))
        found = next(answers)
        assert found.image_index == k and found.matrix_size == (20, 24, 1)
        assert "BASE" in found.meta["ImageType"]  # the fixture's config is the base
    client.end()
    assert list(answers) == []


def test_everything_else_comes_back_in_its_place_and_to_the_bit(serve: Serve) -> None:
    recorded = (GOLDEN / "raw.bin").read_bytes()
    client = serve().client()
    client.raw(recorded)
    found = client.rest_raw()
    assert recorded.endswith(found)  # config and header are for the server
    assert found.startswith(struct.pack("<HI", 5, len("a text for the other side")))


def test_recorded_images_come_back(serve: Serve) -> None:
    client = serve(enhance={"model": "mr-rt-x2", "threads": 1}).client()
    client.raw((GOLDEN / "images.bin").read_bytes())
    items = client.rest()
    sizes = [(i.channels, *i.matrix_size) for i in images(items)]
    assert sizes == [
        (1, 20, 24, 1), (1, 16, 18, 2), (2, 12, 14, 1), (1, 20, 24, 1), (1, 22, 10, 1), (2, 16, 16, 1), (1, 16, 16, 1),
        (1, 10, 12, 1),
    ]  # fmt: skip
    assert [i.data.dtype.str for i in images(items)] == ["<u2", "<i2", "<u4", "<f4", "<f8", "<c8", "<c16", "<u2"]
    assert all(tuple(i.field_of_view) == (180, 210, 4) and tuple(i.position) == (1.5, -2.5, 30) for i in images(items))
    assert ["phase wraps" in t for t in texts(items)] == [True]
    assert isinstance(items[-2], str) and images(items)[0].meta["ImageComments"][:2] == ["one", "two"]


def test_the_order_of_all_messages_stays(serve: Serve, metrics: Metrics) -> None:
    client = serve().client()
    sent: list[Any] = []
    for k in range(5):
        sent += [acquisition(k), image(k), f"text {k}", ismrmrd.Waveform.from_array(np.full((1, 3), k, np.uint32))]
    client.send(serialization.ConfigFile("acutance"), *sent)
    client.end()
    found = client.rest()
    assert [type(i) for i in found] == [type(i) for i in sent]
    assert [i.image_index for i in images(found)] == list(range(5)) and texts(found) == [f"text {k}" for k in range(5)]
    assert [i.scan_counter for i in found if isinstance(i, ismrmrd.Acquisition)] == list(range(5))
    assert metrics.total("mrd_images_in_total") == metrics.total("mrd_images_out_total", outcome="base") == 5
    assert metrics.total("mrd_messages_total", type="acquisition") == 5


def test_a_client_may_send_all_before_it_reads(serve: Serve) -> None:
    """12 MB go out and 48 come back, which no socket holds."""
    client = serve(limits={"buffer_mb": 64}).client()
    sent = [image(k, (1, 2, 512, 512)) for k in range(12)]
    client.send(*sent)
    client.end()
    assert [i.image_index for i in client.rest()] == list(range(12))


def test_a_small_buffer_slows_a_client_that_reads(serve: Serve) -> None:
    client = serve(limits={"buffer_mb": 1, "image_mb": 4}).client()
    found: list[Any] = []
    reading = threading.Thread(target=lambda: found.extend(client.rest()))
    reading.start()
    for k in range(8):
        client.send(image(k, (1, 1, 512, 512)))
    client.end()
    reading.join(20)
    assert [i.image_index for i in found] == list(range(8))


def test_no_more_is_read_than_the_buffer_holds(serve: Serve, metrics: Metrics, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the first image of half a megabyte takes its time: three fill a buffer of one megabyte."""
    server, go_on = serve(limits={"buffer_mb": 1}), threading.Event()
    enhancer = server._configs.get("acutance").enhancer
    run = enhancer.run
    monkeypatch.setattr(enhancer, "run", lambda frame: (go_on.wait(20), run(frame))[1])
    client = server.client()
    sending = threading.Thread(
        target=lambda: (client.send(*[image(k, (1, 1, 512, 512)) for k in range(24)]), client.end())
    )
    sending.start()
    until(lambda: metrics.total("mrd_messages_total") >= 2)
    time.sleep(0.3)
    assert metrics.total("mrd_messages_total") <= 3 and sending.is_alive()
    go_on.set()
    assert [i.image_index for i in client.rest()] == list(range(24))
    sending.join(20)


def test_no_config_is_the_default(serve: Serve) -> None:
    client = serve(enhance={"model": "mr-rt-x2", "threads": 1}).client()
    client.send(image())
    client.end()
    (found,) = client.rest()
    assert found.meta["AcutanceModel"][0] == "mr-rt-x2"


@pytest.mark.parametrize(
    ("config", "model"),
    [
        (serialization.ConfigFile("acutance"), "base"),
        (serialization.ConfigFile(""), "base"),
        (serialization.ConfigFile("fine"), "mr-rt-x3"),
        (serialization.ConfigFile("mr-rt-x2"), "mr-rt-x2"),
        (serialization.ConfigText("mr-rt-x2"), "mr-rt-x2"),
        (serialization.ConfigText('<configuration config="fine"/>'), "mr-rt-x3"),
        (serialization.ConfigText("<configuration><config>fine</config></configuration>"), "mr-rt-x3"),
        (serialization.ConfigText("<configuration/>"), "base"),
        (serialization.ConfigText('{"parameters": {"config": "fine"}}'), "mr-rt-x3"),
        (serialization.ConfigText("<<<"), "base"),
        (serialization.ConfigText('<!DOCTYPE c [<!ENTITY a "fine">]><c config="&a;"/>'), "base"),
        (serialization.ConfigText('{"parameters": {"config": 3}}'), "base"),
        (serialization.ConfigText("[" * 100_000), "base"),
        (serialization.ConfigText('{"parameters":' * 20_000), "base"),
    ],
)
def test_a_config_chooses(serve: Serve, config: Any, model: str) -> None:
    client = serve(configs={"fine": {"model": "mr-rt-x3", "threads": 1}}).client()
    client.send(config, image())
    client.end()
    (found,) = client.rest()
    assert found.meta["AcutanceModel"][0] == model
    assert found.matrix_size == ((30, 36, 1) if model == "mr-rt-x3" else (20, 24, 1))


def test_parameters_in_json_choose_before_the_data_alone(serve: Serve) -> None:
    """As OpenRecon sends them, after a config that is the same for all."""
    chosen = '{"version": "1.1.0", "parameters": {"config": "mr-rt-x2", "customconfig": ""}}'
    client = serve(configs={"openrecon": {"model": "base"}}).client()
    client.send(serialization.ConfigFile("openrecon"), '{"parameters": {}}', chosen, image(), chosen, image())
    client.end()
    first, late, second = client.rest()
    assert late == chosen
    assert first.meta["AcutanceModel"] == second.meta["AcutanceModel"] and first.meta["AcutanceModel"][0] == "mr-rt-x2"


def test_passthrough_returns_every_bit(serve: Serve, metrics: Metrics) -> None:
    recorded = (GOLDEN / "images.bin").read_bytes()
    config = struct.pack("<H1024s", 1, b"passthrough")
    client = serve().client()
    client.raw(config + recorded[1026:])
    assert recorded.endswith(found := client.rest_raw()) and len(found) > len(recorded) - 1400
    assert metrics.total("mrd_images_out_total", outcome="passthrough") == 8


@pytest.mark.parametrize("name", ["simplefft", "mr-rt-x2-dn", "../../etc/passwd", "mr-rt-x2-y.onnx", "x" * 1000])
def test_an_unknown_config_loses_no_image(serve: Serve, metrics: Metrics, name: str) -> None:
    """Nor does one that contradicts the settings: a model that denoises has no guard."""
    client = serve(enhance={"model": "base", "guard": "box"}).client()
    sent = [image(k) for k in range(3)]
    client.send(serialization.ConfigFile(name), *sent)
    client.end()
    said, *found = client.rest()
    assert "passed through" in said and (name == "mr-rt-x2-dn" or name not in said)
    assert [i.to_bytes() for i in found] == [i.to_bytes() for i in sent]
    assert metrics.total("mrd_unknown_configs_total") == 1


def test_texts_can_be_left_out(serve: Serve) -> None:
    """Gadgetron takes a text from an external process for an error."""
    server = serve(texts=False, limits={"connections": 1})
    client = server.client()
    client.send(serialization.ConfigFile("nothing"), image())
    assert client.file.read(2) == struct.pack("<H", 1022)
    assert server.client().file.read() == CLOSE
    client.raw(b"\xff\xff")
    assert client.rest_raw().endswith(CLOSE)


def test_originals_come_first(serve: Serve) -> None:
    client = serve(keep_originals=True, series_offset=50).client()
    phase = image(9)
    phase.image_type = ismrmrd.IMTYPE_PHASE
    client.send(image(1), image(2), phase)
    client.end()
    found = images(client.rest())
    assert [(i.image_index, i.image_series_index, i.matrix_size[0]) for i in found] == [
        (1, 0, 10), (1, 50, 20), (2, 0, 10), (2, 50, 20), (9, 0, 10),
    ]  # fmt: skip


def test_an_image_that_fails_leaves_as_its_base_and_is_counted(
    serve: Serve, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(enhance={"model": "mr-rt-x2", "threads": 1})

    def fails(*_: Any, **__: Any) -> Any:
        raise BackendError("the card is gone")

    monkeypatch.setattr(server._configs.get("acutance").enhancer, "run", fails)
    client = server.client()
    client.send(*[image(k) for k in range(10)])
    client.end()
    found = client.rest()
    assert [i.matrix_size for i in images(found)] == [(20, 24, 1)] * 10
    assert all(i.meta["AcutanceFellBack"] == "failed: the card is gone" for i in images(found))
    assert len(texts(found)) == 1 and "left as their base: failed: the card is gone" in texts(found)[0]
    assert metrics.total("mrd_images_out_total", outcome="base") == 10
    assert "the last 10 images were not enhanced" in server.health()
    monkeypatch.undo()
    client = server.client()
    client.send(image())
    client.end()
    client.rest()
    assert server.health() is None


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (struct.pack("<H", 1023), "message id 1023 is not known"),
        (struct.pack("<HI", 5, 2**32 - 1), "too large"),
        (struct.pack("<H", 1022) + b"\xff" * 198, "data type 65535 is not known"),
        (b"\x05", "the last message has no end"),
        (struct.pack("<H", 1022) + b"\0" * 50, "the last message has no end"),
    ],
)
def test_bad_bytes_end_their_connection_alone(serve: Serve, metrics: Metrics, bad: bytes, words: str) -> None:
    """What came before is answered, and another client notices nothing."""
    server = serve()
    honest, client = server.client(), server.client()
    honest.send(image(1))
    client.send(image(5), image(6))
    client.raw(bad)
    client.socket.shutdown(socket.SHUT_WR)
    found = client.rest()
    assert [i.image_index for i in images(found)] == [5, 6]
    assert len(texts(found)) == 1 and words in texts(found)[0]
    honest.send(image(2))
    honest.end()
    assert [i.image_index for i in honest.rest()] == [1, 2]
    honest.close()
    until(lambda: metrics.total("mrd_connections_ended_total", how="closed") == 1)


def test_large_images_are_refused_by_their_header(serve: Serve) -> None:
    client = serve(limits={"image_mb": 1}).client()
    client.send(image(1, (1, 1, 700, 700)))
    client.raw(b"".join(protocol.image(image(2).getHead(), b"", np.zeros((1, 1, 800, 800), "<u2")).wire())[:200])
    found = client.rest()
    assert len(images(found)) == 1 and "1280000 bytes is too large" in texts(found)[0] and "image_mb" in texts(found)[0]


def test_a_client_that_goes_away_disturbs_nobody(serve: Serve, metrics: Metrics) -> None:
    server = serve(limits={"buffer_mb": 1})
    honest = server.client()
    for k in range(3):
        client = server.client()
        client.send(*[image(k, (1, 2, 512, 512)) for _ in range(2)])
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
    honest.send(image(1))
    honest.end()
    assert [i.image_index for i in honest.rest()] == [1]
    honest.close()
    until(lambda: metrics.total("mrd_connections_ended_total") == 4)
    assert server.health() is None


def test_slow_and_silent_clients_are_given_up(serve: Serve) -> None:
    """One that stops within a message, one that says nothing, and one that never reads."""
    server = serve(limits={"message_s": 0.3, "idle_s": 0.6, "buffer_mb": 1})
    slow, silent, deaf = (server.client() for _ in range(3))
    slow.raw(struct.pack("<HI", 5, 100) + b"and then")
    deaf.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.socket.settimeout(3)
    with contextlib.suppress(OSError):
        for k in range(20):
            deaf.send(image(k, (1, 1, 512, 512)))
    for client in (slow, silent):
        assert ["nothing more has come" in t for t in texts(client.rest())] == [True]
    until(lambda: not server._sessions)


def test_connections_are_counted_and_bounded(serve: Serve, metrics: Metrics) -> None:
    server = serve(limits={"connections": 2})
    first, second = server.client(), server.client()
    first.send(image())
    second.send(image())
    assert first.file.read(2) and second.file.read(2)  # both are served
    assert ["too many connections" in t for t in server.client().rest()] == [True]
    assert metrics.total("mrd_connections_refused_total", why="too many") == 1
    second.close()
    until(lambda: len(server._sessions) == 1)
    third = server.client()
    third.send(image(3))
    third.end()
    assert [i.image_index for i in third.rest()] == [3]


def test_addresses_that_are_not_allowed_are_turned_away(serve: Serve, metrics: Metrics) -> None:
    client = serve(allow=["192.0.2.0/24", "::1/128"]).client()
    with contextlib.suppress(ConnectionResetError):
        assert client.file.read() == b""
    assert metrics.total("mrd_connections_refused_total", why="address") == 1
    client = serve(allow=["127.0.0.0/8"]).client()
    client.send(image())
    client.end()
    assert len(client.rest()) == 1


def test_stopping_answers_what_has_come(serve: Serve, metrics: Metrics, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve()
    enhancer: Enhancer = server._configs.get("acutance").enhancer
    run = enhancer.run
    monkeypatch.setattr(enhancer, "run", lambda frame: (time.sleep(0.1), run(frame))[1])
    client = server.client()
    client.send(*[image(k) for k in range(5)])
    until(lambda: metrics.total("mrd_messages_total") == 5)
    stopping = threading.Thread(target=server.stop, args=(20.0,))
    stopping.start()
    found = client.rest()
    client.close()
    stopping.join(20)
    assert [i.image_index for i in images(found)] == list(range(5)) and "is ending" in texts(found)[0]
    with pytest.raises(OSError):
        server.client()
    assert server.health() == "it does not listen"


def test_a_taken_port_and_a_wrong_config_are_named(serve: Serve) -> None:
    server = serve()
    with pytest.raises(UsageError, match=rf"port {server.port} of 127\.0\.0\.1 cannot be opened .*another"):
        serve(port=server.port)
    with pytest.raises(UsageError, match="config 'mine': model mr-rt-x2 enlarges by 2, not by 3"):
        serve(configs={"mine": {"model": "mr-rt-x2", "scale": 3}})


def test_logs_and_metrics_hold_nothing_that_a_client_says(
    serve: Serve, metrics: Metrics, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor do the names of metrics grow with it."""
    name = "Mustermann"
    caplog.set_level("DEBUG")
    server = serve(enhance={"model": "mr-rt-x2", "threads": 1})
    monkeypatch.setattr(server._configs.get("mr-rt-x2").enhancer, "run", lambda frame: 1 / 0)
    for config in ("mr-rt-x2", "acutance", name):
        client = server.client()
        pictures = [image(), image(1), image(2)]
        pictures[0].meta["PatientName"] = pictures[1].meta["DataRole"] = name
        pictures[1].image_type = ismrmrd.IMTYPE_PHASE
        head = ismrmrd.xsd.ismrmrdHeader(
            experimentalConditions=ismrmrd.xsd.experimentalConditionsType(H1resonanceFrequency_Hz=1),
            subjectInformation=ismrmrd.xsd.subjectInformationType(patientName=name),
        )
        client.send(serialization.ConfigFile(config), head, *pictures, name)
        client.raw(struct.pack("<HI", 5, 99) + name.encode())
        client.socket.shutdown(socket.SHUT_WR)
        found = client.rest()
        assert len(images(found)) == 3 and name in texts(found)
    until(lambda: metrics.total("mrd_connections_ended_total", how="hung up") == 3)
    said = [str({**vars(record), "exc_info": None}) for record in caplog.records]
    assert any("ZeroDivisionError" in str(record.exc_info) for record in caplog.records)
    assert said and not [line for line in said if name in line] and name not in str(metrics.snapshot())


@hypothesis.settings(max_examples=12)
@hypothesis.given(cuts=st.lists(st.integers(1, 10_000), max_size=12), name=st.sampled_from(["images", "raw"]))
def test_bytes_may_come_in_any_pieces(shared: Any, cuts: list[int], name: str) -> None:
    recorded = (GOLDEN / f"{name}.bin").read_bytes()
    client = shared.client()
    client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    place = 0
    for cut in [*sorted({c for c in cuts if c < len(recorded)}), len(recorded)]:
        client.raw(recorded[place:cut])
        place = cut
    assert client.rest_raw() == shared.whole[name]
    client.close()


@pytest.fixture(scope="module")
def shared() -> Any:
    """A server for many clients, and what it answers to recorded streams that come in one piece."""
    from acutance.serve import logs
    from acutance.serve.mrd.service import make
    from acutance.serve.mrd.settings import MrdSettings
    from acutance.serve.service import Context, Streams

    settings = MrdSettings.model_validate({"name": "mrd", "port": 0, "enhance": {"model": "base", "threads": 1}})
    server: Any = make(settings, Context(Metrics(), logs.of("mrd"), Streams()))
    server.start()

    class Raw:
        def __init__(self) -> None:
            self.socket = socket.create_connection(("127.0.0.1", server.port), 20)

        def raw(self, data: bytes) -> None:
            self.socket.sendall(data)

        def rest_raw(self) -> bytes:
            self.socket.shutdown(socket.SHUT_WR)
            with self.socket.makefile("rb") as file:
                return file.read()

        def close(self) -> None:
            self.socket.close()

    server.client, server.whole = Raw, {}
    for name in ("images", "raw"):
        client = Raw()
        client.raw((GOLDEN / f"{name}.bin").read_bytes())
        server.whole[name] = client.rest_raw()
        client.close()
    yield server
    server.stop(20.0)


@hypothesis.settings(max_examples=30)
@hypothesis.given(
    name=st.sampled_from(["images", "raw"]),
    damage=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=8)), min_size=1, max_size=6),
)
def test_damaged_streams_end_politely(shared: Any, name: str, damage: list[tuple[float, bytes]]) -> None:
    """With a close message, whatever came, and the next client is served as ever."""
    bad = bytearray((GOLDEN / f"{name}.bin").read_bytes())
    for place, new in damage:
        at = int(place * (len(bad) - len(new)))
        bad[at : at + len(new)] = new
    for data in (bytes(bad), (GOLDEN / f"{name}.bin").read_bytes()):
        client = shared.client()
        with contextlib.suppress(ConnectionError):
            client.raw(data)
        found = client.rest_raw()
        client.close()
        assert found.endswith(CLOSE)
    assert found == shared.whole[name]
