"""Record the public names of an installed TensorRT, so that our calls can be held against versions that are not here.

python tools/record_trt_api.py tensorrt tests/trt_engines/api

The module may be ``tensorrt``, ``tensorrt_rtx`` or the bindings alone (``tensorrt_bindings``), which are enough for the
names. The file is named by flavour and version.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
from pathlib import Path

CLASSES = re.compile(
    "(I?(Builder|BuilderConfig|CudaEngine|ExecutionContext|HostMemory|Logger|NetworkDefinition|OptimizationProfile"
    "|ProgressMonitor|RuntimeCache|RuntimeConfig|Tensor|TimingCache)|Builder|Runtime|OnnxParser|ParserError|.*Flag"
    "|ComputeCapability|CudaGraphStrategy|DataType|DynamicShapesKernelSpecializationStrategy|EngineInvalidityDiagnostics"
    "|EngineValidity|ExecutionContextAllocationStrategy|MemoryPoolType|ProfilingVerbosity|TensorFormat|TensorIOMode"
    "|TilingOptimizationLevel)"
)
"""Classes whose members are recorded: what builds and runs engines."""


def record(module: str) -> dict[str, object]:
    """Return version, names of the module, and names of the members of its classes."""
    trt = importlib.import_module(module)
    names = sorted(n for n in dir(trt) if not n.startswith("_"))
    members = {
        n: sorted(m for m in dir(getattr(trt, n)) if not m.startswith("_"))
        for n in names
        if CLASSES.fullmatch(n) and isinstance(getattr(trt, n), type)
    }
    return {"version": trt.__version__, "module": names, "classes": members}


if __name__ == "__main__":
    name, folder = sys.argv[1:]
    found = record(name)
    flavour = "rtx" if "rtx" in name else "tensorrt"
    path = Path(folder) / f"{flavour}-{found['version']}.json"
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(path)
