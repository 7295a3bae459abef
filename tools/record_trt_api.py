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


def _text(found: dict[str, object]) -> str:
    """Return JSON with one line for each class."""
    members = found["classes"]
    assert isinstance(members, dict)
    lines = ",\n".join(f"  {json.dumps(n)}: {json.dumps(m)}" for n, m in members.items())
    head = "".join(f" {json.dumps(k)}: {json.dumps(found[k])},\n" for k in ("version", "module"))
    return f'{{\n{head} "classes": {{\n{lines}\n }}\n}}\n'


if __name__ == "__main__":
    name, folder = sys.argv[1:]
    found = record(name)
    flavour = "rtx" if "rtx" in name else "tensorrt"
    path = Path(folder) / f"{flavour}-{found['version']}.json"
    path.write_text(_text(found), encoding="utf-8")
    print(path)
