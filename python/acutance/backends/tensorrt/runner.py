"""Frames through two slots, so that one is copied while the other computes."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import logging
import sys
import threading
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ... import tiling
from ...errors import AcutanceError, BackendError
from ...geometry import Array
from ...model import Model
from ...trt_engines import best
from ...trt_engines import device as devices
from ...trt_engines import flavour as flavours
from ...trt_engines import options as choices
from ...trt_engines.options import Options
from ...trt_engines.store import Store, Stored
from .. import Backend, Made, Task, check_plain
from ..settings import GpuSettings
from .engine import Engine
from .gpu import DeviceMemory, Memory, OutOfMemory, View, open_gpu
from .program import Kind, Program, batches_for

log = logging.getLogger(__name__)

SLOTS = 2
"""Frames under way at once."""

PROGRAMS = 4
"""Kinds of frames that a slot keeps buffers and a graph for; the one that was longest not used goes."""


@dataclasses.dataclass
class _Loaded:
    """An engine and where it came from."""

    engine: Engine
    stored: Stored
    kernels: bytes


class _Slot:
    """One stream, the memory that networks work in on it, and its programs."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.stream = memory.gpu.stream()
        self.scratch: DeviceMemory | None = None
        self.scratch_size = 0
        self.programs: collections.OrderedDict[Kind, Program] = collections.OrderedDict()

    def work_memory(self, size: int) -> DeviceMemory:
        """Return memory of at least that size. Programs hold its address, so that larger memory ends them."""
        if self.scratch is None or self.scratch_size < size:
            self.clear()
            self.scratch, self.scratch_size = self.memory.device(size), size
        return self.scratch

    def clear(self) -> None:
        """Give all memory back. The context must be current."""
        for program in self.programs.values():
            program.close()
        self.programs.clear()
        if self.scratch is not None:
            self.scratch.free()
        self.scratch, self.scratch_size = None, 0


class _Pending:
    """A frame under way, and its result once it was waited for."""

    def __init__(self, backend: TensorRT, slot: _Slot, program: Program, key: str) -> None:
        self._backend, self._slot, self._program, self._key = backend, slot, program, key
        self._lock = threading.Lock()
        self._found: tuple[Array, int] | None = None
        self._error: BackendError | None = None
        self._over = False

    def settle(self) -> None:
        """Wait for the frame, keep its result and free its slot."""
        with self._lock:
            if self._over:
                return
            try:
                with self._backend.gpu:
                    self._found = self._program.collect()
                    self._backend.times = self._program.times()
                    self._backend.engine_key = self._key
            except BackendError as e:
                self._error = e
            finally:
                self._over = True
                self._backend.release(self, self._slot)

    def __call__(self) -> Made:
        self.settle()
        if self._error is not None:
            raise self._error
        assert self._found is not None
        return Made(*self._found)


class TensorRT(Backend):
    """Runs one model on one GPU.

    Parameters
    ----------
    model : Model
        In a precision that TensorRT takes.
    threads : int
        Not used.
    settings : GpuSettings

    Attributes
    ----------
    gpu : Gpu
    memory : Memory
    ladder : list of int
        Batches in use, of the settings as given; memory that runs out takes the largest away.
    times : dict of str to float, or None

    Raises
    ------
    BackendError
        There is no GPU, driver, PyCUDA, TensorRT or CUDA core, or no engine can be built or loaded.
    ModelError
        TensorRT does not take the model.
    """

    name = "tensorrt"

    def __init__(self, model: Model, threads: int, settings: GpuSettings) -> None:
        super().__init__()
        self.model, self.meta, self.threads, self.settings = model, model.meta, threads, settings
        check_plain(model.meta)
        (self._input,) = (i.name for i in model.meta.inputs)
        (self._output,) = (o.name for o in model.meta.outputs)
        precision = choices.precision_of(model)
        self._options = settings.engine.model_copy(update={"precision": precision})
        self.gpu = open_gpu(settings.device)
        self._flavour = flavours.load(settings.engine.flavour)
        self._store = Store(settings.store)
        self._engines: dict[Options, _Loaded] = {}
        self._chosen: dict[tuple[int, int], Options] = {}
        self._device = devices.current(settings.device)
        self._target = None if settings.target is None else devices.target(settings.target)
        self.memory = Memory(self.gpu, settings.memory_limit)
        self._most = sys.maxsize
        self.times: dict[str, float] | None = None
        with self.gpu:
            # The first to be free is the first to be taken, so that all are warm after as many frames.
            self._free = collections.deque(_Slot(self.memory) for _ in range(SLOTS))
        self._slots = SLOTS
        self._pending: collections.deque[_Pending] = collections.deque()
        self._change = threading.Condition()
        self._preparing = threading.Lock()
        # Streams and memory are freed with the context current, also when nobody calls close().
        self._finalizer = weakref.finalize(self, _give_back, self.gpu, list(self._free), self._engines)
        if model.meta.halo is not None:
            with self.gpu:
                self._load(self._options)

    # Engines

    def _settings_for(self, shape: tuple[int, int]) -> Options:
        """Return how engines for pictures of a size are made: as asked for, else as was measured to be fastest."""
        if shape not in self._chosen:
            self._chosen[shape] = self._fastest(shape) or self._options
        return self._chosen[shape]

    def _fastest(self, shape: tuple[int, int]) -> Options | None:
        if not best.left_open(self.settings.engine):
            return None
        size, maker = "{} x {}".format(*shape), f"{self._flavour.name} {self._flavour.version}"
        try:
            found = best.find(self._store.folder, self.meta.name, self._options.precision, self._device, shape)
            if found is None:
                return None
            if found.flavour != maker:
                raise BackendError(f"it was measured with {found.flavour}; measure again with `acutance bench engines`")
            options = found.apply(self._options)
            choices.check(self.model, options)
        except AcutanceError as e:
            self.notes.add("fastest settings", f"the fastest settings kept for {size} are not taken: {e}")
            return None
        layout = ", channels last" if options.channels_last else ""
        said = f"tile {options.tile_text}, batches up to {options.batches[-1]}{layout}"
        log.info("%s at %s runs with what was measured to be fastest: %s", self.meta.name, size, said)
        return options

    def _settings_of(self, plan: tiling.Plan) -> Options:
        """Return what the engine for a plan is made of; a tile of the user's own leaves the rest as asked for."""
        chosen = self._settings_for(plan.input_shape)
        return chosen if chosen.tile_shape == plan.tile_shape else self._tiled(plan.tile_shape)

    def _tiled(self, tile: tuple[int, int]) -> Options:
        if tile == self._options.tile_shape:
            return self._options
        return self._options.model_copy(update={"tile": tile[0] if tile[0] == tile[1] else tile})

    def _batches(self, options: Options) -> list[int]:
        return [b for b in options.batches if b <= self._most] or [options.batches[0]]

    @property
    def ladder(self) -> list[int]:
        return self._batches(self._options)

    def _load(self, options: Options) -> _Loaded:
        """Return an engine; one that does not load is built anew, once. The context must be current."""
        if options not in self._engines:
            try:
                self._engines[options] = self._open(options)
            except _Unloadable as e:
                self.notes.add("engine rebuilt", f"{e}; it is built anew")
                e.stored.path.unlink(missing_ok=True)
                try:
                    self._engines[options] = self._open(options)
                except _Unloadable as again:
                    raise BackendError(str(again)) from None
        return self._engines[options]

    def _load_for(self, plan: tiling.Plan) -> tuple[_Loaded, Options]:
        """Return the engine for a plan; where the fastest settings fail, the next picture of that size has others."""
        options = self._settings_of(plan)
        try:
            return self._load(options), options
        except BackendError as e:
            if options == self._chosen[plan.input_shape] != self._options:
                self.notes.add("fastest settings", f"the fastest settings kept are given up: {e}")
                self._chosen[plan.input_shape] = self._options
            raise

    def _open(self, options: Options) -> _Loaded:
        stored = self._store.get(self.model, options, self._device, flavour=self._flavour, target=self._target)
        if stored.built and stored.reason:
            self.notes.add("engine rebuilt", f"{stored.path}: {stored.reason}; it was built anew")
        kernels = stored.runtime_cache()
        try:
            engine = Engine(
                self._flavour,
                stored.plan,
                self._input,
                self._output,
                persistent_cache=options.persistent_cache,
                kernels=kernels,
            )
        except BackendError as e:
            raise _Unloadable(stored, str(e)) from None
        return _Loaded(engine, stored, kernels)

    def _keep_kernels(self, loaded: _Loaded) -> None:
        kernels = loaded.engine.kernels()
        if kernels and kernels != loaded.kernels:
            loaded.kernels = kernels
            loaded.stored.keep_runtime_cache(kernels)

    # Frames

    def tile_for(self, rows: int, cols: int, halo: int) -> tuple[int, int]:
        return self._settings_for((rows, cols)).tile_shape

    def enhance(self, task: Task) -> Made:
        return self.begin(task)()

    def begin(self, task: Task) -> Callable[[], Made]:
        slot = self._take()
        try:
            with self.gpu:
                program = self._program(slot, task)
                program.start(task)
        except _Crowded as e:
            with self._change:
                self._slots -= 1
                self._change.notify_all()
            self.notes.add("out of memory", f"{e}; only one frame is under way at a time")
            return self.begin(task)
        except BaseException:
            with contextlib.suppress(BackendError), self.gpu:
                slot.stream.synchronize()  # what was enqueued before it failed still uses the slot's memory
            self._put(slot)
            raise
        pending = _Pending(self, slot, program, self._engines[self._settings_of(task.plan)].stored.record.key)
        with self._change:
            self._pending.append(pending)
            self._change.notify_all()
        return pending

    def stage_times(self) -> dict[str, float] | None:
        return self.times

    def _take(self) -> _Slot:
        """Return a free slot; where there is none the oldest frame is waited for and its result kept for its owner."""
        while True:
            with self._change:
                if self._free:
                    return self._free.popleft()
                oldest = self._pending[0] if self._pending else None
                if oldest is None:
                    self._change.wait()
                    continue
            oldest.settle()

    def _put(self, slot: _Slot) -> None:
        with self._change:
            self._free.append(slot)
            self._change.notify_all()

    def release(self, pending: _Pending, slot: _Slot) -> None:
        """Take back the slot of a frame that is over."""
        with self._change:
            self._pending.remove(pending)
        self._put(slot)

    def _program(self, slot: _Slot, task: Task) -> Program:
        """Return the program for a frame.

        Memory that runs out takes the slot's other programs first, then the slot where there is another, then the
        largest batch.
        """
        kind = Kind.of(task)
        if kind in slot.programs:
            slot.programs.move_to_end(kind)
            return slot.programs[kind]
        with self._preparing:
            loaded, options = self._load_for(task.plan)
            while True:
                ladder = self._batches(options)
                try:
                    program = self._prepare(slot, kind, loaded.engine, ladder)
                    break
                except OutOfMemory as e:
                    held = bool(slot.programs)
                    slot.clear()
                    if held:
                        continue
                    if self._slots > 1 and self.memory.held:
                        raise _Crowded(str(e)) from None
                    if len(ladder) == 1:
                        raise
                    self._most = ladder[-2]
                    self.notes.add("out of memory", f"{e}; batches of {ladder[-1]} are given up")
            try:
                program.start(task)
                if program.refusal:
                    self.notes.add("capture refused", f"{program.refusal}; frames are enqueued call by call")
                program.collect()
            except BaseException:
                with contextlib.suppress(Exception):  # a lost device refuses that, too
                    program.close()
                raise
            self._keep_kernels(loaded)
        slot.programs[kind] = program
        return program

    def _prepare(self, slot: _Slot, kind: Kind, engine: Engine, ladder: list[int]) -> Program:
        while len(slot.programs) >= PROGRAMS:
            slot.programs.popitem(last=False)[1].close()
        size = max(engine.scratch(b) for b in set(batches_for(kind.plan.count, ladder)))
        scratch = slot.work_memory(size)
        blocking = self.settings.wait == "block"
        return Program(kind, engine, ladder, self.memory, scratch, slot.scratch_size, slot.stream, blocking)

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        tiles = np.asarray(inputs[self._input])
        slot = self._take()
        try:
            with self.gpu, self._preparing:
                engine = self._load(self._tiled((int(tiles.shape[2]), int(tiles.shape[3])))).engine
                return {self._output: self._run(slot, engine, tiles)}
        finally:
            self._put(slot)

    def _run(self, slot: _Slot, engine: Engine, tiles: Array) -> Array:
        """Run tiles ``[N, C, h, w]`` from host memory, not for speed."""
        driver, stream = self.gpu.driver, slot.stream
        batches = batches_for(len(tiles), self.ladder)
        scratch = slot.work_memory(max(engine.scratch(b) for b in set(batches)))
        filled = np.resize(tiles, (sum(batches), *tiles.shape[1:])).astype(engine.input.dtype)
        host = np.zeros(engine.input.shape(len(filled), engine.tile), engine.input.dtype)
        if engine.input.layout == "nhwc":
            host[..., : engine.input.channels] = filled.transpose(0, 2, 3, 1)
        else:
            host[...] = filled
        out = np.empty(engine.output.shape(len(filled), engine.tile), engine.output.dtype)
        places = [self.memory.device(host.nbytes), self.memory.device(out.nbytes)]
        try:
            driver.memcpy_htod(places[0].pointer, host)
            views = [View(p.pointer, a.shape, a.dtype) for p, a in zip(places, (host, out), strict=True)]
            first = 0
            for batch in batches:
                context = engine.context(batch, scratch.pointer, slot.scratch_size, stream.handle)
                tiles_at, residual_at = (v.part(first, batch).pointer for v in views)
                context.run(tiles_at, residual_at, stream.handle)
                stream.synchronize()
                first += batch
            driver.memcpy_dtoh(out, places[1].pointer)
        finally:
            for place in places:
                place.free()
        if engine.output.layout == "nhwc":
            out = out[..., : engine.output.channels].transpose(0, 3, 1, 2)
        return np.ascontiguousarray(out[: len(tiles)])

    def close(self) -> None:
        while self._pending:
            self._pending[0].settle()
        self._finalizer()


class _Crowded(Exception):
    """There is no memory for a slot, and another one has some."""


class _Unloadable(Exception):
    """An engine from the store that TensorRT does not load."""

    def __init__(self, stored: Stored, reason: str) -> None:
        super().__init__(f"{stored.path}: {reason}")
        self.stored = stored


def _give_back(gpu: Any, slots: list[_Slot], engines: dict[Any, _Loaded]) -> None:
    with gpu:
        for slot in slots:
            slot.stream.synchronize()
            slot.clear()
            del slot.stream
        engines.clear()
