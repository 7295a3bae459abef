"""What is counted as bytes, what is compared with what, and the device path on a device made here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from acutance.bench import device as devices
from acutance.bench import kernels, record

from acutance import _native, ops
from acutance.errors import BackendError
from acutance.geometry import Array


class HostDevice(devices.Device):
    """Host memory as a device's; a call takes as many ms as it was said to."""

    name, stream = "host", 7

    def __init__(self) -> None:
        self.log: list[str] = []

    def memory(self, nbytes: int) -> tuple[Any, int]:
        held = np.zeros(nbytes, np.uint8)
        return held, held.ctypes.data

    def write(self, target: devices.OnDevice, data: Array) -> None:
        target.holder[:] = data.reshape(-1).view(np.uint8)

    def copy(self, target: devices.OnDevice, source: devices.OnDevice) -> None:
        self.log.append("copy")
        target.holder[:] = source.holder

    def clear(self, target: devices.OnDevice) -> None:
        self.log.append("clear" if target.nbytes != devices.FLUSH else "flush")

    def milliseconds(self, call: Callable[[], object]) -> float:
        self.log.append("start")
        call()
        self.log.append("end")
        return 2.0 if self.log[-2] == "copy" else 4.0


def on_host(x: Any) -> Any:
    """Return the NumPy array that an array on :class:`HostDevice` is."""
    return x.holder.view(x.dtype).reshape(x.shape) if isinstance(x, devices.OnDevice) else x


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> HostDevice:
    made = HostDevice()
    monkeypatch.setattr(devices, "FLUSH", 1024)
    gather, assemble = ops.gather, ops.assemble

    def gathered(slice: Any, plan: Any, *, out: Any, stream: int, **settings: Any) -> Any:
        assert stream == made.stream
        made.log.append("gather")
        return gather(on_host(slice), plan, out=on_host(out), **settings)

    def assembled(residual: Any, slice: Any, plan: Any, *, out: Any, nonfinite: Any, stream: int, **more: Any) -> Any:
        assert stream == made.stream and nonfinite.dtype == np.int64
        made.log.append("assemble")
        return assemble(on_host(residual), on_host(slice), plan, out=on_host(out), **more)

    monkeypatch.setattr(kernels.ops, "gather", gathered)
    monkeypatch.setattr(kernels.ops, "assemble", assembled)
    return made


def test_every_case_runs_on_the_device_and_counts_its_bytes(device: HostDevice) -> None:
    cases = {case.name: case for case in kernels.gpu_cases(device, 64)}
    assert list(cases) == [
        "gather, nchw",
        "gather, nhwc",
        "assemble, scale 2",
        "assemble, scale 2, guard",
        "assemble, scale 4",
        "assemble, scale 4, guard",
    ]
    for case in cases.values():
        case.call()
    tile = 64 + 14
    assert cases["gather, nchw"].bytes == 2 * 64 * 64 + 2 * tile * tile
    assert cases["gather, nhwc"].bytes == 2 * 64 * 64 + 2 * 8 * tile * tile
    for scale in (2, 4):  # residual and output at 64 x 64, two bytes each, and the slice
        assert cases[f"assemble, scale {scale}"].bytes == 2 * 2 * 64 * 64 + 2 * (64 // scale) ** 2
    assert [c.wanted for c in cases.values()] == [0.85, 0.85, 0.7, 0.7, 0.7, 0.7]


def test_ops_and_copies_take_turns_with_a_cold_cache(device: HostDevice) -> None:
    case = next(iter(kernels.gpu_cases(device, 64)))
    device.log.clear()
    (row,) = kernels.measure([case], 2, device.interleaved, lambda total: kernels._copy(device, total))
    timed = device.log[device.log.index("flush") :]
    assert timed == ["flush", "start", "gather", "end", "flush", "start", "copy", "end"] * 2
    assert row["of_memcpy"] == pytest.approx(0.5) and row["memcpy_gb_s"] == pytest.approx(2 * row["gb_s"])


def test_the_status_is_1_when_a_case_is_too_slow(
    device: HostDevice, run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(_native, "cuda", object())
    monkeypatch.setattr(kernels, "open_device", lambda: device)
    command = ("bench", "kernels", "--on", "cuda", "--size", "64", "--repeats", "2", "--json", tmp_path / "k.json")
    assert run(*command).code == 1
    assert record.read(tmp_path / "k.json")["rows"][0]["on"] == "cuda"
    device.milliseconds = lambda call: 1.0  # type: ignore[method-assign]  # as fast as the copy
    assert run(*command).code == 0


def test_without_a_gpu_it_says_so(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> Any:
        raise BackendError("no GPU: none is there")

    monkeypatch.setattr(_native, "cuda", None)
    said = run("bench", "kernels", "--on", "cuda")
    assert said.code == 1 and "built without CUDA" in said.err[0]
    monkeypatch.setattr(_native, "cuda", object())
    monkeypatch.setattr(kernels, "open_device", none)
    said = run("bench", "kernels", "--on", "cuda")
    assert said.code == 1 and said.err == ["acutance: no GPU: none is there"]


def test_on_the_cpu(run: Callable[..., Any], tmp_path: Path) -> None:
    said = run("bench", "kernels", "--size", "64", "--repeats", "2", "--path", "none")
    assert said.code == 2 and "path 'none' is none of this CPU" in said.err[0]
    path = _native.core.paths()[0]
    run("bench", "kernels", "--size", "64", "--repeats", "2", "--path", path, "--json", tmp_path / "k.json")
    _native.core.use_path(_native.core.paths()[-1])
    rows = record.read(tmp_path / "k.json")["rows"]
    assert [r["case"] for r in rows][:2] == ["assemble", "assemble, guard"] and rows[0]["path"] == path
