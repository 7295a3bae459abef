"""ONNX Runtime on the CPU: works everywhere, and is the default where no GPU is found."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Iterator, Mapping

import numpy as np
import onnxruntime as ort

from .. import ops
from ..errors import BackendError
from ..geometry import Array
from ..model import Model
from . import STAGES, Backend, Task, single_input

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
        self._input = single_input(model.meta)
        self._residual = next(o.name for o in model.meta.outputs if o.role == "residual")
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

    def enhance(self, task: Task) -> tuple[Array, int]:
        plan = task.plan
        across = plan.cols.count
        out = np.empty((*plan.output_shape, *task.pixels.shape[2:]), task.pixels.dtype)
        nonfinite = 0
        times = _Times()
        above = across if plan.rows.overlap else 0  # feathering also reads the row of tiles above
        residual = np.empty((above + across, plan.scale**2, *plan.tile_shape), self._dtype)
        for i in range(plan.rows.count):
            residual[:above] = residual[across:]
            for k in range(across):
                residual[above + k] = self._tile(task, i * across + k, times)
            held, first = (residual, i * across - above) if i else (residual[above:], 0)
            with times.of("assemble"):
                nonfinite += task.assemble(held, self.threads, first=first, rows=plan.rows.owned(i), out=out)[1]
        self._times = times.milliseconds
        return out, nonfinite

    def stage_times(self) -> dict[str, float] | None:
        return self._times

    def _tile(self, task: Task, number: int, times: _Times) -> Array:
        """Return the residual ``[s*s, h, w]`` of one tile: ONNX Runtime gains nothing from larger batches."""
        with times.of("gather"):
            tiles = ops.gather(
                task.pixels,
                task.plan,
                gain=task.gain,
                bias=task.bias,
                dtype=self._dtype,
                first=number,
                count=1,
                threads=self.threads,
            )
        with times.of("network"):
            residual: Array = self.run({self._input: tiles})[self._residual][0]
        return residual


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
