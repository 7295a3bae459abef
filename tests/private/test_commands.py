"""Commands leave no name behind but in their results, and talk to nobody."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Check = Callable[..., None]
Search = Callable[..., dict[str, list[str]]]


def test_the_search_finds_what_it_looks_for(tmp_path: Path, search: Search, secrets: dict[str, str]) -> None:
    import base64

    name = secrets["PatientName"]
    (tmp_path / "plain").write_text(f"x{name.upper()}x")
    (tmp_path / "wide").write_bytes(name.encode("utf-16-le"))
    (tmp_path / "packed").write_bytes(base64.b64encode(b"ab" + name.encode() + b"more"))
    (tmp_path / "hex").write_text(name.encode().hex())
    (tmp_path / "uid").write_text(secrets["SeriesInstanceUID"] + ".9")
    (tmp_path / "quandtwein").mkdir()
    (tmp_path / "nothing").write_text("quand wein 1.2.826.0.1.3680043.8.498.773")
    found = search(tmp_path)
    assert set(found) == {"plain", "wide", "packed", "hex", "uid", "quandtwein"}
    assert search(tmp_path, [tmp_path / "quandtwein"]).keys() == found.keys() - {"quandtwein"}


def test_the_recorder_sees_python_and_native_code(machine: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        lines = (
            f"import socket; socket.create_connection(('127.0.0.1', {port}))",
            f"import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.2', {port}))",
            "import ctypes; ctypes.CDLL(None).getaddrinfo(b'localhost', None, None, ctypes.byref(ctypes.c_void_p()))",
        )
        for line in lines:
            subprocess.run([sys.executable, "-c", line], env=machine.environment, check=True)
        assert {("127.0.0.1", str(port)), ("127.0.0.2", str(port)), ("localhost", "name")} <= machine.reached()


def test_enhance(machine: Any, patient: Path, search: Search, check: Check) -> None:
    assert machine.run("enhance", patient, "-o", "out") == 3
    assert machine.run("enhance", patient, "-o", "out") == 3  # what is there already
    assert "2 enhanced" in machine.said() and "2 already right" in machine.said()
    results = machine.work / "out"
    assert search(results)
    check([results])


def test_enhance_that_fails_to_write(machine: Any, patient: Path, check: Check) -> None:
    (machine.work / "out").mkdir()
    (machine.work / "out" / "0_x2.dcm").mkdir()
    assert machine.run("enhance", patient / "0.dcm", "-o", "out/", "--overwrite") == 1
    check()


def test_deidentify_and_data_sets_hold_nothing(machine: Any, patient: Path, check: Check) -> None:
    pytest.importorskip("dicomanonymizer")
    assert machine.run("deidentify", patient, "-o", "out", "--key", "key") == 3
    assert machine.run("data", "build", patient, "-o", "set", "--source", "w", "--licence", "l", "--key", "key2") == 3
    assert len(list((machine.work / "out").rglob("*.dcm"))) == 2
    assert len(list((machine.work / "set").rglob("*.npy"))) == 2
    check()  # the results as well


def test_explain(machine: Any, patient: Path, check: Check) -> None:
    pytest.importorskip("torch")
    assert machine.run("explain", patient / "0.dcm", "--at", "30,30", "-o", "why.png") == 0, machine.said()
    assert (machine.work / "why.png").stat().st_size > 0
    check()
