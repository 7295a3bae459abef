"""Every file that others use to break readers: converted or named, never a traceback."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom.data
import pytest


def folder_of(which: str, request: pytest.FixtureRequest) -> Path:
    if which == "pydicom":
        return Path(str(pydicom.data.get_testdata_file("CT_small.dcm"))).parent
    data: Path = request.getfixturevalue("data_dir")
    return data / which


@pytest.mark.parametrize(("which", "model", "converted"), [("pydicom", "auto", 50), ("DICOM", "base", 40)])
def test_every_file_is_converted_or_named(
    run: Callable[..., Any], request: pytest.FixtureRequest, tmp_path: Path, which: str, model: str, converted: int
) -> None:
    folder = folder_of(which, request)
    everything = {p for p in folder.rglob("*") if p.is_file()}
    ran = run("enhance", folder, "-o", tmp_path / "out", "--jobs", 2, "--model", model)
    made = [p for p in (tmp_path / "out").rglob("*") if p.is_file()]
    named = [re.match(r"skipped (.+?): ", line) for line in ran.err]
    assert all(named), "every line on stderr names a file and the reason"
    skipped = {Path(m[1]) for m in named if m}
    assert len(skipped) == len(ran.err) and skipped <= everything
    assert len(made) + len(skipped) == len(everything)
    assert len(made) >= converted
    assert ran.code == 3
    assert "fault of acutance" not in "\n".join(ran.err)
    assert f"{len(made)} enhanced, 0 already right, {len(skipped)} skipped" in ran.out
