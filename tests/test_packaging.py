"""What is installed is what pyproject.toml and the Makefile say."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

import pytest

import acutance

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def pyproject() -> Any:
    tomllib = pytest.importorskip("tomllib" if sys.version_info >= (3, 11) else "tomli")
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_one_version(pyproject: Any) -> None:
    assert acutance.__version__ == pyproject["project"]["version"] == importlib.metadata.version("acutance")


def test_make_installs_what_the_build_requires(pyproject: Any) -> None:
    line = re.search(r"^\$\(DONE\)/build:.*\n\t\$\(PIP\) (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert line
    assert set(re.findall(r'"([^"]+)"', line.group(1))) == set(pyproject["build-system"]["requires"])


def test_the_base_install_brings_no_torch(pyproject: Any) -> None:
    names = {re.split(r"[^\w.-]", r)[0].lower() for r in pyproject["project"]["dependencies"]}
    assert {"numpy", "pydicom", "onnxruntime"} <= names
    assert not names & {"torch", "lightning", "onnx", "matplotlib", "scikit-image"}


def test_licence() -> None:
    metadata = importlib.metadata.metadata("acutance")
    assert metadata["License-Expression"] == "Apache-2.0"
    assert "Version 2.0, January 2004" in (ROOT / "LICENSE").read_text()


def test_parts_outside_of_python_are_installed() -> None:
    for part in ("_core", "export", "trt_engines", "bench"):
        assert importlib.util.find_spec(f"acutance.{part}"), part
    package = Path(acutance.__file__).parent
    assert (package / "py.typed").is_file()
    for kept in ("results", "trt8", "gpu_check.sh", "gpu_table.py"):
        assert (ROOT / "bench" / kept).exists() and not (package / "bench" / kept).exists(), kept


def test_commands_of_the_readme_exist() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in ("README.md", "CONTRIBUTING.md"):
        named = set(re.findall(r"(?:`|\$ )make ([a-z0-9-]+)", (ROOT / page).read_text(encoding="utf-8")))
        assert "test" in named
        assert named <= targets, page
