"""A TensorRT engine and the contexts that run it, through one code path for TensorRT 10.3 to 11 and TensorRT-RTX.

What came after 10.3, or is not in both, is reached by ``hasattr``.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any, Literal

import numpy as np

from ...errors import BackendError
from ...trt_engines.flavour import Flavour
from .gpu import OutOfMemory


@dataclasses.dataclass(frozen=True)
class Tensor:
    """An input or output: how many channels there are, and how they lie in memory, padded up to ``held`` channels."""

    name: str
    channels: int
    held: int
    dtype: np.dtype[Any]
    layout: Literal["nchw", "nhwc"]

    def shape(self, count: int, tile: tuple[int, int]) -> tuple[int, int, int, int]:
        """Return the shape of ``count`` tiles in memory."""
        return (count, self.held, *tile) if self.layout == "nchw" else (count, *tile, self.held)


class Engine:
    """A loaded engine whose profiles differ in their batch only.

    Parameters
    ----------
    flavour : Flavour
    plan : bytes
        The serialized engine.
    input, output : str
        Names of the tensors.
    persistent_cache : int
        Bytes of L2 cache that a context keeps for activations.
    kernels : bytes
        What :meth:`kernels` gave before, so that TensorRT-RTX need not compile them again.

    Attributes
    ----------
    profiles : dict of int to int
        Number of the profile by batch.
    tile : (int, int)
        Rows and columns that the network sees.

    Raises
    ------
    BackendError
        The plan cannot be loaded on this GPU, or it has other tensors.
    """

    def __init__(
        self,
        flavour: Flavour,
        plan: bytes,
        input: str,
        output: str,
        *,
        persistent_cache: int = 0,
        kernels: bytes = b"",
    ) -> None:
        self._flavour, self._trt = flavour, flavour.trt
        with flavour.listen() as messages:
            self._runtime = self._trt.Runtime(flavour.logger)
            self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise BackendError(f"TensorRT cannot load the engine ({messages.reason()})")
        names = [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]
        if sorted(names) != sorted((input, output)):
            raise BackendError(f"the engine has the tensors {', '.join(names)}; wanted {input}, {output}")
        self.input, self.output = self._tensor(input), self._tensor(output)
        shapes = [
            tuple(self._engine.get_tensor_profile_shape(input, k)[1])
            for k in range(self._engine.num_optimization_profiles)
        ]
        self.profiles = {int(shape[0]): k for k, shape in enumerate(shapes)}
        self.tile: tuple[int, int] = (int(shapes[0][2]), int(shapes[0][3]))
        self._cache: Any = None
        self._persistent_cache = persistent_cache
        self._configured = self._configure(kernels)

    def _tensor(self, name: str) -> Tensor:
        trt, engine = self._trt, self._engine
        dtypes = {trt.DataType.FLOAT: np.float32, trt.DataType.HALF: np.float16}
        formats: dict[Any, tuple[Literal["nchw", "nhwc"], int]] = {
            trt.TensorFormat.LINEAR: ("nchw", 1),
            trt.TensorFormat.HWC: ("nhwc", 1),
            trt.TensorFormat.HWC8: ("nhwc", 8),
        }
        dtype, form = engine.get_tensor_dtype(name), engine.get_tensor_format(name)
        if dtype not in dtypes or form not in formats:
            raise BackendError(
                f"the engine's tensor {name} is {dtype}, {form}; wanted float or half, linear, HWC or HWC8"
            )
        layout, vector = formats[form]
        channels = int(engine.get_tensor_shape(name)[1])
        return Tensor(name, channels, -(-channels // vector) * vector, np.dtype(dtypes[dtype]), layout)

    def _configure(self, kernels: bytes) -> Any:
        """Return what contexts are made with: memory from us, no graphs but ours, kernels fixed before the capture."""
        trt = self._trt
        strategy = trt.ExecutionContextAllocationStrategy.USER_MANAGED
        if not hasattr(self._engine, "create_runtime_config"):
            return strategy
        config = self._engine.create_runtime_config()
        config.set_execution_context_allocation_strategy(strategy)
        if hasattr(config, "cuda_graph_strategy"):
            config.cuda_graph_strategy = trt.CudaGraphStrategy.DISABLED
        if hasattr(config, "dynamic_shapes_kernel_specialization_strategy"):
            config.dynamic_shapes_kernel_specialization_strategy = trt.DynamicShapesKernelSpecializationStrategy.EAGER
        if hasattr(config, "create_runtime_cache"):
            self._cache = config.create_runtime_cache()
            if kernels:
                self._cache.deserialize(kernels)
            config.set_runtime_cache(self._cache)
        return config

    def kernels(self) -> bytes:
        """Return the kernels that TensorRT-RTX has compiled so far; nothing with full TensorRT."""
        return b"" if self._cache is None else bytes(self._cache.serialize())

    def scratch(self, batch: int) -> int:
        """Return how many bytes of device memory a context for this batch works in."""
        profile = self.profiles[batch]
        if hasattr(self._engine, "get_device_memory_size_for_profile_v2"):
            return int(self._engine.get_device_memory_size_for_profile_v2(profile))
        return int(self._engine.device_memory_size_v2)

    def context(self, batch: int, scratch: int, size: int, stream: int) -> Context:
        """Return a new context for one batch.

        Parameters
        ----------
        batch : int
            One of ``profiles``.
        scratch, size : int
            Address and bytes of device memory; contexts may share it that never run at the same time.
        stream : int
            Handle of the CUDA stream on which the profile is set.
        """
        with self._flavour.listen() as messages:
            made = self._engine.create_execution_context(self._configured)
        if made is None:
            reason = messages.reason()
            kind = OutOfMemory if re.search(r"out\s*of\s*memory", reason, re.IGNORECASE) else BackendError
            raise kind(f"TensorRT cannot make a context for a batch of {batch} ({reason})")
        if self._persistent_cache:
            made.persistent_cache_limit = self._persistent_cache
        if hasattr(made, "set_device_memory"):
            made.set_device_memory(scratch, size)
        else:
            made.device_memory = scratch
        ok = made.set_optimization_profile_async(self.profiles[batch], stream)
        ok = ok and made.set_input_shape(self.input.name, (batch, self.input.channels, *self.tile))
        if not ok:
            raise BackendError(f"TensorRT refuses a batch of {batch} tiles of {self.tile[0]}x{self.tile[1]}")
        return Context(self._flavour, made, self.input.name, self.output.name, batch)


class Context:
    """Runs the network on one batch of tiles after the other."""

    def __init__(self, flavour: Flavour, made: Any, input: str, output: str, batch: int) -> None:
        self._flavour, self._made = flavour, made
        self._input, self._output, self.batch = input, output, batch

    def capturable(self, stream: int) -> bool:
        """Whether what it enqueues may go into a graph, as far as TensorRT says."""
        return not hasattr(self._made, "is_stream_capturable") or bool(self._made.is_stream_capturable(stream))

    def run(self, input: int, output: int, stream: int) -> None:
        """Enqueue the network on a batch at one address, its output going to another.

        Raises
        ------
        BackendError
            TensorRT could not enqueue it.
        """
        ok = self._made.set_tensor_address(self._input, input) and self._made.set_tensor_address(self._output, output)
        with self._flavour.listen() as messages:
            ok = ok and self._made.execute_async_v3(stream)
        if not ok:
            raise BackendError(f"TensorRT could not enqueue a batch of {self.batch} ({messages.reason()})")
