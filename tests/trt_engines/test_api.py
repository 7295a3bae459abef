"""Every call we make exists in the Python modules of TensorRT that we say we work with.

The lists in ``api`` were recorded by ``tools/record_trt_api.py`` from the published Python bindings of each version.
"""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from acutance import trt_engines

SOURCES = Path(trt_engines.__file__).parent
RECORDED = {p.stem: json.loads(p.read_text()) for p in sorted(Path(__file__).with_name("api").glob("*.json"))}

CLASSES = {
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
"""What the variables of these names hold in ``build.py``, ``timing.py``, ``progress.py`` and ``flavour.py``."""

FILES = ("build.py", "timing.py", "progress.py", "flavour.py")


def calls(tree: ast.AST) -> set[tuple[str, str]]:
    """Return (class, attribute) of every attribute that is taken from an object of TensorRT's."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and not node.attr.startswith("__"):
            owner = _class(node.value)
            if owner is not None:
                found.add((owner, node.attr))
    return found


def optional(tree: ast.AST) -> set[tuple[str, str]]:
    """Return (class, attribute) of what is looked for by ``hasattr`` before it is used."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "hasattr":
            owner = _class(node.args[0])
            assert owner is not None and isinstance(node.args[1], ast.Constant), ast.unparse(node)
            found.add((owner, node.args[1].value))
    return found


def _class(node: ast.expr) -> str | None:
    """Return the class of TensorRT's that an expression gives, if we know one."""
    if isinstance(node, ast.Name):
        return CLASSES.get(node.id)
    if isinstance(node, ast.Attribute):
        if node.attr == "trt":
            return "module"
        if _class(node.value) == "module":
            return node.attr
    return None


def _names(recorded: dict[str, Any], owner: str) -> set[str]:
    return set(recorded["module"] if owner == "module" else recorded["classes"].get(owner, ()))


TREES = {name: ast.parse((SOURCES / name).read_text(encoding="utf-8")) for name in FILES}
CALLS = set().union(*(calls(t) for t in TREES.values()))
OPTIONAL = set().union(*(optional(t) for t in TREES.values()))
# What only TensorRT-RTX has is called under `flavour.name == "rtx"`, and what comes with tiling after its hasattr.
RTX_ONLY = {
    ("module", "ComputeCapability"),
    ("IBuilderConfig", "num_compute_capabilities"),
    ("IBuilderConfig", "set_compute_capability"),
}
TILING = {("module", "TilingOptimizationLevel"), ("IBuilderConfig", "l2_limit_for_tiling")}


def test_there_are_records_of_both_ends() -> None:
    versions = {tuple(map(int, v.partition("-")[2].split(".")[:2])) for v in RECORDED if v.startswith("tensorrt-")}
    assert min(versions) == (10, 3) and max(versions)[0] == 11
    assert {v.partition("-")[2].split(".")[0] for v in RECORDED if v.startswith("rtx-")} == {"1"}


def test_the_walk_sees_the_calls() -> None:
    assert len(CALLS) > 40
    for known in (
        ("Builder", "build_serialized_network"),
        ("ITimingCache", "combine"),
        ("ITensor", "allowed_formats"),
        ("BuilderFlag", "TF32"),
        ("module", "IProgressMonitor"),
        ("OnnxParser", "parse"),
    ):
        assert known in CALLS
    assert {("IBuilderConfig", "tiling_optimization_level"), ("module", "IProgressMonitor")} <= OPTIONAL


def test_no_object_of_tensorrts_has_another_name() -> None:
    """What TensorRT's calls return is bound to a name that the walk knows."""
    makers = {"create_network", "create_builder_config", "create_optimization_profile", "create_timing_cache"}
    for tree in TREES.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
                called = node.value.func
                if isinstance(called, ast.Attribute) and called.attr in makers:
                    assert isinstance(node.targets[0], ast.Name) and node.targets[0].id in CLASSES, ast.unparse(node)


@pytest.mark.parametrize("version", RECORDED)
def test_every_call_is_in_the_recorded_api(version: str) -> None:
    allowed_to_lack = OPTIONAL | TILING | (set() if version.startswith("rtx") else RTX_ONLY)
    lacking = {(o, a) for o, a in CALLS if a not in _names(RECORDED[version], o)}
    assert lacking <= allowed_to_lack, f"not in {version}: {sorted(lacking - allowed_to_lack)}"


@pytest.mark.parametrize("name", sorted(OPTIONAL | TILING | RTX_ONLY))
def test_what_may_be_lacking_is_somewhere(name: tuple[str, str]) -> None:
    assert any(name[1] in _names(r, name[0]) for r in RECORDED.values())


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
