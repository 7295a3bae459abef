"""``acutance serve video``."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from acutance import cli


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, list[str]]]:
    """Run ``acutance serve video``: status, what it printed, and the lines of its errors."""

    def run(*arguments: Any) -> tuple[int, str, list[str]]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.main(["serve", "video", *map(str, arguments)])
        said = capsys.readouterr()
        assert "Traceback" not in said.out + said.err
        return int(end.value.code or 0), said.out, said.err.splitlines()

    return run


Run = Callable[..., tuple[int, str, list[str]]]


def test_enhances_a_file(ffmpeg: Any, clip: Callable[..., Path], run: Run, tmp_path: Path) -> None:
    source, out = clip("a.mkv", "-c:v", "mpeg4"), tmp_path / "out.mp4"
    code, said, notes = run(source, "-o", out, "--model", "base")
    assert code == 0 and "5 pictures, 48 x 32 to 96 x 64, by base (base)" in said
    assert notes == [f"{source}: says no colour matrix; taken as BT.601", f"{source}: says no range; taken as limited"]
    assert len(ffmpeg.times(out)) == 5
    code, _, errors = run(source, "-o", out, "--model", "base")
    assert code == 2 and errors == [f"acutance: {out}: is there already; give another name or --overwrite"]
    assert run(source, "-o", out, "--model", "base", "--overwrite", "--matrix", "bt709", "--range", "full")[0] == 0
    assert ffmpeg.stream(out)["color_space"] == "bt709" and ffmpeg.stream(out)["color_range"] == "pc"


def test_says_in_one_line_what_is_wrong(
    clip: Callable[..., Path], run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = clip("a.mkv", "-c:v", "ffv1")
    for arguments, wanted in (
        ((source,), "it goes nowhere: give output, page or both"),
        ((source, "-o", tmp_path / "a.avi"), "output must end in .mp4 or .mkv"),
        ((source, "-o", tmp_path / "b.mp4", "--lossless"), "lossless goes into .mkv only"),
        ((source, "-o", source), "would overwrite its source"),
        (("rtsp://h/1", "--page", "x"), "--page wants [ADDRESS:]PORT"),
        (("http://h/1", "--page", "0"), "source: streams come by rtsp"),
    ):
        code, _, errors = run(*arguments)
        assert code == 2 and len(errors) == 1 and wanted in errors[0]
    code, _, errors = run(tmp_path / "no.mkv", "-o", tmp_path / "b.mp4")
    assert code == 1 and errors == [f"acutance: {tmp_path / 'no.mkv'}: there is no such file"]
    monkeypatch.setenv("PATH", "/nowhere")
    code, _, errors = run(source, "-o", tmp_path / "b.mp4")
    assert code == 2 and len(errors) == 1 and "sudo apt install ffmpeg" in errors[0]


def test_damage_shows_in_the_status(clip: Callable[..., Path], run: Run, tmp_path: Path) -> None:
    data = bytearray(clip("a.mkv", "-c:v", "mpeg2video", "-g", 5, pattern="testsrc2=s=96x64:r=25:d=0.4").read_bytes())
    data[len(data) // 2 : len(data) // 2 + 300] = bytes(300)
    (tmp_path / "damaged.mkv").write_bytes(data)
    code, _, notes = run(tmp_path / "damaged.mkv", "-o", tmp_path / "out.mkv", "--model", "base")
    assert code == 3 and any("the source is damaged" in n for n in notes)


def test_ctrl_c_leaves_nothing(ffmpeg: Any, clip: Callable[..., Path], run: Run, tmp_path: Path) -> None:
    source = clip("a.mkv", "-c:v", "mpeg4", pattern="testsrc2=s=64x48:r=25:d=60")

    def interrupt() -> None:
        deadline = time.monotonic() + 30
        while not any(p.name.startswith(".acutance-") for p in tmp_path.iterdir()) and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    code, _, said = run(source, "-o", tmp_path / "out.mkv", "--model", "base", "--threads", 1)
    thread.join()
    assert code == 130 and "interrupted" in said[-1]
    assert [p.name for p in tmp_path.iterdir()] == ["a.mkv"]


def test_a_killed_run_leaves_no_ffmpeg(ffmpeg: Any, clip: Callable[..., Path], tmp_path: Path) -> None:
    source = clip("a.mkv", "-c:v", "mpeg4", pattern="testsrc2=s=64x48:r=25:d=60")
    code = "import sys; from acutance import cli; cli.main(sys.argv[1:])"
    command = ["serve", "video", str(source), "-o", str(tmp_path / "out.mkv"), "--model", "base", "--threads", "1"]
    process = subprocess.Popen([sys.executable, "-c", code, *command], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while not any(p.name.startswith(".acutance-") for p in tmp_path.iterdir()):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        process.kill()
        process.wait()
    while ours := [p for p in _commands() if str(tmp_path) in p]:
        assert time.monotonic() < deadline, ours
        time.sleep(0.05)
    assert not (tmp_path / "out.mkv").exists()


def _commands() -> list[str]:
    """Return the command lines of all processes."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return found
