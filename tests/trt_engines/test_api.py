"""Every call we make exists in the Python modules of TensorRT that we say we work with.

The lists in ``api`` were recorded by ``tools/record_trt_api.py`` from the published Python bindings of each version.
"""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest

from acutance import trt_engines

PACKAGE = Path(trt_engines.__file__).parents[1]
RECORDED = {p.stem: json.loads(p.read_text()) for p in sorted(Path(__file__).with_name("api").glob("*.json"))}

BUILDING = {
    "trt": "module",
    "flags": "NetworkDefinitionCreationFlag",
    "builder": "Builder",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "config": "IBuilderConfig",
    "profile": "IOptimizationProfile",
    "tensor": "ITensor",
    "cache": "ITimingCache",
    "merged": "ITimingCache",
}
RUNNING = {
    "trt": "module",
    "_trt": "module",
    "_runtime": "Runtime",
    "_engine": "ICudaEngine",
    "engine": "ICudaEngine",
    "config": "IRuntimeConfig",
    "_cache": "IRuntimeCache",
    "made": "IExecutionContext",
    "_made": "IExecutionContext",
}
FILES = {
    "trt_engines/build.py": BUILDING,
    "trt_engines/timing.py": BUILDING,
    "trt_engines/progress.py": BUILDING,
    "trt_engines/flavour.py": BUILDING,
    "backends/tensorrt/engine.py": RUNNING,
    "bench/gpu_probe.py": {"runtime": "Runtime", "engine": "ICudaEngine", "execution": "IExecutionContext"},
}
"""Every file that calls TensorRT, and what its variables and attributes of these names hold."""

RTX_ONLY = {
    ("module", "ComputeCapability"),
    ("IBuilderConfig", "num_compute_capabilities"),
    ("IBuilderConfig", "set_compute_capability"),
}
"""Called where the flavour is TensorRT-RTX."""

COMES_WITH = {
    ("module", "TilingOptimizationLevel"): ("IBuilderConfig", "tiling_optimization_level"),
    ("IBuilderConfig", "l2_limit_for_tiling"): ("IBuilderConfig", "tiling_optimization_level"),
    ("module", "CudaGraphStrategy"): ("IRuntimeConfig", "cuda_graph_strategy"),
    ("CudaGraphStrategy", "DISABLED"): ("IRuntimeConfig", "cuda_graph_strategy"),
    ("module", "DynamicShapesKernelSpecializationStrategy"): (
        "IRuntimeConfig",
        "dynamic_shapes_kernel_specialization_strategy",
    ),
    ("DynamicShapesKernelSpecializationStrategy", "EAGER"): (
        "IRuntimeConfig",
        "dynamic_shapes_kernel_specialization_strategy",
    ),
    ("IRuntimeConfig", "set_execution_context_allocation_strategy"): ("ICudaEngine", "create_runtime_config"),
    ("IRuntimeConfig", "set_runtime_cache"): ("IRuntimeConfig", "create_runtime_cache"),
    ("IRuntimeCache", "deserialize"): ("IRuntimeConfig", "create_runtime_cache"),
    ("IRuntimeCache", "serialize"): ("IRuntimeConfig", "create_runtime_cache"),
}
"""Called only after ``hasattr`` found the second."""

Name = tuple[str, str]


class Walk:
    """What one file takes from objects of TensorRT's, as (class, attribute).

    Attributes
    ----------
    calls : set
    optional : set
        What ``hasattr`` looks for.
    unknown : list of str
        Assignments of TensorRT's objects to names that are not in the file's table.
    """

    MAKERS = re.compile(
        r"create_(network|builder_config|optimization_profile|timing_cache|execution_context|runtime_config|runtime_cache)"
        r"|deserialize_cuda_engine"
    )

    def __init__(self, file: str) -> None:
        self.classes = FILES[file]
        self.calls: set[Name] = set()
        self.optional: set[Name] = set()
        self.unknown: list[str] = []
        for node in ast.walk(ast.parse((PACKAGE / file).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and not node.attr.startswith("__"):
                owner = self.owner(node.value)
                if owner is not None:
                    self.calls.add((owner, node.attr))
            elif isinstance(node, ast.Call) and ast.unparse(node.func) == "hasattr":
                owner = self.owner(node.args[0])
                assert owner is not None and isinstance(node.args[1], ast.Constant), ast.unparse(node)
                self.optional.add((owner, node.args[1].value))
            elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
                called = node.value.func
                if isinstance(called, ast.Attribute) and self.MAKERS.fullmatch(called.attr):
                    self.unknown += [ast.unparse(node)] if self.owner(node.targets[0]) is None else []

    def owner(self, node: ast.expr) -> str | None:
        """Return the class of TensorRT's that an expression gives, if the table knows it."""
        if isinstance(node, ast.Name):
            return self.classes.get(node.id)
        if isinstance(node, ast.Attribute):
            if node.attr == "trt":
                return "module"
            if self.owner(node.value) == "module":
                return node.attr
            return self.classes.get(node.attr) if ast.unparse(node.value) == "self" else None
        return None


def _names(recorded: dict[str, Any], owner: str) -> set[str]:
    return set(recorded["module"] if owner == "module" else recorded["classes"].get(owner, ()))


def _has(recorded: dict[str, Any], name: Name) -> bool:
    return name[1] in _names(recorded, name[0])


WALKS = {file: Walk(file) for file in FILES}
CALLS = set().union(*(w.calls for w in WALKS.values()))
OPTIONAL = set().union(*(w.optional for w in WALKS.values()))


def test_there_are_records_of_both_ends() -> None:
    versions = {tuple(map(int, v.partition("-")[2].split(".")[:2])) for v in RECORDED if v.startswith("tensorrt-")}
    assert min(versions) == (10, 3) and max(versions)[0] == 11
    assert {v.partition("-")[2].split(".")[0] for v in RECORDED if v.startswith("rtx-")} == {"1"}


def test_the_walk_sees_the_calls() -> None:
    assert len(CALLS) > 40
    assert {
        ("Builder", "build_serialized_network"),
        ("ITimingCache", "combine"),
        ("ITensor", "allowed_formats"),
        ("BuilderFlag", "TF32"),
        ("module", "IProgressMonitor"),
        ("OnnxParser", "parse"),
    } <= CALLS
    assert {("IBuilderConfig", "tiling_optimization_level"), ("module", "IProgressMonitor")} <= OPTIONAL


def test_every_file_that_calls_tensorrt_is_walked() -> None:
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if re.search(r"\btrt\.[A-Z]|deserialize_cuda_engine|build_serialized_network", text):
            assert str(path.relative_to(PACKAGE)) in FILES


@pytest.mark.parametrize("file", WALKS)
def test_no_object_of_tensorrts_has_another_name(file: str) -> None:
    assert not WALKS[file].unknown


@pytest.mark.parametrize("version", RECORDED)
def test_every_call_is_in_the_recorded_api(version: str) -> None:
    recorded = RECORDED[version]
    may_lack = OPTIONAL | (set() if version.startswith("rtx") else RTX_ONLY)
    may_lack |= {name for name, first in COMES_WITH.items() if not _has(recorded, first)}
    lacking = {name for name in CALLS if not _has(recorded, name)}
    assert lacking <= may_lack, f"not in {version}: {sorted(lacking - may_lack)}"


@pytest.mark.parametrize("name", sorted(OPTIONAL | RTX_ONLY))
def test_what_may_be_lacking_is_somewhere(name: Name) -> None:
    assert any(_has(recorded, name) for recorded in RECORDED.values())


def test_formats_and_levels_taken_by_string_exist() -> None:
    from acutance.trt_engines.options import Options
    from acutance.trt_engines.tensors import Tensor

    formats = set(Tensor.model_fields["format"].annotation.__args__)  # type: ignore[union-attr]
    tiling = {t.upper() for t in Options.model_fields["tiling"].annotation.__args__}  # type: ignore[union-attr]
    for version, recorded in RECORDED.items():
        assert formats <= _names(recorded, "TensorFormat"), version
        assert tiling <= (_names(recorded, "TilingOptimizationLevel") or tiling), version


def test_the_installed_rtx_has_what_was_recorded(rtx: Any) -> None:
    recorded = RECORDED.get(f"rtx-{rtx.version}")
    if recorded is None:
        lacking = {(o, a) for o, a in CALLS - OPTIONAL if not hasattr(_owner(rtx.trt, o), a)}
        assert not lacking
        return
    for owner, names in recorded["classes"].items():
        assert set(names) == {n for n in dir(getattr(rtx.trt, owner)) if not n.startswith("_")}


def _owner(trt: Any, name: str) -> Any:
    return trt if name == "module" else getattr(trt, name)
