"""The bench of the OpenIGTLink filter, against filters that are known."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastcrc")

from acutance.bench import openigtlink as case
from acutance.bench.command import frame_sizes

from acutance.errors import BackendError, UsageError
from acutance.live.metrics import Metrics
from acutance.serve.openigtlink.service import OpenIgtLink, make
from acutance.serve.openigtlink.settings import OpenIgtLinkSettings
from acutance.serve.service import Context, Streams

SERVER = {"role": "server", "port": 0}


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> Metrics:
    """Serve in this process: to start another one takes seconds."""
    metrics = Metrics()

    @contextlib.contextmanager
    def served(model: str, backend: str, threads: int, rate: float) -> Iterator[case.Filter]:
        said: dict[str, Any] = {"kind": "openigtlink", "name": "bench", "source": SERVER, "receivers": SERVER}
        enhance = {"model": model, "backend": backend, "threads": threads}
        stream = {"deadline_ms": 5000}  # a busy machine makes nothing late
        settings = OpenIgtLinkSettings.model_validate({**said, "enhance": enhance, "stream": stream})
        log = logging.LoggerAdapter(logging.getLogger("acutance.serve"), {})
        service = make(settings, Context(metrics, log, Streams()))
        assert isinstance(service, OpenIgtLink)
        service.start()
        try:
            yield case.Filter(os.getpid(), service.source.port, service.receivers.port)
        finally:
            service.stop(1.0)

    monkeypatch.setattr(case, "served", served)
    monkeypatch.setattr(case, "WARM_UP", 0.5)
    return metrics


def test_every_picture_is_counted_as_what_it_says_it_is(in_process: Metrics, tmp_path: Path) -> None:
    path = tmp_path / "found.json"
    case.run(["base", "gray-rt-x2"], [(24, 16)], "onnxruntime", 1, 10.0, 1.0, path)
    base, network = json.loads(path.read_text())["rows"]
    assert base["model"] == "base" and network["model"] == "gray-rt-x2"
    for row in (base, network):
        assert row["size"] == [24, 16] and 9 <= row["offered"] <= 11
        assert row["answered"] + row["lost"] == row["offered"] and row["answered"] >= row["offered"] - 2
        assert 0 < row["age_ms"]["p50"] <= row["age_ms"]["max"]
        assert row["late"] == sum(age > 100 for age in row["age_ms"]["samples"])
        assert row["cpu_share"] > 0 and row["cpu_ms"] > 0 and row["peak_mib"] > 10
    assert base["base"] == base["answered"] and network["base"] < network["answered"]
    assert in_process.total("messages_refused_total") == 0
    assert in_process.total("messages_in_total", type="IMAGE") == 30


def test_a_filter_that_does_not_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(case.sys, "executable", "/bin/false")
    with pytest.raises(BackendError, match="does not listen"), case.served("base", "auto", 1, 30.0):
        pass


def test_sizes_are_columns_and_rows() -> None:
    assert frame_sizes("640x480, 1440x1080") == [(640, 480), (1440, 1080)]
    for wrong in ("", "640", "640x", "0x5", "1x2,", "a1x2"):
        with pytest.raises(UsageError, match="is no list of sizes"):
            frame_sizes(wrong)
