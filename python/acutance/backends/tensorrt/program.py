"""All that is enqueued for a frame, with its buffers, captured once into a CUDA graph and launched for each frame."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import _native, ops, tiling
from ...errors import BackendError
from ...geometry import Array
from .. import STAGES, Task
from .engine import Context, Engine
from .gpu import DeviceMemory, Memory, SharedMemory, View, aligned


@dataclasses.dataclass(frozen=True)
class Kind:
    """What a captured graph holds for: frames that differ in it need another one."""

    plan: tiling.Plan
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    masked: bool
    base: str
    guard: bool

    @classmethod
    def of(cls, task: Task) -> Kind:
        p = task.pixels
        return cls(task.plan, p.dtype, p.shape, task.mask is not None, task.base, task.guard)


def batches_for(count: int, ladder: Sequence[int]) -> list[int]:
    """Return the batches in which ``count`` tiles go through the network: the largest, then one that holds the rest.

    Their sum may be more than ``count``.
    """
    full, rest = divmod(count, ladder[-1])
    return [ladder[-1]] * full + ([next(b for b in ladder if b >= rest)] if rest else [])


class Program:
    """Copy in, gather, network, assemble, copy out for one kind of frame, on one stream.

    Parameters
    ----------
    kind : Kind
    engine : Engine
    ladder : sequence of int
        Batches of the engine that may be used, rising.
    memory : Memory
    scratch : DeviceMemory
        What the network works in; other programs on the same stream share it.
    scratch_size : int
    stream : pycuda.driver.Stream
    blocking : bool
        Sleep while waiting.

    Attributes
    ----------
    refusal : str
        Why there is no graph, so that each frame is enqueued call by call; empty when there is one.

    Notes
    -----
    The context must be current in every call but :meth:`collect` and :meth:`times`. TensorRT leaves open what a graph
    does once the contexts in it are changed, so that each program has its own. Within a program a context goes
    from batch to batch by new addresses alone, which calls that are captured hold by value; whether the graph gives
    what the calls gave is compared all the same, once.
    """

    def __init__(
        self,
        kind: Kind,
        engine: Engine,
        ladder: Sequence[int],
        memory: Memory,
        scratch: DeviceMemory,
        scratch_size: int,
        stream: Any,
        blocking: bool,
    ) -> None:
        self.kind, self._stream, self._driver = kind, stream, memory.gpu.driver
        self._batches = batches_for(kind.plan.count, ladder)
        self._blocks: list[SharedMemory | DeviceMemory] = []
        self._graph: Any = None
        self.refusal = ""
        core = _core()
        self._marks = [core.Event() for _ in range(len(STAGES) + 1)]
        self._done = core.Event(blocking=blocking)
        try:
            self._allocate(engine, memory)
            self._contexts: dict[int, Context] = {
                b: engine.context(b, scratch.pointer, scratch_size, stream.handle) for b in sorted(set(self._batches))
            }
        except BaseException:
            self.close()
            raise

    def _allocate(self, engine: Engine, memory: Memory) -> None:
        kind, plan = self.kind, self.kind.plan
        pixels = aligned(4 * ops.PARAMETERS)
        mask = pixels + aligned(math.prod(kind.shape) * kind.dtype.itemsize)
        end = mask + (math.prod(kind.shape[:2]) if kind.masked else 0)
        into = memory.shared(end)
        self._blocks.append(into)
        self._into = into
        enlarged = (*plan.output_shape, *kind.shape[2:])
        head = aligned(8)
        out = memory.shared(head + math.prod(enlarged) * kind.dtype.itemsize)
        self._blocks.append(out)
        self._out = out
        self._parameters = _host(into, 0, (ops.PARAMETERS,), np.dtype(np.float32))
        self._pixels = _host(into, pixels, kind.shape, kind.dtype)
        self._mask = _host(into, mask, kind.shape[:2], np.dtype(np.bool_)) if kind.masked else None
        self._flag = _host(out, 0, (1,), np.dtype(np.int64))
        self._enlarged = _host(out, head, enlarged, kind.dtype)
        self._device = {
            "params": View(into.pointer, (ops.PARAMETERS,), np.float32),
            "pixels": View(into.pointer + pixels, kind.shape, kind.dtype),
            "flag": View(out.pointer, (1,), np.int64),
            "out": View(out.pointer + head, enlarged, kind.dtype),
        }
        if kind.masked:
            self._device["mask"] = View(into.pointer + mask, kind.shape[:2], np.uint8)
        for name, tensor in (("tiles", engine.input), ("residual", engine.output)):
            shape = tensor.shape(sum(self._batches), plan.tile_shape)
            block = memory.device(math.prod(shape) * tensor.dtype.itemsize)
            self._blocks.append(block)
            self._device[name] = View(block.pointer, shape, tensor.dtype)
        self._layouts = engine.input.layout, engine.output.layout

    def start(self, task: Task) -> None:
        """Enqueue a frame; the first one is waited for, and a graph captured from it."""
        self._parameters[:] = ops.parameters(task.gain, task.bias, task.low, task.high, task.padding)
        np.copyto(self._pixels, task.pixels)
        if self._mask is not None:
            assert task.mask is not None
            np.copyto(self._mask, task.mask)
        if self._graph is not None:
            self._graph.launch(self._stream.handle)
        else:
            self._enqueue()
            if not self.refusal:
                self._wait()
                self._capture(task)
        self._done.record(self._stream.handle)

    def _wait(self) -> None:
        self._done.record(self._stream.handle)
        self._done.wait()

    def _enqueue(self) -> None:
        stream, handle, d, plan = self._stream, self._stream.handle, self._device, self.kind.plan
        marks = iter(self._marks)
        next(marks).record(handle)
        self._into.to_device(stream)
        self._driver.memset_d8_async(d["flag"].pointer, 0, d["flag"].size, stream)
        next(marks).record(handle)
        self._gather(0, plan.count, 0)
        next(marks).record(handle)
        first = 0
        for batch in self._batches:
            tiles, residual = d["tiles"].part(first, batch), d["residual"].part(first, batch)
            self._contexts[batch].run(tiles.pointer, residual.pointer, handle)
            first += batch
        next(marks).record(handle)
        ops.assemble(
            d["residual"].part(0, plan.count),
            d["pixels"],
            plan,
            base=self.kind.base,
            guard=self.kind.guard,
            mask=d.get("mask"),
            layout=self._layouts[1],
            out=d["out"],
            nonfinite=d["flag"],
            params=d["params"],
            stream=handle,
        )
        next(marks).record(handle)
        self._out.to_host(stream)
        next(marks).record(handle)

    def _gather(self, first: int, count: int, at: int) -> None:
        """Cut tiles into the places from ``at`` on, and fill the last batch by going round again."""
        d, plan = self._device, self.kind.plan
        ops.gather(
            d["pixels"],
            plan,
            dtype=d["tiles"].dtype,
            layout=self._layouts[0],
            first=first,
            count=count,
            out=d["tiles"].part(at, count),
            params=d["params"],
            stream=self._stream.handle,
        )
        left = sum(self._batches) - at - count
        if left:
            self._gather(0, min(left, plan.count), at + count)

    def _capture(self, task: Task) -> None:
        """Capture what was just run, and keep the graph if it gives the same picture."""
        handle = self._stream.handle
        wanted, flag = self._enlarged.copy(), int(self._flag[0])
        if not all(c.capturable(handle) for c in self._contexts.values()):
            self.refusal = "TensorRT says that this engine cannot be captured"
            return
        graph = _core().Graph()
        try:
            graph.begin(handle)
            try:
                self._enqueue()
            except BaseException:
                graph.abort(handle)
                raise
            graph.end(handle)
            graph.launch(handle)
            self._wait()
        except (BackendError, self._driver.Error) as e:
            self.refusal = str(e)
        else:
            if bool(flag) == bool(self._flag[0]) and (flag or _same(wanted, self._enlarged, task.gain)):
                self._graph = graph
                return
            self.refusal = "the graph gave another picture than the calls it was captured from"
        self._enqueue()

    def collect(self) -> tuple[Array, int]:
        """Wait for the frame; return its pixels, an array of their own, and whether samples were not finite."""
        self._done.wait()
        return self._enlarged.copy(), int(self._flag[0])

    def times(self) -> dict[str, float]:
        """Return milliseconds of each stage of the last frame that was waited for."""
        pairs = zip(STAGES, self._marks, self._marks[1:], strict=False)
        return {stage: float(after.elapsed_ms(before)) for stage, before, after in pairs}

    def close(self) -> None:
        """Give all memory back; nothing may be under way."""
        self._graph = None
        self._contexts = {}
        for block in self._blocks:
            block.free()
        self._blocks.clear()


def _core() -> ModuleType:
    assert _native.cuda is not None, "open_gpu() has looked"
    return _native.cuda


def _host(block: SharedMemory, at: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    size = math.prod(shape) * dtype.itemsize
    return block.host[at : at + size].view(dtype).reshape(shape)


def _same(a: Array, b: Array, gain: float) -> bool:
    """Whether two runs of one frame differ by no more than tactics may: two stored units or 1/1000 of the range."""
    allowed = max(2.0 * (a.dtype.kind != "f"), 1e-3 / abs(gain))
    difference = np.abs(a.astype(np.float64) - b.astype(np.float64))
    return bool((np.nan_to_num(difference, nan=0.0) <= allowed).all())
