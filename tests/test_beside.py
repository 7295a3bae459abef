"""Files appear whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from acutance import beside
from acutance.errors import OutputError


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_the_file_appears_under_its_name_only_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "a.bin"
    target.write_bytes(b"before")
    with beside.beside(target) as file:
        file.write(b"after")
        file.flush()
        assert target.read_bytes() == b"before"
        (temporary,) = [n for n in names(tmp_path) if n != "a.bin"]
        assert beside.is_temporary(temporary)
    assert target.read_bytes() == b"after"
    assert names(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_block_that_fails_leaves_what_stood_there_and_nothing_else(tmp_path: Path, error: type) -> None:
    target = tmp_path / "a.bin"
    target.write_bytes(b"before")
    with pytest.raises(error), beside.beside(target) as file:
        file.write(b"half")
        raise error
    assert target.read_bytes() == b"before"
    assert names(tmp_path) == ["a.bin"]


def test_failing_to_write_is_an_output_error_in_words(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    for target, word in (("none/a", "folder does not exist"), ("file/a", "is a file"), ("folder", "it is a folder")):
        with pytest.raises(OutputError, match=word), beside.beside(tmp_path / target) as file:
            file.write(b"x")
    assert names(tmp_path) == ["file", "folder"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = os.fsync

    def full(handle: int) -> None:
        with open("/dev/full", "wb", buffering=0) as device:  # noqa: PTH123
            device.write(b"x")
        plain(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="the disk is full"), beside.beside(tmp_path / "a") as file:
        file.write(b"x")
    assert names(tmp_path) == []


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with beside.beside(tmp_path / "a") as file:
            file.write(b"x")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


def test_sweep_removes_what_a_killed_process_left_and_spares_the_living(tmp_path: Path) -> None:
    code = (
        "import os, sys; from acutance.beside import beside\n"
        f"with beside({str(tmp_path / 'dead')!r}) as f:\n f.write(b'x'); f.flush(); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    assert len(names(tmp_path)) == 1
    (tmp_path / "other.tmp").touch()
    with beside.beside(tmp_path / "alive") as file:
        file.write(b"x")
        assert beside.sweep(tmp_path) == 1
        assert len(names(tmp_path)) == 2
    assert names(tmp_path) == ["alive", "other.tmp"]
    assert beside.sweep(tmp_path / "none") == 0
