"""The GPU through PyCUDA, on a driver made here."""

from __future__ import annotations

import sys
import types
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from acutance.bench import device as devices
from acutance.bench import latency

from acutance.errors import BackendError


class FakeDriver(types.ModuleType):
    """What :mod:`acutance.bench.device` calls of ``pycuda.driver``, with a log; memory is host memory."""

    class Error(Exception):
        pass

    def __init__(self, gpus: int = 1) -> None:
        super().__init__("pycuda.driver")
        self.gpus, self.log, self.depth = gpus, [], 0
        self.Stream = lambda: SimpleNamespace(handle=77)
        self.kept: list[Any] = []

    def init(self) -> None:
        if not self.gpus:
            raise self.Error("cuInit failed: no CUDA-capable device is detected")

    def Device(self, index: int) -> Any:
        context = SimpleNamespace(push=lambda: self._deeper(1), pop=lambda: self._deeper(-1))
        return SimpleNamespace(retain_primary_context=lambda: context, name=lambda: "Some GPU")

    def _deeper(self, by: int) -> None:
        self.depth += by

    def mem_alloc(self, nbytes: int) -> int:
        self.kept.append(np.zeros(nbytes, np.uint8))
        return int(self.kept[-1].ctypes.data)

    def memcpy_htod(self, address: int, data: Any) -> None:
        (target,) = (k for k in self.kept if k.ctypes.data == address)
        target[:] = data.reshape(-1).view(np.uint8)

    def memcpy_dtod_async(self, target: int, source: int, nbytes: int, stream: Any) -> None:
        assert stream.handle == 77
        self.log.append(("copy", target, source, nbytes))

    def memset_d8_async(self, target: int, value: int, nbytes: int, stream: Any) -> None:
        self.log.append(("set", target, value, nbytes))

    def Event(self) -> Any:
        return SimpleNamespace(
            record=lambda stream: self.log.append(("record",)), synchronize=lambda: None, time_since=lambda start: 1.5
        )


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> FakeDriver:
    made = FakeDriver()
    package = types.ModuleType("pycuda")
    package.driver = made  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pycuda", package)
    monkeypatch.setitem(sys.modules, "pycuda.driver", made)
    monkeypatch.setattr(devices, "FLUSH", 512)
    return made


def test_arrays_stand_where_the_core_looks_for_them(driver: FakeDriver) -> None:
    device = devices.open_device()
    array = np.arange(6, dtype=np.uint16).reshape(2, 3)
    there = device.upload(array)
    interface = there.__cuda_array_interface__
    assert interface["shape"] == (2, 3) and interface["typestr"] == "<u2" and interface["strides"] is None
    assert driver.kept[-1].tobytes() == array.tobytes() and interface["data"] == (driver.kept[-1].ctypes.data, False)
    assert there.nbytes == 12 and device.stream == 77 and device.name == "Some GPU"


def test_each_timed_call_has_the_cache_flushed_before_and_events_around(driver: FakeDriver) -> None:
    device = devices.open_device()
    source, target = device.empty((8,), np.uint8), device.empty((8,), np.uint8)
    times = device.interleaved({"copy": lambda: device.copy(target, source)}, 3)
    assert times == {"copy": [1.5] * 3}
    assert [entry[0] for entry in driver.log] == ["copy"] + ["set", "record", "copy", "record"] * 3
    assert driver.log[0] == ("copy", target.address, source.address, 8)
    assert driver.log[1][3] == 512


def test_the_context_is_left(driver: FakeDriver) -> None:
    device = devices.open_device()
    assert driver.depth == 1
    device.close()
    assert driver.depth == 0


def test_copies_run_beside_and_end(driver: FakeDriver) -> None:
    with latency.competing("gpu"):
        while len(driver.log) < 20:
            pass
    assert driver.depth == 0
    ended = len(driver.log)
    assert {entry[0] for entry in driver.log} == {"record", "copy"} and len(driver.log) == ended


def test_a_load_that_fails_is_an_error(driver: FakeDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(nbytes: int) -> int:
        raise driver.Error("out of memory")

    monkeypatch.setattr(driver, "mem_alloc", full)
    with pytest.raises(driver.Error, match="out of memory"), latency.competing("gpu"):
        pass


def test_no_gpu_is_said(driver: FakeDriver) -> None:
    driver.gpus = 0
    with pytest.raises(BackendError, match="no GPU: cuInit failed"):
        devices.open_device()


def test_neither_library_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pycuda", "pycuda.driver", "torch"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(BackendError, match="neither PyCUDA nor torch is installed"):
        devices.open_device()
