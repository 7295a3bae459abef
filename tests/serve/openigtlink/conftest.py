"""Filters that run and programs of pyigtl to talk to them; both end with the test."""

from __future__ import annotations

import importlib.util
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture(scope="session")
def peers() -> ModuleType:
    """The helpers of ``peers.py``."""
    pytest.importorskip("fastcrc")
    pytest.importorskip("pyigtl")
    spec = importlib.util.spec_from_file_location("acutance_test_igtl", Path(__file__).with_name("peers.py"))
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def filters(peers: ModuleType) -> Iterator[Callable[..., Any]]:
    """Start filters; see ``peers.started``."""
    found: list[Any] = []

    def start(**settings: Any) -> Any:
        found.append(peers.started(**settings))
        return found[-1]

    yield start
    for one in found:
        for peer in one.peers:
            peer.close()
        one.service.stop(1.0)


@pytest.fixture
def programs(peers: ModuleType) -> Iterator[Callable[[str, int], Any]]:
    """Start a ``"server"`` or a ``"client"`` of pyigtl at a port."""
    before = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)}
    made: list[Any] = []

    def start(role: str, port: int) -> Any:
        if role == "server":
            made.append(peers.pyigtl.OpenIGTLinkServer(port=port, local_server=True))
        else:
            made.append(peers.pyigtl.OpenIGTLinkClient("127.0.0.1", port))
        return made[-1]

    yield start
    for one in reversed(made):
        one.stop()
    for number, handler in before.items():
        signal.signal(number, handler)
