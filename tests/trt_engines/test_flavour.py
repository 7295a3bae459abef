"""The installed TensorRT is found, or its absence explained."""

from __future__ import annotations

import sys
import types
from types import ModuleType

import pytest
from acutance.trt_engines import flavour
from acutance.trt_engines.flavour import Flavour

from acutance.errors import BackendError, UsageError


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what was imported before and after, and have no TensorRT installed."""
    monkeypatch.setattr(flavour, "_load", flavour._load.__wrapped__)
    for module in ("tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings"):
        monkeypatch.setitem(sys.modules, module, None)


def _install(monkeypatch: pytest.MonkeyPatch, module: str, version: str) -> None:
    monkeypatch.setitem(sys.modules, module, types.SimpleNamespace(__version__=version))  # type: ignore[arg-type]


def test_nothing_installed() -> None:
    with pytest.raises(BackendError, match=r"TensorRT cannot .*JetPack.*TensorRT-RTX cannot .*acutance\[tensorrt\]"):
        flavour.load()
    with pytest.raises(BackendError, match="TensorRT-RTX cannot be imported"):
        flavour.load("rtx")


def test_auto_takes_full_tensorrt_first(monkeypatch: pytest.MonkeyPatch) -> None:
    _install(monkeypatch, "tensorrt_rtx_bindings", "1.7.1.116")
    assert flavour.load().name == "rtx"
    _install(monkeypatch, "tensorrt", "10.13.3.9")
    found = flavour.load()
    assert (found.name, found.version) == ("tensorrt", "10.13.3.9")
    assert flavour.load("rtx").version == "1.7.1.116"


@pytest.mark.parametrize(
    ("version", "good"), [("10.2.0", False), ("10.3.0", True), ("11.4.0.106", True), ("12.0", False)]
)
def test_versions(monkeypatch: pytest.MonkeyPatch, version: str, good: bool) -> None:
    _install(monkeypatch, "tensorrt", version)
    if good:
        assert flavour.load("tensorrt").version == version
    else:
        with pytest.raises(BackendError, match=rf"TensorRT is {version}; wanted 10\.3 or newer, below 12"):
            flavour.load("tensorrt")


def test_no_such_flavour() -> None:
    with pytest.raises(UsageError, match="there are: auto, tensorrt, rtx"):
        flavour.load("lite")


def test_messages_reach_those_who_listen(fake: ModuleType) -> None:
    found: Flavour = fake.load()
    error = types.SimpleNamespace(name="ERROR")
    with found.listen() as heard:
        found.logger.log(error, "first\ncause")
        found.logger.log(types.SimpleNamespace(name="INFO"), "nothing")
        found.logger.log(error, "consequence")
    found.logger.log(error, "later")
    assert heard.errors == ["first cause", "consequence"]
    assert heard.reason() == "first cause"
    assert found.logger is found.logger
