"""How long a frame takes from host memory to host memory, how evenly, and how old it is when it is done."""

from __future__ import annotations

import contextlib
import dataclasses
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

import numpy as np
from rich import box, progress
from rich.console import Console
from rich.table import Table

from .. import model as models
from ..errors import UsageError
from . import ours, power, record, rivals

LOADS = {
    "none": "nothing else",
    "cpu": "a process that burns one CPU",
    "gpu": "copies on another stream of the GPU",
}

BURN = "while True: pass"

SPIN = 0.002
"""Seconds before a frame is due from which on the wait spins, since a sleep may end late."""

OVERFED = 2.0
"""Frames offered for each one that can be run, in the feed `overfed`."""

Stages = dict[str, float] | None


class Clock:
    """The machine's clock in seconds; tests bring their own."""

    def now(self) -> float:
        return perf_counter()

    def wait_until(self, moment: float) -> None:
        """Sleep, and spin at the end."""
        while (left := moment - perf_counter()) > 0:
            if left > SPIN:
                sleep(left - SPIN)


@dataclasses.dataclass
class Timed:
    """What was measured of one feed.

    Attributes
    ----------
    milliseconds : list of float
        Of each frame, from the call to its pixels.
    ages : list of float
        Milliseconds from when a frame was there to its result; empty back to back, where frames wait for nobody.
    stages : list of dict
        Milliseconds of each stage of each frame, where the backend measures them.
    dropped : int
        Frames that were offered and never run, because a newer one was there.
    warm_up : list of float
        Milliseconds of the frames before, which do not count.
    """

    milliseconds: list[float] = dataclasses.field(default_factory=list)
    ages: list[float] = dataclasses.field(default_factory=list)
    stages: list[dict[str, float]] = dataclasses.field(default_factory=list)
    dropped: int = 0
    warm_up: list[float] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Length:
    """How much is measured: ``warm_up`` frames, then ``frames``, or fewer when ``seconds`` are over."""

    frames: int
    warm_up: int
    seconds: float


def back_to_back(run: Callable[[], Stages], length: Length, clock: Clock) -> Timed:
    """Run one frame after another."""
    timed = Timed()
    _warm(run, length, clock, timed)
    over = clock.now() + length.seconds
    while len(timed.milliseconds) < length.frames and (clock.now() < over or len(timed.milliseconds) < 2):
        _one(run, clock, timed)
    return timed


def fed(run: Callable[[], Stages], rate: float, length: Length, clock: Clock) -> Timed:
    """Run the newest frame of a source that has one every ``1 / rate`` seconds, whether or not anybody takes it.

    Where the frames come faster than they can be run, those that a newer one overtakes are dropped: the latest wins.
    """
    timed = Timed()
    _warm(run, length, clock, timed)
    started = clock.now()
    last = -1
    while len(timed.milliseconds) < length.frames:
        now = clock.now()
        if now >= started + length.seconds and len(timed.milliseconds) >= 2:
            break
        newest = int((now - started) * rate + 1e-9)
        if newest <= last:
            newest = last + 1
            clock.wait_until(started + newest / rate)
        timed.dropped += newest - last - 1
        last = newest
        _one(run, clock, timed)
        timed.ages.append(1000 * (clock.now() - started - newest / rate))
    return timed


def _warm(run: Callable[[], Stages], length: Length, clock: Clock, timed: Timed) -> None:
    for _ in range(length.warm_up):
        started = clock.now()
        run()
        timed.warm_up.append(1000 * (clock.now() - started))


def _one(run: Callable[[], Stages], clock: Clock, timed: Timed) -> None:
    started = clock.now()
    stages = run()
    timed.milliseconds.append(1000 * (clock.now() - started))
    if stages is not None:
        timed.stages.append(stages)


def row(timed: Timed, feed: str, rate: float | None) -> dict[str, Any]:
    """Return the numbers of one feed.

    Returns
    -------
    dict
        ``ms`` (see :func:`record.summary`); ``jitter_ms``: mean difference of neighbours; ``warm_up``: frames before,
        and the ``first_ms`` of them; with a ``rate_hz``: ``age_ms``, ``misses`` (frames done later than one period
        after they were there) and ``dropped``; and ``stages``, a summary for each.
    """
    ms = np.array(timed.milliseconds)
    found: dict[str, Any] = {
        "feed": feed,
        "ms": record.summary(timed.milliseconds),
        "jitter_ms": float(np.abs(np.diff(ms)).mean()) if ms.size > 1 else 0.0,
        "warm_up": len(timed.warm_up),
        "first_ms": timed.warm_up[0] if timed.warm_up else None,
    }
    if rate is not None:
        late = sum(age > 1000 / rate for age in timed.ages)
        found |= {"rate_hz": rate, "age_ms": record.summary(timed.ages), "misses": late, "dropped": timed.dropped}
    if timed.stages:
        found["stages"] = {
            name: {k: v for k, v in record.summary([s[name] for s in timed.stages]).items() if k != "samples"}
            for name in timed.stages[0]
        }
    return found


@contextlib.contextmanager
def competing(load: str) -> Iterator[None]:
    """Run something else while the block runs; see :data:`LOADS`.

    Raises
    ------
    BackendError
        ``gpu`` where there is none.
    """
    if load == "cpu":
        with subprocess.Popen([sys.executable, "-c", BURN]) as other:
            try:
                yield
            finally:
                other.kill()
    elif load == "gpu":
        with _copies():
            yield
    else:
        yield


@contextlib.contextmanager
def _copies() -> Iterator[None]:
    from .device import open_device

    over, ready = threading.Event(), threading.Event()
    failed: list[Exception] = []

    def run() -> None:
        try:
            with contextlib.closing(open_device()) as device:  # in this thread, whose context it is
                source, target = (device.empty((64 << 20,), np.uint8) for _ in range(2))
                ready.set()
                while not over.is_set():
                    device.milliseconds(lambda: [device.copy(target, source) for _ in range(8)])
        except Exception as e:
            failed.append(e)
        finally:
            ready.set()

    other = threading.Thread(target=run, daemon=True, name="load")
    other.start()
    ready.wait()
    try:
        if not failed:
            yield
    finally:
        over.set()
        other.join()
    if failed:  # numbers beside a load that ended early would be wrong
        raise failed[0]


def measure(
    run: Callable[[], Stages], rates: list[int], length: Length, source: power.Source | None, clock: Clock
) -> Iterator[dict[str, Any]]:
    """Yield a row for each feed: back to back, paced at each rate, and overfed: faster than it runs."""

    def timed(feed: str, rate: float | None) -> dict[str, Any]:
        with power.Sampler(source) as sampler:
            got = back_to_back(run, length, clock) if rate is None else fed(run, rate, length, clock)
        found = row(got, feed, rate)
        return {**found, "power": sampler.summary()} if source is not None else found

    first = timed("back to back", None)
    yield first
    for rate in rates:
        yield timed(f"paced {rate} Hz", float(rate))
    yield timed("overfed", OVERFED * 1000 / first["ms"]["p50"])


def run(
    name: str,
    sizes: list[int],
    setting: ours.Setting,
    rates: list[int],
    loads: list[str],
    length: Length,
    json: Path | None,
) -> None:
    """Measure, print the table and write the result file."""
    unknown = [load for load in loads if load not in LOADS]
    if unknown:
        raise UsageError(f"load '{unknown[0]}' is none of {', '.join(LOADS)}")
    about, rows, source = record.machine(), [], power.find()
    clock = Clock()
    for size in progress.track(sizes, "latency"):
        shown = rivals.Shown.of(models.load(name), size)
        with ours.opened(shown, setting) as frame:
            for load in loads:
                with competing(load):
                    for found in measure(frame.run, rates, length, source, clock):
                        rows.append({"model": name, "size": size, **frame.about(), "load": load, **found})
    Console().print(table(rows))
    if json:
        record.write(json, "latency", rows, about)


def table(rows: list[dict[str, Any]]) -> Table:
    """Return the numbers as a table for the terminal."""
    columns = ("size", "load", "feed", "p50", "p99", "p99.9", "max", "jitter", "age", "late", "lost")
    first = rows[0]
    title = f"{first['model']}, {first['backend']}, {first['precision']}: ms from host memory to host memory"
    shown = Table(title=title, box=box.SIMPLE, padding=(0, 1, 0, 0))
    for column in columns:
        shown.add_column(column, no_wrap=True)
    for r in rows:
        ms = [_short(r["ms"][k]) for k in ("p50", "p99", "p99.9", "max")] + [_short(r["jitter_ms"])]
        if "age_ms" in r:
            ms += [_short(r["age_ms"]["p50"]), str(r["misses"]), str(r["dropped"])]
        shown.add_row(str(r["size"]), r["load"], r["feed"], *ms)
    return shown


def _short(ms: float) -> str:
    return f"{ms:.3f}" if ms < 10 else f"{ms:.1f}" if ms < 100 else f"{ms:.0f}"
