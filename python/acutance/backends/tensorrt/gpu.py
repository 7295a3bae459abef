"""One GPU through PyCUDA: its primary context, its streams, and the memory that is taken from it."""

from __future__ import annotations

import contextlib
import functools
import math
import threading
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ... import _native
from ...errors import BackendError

NON_BLOCKING = 1
"""CU_STREAM_NON_BLOCKING: the stream does not wait for the legacy default stream, which may not be captured with it."""

ALIGNMENT = 256
"""Bytes; what TensorRT wants of its scratch memory, and more than the widest load of a kernel."""


class OutOfMemory(BackendError):
    """The device, or what the backend may take of it, is full."""


def driver() -> ModuleType:
    """Return ``pycuda.driver``, initialised.

    Raises
    ------
    BackendError
        PyCUDA, the driver, a device or the CUDA core is missing; the message says which and what helps.
    """
    try:
        import pycuda.driver as found
    except ImportError as e:
        if "libcuda" in str(e):
            raise BackendError(f"there is no NVIDIA driver ({e}); install it, or use backend onnxruntime") from None
        raise BackendError(f"PyCUDA is missing ({e}); `pip install 'acutance[tensorrt]'`") from None
    try:
        found.init()
        count = found.Device.count()
    except found.Error as e:
        raise BackendError(f"the NVIDIA driver cannot be used ({e}); see what nvidia-smi says") from None
    if count == 0:
        raise BackendError("there is no CUDA device")
    if _native.cuda is None:
        raise BackendError("this acutance was built without CUDA; build it where nvcc is found")
    module: ModuleType = found
    return module


class Gpu:
    """The primary context of one device. ``with gpu:`` makes it current and turns PyCUDA's errors into ours.

    Attributes
    ----------
    name : str
    compute_capability : (int, int)
    sm_count : int
    integrated : bool
        Whether it shares its memory with the host, so that page-locked memory is mapped and not copied.
    """

    def __init__(self, number: int = 0) -> None:
        self.driver = driver()
        if number >= self.driver.Device.count():
            raise BackendError(f"there is no CUDA device {number}; there are {self.driver.Device.count()}")
        device = self.driver.Device(number)
        attribute = self.driver.device_attribute
        self.name: str = device.name()
        self.compute_capability: tuple[int, int] = tuple(device.compute_capability())
        self.sm_count: int = device.get_attribute(attribute.MULTIPROCESSOR_COUNT)
        self.integrated = bool(device.get_attribute(attribute.INTEGRATED))
        try:
            self._context = device.retain_primary_context()
        except self.driver.Error as e:
            raise BackendError(f"{self.name} cannot be used ({e}); see what nvidia-smi says") from None

    def __enter__(self) -> Gpu:
        self._context.push()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._context.pop()
        if isinstance(error, self.driver.Error):
            raise BackendError(f"{self.name} failed ({error})") from None

    def stream(self) -> Any:
        """Return a new stream that does not wait for the legacy default one."""
        return self.driver.Stream(NON_BLOCKING)


@functools.cache
def open_gpu(number: int) -> Gpu:
    """Return the device, the same object each time: one primary context serves the whole process."""
    return Gpu(number)


class Memory:
    """Takes memory from one device, within a limit, and counts.

    Attributes
    ----------
    allocations : int
        How often memory was taken, on the device or page-locked.
    held : int
        Bytes held on the device.
    """

    def __init__(self, gpu: Gpu, limit: int | None = None) -> None:
        self.gpu = gpu
        self.limit = limit
        self.allocations = 0
        self.held = 0
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def _taking(self, size: int) -> Iterator[None]:
        with self._lock:
            if self.limit is not None and self.held + size > self.limit:
                raise OutOfMemory(
                    f"{size} bytes more on {self.gpu.name} would make {self.held + size}; allowed are {self.limit}"
                )
            self.held += size
            self.allocations += 1
        try:
            yield
        except BaseException as e:
            self.give_back(size)
            if isinstance(e, self.gpu.driver.MemoryError):
                raise OutOfMemory(f"{self.gpu.name} is out of memory ({e})") from None
            raise

    def give_back(self, size: int) -> None:
        """Count bytes that are free again."""
        with self._lock:
            self.held -= size

    def device(self, size: int) -> DeviceMemory:
        """Take memory on the device. The context must be current."""
        with self._taking(size):
            return DeviceMemory(self, size)

    def shared(self, size: int) -> SharedMemory:
        """Take memory for both sides. The context must be current."""
        with self._taking(size):
            return SharedMemory(self, size)


class DeviceMemory:
    """Bytes on the device, at ``pointer``."""

    def __init__(self, memory: Memory, size: int) -> None:
        self._memory, self._size = memory, size
        self._taken = memory.gpu.driver.mem_alloc(max(size, ALIGNMENT))
        self.pointer = int(self._taken)

    def free(self) -> None:
        """Give the memory back. The context must be current."""
        self._taken.free()
        self._memory.give_back(self._size)


class SharedMemory:
    """Bytes that host and device both see: page-locked memory with a copy on the device, or one mapped to it.

    Attributes
    ----------
    host : ndarray of uint8
    pointer : int
        Where the device sees it.
    mapped : bool
        Whether it is one memory, so that nothing is copied.
    """

    def __init__(self, memory: Memory, size: int) -> None:
        driver = memory.gpu.driver
        self._memory, self._size, self._driver = memory, size, driver
        self.mapped = memory.gpu.integrated
        flags = driver.host_alloc_flags.DEVICEMAP if self.mapped else 0
        self.host: NDArray[np.uint8] = driver.pagelocked_empty((size,), np.uint8, mem_flags=flags)
        self._taken: Any = self.host.base
        self._copy: Any = None
        if self.mapped:
            self.pointer = int(self._taken.get_device_pointer())
            return
        try:
            self._copy = driver.mem_alloc(size)
        except BaseException:
            self._taken.free()
            raise
        self.pointer = int(self._copy)

    def to_device(self, stream: Any) -> None:
        if not self.mapped:
            self._driver.memcpy_htod_async(self.pointer, self.host, stream)

    def to_host(self, stream: Any) -> None:
        if not self.mapped:
            self._driver.memcpy_dtoh_async(self.host, self.pointer, stream)

    def free(self) -> None:
        """Give the memory back. The context must be current, and no view of ``host`` may be used any more."""
        if self._copy is not None:
            self._copy.free()
        self._taken.free()
        self._memory.give_back(self._size)


class View:
    """An array in device memory, as the ops take it: C-contiguous, ready on the stream that is given to them."""

    def __init__(self, pointer: int, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        self.pointer, self.shape, self.dtype = pointer, shape, np.dtype(dtype)
        self.__cuda_array_interface__ = {
            "shape": shape,
            "typestr": self.dtype.str,
            "data": (pointer, False),
            "strides": None,
            "version": 3,
        }

    @property
    def size(self) -> int:
        """Bytes."""
        return math.prod(self.shape) * self.dtype.itemsize

    def part(self, first: int, count: int) -> View:
        """Return ``count`` entries of the first axis."""
        step = self.size // self.shape[0]
        return View(self.pointer + first * step, (count, *self.shape[1:]), self.dtype)


def aligned(size: int) -> int:
    """Round up to whole units of :data:`ALIGNMENT`."""
    return -(-size // ALIGNMENT) * ALIGNMENT
