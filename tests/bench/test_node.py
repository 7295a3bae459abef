"""Every receiver gets every image, and a receiver that loses one is found out."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pynetdicom")
from acutance.bench import node, record

from acutance.errors import UsageError


@pytest.fixture(autouse=True)
def _needs_dcmtk() -> None:
    if node.program("storescu") is None:
        pytest.skip("storescu is not installed")


def test_a_run_has_a_row_for_each_receiver(
    run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = node.receivers()
    monkeypatch.setattr(node, "receivers", lambda: {name: found[name] for name in (node.OURS, node.PYNETDICOM)})
    monkeypatch.setattr(node, "WANTED", 0.0)
    words = ("--associations", 2, "--images", 2, "--size", 16, "--repeats", 1, "--folder", tmp_path)
    done = run("bench", "node", *words, "--json", tmp_path / "node.json")
    assert done.code == 0, done.err
    rows = record.read(tmp_path / "node.json")["rows"]
    assert [(r["way"], r["associations"], r["images"], r["flushed"]) for r in rows] == [
        (node.OURS, 2, 4, True),
        (node.PYNETDICOM, 2, 4, False),
    ]
    assert rows[1]["rate_over_pynetdicom"] == 1.0
    for row in rows:
        assert row["images_s"] == pytest.approx(1000 / row["ms"]["p50"], abs=0.1)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["node.json"]


def test_a_receiver_that_loses_images_is_no_rival(tmp_path: Path) -> None:
    node.images(tmp_path / "source", 2, 16)
    storescp = [sys.executable, "-m", "pynetdicom", "storescp", "-q", "--ignore"]
    with pytest.raises(UsageError, match="has 0 images of 2"):
        node.once(lambda _, port: [*storescp, str(port)], [tmp_path / "source"], tmp_path)
    with pytest.raises(UsageError, match="does not start"):
        node.once(lambda *_: [sys.executable, "-c", ""], [tmp_path / "source"], tmp_path)


def test_programs_beside_the_interpreter_are_not_dcmtks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("own", "theirs"):
        (tmp_path / name).mkdir()
        program = tmp_path / name / "storescu"
        program.touch()
        program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "own" / "python"))
    monkeypatch.setenv("PATH", os.pathsep.join(str(tmp_path / name) for name in ("own", "theirs")))
    assert node.program("storescu") == str(tmp_path / "theirs" / "storescu")
    monkeypatch.setenv("PATH", str(tmp_path / "own"))
    assert node.program("storescu") is None
