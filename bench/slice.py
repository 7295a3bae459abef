"""A slice from pixels to pixels, beside what a user would take instead, on the CPU."""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

from rich import progress
from rich.console import Console
from rich.table import Table

from .. import model as models
from ..enhancer import Enhancer
from ..errors import BackendError
from . import record, rivals
from .rivals import FLOOR, MONAI, OURS

__all__ = ["COMMAND", "FLOOR", "MONAI", "OURS", "run"]

COMMAND = "command to file"

OVER_FLOOR, OVER_OURS, PEAK_MB, START_MS = 1.15, 1.8, 700.0, 1500.0
"""What is wanted: our time over the floor's at most, MONAI's over ours at least, peak memory, command to file."""


def compare(name: str, size: int, repeats: int, threads: int) -> list[dict[str, Any]]:
    """Time one model on one square picture, ours and the rivals in turn.

    Returns
    -------
    list of dict
        One row for each way: ``model``, ``size``, ``way``, ``ms`` (see :func:`record.summary`) and ``ratio`` (median
        over rounds of its time over our time in the same round).
    """
    shown = rivals.Shown.of(models.load(name), size)
    enhancer = Enhancer(shown.model, "onnxruntime", threads=threads)
    calls: dict[str, Callable[[], object]] = {
        FLOOR: rivals.onnxruntime(shown, threads),
        OURS: rivals.ours(enhancer, shown),
        **rivals.torch(shown, threads),
        **rivals.opencv(shown, threads),
    }
    times = record.interleaved(calls, repeats)
    return [{"model": name, "size": size, **row} for row in rivals.rows(times)]


PEAK = """
import re, sys
import numpy as np
from acutance import Enhancer
size, name = int(sys.argv[1]), sys.argv[2]
pixels = np.full((size, size), 1000, np.uint16)
pixels[::3, ::5] = 1300
result = Enhancer(name, "onnxruntime", threads=2).run(pixels, modality=sys.argv[3])
assert result.fell_back is None, result.fell_back
# Not getrusage: its peak also counts the process that this one was forked from.
print(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
"""


def peak_memory(name: str, size: int) -> float:
    """Return the peak memory in MB of a fresh process that enhances one ``[size, size]`` uint16 picture."""
    modality = models.load(name).meta.modalities[0]
    command = [sys.executable, "-c", PEAK, str(size), name, modality]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise BackendError(f"a picture of {size} x {size} failed: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
    return int(done.stdout) / 1000


COMMAND_LINE = "from acutance.cli import main; main()"
"""What the installed script ``acutance`` runs."""


def command_to_file(example: Path, repeats: int) -> dict[str, Any]:
    """Time ``acutance enhance`` on one file, each time in a fresh process, from its start to its end.

    The first call, which reads the programs from the disk, does not count.

    Returns
    -------
    dict
        ``way``, ``input``, and ``ms`` and ``cpu_ms`` (see :func:`record.summary`): wall time, and processor time of all
        threads, which other processes on the machine do not lengthen.

    Raises
    ------
    BackendError
        The command failed.
    """
    wall, cpu = [], []
    with tempfile.TemporaryDirectory() as folder:
        for i in range(repeats + 1):
            target = Path(folder, f"{i}{example.suffix}")
            command = [sys.executable, "-c", COMMAND_LINE, "enhance", str(example), "-o", str(target)]
            command += ["--backend", "onnxruntime"]
            before, started = resource.getrusage(resource.RUSAGE_CHILDREN), perf_counter()
            done = subprocess.run(command, capture_output=True, text=True)
            wall.append(1000 * (perf_counter() - started))
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu.append(1000 * (after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime))
            if done.returncode or not target.is_file():
                last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
                raise BackendError(f"`acutance enhance` failed: {last}", example)
    return {
        "way": COMMAND,
        "input": example.name,
        "ms": record.summary(wall[1:]),
        "cpu_ms": record.summary(cpu[1:]),
    }


def run(
    names: list[str], sizes: list[int], repeats: int, threads: int, memory: int, example: Path, json: Path | None
) -> None:
    """Measure, print the table and write the result file."""
    about, rows = record.machine(), []
    table = Table("model", "size", "way", "ms (median)", "time over ours", title="A slice, pixels to pixels")
    for name in progress.track(names, "slice"):
        for size in sizes:
            found = compare(name, size, repeats, threads)
            for row in found:
                table.add_row(name, str(size), row["way"], f"{row['ms']['p50']:.1f}", f"{row['ratio']:.2f}")
            rows += found
        megabytes = peak_memory(name, memory)
        rows.append({"model": name, "size": memory, "way": OURS, "peak_mb": megabytes})
        table.add_row(name, str(memory), f"{OURS}, peak memory {megabytes:.0f} MB", "", "")
    row = command_to_file(example, repeats)
    rows.append(row)
    cpu = f"{row['cpu_ms']['p50']:.0f} ms of processor time"
    table.add_row("auto", row["input"], f"{COMMAND}, {cpu}", f"{row['ms']['p50']:.0f}", "")
    Console().print(table)
    if json:
        record.write(json, "slice", rows, about)
