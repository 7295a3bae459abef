"""The ops on a device as tests call them, with NumPy arrays in and out, and the CUDA module compiled for the host."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import shutil
import subprocess
import sysconfig
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from acutance import ops, tiling

ROOT = Path(__file__).resolve().parents[1]

Upload = Callable[[bytes], tuple[int, Callable[[], bytes]]]
"""Takes bytes to a device; returns their address there and a function that reads them back."""


class OnDevice:
    """A NumPy array's memory on a device, from its first byte to its last, with its strides and its alignment."""

    def __init__(self, array: np.ndarray, upload: Upload) -> None:
        ends = [step * (n - 1) for step, n in zip(array.strides, array.shape, strict=True)] if array.size else [0]
        self.array, self.shape = array, array.shape
        self._low = array.ctypes.data + sum(e for e in ends if e < 0)
        self._size = array.ctypes.data + sum(e for e in ends if e > 0) + array.itemsize - self._low if array.size else 0
        self._pad = 64 + self._low % 64
        address, self._read = upload(bytes(self._pad) + ctypes.string_at(self._low, self._size))
        self.__cuda_array_interface__ = {
            "shape": array.shape,
            "typestr": array.dtype.str,
            "data": (address + self._pad + array.ctypes.data - self._low, not array.flags.writeable),
            "strides": array.strides,
            "version": 3,
        }

    def fetch(self) -> np.ndarray:
        """Copy back to the array, and to what lies between its rows."""
        ctypes.memmove(self._low, self._read()[self._pad :], self._size)
        return self.array


class DeviceOps:
    """The ops on a device, with NumPy arrays in and out."""

    def __init__(self, upload: Upload) -> None:
        self._upload = upload

    def _up(self, x: np.ndarray) -> OnDevice:
        return OnDevice(x, self._upload)

    def _if_given(self, x: np.ndarray | None) -> Any:
        return None if x is None else self._up(x)

    def fill(self, slice: np.ndarray, mask: np.ndarray, out: Any = None, threads: int = 0) -> Any:
        there = self._up(slice)
        place = there if out is slice else self._up(np.empty(slice.shape, slice.dtype) if out is None else out)
        scratch = self._up(np.empty(max(slice.size, 1), np.int32))
        ops.fill(there, self._up(mask), place, threads, scratch=scratch)
        return place.fetch()

    def gather(
        self, slice: np.ndarray, plan: tiling.Plan, *, out: Any = None, params: Any = None, **settings: Any
    ) -> Any:
        if out is None:
            count = settings.get("count", plan.count - settings.get("first", 0))
            shape = ops.tiles_shape(plan, settings.get("unshuffle", 1), settings.get("layout", "nchw"), count)
            out = np.empty(shape, settings.get("dtype", np.float32))
        place = self._up(out)
        ops.gather(self._up(slice), plan, out=place, params=self._if_given(params), **settings)
        return place.fetch()

    def assemble(
        self,
        residual: Any,
        slice: np.ndarray,
        plan: tiling.Plan,
        *,
        mask: Any = None,
        out: Any = None,
        params: Any = None,
        **settings: Any,
    ) -> tuple[Any, int]:
        if out is None and "rows" not in settings:
            out = np.empty((*plan.output_shape, *slice.shape[2:]), slice.dtype)
        tiles, missing, place, numbers = (self._if_given(x) for x in (residual, mask, out, params))
        flag = self._up(np.zeros(1, np.int32))
        ops.assemble(tiles, self._up(slice), plan, mask=missing, out=place, nonfinite=flag, params=numbers, **settings)
        return place.fetch(), int(flag.fetch()[0])


def host_upload(data: bytes) -> tuple[int, Callable[[], bytes]]:
    """For the module that :func:`build_for_host` makes, to which host memory is a device's."""
    memory = np.frombuffer(data, np.uint8).copy()
    return memory.ctypes.data, memory.tobytes


def _torch_upload(data: bytes) -> tuple[int, Callable[[], bytes]]:
    import torch

    memory = torch.from_numpy(np.frombuffer(data, np.uint8).copy()).cuda()
    return memory.data_ptr(), lambda: memory.cpu().numpy().tobytes()


def _cupy_upload(data: bytes) -> tuple[int, Callable[[], bytes]]:
    import cupy

    memory = cupy.asarray(np.frombuffer(data, np.uint8))
    return memory.data.ptr, lambda: memory.get().tobytes()


def _pycuda_upload(data: bytes) -> tuple[int, Callable[[], bytes]]:
    import pycuda.autoprimaryctx  # noqa: F401
    from pycuda import gpuarray

    memory = gpuarray.to_gpu(np.frombuffer(data, np.uint8))
    return int(memory.gpudata), lambda: memory.get().tobytes()


def cuda_upload() -> Upload:
    """Return how bytes get to the GPU with whichever library there is."""
    for upload in (_pycuda_upload, _cupy_upload, _torch_upload):  # the quickest to start first
        with contextlib.suppress(Exception):
            upload(b"?")
            return upload
    pytest.fail("there is a CUDA device, but none of torch with CUDA, cupy and pycuda to put arrays on it")


def build_for_host(folder: Path) -> ModuleType:
    """Compile the sources of ``acutance._cuda`` as C++, every kernel run thread by thread; see cuda_emulation/."""
    pybind11 = pytest.importorskip("pybind11")
    compiler = os.environ.get("CXX") or next(filter(shutil.which, ("c++", "g++", "clang++")), None)
    if compiler is None:
        pytest.skip("no C++ compiler")
    module = folder / "_cuda.so"
    includes = [ROOT / "tests" / "cuda_emulation", pybind11.get_include(), sysconfig.get_path("include")]
    names = ("cuda.cu", "bind_cuda.cpp", "device_array.cpp", "event.cpp", "graph.cpp", "args.cpp")
    sources = [ROOT / "csrc" / name for name in names]
    flags = ["-std=c++17", "-O1", "-ffp-contract=off", "-fvisibility=hidden", "-fPIC", "-shared", "-x", "c++"]
    flags += ["-DACUTANCE_MOST_BLOCKS=5"]  # so that grids are walked in steps
    flags += os.environ.get("CXXFLAGS", "").split()
    command = [*compiler.split(), *flags, *(f"-I{i}" for i in includes), *map(str, sources), "-o", str(module)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    spec = importlib.util.spec_from_file_location("_cuda", module)
    assert spec and spec.loader
    built = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(built)
    return built
