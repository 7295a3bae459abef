"""How many pictures get through the OpenIGTLink filter, how old they are when they are there, and what that takes."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rich import box, progress
from rich.console import Console
from rich.table import Table

from ..errors import BackendError
from ..serve.openigtlink.image import IMAGE
from ..serve.openigtlink.message import EXTENDED, HEADER, Message, Parts, Reader, crc64
from . import record

WARM_UP = 2.0
"""Seconds before the count begins: models are loaded and timed."""

START_S = 60.0
"""Seconds that a filter may take to listen."""

LINGER = 1.0
"""Seconds after the last picture in which answers still count."""

PICTURES = 4
"""Different pictures that are sent in turn."""


@dataclasses.dataclass
class Fed:
    """What went in and came out.

    Attributes
    ----------
    offered : int
    ages : list of float
        Milliseconds from before a picture is written to the source's socket until all of its answer is read.
    base : int
        Answers that say they are only the base.
    """

    offered: int = 0
    ages: list[float] = dataclasses.field(default_factory=list)
    base: int = 0


def feed(source: socket.socket, receiver: socket.socket, cols: int, rows: int, rate: float, seconds: float) -> Fed:
    """Send gray pictures of 8 bits at a rate, whether or not answers come, and read the answers."""
    fed, bodies = Fed(), [_body(cols, rows, seed) for seed in range(PICTURES)]
    counted_from = time.time() + WARM_UP
    reading = threading.Thread(target=_read, args=(receiver, counted_from, fed), name="receiver")
    reading.start()
    began = time.monotonic()
    for n in range(round((WARM_UP + seconds) * rate)):
        time.sleep(max(began + n / rate - time.monotonic(), 0.0))
        now = time.time()
        body, crc = bodies[n % PICTURES]
        source.sendall(HEADER.pack(2, b"IMAGE", b"Bench", int(now * 2**32), len(body), crc))
        source.sendall(body)
        fed.offered += now >= counted_from
    time.sleep(LINGER)
    receiver.shutdown(socket.SHUT_RDWR)
    reading.join()
    return fed


def _body(cols: int, rows: int, seed: int) -> tuple[bytes, int]:
    pixels = np.random.default_rng(seed).integers(0, 256, (rows, cols), dtype=np.uint8)
    size = (cols, rows, 1)
    matrix = (0.2, 0.0, 0.0, 0.0, 0.2, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0)
    body = EXTENDED.pack(EXTENDED.size, 2, 0, 0) + IMAGE.pack(1, 1, 3, 2, 1, *size, *matrix, 0, 0, 0, *size)
    body += pixels.tobytes() + b"\0\0"
    return body, crc64((body,))


def _read(receiver: socket.socket, counted_from: float, fed: Fed) -> None:
    reader = Reader(1 << 30)
    while n := receiver.recv_into(reader.room()):
        message = reader.took(n)
        if message is not None and message.seconds >= counted_from:
            fed.ages.append(1000 * (time.time() - message.seconds))
            fed.base += _is_base(message)


def _is_base(message: Message) -> bool:
    return any(entry.key == b"acutance.base" for entry in Parts.of(message).metadata)


@dataclasses.dataclass
class Filter:
    """A filter in a process of its own."""

    pid: int
    source: int
    receivers: int

    def seconds(self) -> float:
        """CPU time until now."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak_mib(self) -> float:
        """Largest resident memory until now."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


@contextlib.contextmanager
def served(model: str, backend: str, threads: int, rate: float) -> Iterator[Filter]:
    """Run ``acutance serve`` with one filter, a server on both sides.

    Raises
    ------
    BackendError
        It ends before it listens.
    """
    ports = [_free_port(), _free_port()]
    sides = zip(("source", "receivers"), ports, strict=True)
    text = '[[service]]\nkind = "openigtlink"\nname = "bench"\n'
    text += "".join(f'[service.{side}]\nrole = "server"\nport = {port}\n' for side, port in sides)
    text += f"[service.stream]\nfps = {rate}\n"
    text += f'[service.enhance]\nmodel = "{model}"\nbackend = "{backend}"\nthreads = {threads}\n'
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "bench.toml"
        config.write_text(text)
        command = [sys.executable, "-c", "from acutance.cli import main; main()", "serve", str(config)]
        with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
            try:
                _wait(process, ports)
                yield Filter(process.pid, *ports)
            finally:
                process.send_signal(signal.SIGTERM)
                process.communicate()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def _wait(process: subprocess.Popen[bytes], ports: list[int]) -> None:
    until = time.monotonic() + START_S
    for port in ports:
        while True:
            if process.poll() is not None or time.monotonic() > until:
                said = process.stderr.read().decode() if process.poll() is not None and process.stderr else "nothing"
                raise BackendError(f"`acutance serve` does not listen; it said: {said[-300:]}")
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.1)


def measure(filter_: Filter, cols: int, rows: int, rate: float, seconds: float) -> dict[str, Any]:
    """Return the numbers of one feed.

    Returns
    -------
    dict
        ``offered``, ``answered``, ``base`` (of these, as they say themselves), ``lost``, ``late`` (answers older than
        one period), ``age_ms`` (see :func:`record.summary`), ``cpu_share`` (CPU seconds a second of the filter),
        ``cpu_ms`` (of the filter, for each picture offered, whatever else the machine does), ``peak_mib``,
        ``load`` (of the machine, before and after).
    """
    load, used, began = os.getloadavg()[0], filter_.seconds(), time.monotonic()
    with (
        socket.create_connection(("127.0.0.1", filter_.source), 5) as source,
        socket.create_connection(("127.0.0.1", filter_.receivers), 5) as receiver,
    ):
        receiver.settimeout(None)
        fed = feed(source, receiver, cols, rows, rate, seconds)
    used, took = filter_.seconds() - used, time.monotonic() - began
    sent = round((WARM_UP + seconds) * rate)
    return {
        "offered": fed.offered,
        "answered": len(fed.ages),
        "base": fed.base,
        "lost": fed.offered - len(fed.ages),
        "late": sum(age > 1000 / rate for age in fed.ages),
        "age_ms": record.summary(fed.ages) if fed.ages else None,
        "cpu_share": used / took,
        "cpu_ms": 1000 * used / sent,
        "peak_mib": filter_.peak_mib(),
        "load": [round(load, 2), round(os.getloadavg()[0], 2)],
    }


def run(
    models: list[str],
    sizes: list[tuple[int, int]],
    backend: str,
    threads: int,
    rate: float,
    seconds: float,
    json: Path | None,
) -> None:
    """Measure, print the table and write the result file."""
    about, rows = record.machine(), []
    cases = [(model, size) for model in models for size in sizes]
    for model, (cols, rows_) in progress.track(cases, "openigtlink"):
        with served(model, backend, threads, rate) as filter_:
            found = measure(filter_, cols, rows_, rate, seconds)
        case = {"model": model, "size": [cols, rows_], "rate_hz": rate, "seconds": seconds, "threads": threads}
        rows.append({**case, **found})
    Console().print(table(rows))
    if json:
        record.write(json, "openigtlink", rows, about)


def table(rows: list[dict[str, Any]]) -> Table:
    """Return the numbers as a table for the terminal."""
    title = f"gray pictures through the OpenIGTLink filter, {rows[0]['rate_hz']:g} a second: ages in ms"
    shown = Table(title=title, box=box.SIMPLE, padding=(0, 1, 0, 0))
    for column in ("model", "size", "sent", "network", "base", "lost", "p50", "p99", "late", "cpu ms", "load"):
        shown.add_column(column, no_wrap=True)
    for r in rows:
        counts = [str(n) for n in (r["offered"], r["answered"] - r["base"], r["base"], r["lost"])]
        ages = [f"{r['age_ms'][k]:.0f}" if r["age_ms"] else "-" for k in ("p50", "p99")]
        size = "x".join(map(str, r["size"]))
        shown.add_row(r["model"], size, *counts, *ages, str(r["late"]), f"{r['cpu_ms']:.0f}", f"{r['load'][0]:.0f}")
    return shown
