"""ONNX Runtime on the CPU: works everywhere, and is the default where no GPU is found."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import time
from collections.abc import Iterator, Mapping

import numpy as np
import onnxruntime as ort

from .. import ops
from ..errors import BackendError
from ..geometry import Array
from ..model import Input, Model
from . import STAGES, Backend, Made, Task

ort.disable_telemetry_events()  # also where a program has imported it before us

TILE_PIXELS = 640 * 640
"""Most pixels of a tile. ONNX Runtime's time for a pixel is the same from 64 to 2048 pixels a side (305 +- 15 ns for
`rt` on two cores of a Xeon with AVX-512), so a larger tile only wastes less halo, while its activations take memory:
256 bytes a pixel in `rt`, 105 MB at this size."""


class OnnxRuntime(Backend):
    """One ONNX Runtime session.

    Parameters
    ----------
    model : Model
    threads : int
        0: as many as the process may use.

    Raises
    ------
    BackendError
        The model cannot be run here.
    """

    name = "onnxruntime"

    def __init__(self, model: Model, threads: int = 0) -> None:
        super().__init__()
        self.meta = model.meta
        self._times: dict[str, float] | None = None
        self.threads = threads or len(os.sched_getaffinity(0))
        self._outputs: dict[str, str] = {o.role: o.name for o in model.meta.outputs}
        self._pictures = [role for role in self._outputs if role != "state"]
        self._dtype = np.dtype(np.float16 if model.meta.precision in ("fp16", "int8-trt") else np.float32)
        options = ort.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Idle workers that spin would take the cores from gather and assemble.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = ort.InferenceSession(model.data, options, providers=["CPUExecutionProvider"])
        except Exception as e:
            raise BackendError(f"ONNX Runtime cannot run it ({_first_line(e)})", model.path) from None

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        names = [o.name for o in self.meta.outputs]
        try:
            outputs = self._session.run(names, dict(inputs))
        except Exception as e:
            raise BackendError(f"ONNX Runtime failed while running {self.meta.name} ({_first_line(e)})") from None
        return dict(zip(names, outputs, strict=True))

    def tile_for(self, rows: int, cols: int, halo: int) -> tuple[int, int]:
        square = math.isqrt(TILE_PIXELS) - 2 * halo
        height = self._side(rows, max(square, 1), halo)
        width = self._side(cols, max(TILE_PIXELS // height - 2 * halo, 1), halo)
        return height, width

    def _side(self, size: int, largest_core: int, halo: int) -> int:
        """Return the side of tiles that share ``size`` evenly, halo included."""
        parts = -(-size // largest_core)
        side = -(-size // parts) + 2 * halo
        return -(-side // self.meta.multiple_of) * self.meta.multiple_of

    def enhance(self, task: Task) -> Made:
        plan = task.plan
        across = plan.cols.count
        tasks = {
            role: task if role == "residual" else dataclasses.replace(task, guard=False) for role in self._pictures
        }
        shape = (*plan.output_shape, *task.pixels.shape[2:])
        out = {role: np.empty(shape, task.pixels.dtype) for role in self._pictures}
        nonfinite = 0
        times = _Times()
        above = across if plan.rows.overlap else 0  # feathering also reads the row of tiles above
        tiles = {r: np.empty((above + across, plan.scale**2, *plan.tile_shape), self._dtype) for r in self._pictures}
        state: Array | None = None
        for i in range(plan.rows.count):
            for held in tiles.values():
                held[:above] = held[across:]
            for k in range(across):
                found = self._tile(task, i * across + k, times)
                for role, held in tiles.items():
                    held[above + k] = found[self._outputs[role]][0]
                state = found[self._outputs["state"]] if "state" in self._outputs else None
            with times.of("assemble"):
                for role, held in tiles.items():
                    part, first = (held, i * across - above) if i else (held[above:], 0)
                    rows = plan.rows.owned(i)
                    nonfinite += tasks[role].assemble(part, self.threads, first=first, rows=rows, out=out[role])[1]
        with times.of("assemble"):
            lower, upper = _bounds(out, task.gain)
        self._times = times.milliseconds
        return Made(out["residual"], nonfinite, lower, upper, state)

    def stage_times(self) -> dict[str, float] | None:
        return self._times

    def _tile(self, task: Task, number: int, times: _Times) -> dict[str, Array]:
        """Return the outputs for one tile by name: ONNX Runtime gains nothing from larger batches."""
        with times.of("gather"):
            inputs = {i.name: self._input(task, number, i) for i in self.meta.inputs}
        with times.of("network"):
            return self.run(inputs)

    def _input(self, task: Task, number: int, said: Input) -> Array:
        """Return what one input sees of a tile."""
        source = task.pixels if said.role == "lr" else task.beside.get(said.role)
        if source is None:
            return np.zeros((1, said.channels * said.unshuffle**2, *task.plan.tile_shape), self._dtype)
        if said.role == "state":
            return source
        mapped = said.role == "guide"
        return ops.gather(
            source,
            task.plan,
            gain=1.0 if mapped else task.gain,
            bias=0.0 if mapped else task.bias,
            unshuffle=said.unshuffle,
            dtype=self._dtype,
            first=number,
            count=1,
            threads=self.threads,
        )


def _bounds(out: Mapping[str, Array], gain: float) -> tuple[Array, Array] | tuple[None, None]:
    """Return the pictures of the quantiles, the smaller stored values first, moved to where the picture is between."""
    if "q05" not in out or "q95" not in out:
        return None, None
    first, second = ("q05", "q95") if gain > 0 else ("q95", "q05")
    pixels = out["residual"]
    return np.minimum(out[first], pixels, out=out[first]), np.maximum(out[second], pixels, out=out[second])


class _Times:
    """Milliseconds of each stage, summed over the tiles of a picture."""

    def __init__(self) -> None:
        self.milliseconds = dict.fromkeys(STAGES[1:-1], 0.0)

    @contextlib.contextmanager
    def of(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.milliseconds[stage] += 1000 * (time.perf_counter() - started)


def _first_line(e: Exception) -> str:
    return (str(e).strip() or type(e).__name__).splitlines()[0]
