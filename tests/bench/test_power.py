"""Power and clocks: trees of Jetson boards, and an NVML made here."""

from __future__ import annotations

import sys
import time
import types
from pathlib import Path
from typing import Any

import pytest
from acutance.bench import power

TREES = Path(__file__).parent / "trees"


def tree(name: str, root: Path) -> Path:
    """Write the files that a list of ``trees/`` names below ``root``."""
    for line in (TREES / f"{name}.txt").read_text().splitlines():
        if not line.startswith("#"):
            path, text = line.split("\t", 1)
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text.replace("\\n", "\n") + "\n")
    return root


def test_orin(tmp_path: Path) -> None:
    board = power.Jetson(tree("orin", tmp_path))
    said = board.describe()
    assert said["name"] == "NVIDIA Jetson AGX Orin Developer Kit"
    assert said["l4t"] == "R36 (release), REVISION: 4.3"
    assert said["power_mode"] == "2 MODE_30W"
    assert said["clocks_locked"] is False
    assert said["gpu_mhz_most"] == 612
    assert said["rails"] == ["VDDQ_VDD2_1V8AO", "VDD_CPU_CV", "VDD_GPU_SOC", "VIN_SYS_5V0"]
    assert said["now"] == pytest.approx(
        {
            "VDD_GPU_SOC_w": 9.5,
            "VDD_CPU_CV_w": 2.28,
            "VIN_SYS_5V0_w": 4.5,
            "VDDQ_VDD2_1V8AO_w": 1.0,
            "gpu_mhz": 612,
            "gpu_c": 45.5,
        }
    )


def test_thor(tmp_path: Path) -> None:
    board = power.Jetson(tree("thor", tmp_path))
    said = board.describe()
    assert said["power_mode"] == "0 MAXN" and said["clocks_locked"] is True
    assert said["governor"] == "performance"
    assert said["now"] == pytest.approx(
        {
            "VIN_w": 44.9,
            "VDD_GPU_w": 20.0,
            "VDD_CPU_SOC_MSS_w": 7.0,
            "VIN_SYS_5V0_w": 6.5,
            "gpu_mhz": 1575,
            "tj_c": 55.1,
        }
    )


def test_locked_means_gpu_and_every_cpu(tmp_path: Path) -> None:
    root = tree("thor", tmp_path)
    (root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_min_freq").write_text("800000\n")
    assert power.Jetson(root).clocks_locked() is False


def test_what_is_not_there_is_not_said(tmp_path: Path) -> None:
    root = tree("orin", tmp_path)
    (root / "var/lib/nvpmodel/status").unlink()
    (root / "sys/class/hwmon/hwmon1/curr2_input").write_text("")  # as when the chip does not answer
    said = power.Jetson(root).describe()
    assert "power_mode" not in said
    assert "VDD_CPU_CV_w" not in said["now"] and said["now"]["VDD_GPU_SOC_w"] == 9.5


def test_another_machine_is_no_jetson(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)  # as when it is not installed
    assert power.find(tmp_path) is None


class FakeNvml(types.ModuleType):
    """Two cards; of the second the power is not known."""

    NVML_CLOCK_SM, NVML_CLOCK_MEM, NVML_TEMPERATURE_GPU = 1, 2, 0

    class NVMLError(Exception):
        pass

    def __init__(self, cards: int) -> None:
        super().__init__("pynvml")
        self.cards = cards

    def nvmlInit(self) -> None:
        if not self.cards:
            raise self.NVMLError("Driver Not Loaded")

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        if index >= self.cards:
            raise self.NVMLError("Invalid Argument")
        return index

    def nvmlSystemGetCudaDriverVersion(self) -> int:
        return 12080

    def nvmlSystemGetDriverVersion(self) -> str:
        return "570.1"

    def nvmlDeviceGetName(self, gpu: int) -> bytes:
        return f"Card {gpu}".encode()

    def nvmlDeviceGetEnforcedPowerLimit(self, gpu: int) -> int:
        return 300_000

    def nvmlDeviceGetMaxClockInfo(self, gpu: int, kind: int) -> int:
        return 1000 * kind

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, gpu: int) -> int:
        return 4

    def nvmlDeviceGetPowerUsage(self, gpu: int) -> int:
        if gpu:
            raise self.NVMLError("Not Supported")
        return 71_500

    def nvmlDeviceGetClockInfo(self, gpu: int, kind: int) -> int:
        return 900 * kind

    def nvmlDeviceGetTemperature(self, gpu: int, kind: int) -> int:
        return 41


def test_a_card(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(2))
    source = power.find(tmp_path)
    assert isinstance(source, power.Nvml)
    assert source.describe() == {
        "name": "Card 0",
        "driver": "570.1",
        "cuda_of_driver": "12.8",
        "power_limit_w": 300.0,
        "sm_mhz_most": 1000,
        "memory_mhz_most": 2000,
        "throttle_reasons": 4,
        "now": {"gpu_w": 71.5, "sm_mhz": 900.0, "memory_mhz": 1800.0, "gpu_c": 41.0},
    }
    assert "gpu_w" not in power.Nvml(1).sample()


def test_no_driver_is_no_card(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(0))
    assert power.find(tmp_path) is None


def test_samples_are_taken_while_the_block_runs() -> None:
    class Source:
        watts = 0.0

        def describe(self) -> dict[str, Any]:
            return {}

        def sample(self) -> dict[str, float]:
            self.watts += 10
            return {"gpu_w": self.watts}

    with power.Sampler(Source(), seconds=0.001) as sampler:
        while len(sampler.summary().get("gpu_w", {})) == 0 or sampler.summary()["gpu_w"]["max"] < 30:
            time.sleep(0.001)
    said = sampler.summary()["gpu_w"]
    assert said["max"] >= 30 and said["mean"] == pytest.approx((10 + said["max"]) / 2)
    with power.Sampler(None) as nothing:
        pass
    assert nothing.summary() == {}
