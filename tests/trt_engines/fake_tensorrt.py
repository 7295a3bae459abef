"""A test double of TensorRT's Python module: the names that a version was recorded to have, and no others.

What the builder does with them is played: it "measures" each kernel that its timing cache does not hold, tells its
progress, and gives a plan that names what it was asked for.
"""

from __future__ import annotations

import enum
import functools
import json
import types
from pathlib import Path
from typing import Any

from acutance.trt_engines.flavour import Flavour

API = Path(__file__).with_name("api")
KERNELS = ("reformat", "convolution", "convolution_last")


def api(flavour: str, version: str) -> dict[str, Any]:
    """Return what was recorded of a version."""
    found: dict[str, Any] = json.loads((API / f"{flavour}-{version}.json").read_text(encoding="utf-8"))
    return found


class Log:
    """What the double was asked to do."""

    def __init__(self) -> None:
        self.measured: list[str] = []
        self.configs: list[dict[str, Any]] = []
        self.network_flags: list[int] = []
        self.before_build: Any = None
        self.error = ""


def load(version: str = "10.3.0", *, without: tuple[str, ...] = (), **settings: Any) -> Flavour:
    """Return full TensorRT of a recorded version; ``without`` takes names like ``IProgressMonitor`` away.

    ``flavour.trt.log`` is a :class:`Log`; ``settings`` set its attributes.
    """
    recorded = api("tensorrt", version)
    log = Log()
    for name, value in settings.items():
        setattr(log, name, value)
    return Flavour("tensorrt", _module(recorded, log, set(without)), recorded["version"])


def _module(recorded: dict[str, Any], log: Log, without: set[str]) -> Any:
    members = {
        c: set(names) - {w.partition(".")[2] for w in without if w.startswith(f"{c}.")}
        for c, names in recorded["classes"].items()
    }
    trt = types.SimpleNamespace(__version__=recorded["version"], log=log)
    for name in (
        "BuilderFlag",
        "MemoryPoolType",
        "NetworkDefinitionCreationFlag",
        "ProfilingVerbosity",
        "TensorFormat",
        "TilingOptimizationLevel",
        "DataType",
    ):
        if name in members:
            values = sorted(members[name] - {"name", "value"})
            setattr(trt, name, enum.IntEnum(name, {v: i for i, v in enumerate(values)}))
    trt.float16, trt.float32 = trt.DataType.HALF, trt.DataType.FLOAT
    for cls in (ILogger, IProgressMonitor):
        if cls.__name__ not in without:
            setattr(trt, cls.__name__, cls)
    limited = functools.partial(_limited, trt=trt, members=members)
    trt.make = {
        c.__name__: limited(c)
        for c in (Builder, IBuilderConfig, INetworkDefinition, OnnxParser, IOptimizationProfile, ITimingCache, ITensor)
    }
    trt.Builder, trt.OnnxParser = trt.make["Builder"], trt.make["OnnxParser"]
    missing = {n for n in vars(trt) if n not in recorded["module"]} - {"__version__", "log", "make"}
    assert not missing, f"the double has names that TensorRT {recorded['version']} has not: {missing}"
    return trt


def _limited(cls: type, trt: Any, members: dict[str, set[str]]) -> type:
    """Return a subclass that has no public attributes but the recorded ones."""
    allowed = members[cls.__name__]

    def check(name: str) -> None:
        if not name.startswith("_") and name not in allowed:
            raise AttributeError(f"{cls.__name__} of TensorRT {trt.__version__} has no {name}")

    def get(self: Any, name: str) -> Any:
        check(name)
        return object.__getattribute__(self, name)

    def put(self: Any, name: str, value: Any) -> None:
        check(name)
        object.__setattr__(self, name, value)

    return type(cls.__name__, (cls,), {"__getattribute__": get, "__setattr__": put, "_trt": trt})


class ILogger:
    def __init__(self) -> None:
        pass


class IProgressMonitor:
    def __init__(self) -> None:
        pass


class ITensor:
    _trt: Any

    def __init__(self, name: str, kind: int, shape: tuple[int, ...]) -> None:
        self.name = name
        self.dtype = {1: self._trt.DataType.FLOAT, 10: self._trt.DataType.HALF}[kind]
        self.shape = shape
        self.allowed_formats = 0


class INetworkDefinition:
    def __init__(self) -> None:
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []

    @property
    def num_inputs(self) -> int:
        return len(self._inputs)

    @property
    def num_outputs(self) -> int:
        return len(self._outputs)

    def get_input(self, i: int) -> Any:
        return self._inputs[i]

    def get_output(self, i: int) -> Any:
        return self._outputs[i]


class OnnxParser:
    _trt: Any

    def __init__(self, network: Any, logger: Any) -> None:
        self._network = network

    def parse(self, data: bytes) -> bool:
        import onnx

        graph = onnx.load_from_string(data).graph
        for values, tensors in ((graph.input, self._network._inputs), (graph.output, self._network._outputs)):
            for value in values:
                shape = tuple(d.dim_value or -1 for d in value.type.tensor_type.shape.dim)
                tensors.append(self._trt.make["ITensor"](value.name, value.type.tensor_type.elem_type, shape))
        return True


class IOptimizationProfile:
    def __init__(self) -> None:
        self._shapes: dict[str, Any] = {}

    def set_shape(self, name: str, low: Any, best: Any, high: Any) -> None:
        self._shapes[name] = [list(low), list(best), list(high)]


class ITimingCache:
    """Times by kernel; bytes begin with the version that measured them."""

    _trt: Any

    def __init__(self, known: dict[str, float]) -> None:
        self._known = known

    def serialize(self) -> bytes:
        return json.dumps({"version": self._trt.__version__, "known": self._known}).encode()

    def combine(self, other: Any, ignore_mismatch: bool) -> bool:
        if not ignore_mismatch and getattr(self, "_version", self._trt.__version__) != self._trt.__version__:
            return False
        self._known.update({k: v for k, v in other._known.items() if k not in self._known})
        return True


class IBuilderConfig:
    _trt: Any

    def __init__(self) -> None:
        self._settings: dict[str, Any] = {"cleared": [], "profiles": []}
        self._cache: Any = None

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    builder_optimization_level = 3
    max_aux_streams = -1
    profiling_verbosity = None
    progress_monitor = None
    tiling_optimization_level = None
    l2_limit_for_tiling = -1

    def clear_flag(self, flag: Any) -> None:
        self._settings["cleared"].append(flag.name)

    def set_memory_pool_limit(self, pool: Any, size: int) -> None:
        self._settings[f"pool {pool.name}"] = size

    def add_optimization_profile(self, profile: Any) -> int:
        self._settings["profiles"].append(profile._shapes)
        return len(self._settings["profiles"]) - 1

    def create_timing_cache(self, data: bytes) -> Any:
        if not data:
            return self._trt.make["ITimingCache"]({})
        try:
            found = json.loads(data)
        except ValueError:
            return None
        cache = self._trt.make["ITimingCache"](found["known"])
        cache._version = found["version"]
        return cache

    def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
        if not ignore_mismatch and getattr(cache, "_version", self._trt.__version__) != self._trt.__version__:
            return False
        self._cache = cache
        return True


class Builder:
    _trt: Any

    def __init__(self, logger: Any) -> None:
        self._logger = logger

    def create_network(self, flags: int) -> Any:
        self._trt.log.network_flags.append(flags)
        return self._trt.make["INetworkDefinition"]()

    def create_builder_config(self) -> Any:
        return self._trt.make["IBuilderConfig"]()

    def create_optimization_profile(self) -> Any:
        return self._trt.make["IOptimizationProfile"]()

    def build_serialized_network(self, network: Any, config: Any) -> Any:
        log = self._trt.log
        if log.before_build is not None:
            log.before_build()
        if log.error:
            self._logger.log(types.SimpleNamespace(name="ERROR"), log.error)
            return None
        asked = {**config._settings, "level": config.builder_optimization_level, "aux": config.max_aux_streams}
        if self._trt.__version__ >= "10.8":
            asked["tiling"] = getattr(config.tiling_optimization_level, "name", None)
        asked["formats"] = {t.name: t.allowed_formats for t in (*network._inputs, *network._outputs)}
        log.configs.append(asked)
        if not self._measure(config, asked):
            return None
        return json.dumps(asked, default=str).encode()

    def _measure(self, config: Any, asked: dict[str, Any]) -> bool:
        """Time each kernel in each profile that the cache does not hold; tell the monitor, which may stop it."""
        monitor = getattr(config, "progress_monitor", None) if hasattr(self._trt, "IProgressMonitor") else None
        steps = len(asked["profiles"])
        if monitor is not None:
            monitor.phase_start("Building engine", None, 1)
            monitor.phase_start("Timing", "Building engine", steps)
        going = True
        for i, profile in enumerate(asked["profiles"]):
            for kernel in KERNELS:
                key = f"{kernel} {profile} {asked['level']}"
                if config._cache is None or key not in config._cache._known:
                    self._trt.log.measured.append(key)
                    if config._cache is not None:
                        config._cache._known[key] = 1.0
            if monitor is not None and not monitor.step_complete("Timing", i):
                going = False
                break
        if monitor is not None:
            monitor.phase_finish("Timing")
            monitor.phase_finish("Building engine")
        return going
