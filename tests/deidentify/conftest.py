"""A patient who must not be found again, and the command line in this process."""

from __future__ import annotations

import dataclasses
import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pydicom.dataset import Dataset

from acutance import cli

SECRETS = {
    "PatientName": "Mustermann^Erika",
    "PatientID": "PAT4711",
    "PatientBirthDate": "19640812",
    "PatientAddress": "Heidestrasse 17",
    "ReferringPhysicianName": "Doktor^Wilhelmine",
    "InstitutionName": "Charlottenhospital",
    "StationName": "CTSTATION7",
    "DeviceSerialNumber": "SN990017",
    "StudyDate": "20231103",
    "AccessionNumber": "ACC0815",
    "StudyDescription": "Kontrolle nach Sturz",
    "SeriesDescription": "Schaedel Mustermann",
}


def _load(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture(scope="session")
def objects() -> ModuleType:
    """The makers of DICOM objects of every class, from the tests of acutance.dicom."""
    folder = Path(__file__).resolve().parents[1] / "dicom"
    made = _load(folder / "objects.py", "acutance_test_objects")
    made.CLASSES.update(_load(folder / "enhanced.py", "acutance_test_enhanced").CLASSES)
    return made


@pytest.fixture
def someone(objects: ModuleType) -> Callable[..., Dataset]:
    """Return a function that makes an object, CT if no other maker is named, of the patient above."""

    def make(maker: str = "ct", **changes: Any) -> Dataset:
        made: Dataset = getattr(objects, maker)()
        for keyword, value in {**SECRETS, **changes}.items():
            setattr(made, keyword, value)
        if "SOPInstanceUID" in changes:
            made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
        return made

    return make


@dataclasses.dataclass(frozen=True)
class Ran:
    """Exit status, stdout, and the lines of stderr."""

    code: int
    out: str
    err: list[str]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run ``acutance deidentify`` with arguments."""

    def run(*arguments: Any) -> Ran:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.main(["deidentify", *(str(a) for a in arguments)])
        said = capsys.readouterr()
        assert "Traceback" not in said.out + said.err
        return Ran(int(end.value.code or 0), said.out, said.err.splitlines())

    return run


@pytest.fixture(scope="session")
def tool() -> Callable[..., str]:
    """Return a function that runs a program and gives what it says, or skips the test by the program's name."""

    def run(*command: object) -> str:
        if shutil.which(str(command[0])) is None:
            pytest.skip(f"{command[0]} is not installed")
        done = subprocess.run([str(x) for x in command], capture_output=True, check=False, timeout=20)
        return (done.stdout + done.stderr).decode("latin-1")

    return run
