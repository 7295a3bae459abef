"""Filters that run, peers of plain sockets, and messages of pyigtl's to send."""

from __future__ import annotations

import contextlib
import logging
import socket
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pyigtl

from acutance.live.metrics import Metrics
from acutance.serve.openigtlink.message import Message, Reader
from acutance.serve.openigtlink.service import OpenIgtLink, make
from acutance.serve.openigtlink.settings import OpenIgtLinkSettings
from acutance.serve.service import Context, Streams

SERVER = {"role": "server", "port": 0}


def wait_for(true: Callable[[], Any], seconds: float = 5.0) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.005)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


class Peer:
    """A plain socket that sends bytes and reads messages."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.sock.settimeout(5)
        self.reader = Reader(1 << 26)

    @classmethod
    def at(cls, port: int) -> Peer:
        return cls(socket.create_connection(("127.0.0.1", port), 5))

    def send(self, *messages: Any) -> None:
        self.sock.sendall(b"".join(m if isinstance(m, bytes) else m.pack() for m in messages))

    def receive(self) -> Message:
        while True:
            n = self.sock.recv_into(self.reader.room())
            assert n, "the filter has closed the connection"
            message = self.reader.took(n)
            if message is not None:
                return message

    def closed(self) -> bool:
        """Read on until the filter closes the connection."""
        with contextlib.suppress(ConnectionError):
            while self.sock.recv(65536):
                pass
        return True

    def close(self) -> None:
        self.sock.close()


class Filter:
    """A running filter."""

    def __init__(self, service: OpenIgtLink, metrics: Metrics, streams: Streams) -> None:
        self.service, self.metrics, self.streams = service, metrics, streams
        self.peers: list[Peer] = []

    def source(self) -> Peer:
        return self._at(self.service.source.port)

    def receiver(self) -> Peer:
        n = len(self.service.receivers.connections)
        peer = self._at(self.service.receivers.port)
        wait_for(lambda: len(self.service.receivers.connections) == n + 1)
        return peer

    def total(self, name: str, **labels: str) -> float:
        return self.metrics.total(name, **labels)

    def _at(self, port: int) -> Peer:
        self.peers.append(Peer.at(port))
        return self.peers[-1]


def started(**settings: Any) -> Filter:
    """Start a filter: servers on both sides that give the base, when not told otherwise."""
    said = {"source": SERVER, "receivers": SERVER, "enhance": {"model": "base", "threads": 1}, **settings}
    checked = OpenIgtLinkSettings.model_validate({"kind": "openigtlink", "name": "test", **said})
    metrics, streams = Metrics(), Streams()
    log = logging.LoggerAdapter(logging.getLogger("acutance.serve"), {})
    service = make(checked, Context(metrics, log, streams))
    assert isinstance(service, OpenIgtLink)
    found = Filter(service, metrics, streams)
    service.start()
    return found


def picture(seed: int = 0, shape: tuple[int, ...] = (1, 12, 16), dtype: Any = np.uint8) -> np.ndarray:
    values = np.random.default_rng(seed).integers(0, 200, shape)
    return values.astype(dtype)


MATRIX = np.array([[0, 0.5, 0, 10], [0.4, 0, 0, -20], [0, 0, 3, 5], [0, 0, 0, 1]], np.float32)


def image(device: str = "Image", version: int = 1, pixels: np.ndarray | None = None, **more: Any) -> Any:
    """An IMAGE of pyigtl's."""
    metadata = more.pop("metadata", {})
    found = pyigtl.ImageMessage(
        picture() if pixels is None else pixels,
        ijk_to_world_matrix=MATRIX,
        device_name=device,
        timestamp=more.pop("timestamp", 1234.5),
        **more,
    )
    found.header_version, found.metadata = version, metadata
    return found


def transform(number: int, version: int = 1) -> Any:
    found = pyigtl.TransformMessage(np.eye(4) * number, device_name=f"Tool{number}", timestamp=float(number))
    found.header_version = version
    return found


def unpacked(message: Message) -> Any:
    """Read a message with pyigtl."""
    fields = pyigtl.MessageBase.parse_header(message.header)
    found = pyigtl.MessageBase.create_message(fields["message_type"])
    found.unpack(fields, bytes(message.body))
    return found
