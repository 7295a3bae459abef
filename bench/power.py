"""Power and clocks: NVML on cards; on Jetson the files of the system, which need no other package.

A Jetson's rails are in hwmon (drivers ina3221 and ina238), its GPU's clock in devfreq, its power mode in what nvpmodel
leaves behind. ``jetson_clocks`` leaves no mark but the clocks themselves: it raises the lowest to the highest allowed.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import numpy as np

SECONDS = 0.2
"""Between samples: to read a sensor over I2C takes about a millisecond, which must not disturb what is timed."""


class Source(Protocol):
    """What knows power and clocks of one GPU."""

    def describe(self) -> dict[str, Any]:
        """Return what the GPU is and how it is set, JSON-ready."""

    def sample(self) -> dict[str, float]:
        """Return what it draws and runs at now; names end in their unit: ``_w``, ``_mhz``, ``_c``."""


class Nvml:
    """One card, asked through NVML (package nvidia-ml-py).

    Parameters
    ----------
    index : int
        As the driver counts them.

    Raises
    ------
    ImportError
        nvidia-ml-py is not installed.
    LookupError
        There is no driver or no such GPU.
    """

    def __init__(self, index: int = 0) -> None:
        import pynvml

        self._nvml = pynvml
        try:
            pynvml.nvmlInit()
            self._gpu = pynvml.nvmlDeviceGetHandleByIndex(index)
        except pynvml.NVMLError as e:
            raise LookupError(f"no GPU {index}: {e}") from None

    def _ask(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """Return what NVML says, None for what this GPU does not tell."""
        try:
            said = call(*arguments)
        except self._nvml.NVMLError:
            return None
        return said.decode() if isinstance(said, bytes) else said

    def describe(self) -> dict[str, Any]:
        nvml, gpu = self._nvml, self._gpu
        cuda = self._ask(nvml.nvmlSystemGetCudaDriverVersion)
        limit = self._ask(nvml.nvmlDeviceGetEnforcedPowerLimit, gpu)
        said = {
            "name": self._ask(nvml.nvmlDeviceGetName, gpu),
            "driver": self._ask(nvml.nvmlSystemGetDriverVersion),
            "cuda_of_driver": None if cuda is None else f"{cuda // 1000}.{cuda % 1000 // 10}",
            "power_limit_w": None if limit is None else limit / 1000,
            "sm_mhz_most": self._ask(nvml.nvmlDeviceGetMaxClockInfo, gpu, nvml.NVML_CLOCK_SM),
            "memory_mhz_most": self._ask(nvml.nvmlDeviceGetMaxClockInfo, gpu, nvml.NVML_CLOCK_MEM),
            "throttle_reasons": self._ask(nvml.nvmlDeviceGetCurrentClocksThrottleReasons, gpu),
            "now": self.sample(),
        }
        return {k: v for k, v in said.items() if v is not None}

    def sample(self) -> dict[str, float]:
        nvml, gpu = self._nvml, self._gpu
        milliwatts = self._ask(nvml.nvmlDeviceGetPowerUsage, gpu)
        said = {
            "gpu_w": None if milliwatts is None else milliwatts / 1000,
            "sm_mhz": self._ask(nvml.nvmlDeviceGetClockInfo, gpu, nvml.NVML_CLOCK_SM),
            "memory_mhz": self._ask(nvml.nvmlDeviceGetClockInfo, gpu, nvml.NVML_CLOCK_MEM),
            "gpu_c": self._ask(nvml.nvmlDeviceGetTemperature, gpu, nvml.NVML_TEMPERATURE_GPU),
        }
        return {k: float(v) for k, v in said.items() if v is not None}


class Jetson:
    """A Jetson, from the system's files.

    Parameters
    ----------
    root : Path
        What ``/`` is; another folder for a recorded tree.

    Raises
    ------
    LookupError
        It is no Jetson.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self.model = self._text("proc/device-tree/model").rstrip("\0")
        if "Jetson" not in self.model and not (root / "etc/nv_tegra_release").is_file():
            raise LookupError("not a Jetson")
        self._rails = dict(self._find_rails())
        self._clock = self._find_clock()

    def _text(self, path: str | Path) -> str:
        try:
            return (self._root / path).read_text(errors="replace").strip()
        except OSError:
            return ""

    def _number(self, path: Path) -> float | None:
        try:
            return float(path.read_text())
        except (OSError, ValueError):
            return None

    def _find_rails(self) -> list[tuple[str, tuple[Path, str]]]:
        """Return the labelled channels of the power monitors: label, and chip and number of the channel."""
        found = []
        for chip in sorted((self._root / "sys/class/hwmon").glob("hwmon*")):
            kind = self._text(chip / "name")
            if kind == "ina238":  # one channel: Thor's whole input
                found.append((self._text(chip / "label") or "VIN", (chip, "1")))
            if kind != "ina3221":
                continue
            for path in sorted(chip.glob("in*_label")):
                # A channel without current is no rail: the driver also lists the sum of the shunts' voltages.
                number = path.name[2:].removesuffix("_label")
                label = self._text(path)
                if label and label != "NC" and (chip / f"curr{number}_input").is_file():
                    found.append((label, (chip, number)))
        return found

    def _find_clock(self) -> Path | None:
        """Return the devfreq folder of the GPU: ``17000000.gpu`` on Orin, ``gpu-gpc-0`` on Thor."""
        for path in sorted((self._root / "sys/class/devfreq").glob("*")):
            if re.fullmatch(r"gpu-gpc-\d+|[0-9a-f]+\.(gpu|ga10b)", path.name):
                return path
        return None

    def power_mode(self) -> str:
        """Return number and name of nvpmodel's mode, such as ``0 MAXN``; empty when it left no file."""
        found = re.search(r"pmode:(\d+)", self._text("var/lib/nvpmodel/status"))
        if found is None:
            return ""
        mode = int(found[1])
        for line in self._text("etc/nvpmodel.conf").splitlines():
            named = re.match(rf"\s*<\s*POWER_MODEL\s+ID={mode}\s+NAME=(\S+?)\s*>", line)
            if named:
                return f"{mode} {named[1]}"
        return str(mode)

    def clocks_locked(self) -> bool | None:
        """Return whether GPU and CPUs may only run at their highest clock, which is what ``jetson_clocks`` does."""
        pairs = [(p / "scaling_min_freq", p / "scaling_max_freq") for p in self._cpus()]
        if self._clock is not None:
            pairs.append((self._clock / "min_freq", self._clock / "max_freq"))
        values = [(self._number(low), self._number(high)) for low, high in pairs]
        known = [(low, high) for low, high in values if low is not None and high is not None]
        return all(low == high for low, high in known) if known else None

    def _cpus(self) -> list[Path]:
        return sorted((self._root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq"))

    def describe(self) -> dict[str, Any]:
        said: dict[str, Any] = {
            "name": self.model,
            "l4t": self._text("etc/nv_tegra_release").split(", GCID")[0].lstrip("# "),
            "power_mode": self.power_mode(),
            "clocks_locked": self.clocks_locked(),
            "rails": sorted(self._rails),
        }
        if self._clock is not None:
            most = self._number(self._clock / "max_freq")
            said["gpu_mhz_most"] = None if most is None else most / 1e6
            said["governor"] = self._text(self._clock / "governor")
        said["now"] = self.sample()
        return {k: v for k, v in said.items() if v not in (None, "")}

    def sample(self) -> dict[str, float]:
        said = {}
        for label, (chip, number) in self._rails.items():
            microwatts = self._number(chip / f"power{number}_input")
            millivolts = self._number(chip / f"in{number}_input")
            milliamperes = self._number(chip / f"curr{number}_input")
            if microwatts is not None:
                said[f"{label}_w"] = microwatts / 1e6
            elif millivolts is not None and milliamperes is not None:
                said[f"{label}_w"] = millivolts * milliamperes / 1e6
        hertz = None if self._clock is None else self._number(self._clock / "cur_freq")
        if hertz is not None:
            said["gpu_mhz"] = hertz / 1e6
        for zone in sorted((self._root / "sys/class/thermal").glob("thermal_zone*")):
            if self._text(zone / "type") in ("gpu-thermal", "tj-thermal"):
                celsius = self._number(zone / "temp")  # a powered-down GPU has none
                if celsius is not None:
                    said[f"{self._text(zone / 'type').removesuffix('-thermal')}_c"] = celsius / 1000
        return said


def find(root: Path = Path("/")) -> Source | None:
    """Return the source for this machine's GPU, or None where there is no GPU or nothing that asks it."""
    with contextlib.suppress(LookupError):
        return Jetson(root)
    with contextlib.suppress(LookupError, ImportError):
        return Nvml()
    return None


class Sampler:
    """Samples a source while a block runs.

    Parameters
    ----------
    source : Source or None
        None: nothing is sampled.
    seconds : float
        Between samples.
    """

    def __init__(self, source: Source | None, seconds: float = SECONDS) -> None:
        self._source, self._seconds = source, seconds
        self._samples: list[dict[str, float]] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="power")

    def _run(self) -> None:
        assert self._source is not None
        while True:
            self._samples.append(self._source.sample())
            if self._over.wait(self._seconds):
                return

    def __enter__(self) -> Sampler:
        if self._source is not None:
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        if self._source is not None:
            self._thread.join()

    def summary(self) -> dict[str, dict[str, float]]:
        """Return mean and largest of every quantity sampled so far."""
        names = dict.fromkeys(name for sample in self._samples for name in sample)
        columns = {name: np.array([s[name] for s in self._samples if name in s]) for name in names}
        return {name: {"mean": float(v.mean()), "max": float(v.max())} for name, v in columns.items()}
