"""A fake GPU with PyCUDA and TensorRT."""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from acutance.trt_engines import flavour, store

from acutance import _native
from acutance.backends import tensorrt
from acutance.backends.tensorrt import gpu


def _twin(name: str) -> ModuleType:
    path = Path(__file__).with_name(f"{name}.py")
    spec = importlib.util.spec_from_file_location(f"backends_{name}", path)
    assert spec and spec.loader
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


FakeCuda = _twin("fake_cuda").FakeCuda
FakeTensorRT = _twin("fake_tensorrt").FakeTensorRT


@dataclasses.dataclass
class Machine:
    """A GPU and its driver, TensorRT, and the folder of engines."""

    cuda: Any
    trt: Any
    engines: Path


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, emulated_cuda: ModuleType, tmp_path: Path) -> Iterator[Machine]:
    """A fake GPU, found by whoever looks for one."""
    cuda = FakeCuda(emulated_cuda)
    trt = FakeTensorRT(cuda)
    package = types.ModuleType("pycuda")
    package.driver = cuda  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pycuda", package)
    monkeypatch.setitem(sys.modules, "pycuda.driver", cuda)
    monkeypatch.setattr(_native, "cuda", cuda.core)
    monkeypatch.setattr(flavour, "load", lambda name="auto": flavour.Flavour("tensorrt", trt, trt.__version__))
    monkeypatch.setattr(store, "build", trt.build)
    monkeypatch.setenv("ACUTANCE_ENGINES", str(tmp_path / "engines"))
    gpu.open_gpu.cache_clear()
    tensorrt.absent.cache_clear()
    yield Machine(cuda, trt, tmp_path / "engines")
    assert cuda.pushed == 0, "a context was left current"
    gpu.open_gpu.cache_clear()
    tensorrt.absent.cache_clear()
