"""Backend ``tensorrt``: TensorRT or TensorRT-RTX on an NVIDIA GPU, driven by PyCUDA and the CUDA core."""

from __future__ import annotations

import functools

from ...errors import AcutanceError, BackendError, ModelError
from ...model import Model
from ...trt_engines import best
from ...trt_engines import device as devices
from ...trt_engines import flavour as flavours
from ...trt_engines.store import Store
from ..settings import GpuSettings
from .gpu import driver
from .runner import TensorRT

__all__ = ["TensorRT", "absent", "measured", "start"]


def start(model: Model, threads: int = 0, gpu: GpuSettings | None = None) -> TensorRT:
    """Start the backend for one model; see :class:`TensorRT`."""
    try:
        return TensorRT(model, threads, gpu or GpuSettings())
    except ModelError as e:
        raise BackendError(str(e)) from None


def measured(model: Model, shape: tuple[int, int], precision: str, gpu: GpuSettings) -> float | None:
    """Return the milliseconds of a frame in a precision with its fastest settings; None where that is not known."""
    try:
        device = devices.current(gpu.device)
        found = best.find(Store(gpu.store).folder, model.meta.name, precision, device, shape)
    except AcutanceError:  # the backend will say so when it starts
        return None
    return None if found is None else found.p50_ms


@functools.cache
def absent(flavour: str = "auto") -> str:
    """Say why this machine cannot run the backend; nothing when it can, as far as that shows without an engine."""
    try:
        driver()
        flavours.load(flavour)
    except BackendError as e:
        return str(e)
    return ""
