"""Running services: all or none, /metrics and /health, logs without patient data."""

from __future__ import annotations

import json
import logging
import socket
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from acutance.errors import OutputError, UsageError
from acutance.live.metrics import Metrics
from acutance.serve import logs, run
from acutance.serve.config import Config, LogSettings, MonitorSettings
from acutance.serve.service import Context, Service, Settings


class DoubleSettings(Settings):
    kind: Literal["double"] = "double"
    fails: bool = False


class Double(Service):
    """Notes what is done with it."""

    done: list[str]
    wrong: str | None = None
    slow: threading.Event | None = None

    def start(self) -> None:
        self.done.append(f"start {self.settings.name}")
        if self.settings.fails:
            raise OutputError("no such folder", "/spool")
        self.context.metrics.count("frames_in_total", 3)
        self.context.metrics.observe("age_seconds", 0.02, stream="s")

    def stop(self, timeout: float) -> None:
        if self.slow is not None:
            self.slow.wait(10)
        self.done.append(f"stop {self.settings.name}")

    def health(self) -> str | None:
        return self.wrong


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> dict[str, Double]:
    found: dict[str, Double] = {}
    done: list[str] = []

    def make(settings: DoubleSettings, context: Context) -> Double:
        found[settings.name] = Double(settings, context)
        found[settings.name].done = done
        return found[settings.name]

    monkeypatch.setattr(run, "make", make)
    return found


def config(*services: DoubleSettings, port: int = 0) -> Config:
    return Config(monitor=MonitorSettings(port=port), services=services)


def fetch(running: run.Running, path: str) -> tuple[int, str]:
    assert running._monitor is not None
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{running._monitor.port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode()


@pytest.fixture(autouse=True)
def prometheus() -> None:
    pytest.importorskip("prometheus_client")


def test_metrics_and_health_are_served(made: dict[str, Double]) -> None:
    running = run.Running(config(DoubleSettings(name="a"), DoubleSettings(name="b")))
    running.start()
    try:
        assert fetch(running, "/health") == (200, '{"well": true, "reasons": {}}\n')
        made["b"].wrong = "the spool is full"
        status, text = fetch(running, "/health")
        assert status == 503 and json.loads(text)["reasons"] == {"b": "the spool is full"}
        status, text = fetch(running, "/metrics")
        assert status == 200
        assert 'acutance_frames_in_total{service="a"} 3.0' in text
        assert 'acutance_age_seconds_bucket{le="0.02",service="b",stream="s"} 1.0' in text
        assert 'acutance_age_seconds_recent{quantile="0.99",service="a",stream="s"} 0.02' in text
        assert fetch(running, "/else")[0] == 404
    finally:
        assert running.stop(5.0)
    assert made["a"].done == ["start a", "start b", *made["a"].done[2:]]
    assert sorted(made["a"].done[2:]) == ["stop a", "stop b"]


def test_none_runs_when_one_cannot_start(made: dict[str, Double]) -> None:
    running = run.Running(config(DoubleSettings(name="a"), DoubleSettings(name="b", fails=True)))
    with pytest.raises(OutputError, match=r"/spool: service 'b': no such folder"):
        running.start()
    assert sorted(made["a"].done[2:]) == ["stop a", "stop b"]


def test_a_taken_port_is_named(made: dict[str, Double]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        running = run.Running(config(DoubleSettings(name="a"), port=port))
        with pytest.raises(UsageError, match=rf"127\.0\.0\.1:{port}.*set another port in \[monitor\]"):
            running.start()


def test_a_service_that_does_not_end_is_not_waited_for(made: dict[str, Double]) -> None:
    running = run.Running(config(DoubleSettings(name="a"), DoubleSettings(name="b")))
    running.start()
    made["a"].slow = threading.Event()
    try:
        assert not running.stop(0.1)
        assert made["b"].done[-1] == "stop b"
    finally:
        made["a"].slow.set()


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    monkeypatch.delitem(sys.modules, "acutance.serve.monitor", raising=False)
    with pytest.raises(UsageError, match=r"\[monitor\] needs prometheus_client.*acutance\[serve\]"):
        run.Running(config())


@pytest.fixture
def log_file(tmp_path: Path) -> Iterator[Path]:
    before = threading.excepthook
    handler = logs.set_up(LogSettings(level="info", file=tmp_path / "log"))
    yield tmp_path / "log"
    threading.excepthook = before
    logging.captureWarnings(False)
    for name in logs.SAID:
        logger = logging.getLogger(name)
        logger.removeHandler(handler)
        logger.propagate, logger.level = True, logging.NOTSET
    handler.close()


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_logs_are_json_without_the_words_of_exceptions(log_file: Path) -> None:
    log = logs.of("ct-room-1")
    log.info("received", extra={"bytes": 5, "name": "mine"})
    try:
        raise ValueError("Doe^John")
    except ValueError:
        log.exception("cannot be read")
    logging.getLogger("pydicom").warning("Doe^John")
    logging.getLogger("acutance.dicom").warning("Doe^John")
    thread = threading.Thread(target=lambda: {}["Doe^John"], name="worker")
    thread.start()
    thread.join()
    first, second, third = lines(log_file)
    assert (first["service"], first["event"], first["level"]) == ("ct-room-1", "received", "info")
    assert (first["bytes"], first["name"]) == (5, "mine")
    assert (second["error"], second["event"]) == ("ValueError", "cannot be read")
    assert (third["error"], third["thread"]) == ("KeyError", "worker") and "test_run.py:" in third["at"]
    assert "Doe" not in log_file.read_text()


def test_what_becomes_unwell_is_logged_once(made: dict[str, Double], log_file: Path) -> None:
    running = run.Running(config(DoubleSettings(name="a")))
    running.start()
    made["a"].wrong = "the spool is full"
    for _ in range(3):
        running.watch()
    made["a"].wrong = None
    running.watch()
    running.watch()
    assert running.stop(5.0)
    found = [(x["event"], x["service"], x.get("reason")) for x in lines(log_file)]
    assert found == [
        ("started", "a", None),
        ("is not well", "a", "the spool is full"),
        ("is well again", "a", None),
    ]


def test_peers_cannot_fill_the_memory_with_labels() -> None:
    metrics = Metrics()
    for i in range(1000):
        metrics.of(service="a").count("seen_total", kind=str(i))
    (series,) = metrics.snapshot().counts.values()
    assert len(series) <= 202
    assert metrics.total("seen_total") == 1000
