"""Sharper medical pictures: read them, enhance them, write them.

>>> (frame,) = acutance.read("scan.dcm")
>>> result = acutance.Enhancer().run(frame)
>>> acutance.write("scan_x2.dcm", result.frame)
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .enhancer import Enhancer, Result
    from .geometry import Frame
    from .io import read, read_guide, write

    __version__: str

__all__ = ["Enhancer", "Frame", "Result", "__version__", "read", "read_guide", "write"]

# ONNX Runtime reports which models are run, from 1.29 on Linux as well, unless this is set before its first import.
os.environ["ORT_DISABLE_TELEMETRY"] = os.environ["ORT_TELEMETRY_DISABLED"] = "1"

_HOMES = {
    "Enhancer": "enhancer",
    "Result": "enhancer",
    "Frame": "geometry",
    "read": "io",
    "read_guide": "io",
    "write": "io",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that ``import acutance`` and the command line start at once."""
    if name in _HOMES:
        value = getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    elif name == "__version__":
        from importlib.metadata import version

        value = version("acutance")
    else:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
