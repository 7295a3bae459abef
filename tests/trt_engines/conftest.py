"""Fixtures of the engine tests."""

from __future__ import annotations

import importlib.util
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from acutance.trt_engines import flavour as flavours
from acutance.trt_engines.device import Device
from acutance.trt_engines.flavour import Flavour

from acutance import model as models
from acutance.errors import BackendError
from acutance.model import Model

Small = Callable[..., Model]


def _load(name: str) -> ModuleType:
    """Import a module that lies beside this file, which is in no package."""
    spec = importlib.util.spec_from_file_location(f"acutance_test_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def fake() -> ModuleType:
    """``fake_tensorrt.py``."""
    pytest.importorskip("onnx")
    return _load("fake_tensorrt")


@pytest.fixture
def small(tmp_path: Path) -> Small:
    """Return a function that makes the model of ``small.py`` in a precision."""
    pytest.importorskip("onnx")
    write = _load("small").write

    def make(precision: str = "fp16", **changes: object) -> Model:
        return models.load(write(tmp_path, precision, **changes))

    return make


@pytest.fixture(scope="session")
def rtx() -> Flavour:
    """TensorRT-RTX as installed."""
    try:
        return flavours.load("rtx")
    except BackendError as e:
        machine = platform.machine()
        where = "" if machine == "x86_64" else f" for {machine}"
        pytest.skip(f"no TensorRT-RTX{where}: {e}")


@pytest.fixture
def gpu() -> Device:
    """A GPU that full TensorRT could be in the same machine with."""
    return Device(name="NVIDIA RTX A6000", compute_capability=(8, 6), sm_count=84)
