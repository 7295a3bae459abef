"""A server to talk to, and a client that the ``ismrmrd`` package gives."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from acutance.live.metrics import Metrics
from acutance.serve import logs
from acutance.serve.mrd.settings import MrdSettings
from acutance.serve.service import Context, Streams

pytest.importorskip("ismrmrd", reason="no ismrmrd")
serialization = pytest.importorskip("ismrmrd.serialization", reason="no ismrmrd")

TIMEOUT_S = 20.0


class Client:
    """One connection, through the package's own serializer and deserializer."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), TIMEOUT_S)
        self.file = self.socket.makefile("rwb")
        self.writer = serialization.ProtocolSerializer(self.file)

    def send(self, *items: Any) -> None:
        for item in items:
            self.writer.serialize(item)
        self.file.flush()

    def raw(self, data: bytes) -> None:
        self.socket.sendall(data)

    def end(self) -> None:
        """Say that nothing more comes."""
        self.writer.close()

    def rest(self) -> list[Any]:
        """Return all that still comes up to the server's close message."""
        return list(serialization.ProtocolDeserializer(self.file).deserialize())

    def rest_raw(self) -> bytes:
        """Return all bytes up to the end of the connection."""
        self.socket.shutdown(socket.SHUT_WR)
        return self.file.read()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.file.close()
        self.socket.close()


@pytest.fixture()
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture()
def serve(metrics: Metrics) -> Iterator[Callable[..., Any]]:
    """Start a server with settings; ``server.client()`` connects to it."""
    from acutance.serve.mrd.service import make

    with contextlib.ExitStack() as stack:

        def start(**settings: Any) -> Any:
            settings = {"name": "mrd", "port": 0, "enhance": {"model": "base", "threads": 1}, **settings}
            context = Context(metrics, logs.of("mrd"), Streams())
            server = make(MrdSettings.model_validate({"kind": "mrd", **settings}), context)
            stack.callback(server.stop, 20.0)
            server.start()

            def client() -> Client:
                found = Client(server.port)
                stack.callback(found.close)
                return found

            server.client = client
            return server

        yield start
    assert not [t for t in threading.enumerate() if t.name.startswith("mrd")]


@pytest.fixture(scope="session")
def picture() -> Callable[..., np.ndarray]:
    """A smooth picture with an edge in any MRD dtype, ``[channels, z, y, x]``."""

    def make(dtype: str = "u2", shape: tuple[int, int, int, int] = (1, 1, 24, 20), seed: int = 0) -> np.ndarray:
        rng = np.random.default_rng(seed)
        y, x = np.mgrid[: shape[2], : shape[3]]
        base = 400 + 300 * np.sin(x / 3 + rng.random()) * np.cos(y / 4) + 200 * (x + y > 20)
        values = np.broadcast_to(base, shape) + 20 * np.arange(shape[0] * shape[1]).reshape(*shape[:2], 1, 1)
        values = values + rng.normal(0, 2, shape)
        if np.dtype(dtype).kind == "c":
            return (values * np.exp(1j * (x / 7 - y / 9))).astype(dtype)
        return np.rint(values).astype(dtype) if np.dtype(dtype).kind in "iu" else values.astype(dtype)

    return make


@pytest.fixture(scope="session")
def message(picture: Callable[..., np.ndarray]) -> Callable[..., Any]:
    """An image message of :func:`picture` or given pixels, with header fields and attributes."""
    from acutance.serve.mrd import protocol
    from acutance.serve.mrd.attributes import Attributes

    def make(pixels: np.ndarray | str = "u2", attributes: dict[str, Any] | bytes | None = None, **fields: Any) -> Any:
        head = protocol.ImageHeader()
        head.version, head.image_type = 1, protocol.ImageType.MAGNITUDE
        head.field_of_view[:], head.read_dir[:], head.phase_dir[:] = (200.0, 240.0, 5.0), (1, 0, 0), (0, 1, 0)
        for name, value in fields.items():
            if isinstance(value, tuple):
                getattr(head, name)[:] = value
            else:
                setattr(head, name, value)
        if not isinstance(attributes, bytes):
            found = Attributes(b"")
            for name, value in (attributes or {}).items():
                found.set(name, *(value if isinstance(value, list) else [value]))
            attributes = found.serialize()
        return protocol.image(head, attributes, picture(pixels) if isinstance(pixels, str) else pixels)

    return make
