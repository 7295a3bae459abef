"""TensorRT's Python interface as the runner uses it; its engines run the model with ONNX Runtime on the fake device.

A plan is a line of JSON and the ONNX file. What is enqueued is done in the order of the stream with the addresses of
that moment, or recorded where the stream is captured; the scratch memory is scribbled over while a network runs.
"""

from __future__ import annotations

import dataclasses
import enum
import json
from typing import Any

import numpy as np
import onnxruntime as ort
from acutance.trt_engines.build import Built
from acutance.trt_engines.tensors import describe

SCRATCH_PER_TILE = 4096


def plan_of(model: Any, options: Any, device: Any) -> bytes:
    head = {
        "capability": list(device.compute_capability),
        "io": [tensor.model_dump() for tensor in describe(model, options)],
    }
    return json.dumps(head).encode() + b"\n" + model.data


class FakeTensorRT:
    """A module ``tensorrt`` for one fake device.

    Attributes
    ----------
    built : int
        Engines that :meth:`build` has built.
    contexts : int
        Contexts made.
    capturable : bool
        Whether engines can be captured; one that cannot makes a forbidden call and gives False, as TensorRT does.
    says_so : bool
        Whether contexts have ``is_stream_capturable``, which TensorRT-RTX has.
    largest : int or None
        Larger batches fail when they are run.
    astray : bool
        What is captured takes the tiles in another order than what is run call by call.
    dead : bool
        Networks fail while they run.
    channels_last : bool
        What would be linear is built as HWC.
    spoilt : list of bytes
        Plans that the builder gives in place of sound ones.
    """

    __version__ = "10.3.0"

    class DataType(enum.Enum):
        FLOAT, HALF = 0, 1

    class TensorFormat(enum.IntEnum):
        LINEAR, CHW2, HWC8, HWC = 0, 1, 2, 8

    class ExecutionContextAllocationStrategy(enum.Enum):
        STATIC, ON_PROFILE_CHANGE, USER_MANAGED = 0, 1, 2

    class CudaGraphStrategy(enum.Enum):
        DISABLED, WHOLE_GRAPH_CAPTURE = 0, 1

    class DynamicShapesKernelSpecializationStrategy(enum.Enum):
        LAZY, EAGER, NONE = 0, 1, 2

    class Severity(enum.Enum):
        ERROR = 1

    class ILogger:
        def __init__(self) -> None:
            pass

    def __init__(self, cuda: Any) -> None:
        self.cuda = cuda
        self.built = self.contexts = self.runs = self.compiled = 0
        self.capturable, self.says_so = True, False
        self.largest: int | None = None
        self.astray = self.dead = self.channels_last = False
        self.spoilt: list[bytes] = []
        self.engine = _Engine
        self.Runtime = lambda logger: _Runtime(self, logger)

    def as_rtx(self) -> None:
        """Become TensorRT-RTX: contexts are made with a runtime config, and kernels are compiled into a cache."""
        self.__version__ = "1.7.1.116"
        self.says_so = True
        self.engine = _RtxEngine

    def build(self, model: Any, options: Any, device: Any, **_: Any) -> Built:
        """Stand in for :func:`acutance.trt_engines.build.build`."""
        self.built += 1
        plan = self.spoilt.pop() if self.spoilt else plan_of(model, options, device)
        if self.channels_last:
            plan = plan.replace(b'"LINEAR"', b'"HWC"', 2)
        return Built(plan, describe(model, options), "", 0.1)


class _Runtime:
    def __init__(self, trt: FakeTensorRT, logger: Any) -> None:
        self._trt, self._logger = trt, logger

    def deserialize_cuda_engine(self, plan: bytes) -> _Engine | None:
        self._trt.cuda.need_context()
        head, _, data = plan.partition(b"\n")
        try:
            said = json.loads(head)
        except ValueError:
            return self._refuse("Serialization (magicTag mismatch)")
        if tuple(said["capability"]) != self._trt.cuda.capability:
            return self._refuse("The engine plan file is generated on an incompatible device")
        return self._trt.engine(self._trt, self._logger, said["io"], data)

    def _refuse(self, why: str) -> None:
        self._logger.log(self._trt.Severity.ERROR, why)


class _Engine:
    def __init__(self, trt: FakeTensorRT, logger: Any, io: list[dict[str, Any]], data: bytes) -> None:
        self.trt, self.logger = trt, logger
        self.io = {tensor["name"]: tensor for tensor in io}
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        self.num_io_tensors = len(io)
        self.num_optimization_profiles = len(io[0]["shapes"])

    def get_tensor_name(self, i: int) -> str:
        return list(self.io)[i]

    def get_tensor_dtype(self, name: str) -> Any:
        return getattr(self.trt.DataType, self.io[name]["dtype"].upper())

    def get_tensor_format(self, name: str) -> Any:
        return getattr(self.trt.TensorFormat, self.io[name]["format"])

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        shape = self.io[name]["shapes"][0]
        return (-1, *shape[1:])

    def get_tensor_profile_shape(self, name: str, profile: int) -> list[tuple[int, ...]]:
        return [tuple(self.io[name]["shapes"][profile])] * 3

    def get_device_memory_size_for_profile_v2(self, profile: int) -> int:
        return SCRATCH_PER_TILE * int(next(iter(self.io.values()))["shapes"][profile][0])

    def create_execution_context(self, strategy: Any) -> _Context | None:
        assert strategy is self.trt.ExecutionContextAllocationStrategy.USER_MANAGED
        self.trt.cuda.need_context()
        self.trt.contexts += 1
        made = _Context(self)
        if self.trt.says_so:
            made.is_stream_capturable = lambda stream: self.trt.capturable  # type: ignore[attr-defined]
        return made


class _RtxEngine(_Engine):
    def create_runtime_config(self) -> _RuntimeConfig:
        return _RuntimeConfig(self.trt)

    def create_execution_context(self, config: _RuntimeConfig) -> _Context | None:
        assert config.cuda_graph_strategy is self.trt.CudaGraphStrategy.DISABLED
        eager = self.trt.DynamicShapesKernelSpecializationStrategy.EAGER
        assert config.dynamic_shapes_kernel_specialization_strategy is eager
        if not config.cache.kernels:
            self.trt.compiled += 1
            config.cache.kernels = b"kernels"
        return super().create_execution_context(config.strategy)


class _RuntimeConfig:
    def __init__(self, trt: FakeTensorRT) -> None:
        self.strategy = trt.ExecutionContextAllocationStrategy.STATIC
        self.cuda_graph_strategy = trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
        self.dynamic_shapes_kernel_specialization_strategy = trt.DynamicShapesKernelSpecializationStrategy.LAZY
        self.cache = _RuntimeCache()

    def set_execution_context_allocation_strategy(self, strategy: Any) -> None:
        self.strategy = strategy

    def create_runtime_cache(self) -> _RuntimeCache:
        return _RuntimeCache()

    def set_runtime_cache(self, cache: _RuntimeCache) -> bool:
        self.cache = cache
        return True


class _RuntimeCache:
    kernels = b""

    def serialize(self) -> bytes:
        return self.kernels

    def deserialize(self, data: bytes) -> bool:
        self.kernels = data
        return True


@dataclasses.dataclass
class _Bound:
    pointer: int
    tensor: dict[str, Any]
    shape: tuple[int, ...]

    @property
    def dtype(self) -> Any:
        return np.float16 if self.tensor["dtype"] == "half" else np.float32

    @property
    def nhwc(self) -> bool:
        return self.tensor["format"] in ("HWC", "HWC8")

    @property
    def in_memory(self) -> tuple[int, ...]:
        n, c, h, w = self.shape
        return (n, h, w, -(-c // 8) * 8 if self.tensor["format"] == "HWC8" else c) if self.nhwc else self.shape

    def array(self, cuda: Any) -> np.ndarray:
        size = int(np.prod(self.in_memory)) * np.dtype(self.dtype).itemsize
        flat = cuda.array_at(self.pointer, size).view(self.dtype).reshape(self.in_memory)
        return flat[..., : self.shape[1]].transpose(0, 3, 1, 2) if self.nhwc else flat


class _Context:
    def __init__(self, engine: _Engine) -> None:
        self._engine, self._trt = engine, engine.trt
        self._scratch: tuple[int, int] | None = None
        self._profile: int | None = None
        self._batch = 0
        self._addresses: dict[str, int] = {}

    def set_device_memory(self, pointer: int, size: int) -> None:
        assert pointer % 256 == 0
        self._scratch = pointer, size

    def set_optimization_profile_async(self, profile: int, stream: int) -> bool:
        self._profile = profile
        assert self._scratch and self._scratch[1] >= self._engine.get_device_memory_size_for_profile_v2(profile)
        return 0 <= profile < self._engine.num_optimization_profiles

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        assert self._profile is not None
        self._batch = shape[0]
        return tuple(shape) == tuple(self._engine.io[name]["shapes"][self._profile])

    def set_tensor_address(self, name: str, pointer: int) -> bool:
        self._addresses[name] = pointer
        return name in self._engine.io

    def execute_async_v3(self, stream: int) -> bool:
        trt = self._trt
        if trt.largest is not None and self._batch > trt.largest:
            self._engine.logger.log(trt.Severity.ERROR, "Requested batch is not supported by this device")
            return False
        if not trt.capturable and trt.cuda.forbidden_call(stream):
            self._engine.logger.log(trt.Severity.ERROR, "operation not permitted when stream is capturing")
            return False
        bound = {
            name: _Bound(self._addresses[name], tensor, tuple(tensor["shapes"][self._profile]))
            for name, tensor in self._engine.io.items()
        }
        scratch, step = self._scratch, -1 if trt.astray and trt.cuda.captured(stream) else 1
        assert scratch is not None

        def run() -> None:
            if trt.dead:
                raise RuntimeError("an illegal memory access was encountered")
            trt.runs += 1
            trt.cuda.array_at(*scratch).fill(0xAB)
            fed = {
                n: np.ascontiguousarray(b.array(trt.cuda)[::step], np.float32)
                for n, b in bound.items()
                if b.tensor["mode"] == "input"
            }
            if not all(np.isfinite(x).all() for x in fed.values()):
                raise RuntimeError("a tile was never written")
            names = [n for n, b in bound.items() if b.tensor["mode"] == "output"]
            # One tile after the other: batches must not change a bit of what is compared.
            for i in range(self._batch):
                found = self._engine.session.run(names, {n: x[i : i + 1] for n, x in fed.items()})
                for n, x in zip(names, found, strict=True):
                    with np.errstate(over="ignore"):
                        bound[n].array(trt.cuda)[i] = x[0]

        trt.cuda.enqueue(stream, run)
        return True
