"""Whether 8 bits are faster than float32 on this CPU: measured once for each machine and model, and kept.

Processors with dot products of bytes (VNNI, SDOT) run the int8 file about twice as fast; on others it is slower.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import platform
import statistics
import time
from pathlib import Path

import numpy as np

from ..beside import beside, cache_folder
from ..errors import AcutanceError, ModelError
from ..model import Model, load
from . import MARGIN
from .onnxruntime import OnnxRuntime

SIDE, ROUNDS = 256, 5
"""Pixels a side of the tile that is timed, and how often each file runs, in turn."""


def quicker(model: Model, threads: int = 0) -> Model:
    """Return the int8-cpu file of a shipped fp32 model where it is faster on this machine, else the model itself.

    Parameters
    ----------
    threads : int
        As in :class:`.onnxruntime.OnnxRuntime`.
    """
    try:
        candidate = load(model.meta.name, "int8-cpu")
        return candidate if _gain(model, candidate, threads) >= MARGIN else model
    except ModelError:  # not shipped in 8 bits
        return model


def store() -> Path:
    """Return the file in the user's cache folder that keeps what was measured."""
    return cache_folder() / "int8.json"


def _gain(model: Model, candidate: Model, threads: int) -> float:
    """Return how many times faster the candidate is, kept from an earlier run where there was one."""
    key, known = _key(model, candidate, threads), {}
    with contextlib.suppress(OSError, ValueError):
        known = dict(json.loads(store().read_text(encoding="utf-8")))
    if not isinstance(known.get(key), float):
        known[key] = measure(model, candidate, threads)
        with contextlib.suppress(OSError, AcutanceError):  # it is then measured anew next time
            store().parent.mkdir(parents=True, exist_ok=True)
            with beside(store()) as file:
                file.write(json.dumps(known, indent=1).encode())
    return float(known[key])


def _key(model: Model, candidate: Model, threads: int) -> str:
    import onnxruntime

    cpu = platform.processor()
    with contextlib.suppress(OSError):
        info = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        cpu = "".join(line for line in dict.fromkeys(info) if line.startswith(("model name", "flags", "CPU part")))
    said = [platform.node(), platform.machine(), cpu, onnxruntime.__version__, threads, model.sha256, candidate.sha256]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def measure(model: Model, candidate: Model, threads: int = 0) -> float:
    """Return the median over rounds of the model's time by the candidate's, both timed in turn on one tile."""
    channels = next(i for i in model.meta.inputs if i.role == "lr")
    shape = (1, channels.channels * channels.unshuffle**2, SIDE, SIDE)
    tile = {channels.name: np.random.default_rng(0).random(shape, dtype=np.float32)}
    backends = [OnnxRuntime(which, threads) for which in (model, candidate)]
    ratios = []
    for _ in range(ROUNDS + 1):
        times = []
        for backend in backends:
            started = time.perf_counter()
            backend.run(tile)
            times.append(time.perf_counter() - started)
        ratios.append(times[0] / times[1])
    return statistics.median(ratios[1:])  # the first round warms up
