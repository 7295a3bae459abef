"""Kernels are measured once for a GPU and a build of TensorRT, whoever builds."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from acutance.trt_engines import trusted
from acutance.trt_engines.build import build
from acutance.trt_engines.device import Device, target
from acutance.trt_engines.flavour import Flavour
from acutance.trt_engines.options import Options
from acutance.trt_engines.timing import TimingCache

KERNELS = 3


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a store."""
    return trusted.open_folder(tmp_path / "engines")


def _build(flavour: Flavour, model: Any, gpu: Device, folder: Path, *batches: int) -> int:
    """Build; return how many kernels were measured."""
    before = len(flavour.trt.log.measured)
    build(model, Options(batches=batches), gpu, flavour=flavour, timing=TimingCache(folder, gpu, flavour))
    return len(flavour.trt.log.measured) - before


def test_the_second_build_measures_only_what_is_new(fake: ModuleType, small: Any, gpu: Device, folder: Path) -> None:
    flavour, model = fake.load(), small("fp16")
    assert _build(flavour, model, gpu, folder, 1, 2) == 2 * KERNELS
    assert _build(flavour, model, gpu, folder, 1, 2) == 0
    assert _build(flavour, model, gpu, folder, 1, 2, 4) == KERNELS


def test_another_gpu_or_build_has_its_own(fake: ModuleType, small: Any, gpu: Device, folder: Path) -> None:
    flavour, model = fake.load(), small("fp16")
    _build(flavour, model, gpu, folder, 1)
    other = gpu.model_copy(update={"sm_count": gpu.sm_count - 2})
    assert _build(flavour, model, other, folder, 1) == KERNELS
    assert _build(fake.load("11.4.0.106"), model, gpu, folder, 1) == KERNELS
    assert sorted(p.name for p in folder.glob("*.timing")) == [
        "nvidia-rtx-a6000-sm86x82-10.3.0.timing",
        "nvidia-rtx-a6000-sm86x84-10.3.0.timing",
        "nvidia-rtx-a6000-sm86x84-11.4.0.106.timing",
    ]


def test_what_others_measured_meanwhile_is_kept(fake: ModuleType, small: Any, gpu: Device, folder: Path) -> None:
    flavour, model = fake.load(), small("fp16")
    other = fake.load()
    flavour.trt.log.before_build = lambda: _build(other, model, gpu, folder, 4)
    assert _build(flavour, model, gpu, folder, 1) == KERNELS
    flavour.trt.log.before_build = None
    assert _build(flavour, model, gpu, folder, 1, 4) == 0


@pytest.mark.parametrize("spoilt", ["tampered", "foreign", "garbage", "another driver's"])
def test_a_cache_that_cannot_be_used_is_measured_anew(
    fake: ModuleType, small: Any, gpu: Device, folder: Path, spoilt: str
) -> None:
    flavour, model = fake.load(), small("fp16")
    _build(flavour, model, gpu, folder, 1)
    path = TimingCache(folder, gpu, flavour).path
    data, record = trusted.read(path)
    if spoilt == "tampered":
        path.write_bytes(data + b" ")
    elif spoilt == "foreign":
        path.chmod(0o666)
    elif spoilt == "garbage":
        trusted.write(path, b"garbage", record)
    else:
        trusted.write(path, data.replace(b"10.3.0", b"10.2.9"), record)
    assert _build(flavour, model, gpu, folder, 1) == KERNELS
    assert _build(flavour, model, gpu, folder, 1) == 0


def test_a_stopped_build_keeps_nothing_half_measured(fake: ModuleType, small: Any, gpu: Device, folder: Path) -> None:
    flavour = fake.load(error="out of memory")
    with pytest.raises(Exception, match="out of memory"):
        _build(flavour, small("fp16"), gpu, folder, 1)
    flavour.trt.log.error = ""
    assert _build(flavour, small("fp16"), gpu, folder, 1) == KERNELS


def test_rtx_gets_none(rtx: Flavour, small: Any, folder: Path) -> None:
    sm86 = target("sm86")
    build(small("fp16"), Options(batches=(1,)), sm86, flavour=rtx, timing=TimingCache(folder, sm86, rtx))
    assert list(folder.iterdir()) == []
