"""``pycuda.driver`` on host memory, beside ``acutance._cuda`` compiled for the host.

Device memory is host memory that only its address leads to; copies and sets go through the emulated streams, so that
they are done at once, or recorded where the stream is captured and done when the graph is launched. What is copied to
the host is seen there only after an event or the stream was waited for, as on a device. Memory has a limit, counts, and
must be given back with the context current.
"""

from __future__ import annotations

import ctypes
import types
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

WORK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)


class FakeCuda(types.ModuleType):
    """One device and its driver.

    Attributes
    ----------
    capacity : int
        Bytes of the device.
    used, allocations : int
        Bytes taken and how often memory was taken, on the device and page-locked.
    waits : int
        How often a thread waited for an event or a stream.
    pushed : int
        How deep the stack of contexts is.
    """

    class Error(Exception):
        pass

    class MemoryError(Error):
        pass

    class LogicError(Error):
        pass

    def __init__(self, core: ModuleType, capacity: int = 1 << 30, integrated: bool = False) -> None:
        super().__init__("pycuda.driver")
        assert core.__file__
        library = ctypes.CDLL(core.__file__)
        self._host_work = library.emulated_host_work
        self._host_work.argtypes = [ctypes.c_void_p, WORK, ctypes.c_void_p]
        self._break = library.emulated_break
        self._captured = library.emulated_captured
        self._break.argtypes = self._captured.argtypes = [ctypes.c_void_p]
        self.capacity, self.integrated = capacity, integrated
        self.used = self.allocations = self.waits = self.pushed = 0
        self.name, self.capability, self.devices = "Fake GPU", (8, 6), 1
        self.fail_init = ""
        self._alive: list[Any] = []  # recorded work, which graphs call as long as they live
        self._arrived: list[Callable[[], None]] = []  # copies to the host that nobody has waited for
        self._memory: dict[int, np.ndarray] = {}
        self.Device = lambda number: _Device(self, number)
        self.Device.count = lambda: self.devices  # type: ignore[attr-defined]
        self.Stream = lambda flags=0: _Stream(self, flags)
        self.device_attribute = types.SimpleNamespace(MULTIPROCESSOR_COUNT="sms", INTEGRATED="integrated")
        self.host_alloc_flags = types.SimpleNamespace(DEVICEMAP=2)
        self.core = _Core(core, self)

    def init(self) -> None:
        if self.fail_init:
            raise self.LogicError(self.fail_init)

    def need_context(self) -> None:
        assert self.pushed > 0, "no context is current"

    def take(self, size: int) -> None:
        self.need_context()
        if self.used + size > self.capacity:
            raise self.MemoryError(f"cuMemAlloc failed: out of memory ({size} bytes)")
        self.used += size
        self.allocations += 1

    def mem_alloc(self, size: int) -> _Allocation:
        return _Allocation(self, size)

    def pagelocked_empty(self, shape: tuple[int], dtype: Any, mem_flags: int = 0) -> np.ndarray:
        return _PageLocked(self, *shape, mem_flags).array(np.dtype(dtype))

    def array_at(self, pointer: int, size: int) -> np.ndarray:
        """Return the bytes at an address, which must all lie in one piece of memory that is taken."""
        for start, memory in self._memory.items():
            if start <= pointer and pointer + size <= start + memory.size:
                return memory[pointer - start : pointer - start + size]
        raise AssertionError(f"{size} bytes at {pointer:#x} are not the device's")

    def enqueue(self, stream: int, work: Callable[[], None]) -> None:
        """Do host work in the order of a stream, or record it where the stream is captured."""

        def done(_: object) -> int:
            try:
                work()
            except Exception as e:
                print(f"fake CUDA: {e}")
                return 719  # cudaErrorLaunchFailure
            return 0

        call = WORK(done)
        self._alive.append(call)
        status = self._host_work(stream, call, None)
        if status:
            raise self.LogicError(f"the stream refused the work ({status})")

    def captured(self, stream: int) -> bool:
        """Whether a stream is being captured."""
        return bool(self._captured(stream))

    def forbidden_call(self, stream: int) -> bool:
        """Do what a stream that is captured does not allow; return whether it was captured, and is broken now."""
        return bool(self._break(stream))

    def memcpy_htod_async(self, pointer: int, host: np.ndarray, stream: _Stream) -> None:
        self.need_context()
        assert isinstance(host.base, _PageLocked), "the host's side is not page-locked"
        self.enqueue(stream.handle, lambda: np.copyto(self.array_at(pointer, host.nbytes), host))

    def memcpy_dtoh_async(self, host: np.ndarray, pointer: int, stream: _Stream) -> None:
        self.need_context()
        assert isinstance(host.base, _PageLocked), "the host's side is not page-locked"

        def copy() -> None:
            taken = self.array_at(pointer, host.nbytes).copy()
            host[:] = 0xEE  # what was there is gone, what comes is not there yet
            self._arrived.append(lambda: np.copyto(host, taken))

        self.enqueue(stream.handle, copy)

    def memset_d8_async(self, pointer: int, value: int, size: int, stream: _Stream) -> None:
        self.need_context()
        self.enqueue(stream.handle, lambda: self.array_at(pointer, size).fill(value))

    def memcpy_htod(self, pointer: int, host: np.ndarray) -> None:
        self.need_context()
        self.array_at(pointer, host.nbytes)[:] = host.view(np.uint8).ravel()

    def memcpy_dtoh(self, host: np.ndarray, pointer: int) -> None:
        self.need_context()
        host.view(np.uint8).ravel()[:] = self.array_at(pointer, host.nbytes)

    def arrive(self) -> None:
        """Let what was copied to the host be seen there."""
        self.waits += 1
        while self._arrived:
            self._arrived.pop(0)()


class _Device:
    def __init__(self, cuda: FakeCuda, number: int) -> None:
        if number >= cuda.devices:
            raise cuda.LogicError("cuDeviceGet failed: invalid device ordinal")
        self._cuda = cuda

    def name(self) -> str:
        return self._cuda.name

    def compute_capability(self) -> tuple[int, int]:
        return self._cuda.capability

    def get_attribute(self, attribute: str) -> int:
        return {"sms": 28, "integrated": int(self._cuda.integrated)}[attribute]

    def retain_primary_context(self) -> _Context:
        return _Context(self._cuda)


class _Context:
    def __init__(self, cuda: FakeCuda) -> None:
        self._cuda = cuda

    def push(self) -> None:
        self._cuda.pushed += 1

    def pop(self) -> None:
        self._cuda.need_context()
        self._cuda.pushed -= 1


class _Stream:
    made = 0

    def __init__(self, cuda: FakeCuda, flags: int) -> None:
        cuda.need_context()
        assert flags == 1, "a blocking stream cannot be captured beside the legacy default stream"
        _Stream.made += 1
        self.handle, self._cuda = 1000 + _Stream.made, cuda

    def synchronize(self) -> None:
        self._cuda.arrive()


class _Allocation:
    def __init__(self, cuda: FakeCuda, size: int) -> None:
        cuda.take(size)
        self._cuda = cuda
        raw = np.full(size + 256, 0xFF, np.uint8)  # as halves and floats: NaN
        start = -raw.ctypes.data % 256
        self._bytes = raw[start : start + size]
        cuda._memory[int(self)] = self._bytes

    def __int__(self) -> int:
        return int(self._bytes.ctypes.data)

    def free(self) -> None:
        self._cuda.need_context()
        del self._cuda._memory[int(self)]
        self._cuda.used -= self._bytes.size


class _PageLocked:
    def __init__(self, cuda: FakeCuda, size: int, flags: int) -> None:
        cuda.take(size)
        self._cuda, self._flags = cuda, flags
        self._bytes = np.full(size, 0xFF, np.uint8)
        if flags & cuda.host_alloc_flags.DEVICEMAP:
            cuda._memory[self._bytes.ctypes.data] = self._bytes
        self.__array_interface__ = self._bytes.__array_interface__

    def array(self, dtype: np.dtype[Any]) -> np.ndarray:
        return np.asarray(self).view(dtype) if dtype != np.uint8 else np.asarray(self)

    def get_device_pointer(self) -> int:
        assert self._flags & self._cuda.host_alloc_flags.DEVICEMAP, "the memory is not mapped"
        return int(self._bytes.ctypes.data)

    def free(self) -> None:
        self._cuda.need_context()
        self._cuda._memory.pop(self._bytes.ctypes.data, None)
        self._cuda.used -= self._bytes.size


class _Core:
    """``acutance._cuda`` compiled for the host; whoever waits for its events sees what was copied to the host."""

    def __init__(self, core: ModuleType, cuda: FakeCuda) -> None:
        self._core, self._cuda = core, cuda

    def __getattr__(self, name: str) -> Any:
        return getattr(self._core, name)

    def Event(self, blocking: bool = False) -> _Event:
        return _Event(self._core.Event(blocking), self._cuda)


class _Event:
    def __init__(self, event: Any, cuda: FakeCuda) -> None:
        self._event, self._cuda, self.record = event, cuda, event.record

    def wait(self) -> None:
        self._event.wait()
        self._cuda.arrive()

    def elapsed_ms(self, since: _Event) -> float:
        return float(self._event.elapsed_ms(since._event))
