"""Uploads lie where nobody else looks, and do not outlive the program."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from acutance.errors import OutputError
from acutance.serve.page.folder import PREFIX, PrivateFolder, sweep
from acutance.serve.page.kept import Kept


def test_a_private_folder_is_private_and_goes(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        folder = PrivateFolder(tmp_path)
        inner = folder.new()
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700 == stat.S_IMODE(inner.stat().st_mode)
    (inner / "x.dcm").write_bytes(b"x")
    folder.close()
    assert not folder.path.exists()


def test_folders_of_killed_programs_are_deleted_and_those_of_living_ones_are_not(tmp_path: Path) -> None:
    code = "import sys, os\nfrom pathlib import Path\nfrom acutance.serve.page.folder import PrivateFolder\n"
    code += "f = PrivateFolder(Path(sys.argv[1])); (f.new() / 'x').write_bytes(b'x')\n"
    code += "print('ready', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None and other.stdout.readline() == "ready\n"
        assert sweep(tmp_path) == 0 and len(list(tmp_path.iterdir())) == 1
        other.send_signal(signal.SIGKILL)
        other.wait(10)
    (tmp_path / f"{PREFIX}link").symlink_to(tmp_path)
    folder = PrivateFolder(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {folder.path.name, f"{PREFIX}link"}
    folder.close()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"none: no folder for uploads"):
        PrivateFolder(tmp_path / "none")


def test_what_was_used_last_is_kept() -> None:
    kept: Kept[str] = Kept(10)
    for key in "abc":
        kept.put(("run", key), key, 4)
        kept.get(("run", "a"))
    assert [kept.get(("run", k)) for k in "abc"] == ["a", None, "c"] and kept.used == 8
    kept.put("large", "large", 50)
    assert kept.get("large") == "large" and kept.used == 50
    kept.put("next", "next", 1)
    assert kept.get("large") is None and kept.used == 1
    kept.put(("run", 1), "x", 2)
    kept.forget("run")
    assert kept.get(("run", 1)) is None and kept.used == 1
