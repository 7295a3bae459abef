"""Files are whole or not there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pydicom
import pytest

from acutance import dicom
from acutance.errors import OutputError
from acutance.geometry import Frame


@pytest.fixture
def made(objects: ModuleType, enlarge: Callable[..., list[Frame]], tmp_path: Path) -> Any:
    return dicom.derive(enlarge(dicom.read(objects.save(objects.ct(), tmp_path / "source.dcm"))))


def test_file_is_read_by_others(made: Any, tool: Any, tmp_path: Path) -> None:
    dicom.write(tmp_path / "a.dcm", made)
    assert (tmp_path / "a.dcm").read_bytes()[128:132] == b"DICM"
    assert pydicom.dcmread(tmp_path / "a.dcm").SOPInstanceUID == made.SOPInstanceUID
    assert made.SOPInstanceUID.encode() in tool("dcmdump", tmp_path / "a.dcm").stdout


def test_nothing_is_left_beside(made: Any, tmp_path: Path) -> None:
    dicom.write(tmp_path / "a.dcm", made)
    dicom.write(tmp_path / "a.dcm", made)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.dcm", "source.dcm"]


def test_what_stood_there_stands_when_writing_fails(made: Any, tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "a.dcm").write_bytes(b"before")

    def fail(file: Any, **_: Any) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(made, "save_as", fail)
    with pytest.raises(OutputError, match="the disk is full"):
        dicom.write(tmp_path / "a.dcm", made)
    assert (tmp_path / "a.dcm").read_bytes() == b"before"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.dcm", "source.dcm"]


def test_who_reads_the_old_file_keeps_it(made: Any, tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(b"before")
    with (tmp_path / "a.dcm").open("rb") as reader:
        dicom.write(tmp_path / "a.dcm", made)
        assert reader.read() == b"before"
    assert pydicom.dcmread(tmp_path / "a.dcm").Rows == made.Rows


def test_errors_name_the_file(made: Any, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"none/a\.dcm: cannot be written: its folder does not exist"):
        dicom.write(tmp_path / "none" / "a.dcm", made)
    made.Rows = None
    made["Rows"]._value = "many"
    with pytest.raises(OutputError, match="cannot be written as DICOM"):
        dicom.write(tmp_path / "a.dcm", made)
    assert not (tmp_path / "a.dcm").exists()
