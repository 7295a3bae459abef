"""A file that is run must be the user's own and unchanged; each way in which it may not be is refused."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from acutance.trt_engines import trusted
from acutance.trt_engines.trusted import Absent, Refused

from acutance.errors import BackendError, OutputError


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A file with its sidecar in a folder of the user's own."""
    path = trusted.open_folder(tmp_path / "engines") / "a.engine"
    trusted.write(path, b"code", {"kind": "test"})
    return path


def test_read_back(kept: Path) -> None:
    data, record = trusted.read(kept)
    assert data == b"code"
    assert (record["kind"], record["size"]) == ("test", 4)


def test_modes_do_not_hang_on_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        path = trusted.open_folder(tmp_path / "engines") / "a.engine"
        with trusted.lock(path):
            trusted.write(path, b"code", {})
    finally:
        os.umask(before)
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in (path.parent, *path.parent.iterdir())}
    assert modes == {"engines": 0o700, "a.engine": 0o600, "a.engine.json": 0o600, "a.engine.lock": 0o600}


def _tamper(path: Path) -> None:
    path.write_bytes(b"c0de")


def _swap(path: Path) -> None:
    other = path.with_name("b.engine")
    trusted.write(other, b"other", {})
    other.rename(path)


def _link(path: Path) -> None:
    path.rename(path.with_name("real"))
    path.symlink_to("real")


def _sidecar(path: Path, text: str) -> None:
    trusted.sidecar(path).write_text(text)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_tamper, "tampered: its SHA-256 is not the one in its sidecar"),
        (_swap, "tampered: its SHA-256 is not the one in its sidecar"),
        (lambda p: _sidecar(p, "{"), "tampered: its sidecar holds no SHA-256"),
        (lambda p: _sidecar(p, "[]"), "tampered: its sidecar holds no SHA-256"),
        (lambda p: _sidecar(p, json.dumps({"sha256": None})), "tampered: its SHA-256"),
        (lambda p: trusted.sidecar(p).write_bytes(b"\xff\xfe"), "tampered: its sidecar holds no SHA-256"),
        (lambda p: trusted.sidecar(p).unlink(), "foreign: it has no sidecar"),
        (lambda p: p.chmod(0o620), r"foreign: it can be written by others \(mode 620\)"),
        (lambda p: p.chmod(0o602), r"foreign: it can be written by others \(mode 602\)"),
        (lambda p: trusted.sidecar(p).chmod(0o660), r"foreign: its sidecar can be written by others \(mode 660\)"),
        (lambda p: p.parent.chmod(0o770), r"foreign: its folder can be written by others \(mode 770\)"),
        (_link, "foreign: it is a link"),
        (lambda p: (p.unlink(), os.mkfifo(p, 0o600)), "foreign: it is no regular file"),
    ],
)
def test_refused(kept: Path, spoil: Callable[[Path], object], reason: str) -> None:
    trusted.read(kept)
    spoil(kept)
    with pytest.raises(Refused, match=reason) as caught:
        trusted.read(kept)
    assert not isinstance(caught.value, Absent)


def _give_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ``path`` belong to user 12345: really where the tests run as root, else in what is seen of it."""
    if os.geteuid() == 0:
        os.chown(path, 12345, -1)
        return
    real, number = os.fstat, path.stat().st_ino

    def seen(handle: int) -> os.stat_result:
        found = list(real(handle))
        return os.stat_result([*found[:4], 12345, *found[5:]] if found[1] == number else found)

    monkeypatch.setattr(os, "fstat", seen)


@pytest.mark.parametrize(("name", "what"), [("a.engine", "it"), ("a.engine.json", "its sidecar")])
def test_given_away(kept: Path, monkeypatch: pytest.MonkeyPatch, name: str, what: str) -> None:
    _give_away(kept.with_name(name), monkeypatch)
    with pytest.raises(Refused, match=f"foreign: {what} belongs to user 12345, not to user {os.geteuid()}"):
        trusted.read(kept)


def test_read_by_another_user(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: kept.stat().st_uid + 1)
    with pytest.raises(Refused, match="foreign: its folder belongs to user"):
        trusted.read(kept)
    with pytest.raises(BackendError, match=r"engines are code.*belongs to user.*--store or ACUTANCE_ENGINES"):
        trusted.open_folder(kept.parent)


def test_nothing_there(kept: Path) -> None:
    with pytest.raises(Absent):
        trusted.read(kept.with_name("b.engine"))
    with pytest.raises(Absent):
        trusted.read(kept.parent / "none" / "b.engine")


def test_a_folder_of_others_is_no_place(tmp_path: Path) -> None:
    folder = tmp_path / "engines"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(
        BackendError, match=r"engines: engines are code.*can be written by others \(mode 777\).*chmod 700"
    ):
        trusted.open_folder(folder)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be made"):
        trusted.open_folder(tmp_path / "file" / "engines")


def test_one_at_a_time(kept: Path) -> None:
    with trusted.lock(kept) as first:
        assert first
        with trusted.lock(kept, wait=False) as second:
            assert not second
    with trusted.lock(kept, wait=False) as third:
        assert third


def test_a_lock_is_no_link(kept: Path) -> None:
    kept.with_name("a.engine.lock").symlink_to("elsewhere")
    with pytest.raises(OutputError, match="cannot be locked"), trusted.lock(kept):
        pass
    assert not kept.with_name("elsewhere").exists()


def test_a_killed_writer_leaves_what_was_there(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="the disk is full"):
        trusted.write(kept, b"new", {})
    assert trusted.read(kept)[0] == b"code"
    assert sorted(p.name for p in kept.parent.iterdir()) == ["a.engine", "a.engine.json"]
