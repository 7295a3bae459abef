"""``acutance view`` as a user starts it, and the page as a service."""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from acutance.cli import main
from acutance.errors import UsageError
from acutance.live.metrics import Metrics
from acutance.serve.kinds import KINDS, make
from acutance.serve.page.folder import PREFIX
from acutance.serve.page.settings import PageSettings
from acutance.serve.service import Context, Streams

from .conftest import EXAMPLES

pytest.importorskip("uvicorn", reason="uvicorn is not installed")

VIEW = [sys.executable, "-c", "from acutance.cli import main; main()", "view", "--no-browser"]


def test_view_serves_until_it_is_told_to_end(tmp_path: Path) -> None:
    surroundings = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    command = [*VIEW, "--port", "0", str(EXAMPLES / "ct-abdomen.dcm")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=surroundings
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        try:
            found = re.search(r"http://127\.0\.0\.1:\d+/", process.stdout.readline())
            assert found is not None
            with urllib.request.urlopen(found[0], timeout=10) as answer:
                assert answer.status == 200 and b"acutance" in answer.read()
            assert len(list(tmp_path.glob(f"{PREFIX}*"))) == 1
            process.send_signal(signal.SIGTERM)
            assert process.wait(15) == 0
        finally:
            process.kill()
        assert process.stderr.read() == ""
    assert not list(tmp_path.glob(f"{PREFIX}*"))


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (["nothing.dcm"], "nothing.dcm: does not exist"),
        (["--address", "example.org"], "--address: wanted an IP address"),
        (["--token", "short"], "--token: "),
        (["--certificate", "a.pem"], "certificate and key go together"),
        (["--model", "none"], "none"),
    ],
)
def test_wrong_usage_is_one_line(extra: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["view", "--no-browser", "--port", "0", *extra])
    lines = capsys.readouterr().err.strip().splitlines()
    assert ended.value.code in (1, 2) and len(lines) == 1 and said in lines[0]


def a_context() -> Context:
    return Context(Metrics(), logging.LoggerAdapter(logging.getLogger("acutance.serve"), {}), Streams())


def test_the_service_starts_ends_and_knows_how_it_is(tmp_path: Path) -> None:
    assert KINDS["page"] is PageSettings
    service = make(PageSettings(name="page", port=0, folder=tmp_path), a_context())
    assert service.health() is not None
    service.start()
    try:
        assert service.health() is None
        with urllib.request.urlopen(service.url, timeout=10) as answer:  # type: ignore[attr-defined]
            assert answer.status == 200
        request = urllib.request.Request(service.url, headers={"Host": "evil.example"})  # type: ignore[attr-defined]
        with pytest.raises(urllib.error.HTTPError, match="421"):
            urllib.request.urlopen(request, timeout=10)
    finally:
        service.stop(5.0)
    assert service.health() is not None and list(tmp_path.iterdir()) == []


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        service = make(PageSettings(name="page", port=port, folder=tmp_path), a_context())
        with pytest.raises(UsageError, match=rf"port {port} cannot be bound"):
            service.start()
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_certificate_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("no certificate")
    folder = tmp_path / "uploads"
    folder.mkdir()
    service = make(PageSettings(name="page", port=0, folder=folder, certificate=wrong, key=wrong), a_context())
    with pytest.raises(UsageError, match=r"wrong\.pem: certificate and key cannot be used"):
        service.start()
    assert list(folder.iterdir()) == []
