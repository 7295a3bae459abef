"""What shaped a number stands beside it: machine, versions, commit, load; and one form for every result file."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
import re
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

import numpy as np

from ..beside import beside
from ..errors import InputError, OutputError
from . import power

PACKAGES = (
    "acutance",
    "numpy",
    "onnxruntime",
    "onnxruntime-gpu",
    "torch",
    "monai",
    "opencv-python-headless",
    "pydicom",
    "pynetdicom",
    "pycuda",
    "tensorrt",
    "tensorrt-cu12",
    "tensorrt-cu13",
    "tensorrt-rtx",
)

SETTLE = 0.1
"""Seconds between calls that are timed in turn: thread pools spin for a while after work, and would slow the next."""


def machine() -> dict[str, Any]:
    """Return what this machine is, how it is set and what runs on it, as JSON-ready values."""
    source = power.find()
    return {
        "cpu": _cpu_name(),
        "architecture": platform.machine(),
        "cpus_usable": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") or "not shown",
        "load_before": round(os.getloadavg()[0], 2),
        "gpu": None if source is None else source.describe(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
        "commit": _commit(),
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }


def milliseconds(call: Callable[[], object], repeats: int, warm_up: int = 1) -> list[float]:
    """Return the wall time in ms of each of ``repeats`` calls after ``warm_up`` calls that do not count."""
    for _ in range(warm_up):
        call()
    times = []
    for _ in range(repeats):
        start = perf_counter()
        call()
        times.append(1000 * (perf_counter() - start))
    return times


def interleaved(calls: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Time several calls in turn, A B C A B C ..., so that a drifting machine treats all of them alike.

    Returns
    -------
    dict of str to list of float
        Milliseconds of each repeat; repeat ``k`` of every call ran within the same round.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(repeats):
        for name, call in calls.items():
            sleep(SETTLE)
            times[name] += milliseconds(call, 1, warm_up=0)
    return times


def summary(samples: Sequence[float]) -> dict[str, Any]:
    """Return count, smallest, mean, largest and percentiles of samples, and the samples, for :mod:`.compare`."""
    a = np.asarray(samples, dtype=np.float64)
    percentiles = {f"p{q:g}": float(np.percentile(a, q)) for q in (50, 90, 99, 99.9)}
    return {
        "n": int(a.size),
        "min": float(a.min()),
        **percentiles,
        "max": float(a.max()),
        "mean": float(a.mean()),
        "samples": [round(x, 4) for x in a.tolist()],
    }


def write(path: Path, bench: str, rows: Sequence[dict[str, Any]], about: dict[str, Any]) -> None:
    """Write ``rows`` of one benchmark with ``about`` (what :func:`machine` said before it ran) as JSON.

    Raises
    ------
    OutputError
    """
    machine = {**about, "load_after": round(os.getloadavg()[0], 2)}
    text = json.dumps({"bench": bench, "machine": machine, "rows": list(rows)}, indent=1)
    text = re.sub(r"\[[-\d.e,\s]+\]", lambda m: " ".join(m[0].split()), text)  # samples: one line for each list
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise OutputError(f"its folder cannot be made ({e.strerror})", path) from None
    with beside(path) as file:
        file.write(text.encode() + b"\n")


def read(path: Path) -> dict[str, Any]:
    """Return what :func:`write` wrote.

    Raises
    ------
    InputError
    """
    try:
        said = json.loads(path.read_bytes())
        found: dict[str, Any] = {"bench": said["bench"], "machine": said["machine"], "rows": list(said["rows"])}
    except OSError as e:
        raise InputError(f"cannot be read ({e.strerror})", path) from None
    except (ValueError, KeyError, TypeError):
        raise InputError("is no result of `acutance bench`; wanted what --json writes", path) from None
    return found


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _cpu_name() -> str:
    for line in _read("/proc/cpuinfo").splitlines():
        if line.startswith(("model name", "Model")):
            return line.split(":", 1)[1].strip()
    return platform.processor() or "not shown"


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _commit() -> str:
    here = Path(__file__).resolve().parent

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=here, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "--short=12", "HEAD") + (" with changes" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return "not in a checkout"
