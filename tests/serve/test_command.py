"""``acutance serve`` as a process: signals, exit status, what it says when it cannot start."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from typer.testing import CliRunner

from acutance.errors import UsageError
from acutance.serve import command, kinds
from acutance.serve.service import Settings

SETTINGS = """
from typing import Literal
from acutance.serve.service import Settings

class TallySettings(Settings):
    kind: Literal["tally"]
    port: int
    folder: str
    hangs: bool = False
"""

SERVICE = """
import os, socket, time
from pathlib import Path
from acutance.errors import OutputError
from acutance.serve.service import Service
MISSING

class Tally(Service):
    def start(self):
        try:
            self.server = socket.create_server(("127.0.0.1", self.settings.port))
        except OSError as e:
            raise OutputError(f"port {self.settings.port} cannot be listened at ({os.strerror(e.errno)})") from None

    def stop(self, timeout):
        if self.settings.hangs:
            time.sleep(60)
        Path(self.settings.folder, self.settings.name).write_text("drained")

    def health(self):
        return None

make = Tally
"""

MAIN = """
from tally.settings import TallySettings
from acutance.serve.kinds import KINDS
KINDS["tally"] = TallySettings
from acutance.cli import main
main()
"""

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Return a function that starts ``acutance serve`` with a kind of service that the test brings."""
    pytest.importorskip("prometheus_client")
    running: list[subprocess.Popen[str]] = []

    def begin(text: str, *words: str, missing: str = "", **more: str) -> subprocess.Popen[str]:
        package = tmp_path / "tally"
        package.mkdir(exist_ok=True)
        (package / "settings.py").write_text(SETTINGS)
        (package / "service.py").write_text(SERVICE.replace("MISSING", missing))
        config = tmp_path / "serve.toml"
        config.write_text(text)
        # Tests may run an interpreter whose signals were ignored when it was started.
        process = subprocess.Popen(
            [sys.executable, "-c", MAIN, "serve", *words, str(config)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(tmp_path), **more},
        )
        running.append(process)
        return process

    yield begin
    for process in running:
        process.kill()
        process.communicate()


def service(folder: Path, name: str = "one", port: int = 0, more: str = "") -> str:
    return f'[[service]]\nkind = "tally"\nname = "{name}"\nport = {port}\nfolder = "{folder}"\n{more}\n'


def until_ready(process: subprocess.Popen[str]) -> list[dict[str, Any]]:
    """Read the log until all services run."""
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(json.loads(line))
        if lines[-1]["event"] == "ready":
            return lines
    raise AssertionError(lines)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_sigterm_drains_and_ends(start: Start, tmp_path: Path) -> None:
    port, told = free_port(), tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(told))
        systemd.settimeout(30)
        text = f"[monitor]\nport = {port}\n" + service(tmp_path, "one") + service(tmp_path, "two")
        process = start(text, NOTIFY_SOCKET=str(told))
        lines = until_ready(process)
        assert [x.get("service") for x in lines] == ["one", "two", "all"]
        assert systemd.recv(100) == b"READY=1"
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=10) as answer:
            assert json.loads(answer.read()) == {"well": True, "reasons": {}}
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=60)
        assert process.returncode == 0
        assert systemd.recv(100) == b"STOPPING=1"
    assert [json.loads(x)["event"] for x in log.splitlines()] == ["ending", "ended"]
    assert {(tmp_path / name).read_text() for name in ("one", "two")} == {"drained"}


def test_a_second_signal_ends_at_once_with_a_failure(start: Start, tmp_path: Path) -> None:
    process = start(service(tmp_path, more="hangs = true"))
    until_ready(process)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    assert json.loads(process.stderr.readline())["event"] == "ending"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 1


def test_a_taken_port_is_named_and_nothing_is_left_running(start: Start, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = start(service(tmp_path, "one") + service(tmp_path, "two", port))
        _, log = process.communicate(timeout=60)
    assert process.returncode == 1
    last = log.splitlines()[-1]
    assert last == f"acutance: service 'two': port {port} cannot be listened at (Address already in use)"
    assert (tmp_path / "one").read_text() == "drained"


def test_a_missing_package_names_the_extra(start: Start, tmp_path: Path) -> None:
    process = start(service(tmp_path), missing="import nosuchpackage")
    _, log = process.communicate(timeout=60)
    assert process.returncode == 2
    assert log == (
        "acutance: service 'one' needs nosuchpackage, which is not installed: pip install 'acutance[serve]'\n"
    )


class OneSettings(Settings):
    kind: Literal["one"]
    port: int = 1


def check(monkeypatch: pytest.MonkeyPatch, path: Path, text: str) -> Any:
    monkeypatch.setitem(kinds.KINDS, "one", OneSettings)
    path.write_text(text)
    return CliRunner().invoke(command.app, ["--check", str(path)])


def test_check_only_checks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = check(monkeypatch, tmp_path / "a.toml", '[[service]]\nkind = "one"\nname = "x"\n')
    assert (found.exit_code, found.stdout) == (0, f"{tmp_path / 'a.toml'}: x (one)\n")


def test_mistakes_are_named_in_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = '[logs]\nlevel = 3\n[[service]]\nkind = "one"\nname = "x"\nprt = 5\n'
    error = check(monkeypatch, tmp_path / "a.toml", text).exception
    assert isinstance(error, UsageError)
    assert str(error).startswith(f"{tmp_path / 'a.toml'}: logs.level: ") and "\n" not in str(error)
    assert "service 1 ('x'): prt: there is no such key" in str(error)


def test_the_command_line_knows_it() -> None:
    found = CliRunner().invoke(command.app, ["--help"])
    assert found.exit_code == 0 and "CONFIG.toml" in found.stdout
