"""Devices are named as users and drivers name them."""

from __future__ import annotations

import sys

import pytest
from acutance.trt_engines import device
from acutance.trt_engines.device import Device

from acutance.errors import BackendError, UsageError


@pytest.mark.parametrize("text", ["sm86", "SM86", "sm_86", "8.6", "86"])
def test_targets(text: str) -> None:
    found = device.target(text)
    assert (found.name, found.compute_capability, found.sm, found.present) == ("sm86", (8, 6), "SM86", False)


def test_target_of_two_digits() -> None:
    assert device.target("sm120").compute_capability == device.target("12.0").compute_capability == (12, 0)


@pytest.mark.parametrize("text", ["", "sm", "8", "ampere", "8.6.1", "sm1234"])
def test_no_target(text: str) -> None:
    with pytest.raises(UsageError, match="is no compute capability; wanted one as sm86"):
        device.target(text)


def test_names_for_files(gpu: Device) -> None:
    assert gpu.slug == "nvidia-rtx-a6000"
    assert gpu.present and gpu.as_target() == device.target("sm86")
    assert Device(name="../..", compute_capability=(8, 7), sm_count=16).slug == "sm87"


def test_without_pycuda_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycuda", None)
    monkeypatch.setitem(sys.modules, "pycuda.driver", None)
    with pytest.raises(BackendError, match=r"PyCUDA.*pip install 'acutance\[tensorrt\]'.*--target"):
        device.current()
