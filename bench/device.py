"""Memory, one stream and events of a GPU through whichever of PyCUDA and PyTorch is installed; no more than that."""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..errors import BackendError
from ..geometry import Array

FLUSH = 256 << 20
"""Bytes that are written before each timed call: more than any GPU's L2 cache holds."""


class OnDevice(SimpleNamespace):
    """Device memory as an array: what the core takes by ``__cuda_array_interface__``."""

    def __init__(self, holder: Any, address: int, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        self.holder, self.address = holder, address
        self.shape, self.dtype = shape, np.dtype(dtype)
        self.nbytes = int(np.prod(shape)) * self.dtype.itemsize
        self.__cuda_array_interface__ = {
            "shape": shape,
            "typestr": self.dtype.str,
            "data": (address, False),
            "strides": None,
            "version": 3,
        }


class Device(abc.ABC):
    """One GPU with one stream that is not the default one.

    Attributes
    ----------
    name : str
    stream : int
        Its handle, for :mod:`acutance.ops`.
    """

    name: str
    stream: int

    @abc.abstractmethod
    def memory(self, nbytes: int) -> tuple[Any, int]:
        """Return device memory: what holds it, and its address."""

    @abc.abstractmethod
    def write(self, target: OnDevice, data: Array) -> None:
        """Copy host memory to the device and wait for it."""

    @abc.abstractmethod
    def copy(self, target: OnDevice, source: OnDevice) -> None:
        """Enqueue a copy on the device."""

    @abc.abstractmethod
    def clear(self, target: OnDevice) -> None:
        """Enqueue zeros."""

    @abc.abstractmethod
    def milliseconds(self, call: Callable[[], object]) -> float:
        """Enqueue ``call`` between two events, wait, and return the time between them."""

    def close(self) -> None:  # noqa: B027  (PyTorch holds the context itself)
        """Leave the GPU's context, on the thread that opened it; PyCUDA aborts a process that ends within one."""

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> OnDevice:
        """Return an array of undefined values."""
        holder, address = self.memory(int(np.prod(shape)) * np.dtype(dtype).itemsize)
        return OnDevice(holder, address, shape, dtype)

    def upload(self, array: Array) -> OnDevice:
        """Return a copy of an array in host memory."""
        target = self.empty(array.shape, array.dtype)
        self.write(target, np.ascontiguousarray(array))
        return target

    def interleaved(self, calls: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
        """Time several calls in turn, as :func:`record.interleaved` does, each with a cold L2 cache."""
        flush = self.empty((FLUSH,), np.uint8)
        times: dict[str, list[float]] = {name: [] for name in calls}
        for call in calls.values():
            call()
        for _ in range(repeats):
            for name, call in calls.items():
                self.clear(flush)
                times[name].append(self.milliseconds(call))
        return times


class _Torch(Device):
    def __init__(self) -> None:
        import torch

        if not torch.cuda.is_available():
            raise BackendError("no GPU: torch finds none")
        self._torch: Any = torch
        self._stream = self._torch.cuda.Stream()
        self.stream = int(self._stream.cuda_stream)
        self.name = torch.cuda.get_device_name()

    def memory(self, nbytes: int) -> tuple[Any, int]:
        held = self._torch.empty(nbytes, dtype=self._torch.uint8, device="cuda")
        return held, int(held.data_ptr())

    def write(self, target: OnDevice, data: Array) -> None:
        target.holder.copy_(self._torch.from_numpy(data.reshape(-1).view(np.uint8)))
        self._torch.cuda.synchronize()

    def copy(self, target: OnDevice, source: OnDevice) -> None:
        with self._torch.cuda.stream(self._stream):
            target.holder.copy_(source.holder)

    def clear(self, target: OnDevice) -> None:
        with self._torch.cuda.stream(self._stream):
            target.holder.zero_()

    def milliseconds(self, call: Callable[[], object]) -> float:
        start, end = (self._torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record(self._stream)
        call()
        end.record(self._stream)
        end.synchronize()
        return float(start.elapsed_time(end))


class _PyCuda(Device):
    def __init__(self) -> None:
        import pycuda.driver as cuda

        try:
            cuda.init()
            gpu = cuda.Device(0)
            self._context = gpu.retain_primary_context()
        except cuda.Error as e:
            raise BackendError(f"no GPU: {e}") from None
        self._context.push()
        self._cuda, self._stream = cuda, cuda.Stream()
        self.stream = int(self._stream.handle)
        self.name = gpu.name()

    def close(self) -> None:
        self._context.pop()

    def memory(self, nbytes: int) -> tuple[Any, int]:
        held = self._cuda.mem_alloc(nbytes)
        return held, int(held)

    def write(self, target: OnDevice, data: Array) -> None:
        self._cuda.memcpy_htod(target.address, data)

    def copy(self, target: OnDevice, source: OnDevice) -> None:
        self._cuda.memcpy_dtod_async(target.address, source.address, source.nbytes, self._stream)

    def clear(self, target: OnDevice) -> None:
        self._cuda.memset_d8_async(target.address, 0, target.nbytes, self._stream)

    def milliseconds(self, call: Callable[[], object]) -> float:
        start, end = self._cuda.Event(), self._cuda.Event()
        start.record(self._stream)
        call()
        end.record(self._stream)
        end.synchronize()
        return float(end.time_since(start))


def open_device() -> Device:
    """Return the first GPU.

    Raises
    ------
    BackendError
        There is none, or neither PyCUDA nor PyTorch with CUDA to reach it.
    """
    for kind in (_PyCuda, _Torch):
        with contextlib.suppress(ImportError):
            return kind()
    raise BackendError("no GPU can be reached: neither PyCUDA nor torch is installed; pip install 'acutance[tensorrt]'")
