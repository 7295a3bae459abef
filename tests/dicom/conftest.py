"""Fixtures of the DICOM tests."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pydicom.data import get_testdata_file

from acutance import Enhancer, dicom
from acutance.geometry import Frame


def _load(file: str, name: str) -> ModuleType:
    """Import a module that lies beside this file, which is in no package."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(file))
    assert spec is not None and spec.loader is not None
    sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture(scope="session")
def objects() -> ModuleType:
    """``objects.py`` and ``enhanced.py`` as one module."""
    made = _load("objects.py", "acutance_test_objects")
    enhanced = _load("enhanced.py", "acutance_test_enhanced")
    made.CLASSES.update(enhanced.CLASSES)
    made.enhanced_ct, made.enhanced_mr = enhanced.enhanced_ct, enhanced.enhanced_mr
    return made


@pytest.fixture(scope="session")
def sample() -> Callable[[str], Path]:
    """Return a function that gives the path of one of the files that pydicom brings."""
    return lambda name: Path(str(get_testdata_file(name, download=False)))


@pytest.fixture(scope="session")
def enlarge() -> Callable[..., list[Frame]]:
    """Return a function that enlarges Frames by interpolation with the guard."""

    def run(frames: Sequence[Frame], scale: int = 2, guard: Any = "box") -> list[Frame]:
        with Enhancer(model="base", scale=scale, guard=guard) as enhancer:
            return [enhancer.run(frame).frame for frame in frames]

    return run


@pytest.fixture(scope="session")
def convert(enlarge: Callable[..., list[Frame]]) -> Callable[..., Path]:
    """Return a function that reads, enlarges, derives and writes a file, and gives the path of the result."""

    def run(source: Path, target: Path, scale: int = 2, **options: Any) -> Path:
        dicom.write(target, dicom.derive(enlarge(dicom.read(source), scale), **options))
        return target

    return run


@pytest.fixture(scope="session")
def tool() -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """Return a function that runs a program of dcmtk or dicom3tools, or skips the test by its name."""

    def run(*command: object) -> subprocess.CompletedProcess[bytes]:
        if shutil.which(str(command[0])) is None:
            pytest.skip(f"{command[0]} is not installed")
        return subprocess.run([str(x) for x in command], capture_output=True, check=False)

    return run


@pytest.fixture(scope="session")
def complaints(tool: Callable[..., subprocess.CompletedProcess[bytes]]) -> Callable[[Path], set[str]]:
    """Return a function that gives the error lines of dciodvfy on a file."""

    def run(path: Path) -> set[str]:
        done = tool("dciodvfy", path)
        lines = (done.stdout + done.stderr).decode("latin-1").splitlines()
        return {line.strip() for line in lines if "Error" in line}

    return run
