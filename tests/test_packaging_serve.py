"""Dockerfile.serve and acutance.service name what exists."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
UNIT = (ROOT / "acutance.service").read_text(encoding="utf-8")
FILE = re.sub(r"\\\n", " ", (ROOT / "Dockerfile.serve").read_text(encoding="utf-8"))


def values(key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", UNIT, re.MULTILINE)


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze")
    there = tmp_path / "acutance.service"
    there.write_text(UNIT.replace("/opt/acutance/bin/acutance", "/bin/true"))
    found = subprocess.run(["systemd-analyze", "verify", str(there)], capture_output=True, text=True)
    assert (found.returncode, found.stderr) == (0, "")


def test_the_unit_runs_commands_that_exist() -> None:
    from typer.testing import CliRunner

    from acutance.serve.command import app

    for line in (*values("ExecStart"), *values("ExecStartPre")):
        _, command, *words = shlex.split(line)
        assert command == "serve"
        found = CliRunner().invoke(app, words)
        assert "/etc/acutance/serve.toml: cannot be read" in str(found.exception), line


def test_there_is_time_to_drain() -> None:
    from acutance.serve.config import Config

    assert int(values("TimeoutStopSec")[0]) > Config(services=()).drain_s + 10


def test_the_image_gets_all_that_its_build_needs() -> None:
    tomllib = pytest.importorskip("tomllib" if sys.version_info >= (3, 11) else "tomli")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    copied = {word for line in re.findall(r"^COPY (?!--from)(.*)$", FILE, re.MULTILINE) for word in line.split()[:-1]}
    packages = {folder.split("/")[0] for folder in project["tool"]["scikit-build"]["wheel"]["packages"].values()}
    files = {"pyproject.toml", "CMakeLists.txt", project["project"]["readme"], *project["project"]["license-files"]}
    assert copied == packages | files | {"csrc", "cmake"}
    assert all((ROOT / name).exists() for name in copied)
    assert ".[serve]" in FILE and "serve" in project["project"]["optional-dependencies"]


def test_the_image_does_not_run_as_root_and_keeps_what_must_last() -> None:
    stages = FILE.split("\nFROM ")
    assert re.search(r"^USER acutance$", stages[-1], re.MULTILINE)
    volumes = re.search(r"^VOLUME \[(.*)\]$", stages[-1], re.MULTILINE)
    assert volumes
    for folder in re.findall(r'"([^"]+)"', volumes[1]):
        assert re.search(rf"install -d -m 0700 -o acutance .*{folder}", stages[-1]), folder
    assert f"WORKDIR {values('WorkingDirectory')[0]}\n" in FILE
