"""From PyTorch to the model file: export, parity with PyTorch, and a file that needs no core."""

from __future__ import annotations

from .onnx_file import annotate, save, write
from .parity import TOLERANCE, check, difference
from .standalone import standalone

__all__ = ["TOLERANCE", "annotate", "check", "difference", "save", "standalone", "write"]
