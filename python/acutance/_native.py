"""The native cores: ``core`` for host arrays, always there, and ``cuda`` for device arrays where it was built."""

from __future__ import annotations

import importlib
from types import ModuleType

from . import _core as core


def _optional(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(f"{__package__}.{name}")
    except ImportError:
        return None


cuda: ModuleType | None = _optional("_cuda")


def cuda_device_count() -> int:
    """Return how many CUDA devices the CUDA core can use; 0 without it, without a driver or without a device."""
    return 0 if cuda is None else int(cuda.device_count())


__all__ = ["core", "cuda", "cuda_device_count"]
