"""Backend ``tensorrt``: TensorRT or TensorRT-RTX on an NVIDIA GPU, driven by PyCUDA and the CUDA core."""

from __future__ import annotations

import functools

from ...errors import BackendError, ModelError
from ...model import Model
from ...trt_engines import flavour as flavours
from ..settings import GpuSettings
from .gpu import driver
from .runner import TensorRT

__all__ = ["TensorRT", "absent", "start"]


def start(model: Model, threads: int = 0, gpu: GpuSettings | None = None) -> TensorRT:
    """Start the backend for one model; see :class:`TensorRT`."""
    try:
        return TensorRT(model, threads, gpu or GpuSettings())
    except ModelError as e:
        raise BackendError(str(e)) from None


@functools.cache
def absent(flavour: str = "auto") -> str:
    """Say why this machine cannot run the backend; nothing when it can, as far as that shows without an engine."""
    try:
        driver()
        flavours.load(flavour)
    except BackendError as e:
        return str(e)
    return ""
