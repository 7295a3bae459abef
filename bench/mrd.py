"""Images through the MRD server, enhanced beside passed through, and beside the same pictures without a server."""

from __future__ import annotations

import contextlib
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from rich import progress
from rich.console import Console
from rich.table import Table

from ..enhancer import Enhancer
from ..errors import BackendError, UsageError
from ..geometry import Array, Frame
from . import record

try:
    from ..serve.mrd import protocol
except ModuleNotFoundError as e:
    raise UsageError(f"{e.name} is not installed: pip install 'acutance[serve]'") from None

PASSTHROUGH, BASE, ALONE = "passthrough", "base", "Enhancer without server"

START_S = 60.0

SERVER = "from acutance.cli import main; main()"
"""What the installed script ``acutance`` runs."""


def picture(size: int) -> Array:
    """Return a smooth ``[size, size]`` uint16 picture with noise and edges."""
    y, x = np.mgrid[:size, :size]
    noise = np.random.default_rng(0).normal(0, 10, (size, size))
    values: Array = 600 + 300 * np.sin(x / 9) * np.cos(y / 7) + 200 * (x + y > size) + noise
    return values.astype(np.uint16)


@contextlib.contextmanager
def server(model: str, threads: int) -> Iterator[int]:
    """Run ``acutance serve`` in a process of its own; give its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "mrd.toml")
        tables = "".join(f'[service.{at}]\nmodel = "{m}"\nthreads = {threads}\nbackend = "onnxruntime"\n'
                         for at, m in (("enhance", model), ("configs.base", "base")))  # fmt: skip
        config.write_text(f'[[service]]\nkind = "mrd"\nname = "bench"\nport = {port}\n{tables}')
        process = subprocess.Popen([sys.executable, "-c", SERVER, "serve", str(config)], stderr=subprocess.PIPE)
        try:
            _wait_for(port, process)
            yield port
        finally:
            process.terminate()
            process.communicate(timeout=30)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
            return
        time.sleep(0.05)
    raise BackendError("`acutance serve` has not started")


class Client:
    """One connection with a config."""

    def __init__(self, port: int, config: str, pixels: Array) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), START_S)
        self._file: IO[bytes] = self._socket.makefile("rb")
        self._socket.sendall(struct.pack("<H1024s", protocol.Id.CONFIG_FILE, config.encode()))
        head = protocol.ImageHeader()
        head.version, head.image_type = 1, protocol.ImageType.MAGNITUDE
        self._image = b"".join(protocol.image(head, b"", pixels[None, None]).wire())

    def send(self, count: int = 1) -> None:
        for _ in range(count):
            self._socket.sendall(self._image)

    def receive(self) -> protocol.Message:
        """Return the next message.

        Raises
        ------
        BackendError
            It is no image.
        """
        parsing = protocol.parse(struct.unpack("<H", self._file.read(2))[0], 10**9, 10**6)
        wanted = next(parsing)
        try:
            while True:
                wanted = parsing.send(self._file.read(wanted))
        except StopIteration as done:
            message: protocol.Message = done.value
        if not isinstance(message, protocol.Image):
            raise BackendError(f"the server answered: {protocol.words(message)}")
        return message

    def close(self) -> None:
        self._file.close()
        self._socket.close()


def measure(port: int, model: str, size: int, images: int, repeats: int, threads: int) -> list[dict[str, Any]]:
    """Time each way in turn, first one image at a time, then as many as go through.

    Returns
    -------
    list of dict
        One row for each way: ``model``, ``size``, ``way``, ``ms`` (see :func:`record.summary`): from the first byte of
        an image to the last of its answer, alone on the line; and ``per_second``: a summary of images a second when
        the next does not wait for the answer.
    """
    pixels = picture(size)
    clients = {way: Client(port, name, pixels) for way, name in
               {PASSTHROUGH: PASSTHROUGH, BASE: BASE, model: "acutance"}.items()}  # fmt: skip
    with contextlib.ExitStack() as stack:
        for client in clients.values():
            stack.callback(client.close)
        alone = stack.enter_context(Enhancer(model, "onnxruntime", threads=threads))
        frame = Frame(pixels, "MR", value_range=(0.0, 1200.0))
        calls: dict[str, Any] = {way: lambda c=c: (c.send(), c.receive()) for way, c in clients.items()}
        times = record.interleaved({**calls, ALONE: lambda: alone.run(frame)}, repeats)
        rates: dict[str, list[float]] = {way: [] for way in clients}
        for _ in range(max(repeats // 3, 2)):
            for way, client in clients.items():
                rates[way].append(_rate(client, images))
    rows = []
    for way, ms in times.items():
        row = {"model": model, "size": size, "way": way, "ms": record.summary(ms)}
        rows.append(row if way == ALONE else {**row, "per_second": record.summary(rates[way])})
    return rows


def _rate(client: Client, images: int) -> float:
    """Return images a second, sent by one thread and received by another."""
    started = time.perf_counter()
    sending = threading.Thread(target=client.send, args=(images,))
    sending.start()
    for _ in range(images):
        client.receive()
    sending.join()
    return images / (time.perf_counter() - started)


def run(model: str, sizes: list[int], images: int, repeats: int, threads: int, json: Path | None) -> None:
    """Measure, print the table and write the result file."""
    about, rows = record.machine(), []
    table = Table("model", "size", "way", "ms (median)", "images a second", title="uint16 images through MRD")
    with server(model, threads) as port:
        for size in progress.track(sizes, "mrd"):
            found = measure(port, model, size, images, repeats, threads)
            for row in found:
                rate = f"{row['per_second']['p50']:.1f}" if "per_second" in row else ""
                table.add_row(model, str(size), row["way"], f"{row['ms']['p50']:.1f}", rate)
            rows += found
    Console().print(table)
    if json is not None:
        record.write(json, "mrd", rows, about)
