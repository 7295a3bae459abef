"""Killed or interrupted at any moment: no half file, and the same command does the rest."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import acutance
from acutance.beside import is_temporary
from acutance.cli import results

COUNT = 12
DEADLINE = 60.0
"""Seconds after which a started command must have come so far."""


@pytest.fixture
def folder(tmp_path: Path, make_dicom: Callable[..., Path], make_picture: Callable[..., Path]) -> Path:
    """Pictures of every kind, large enough that writing them takes a moment."""
    for i in range(COUNT // 4):
        make_dicom(tmp_path / "in" / f"{i}a.dcm", index=i, side=250)
        make_picture(tmp_path / "in" / f"{i}b.nii.gz", rows=120, cols=160, seed=i)
        make_picture(tmp_path / "in" / f"{i}c.png", rows=500, cols=600, seed=i)
        make_picture(tmp_path / "in" / f"{i}d.tif", rows=500, cols=600, seed=i)
    return tmp_path / "in"


def start(source: Path, out: Path, *options: str) -> subprocess.Popen[str]:
    # Whoever runs the tests in the background may have it ignored, which is inherited.
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"{heard}; from acutance.cli import main; main()"
    command = [sys.executable, "-c", code, "enhance", str(source), "-o", str(out), *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(process: subprocess.Popen[str], come: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE
    while not come() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.001)


def names(out: Path) -> tuple[list[Path], list[Path]]:
    """Return finished and unfinished files."""
    found = list(out.iterdir()) if out.is_dir() else []
    return [p for p in found if not is_temporary(p.name)], [p for p in found if is_temporary(p.name)]


def test_killed_at_any_moment_there_is_no_half_file_and_the_next_run_does_the_rest(
    run: Callable[..., Any], folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    moments: list[Callable[[], bool]] = [
        lambda: bool(names(out)[1]),
        lambda: len(names(out)[0]) >= 3 and bool(names(out)[1]),
        lambda: len(names(out)[0]) >= 6,
    ]
    left_behind = 0
    for moment in moments:
        process = start(folder, out, "--jobs", "2")
        wait_for(process, moment)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL, "it must be killed before it is done"
        finished, unfinished = names(out)
        left_behind += len(unfinished)
        for path in finished:
            assert results.is_result(path)
            assert acutance.read(path)
    assert left_behind, "one of the kills must have hit while a file was being written"
    done = len(names(out)[0])
    ran = run("enhance", folder, "-o", out)
    assert ran.code == 0 and f"{COUNT - done} enhanced, {done} already right, 0 skipped" in ran.out
    assert (len(names(out)[0]), names(out)[1]) == (COUNT, [])
    assert f"0 enhanced, {COUNT} already right" in run("enhance", folder, "-o", out).out


def test_ctrl_c_ends_cleanly_with_130(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = start(folder, out)
    wait_for(process, lambda: len(names(out)[0]) >= 1)
    process.send_signal(signal.SIGINT)
    said, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == 130, err
    assert err == "interrupted: every written file is whole, and the same command does the rest\n" and not said
    finished, unfinished = names(out)
    assert 1 <= len(finished) < COUNT and not unfinished
    assert all(results.is_result(p) for p in finished)
