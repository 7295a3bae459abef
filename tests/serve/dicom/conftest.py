"""A node that listens, and what talks to it."""

from __future__ import annotations

import importlib.util
import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from acutance.bench.node import program

from acutance.serve import logs


@pytest.fixture(scope="session")
def peers() -> ModuleType:
    """``peers.py``, which lies beside this file in no package."""
    pytest.importorskip("pynetdicom")
    spec = importlib.util.spec_from_file_location("acutance_test_peers", Path(__file__).with_name("peers.py"))
    assert spec is not None and spec.loader is not None
    sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[spec.name])
    return sys.modules[spec.name]


@pytest.fixture
def listen(peers: ModuleType) -> Iterator[Callable[..., Any]]:
    """Return a function that starts a node with these settings; it ends with the test."""
    nodes: list[Any] = []

    def start(spool: Any = None, **settings: Any) -> Any:
        node = peers.node(spool, **settings)
        nodes.append(node)
        node.scp.start()
        return node

    yield start
    for node in nodes:
        node.scp.stop(5.0)
    left = [t.name for t in threading.enumerate() if t.name.startswith("dicom-")]
    assert not left, left


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Everything that any logger says."""
    caplog.set_level(logging.DEBUG)
    for name in logs.SAID:
        logging.getLogger(name).propagate = True
    return caplog


@pytest.fixture(scope="session")
def dcmtk() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs a program of dcmtk, or skips the test by its name."""

    def run(*words: object) -> subprocess.CompletedProcess[str]:
        found = program(str(words[0]))
        if found is None:
            pytest.skip(f"{words[0]} is not installed")
        return subprocess.run(
            [found, *(str(w) for w in words[1:])], capture_output=True, text=True, check=False, timeout=30
        )

    return run
