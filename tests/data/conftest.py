"""A hospital's folder in small, and the command line in this process."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image

from acutance import cli

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

SECRETS = {
    "PatientName": "Mustermann^Erika",
    "PatientBirthDate": "19640812",
    "PatientAddress": "Heidestrasse 17",
    "ReferringPhysicianName": "Doktor^Wilhelmine",
    "InstitutionName": "Charlottenhospital",
    "StationName": "CTSTATION7",
    "StudyDate": "20231103",
    "StudyTime": "094117",
    "AcquisitionDateTime": "20231103094218.5",
    "AccessionNumber": "ACC4711",
    "StudyDescription": "Kontrolle nach Sturz",
    "DeviceSerialNumber": "SN990017",
    "Manufacturer": "Geraetebau",
    "ManufacturerModelName": "Sondermodell",
}
"""Elements of every slice that no data set may hold."""


@dataclasses.dataclass(frozen=True)
class Ran:
    """Exit status, stdout and stderr."""

    code: int
    out: str
    err: str


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run ``acutance`` with arguments."""

    def run(*arguments: Any) -> Ran:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.main([str(a) for a in arguments])
        said = capsys.readouterr()
        assert "Traceback" not in said.out + said.err
        return Ran(int(end.value.code or 0), said.out, said.err)

    return run


@pytest.fixture
def build(run: Callable[..., Ran]) -> Callable[..., Ran]:
    """Run ``acutance data build`` with a source and a licence."""
    return lambda *arguments: run("data", "build", *arguments, "--source", "ward 7", "--licence", "study agreement 12")


def _slice(path: Path, patient: str, modality: str = "CT", series: str = "1", index: int = 0, **changes: Any) -> Path:
    """Write one slice of 64x72 pixels; ``patient`` is its id and, as ``1.2.826.PATIENT``, the root of its UIDs."""
    header = pydicom.dcmread(EXAMPLES / {"CT": "ct-abdomen.dcm", "MR": "mr-brain.dcm", "CR": "xr-chest.dcm"}[modality])
    root = f"1.2.826.{sum(map(ord, patient))}"
    rng = np.random.default_rng([index, *map(ord, patient + series)])
    coarse = rng.integers(300, 1900, (8, 9)).repeat(8, 0).repeat(8, 1)
    pixels = coarse + rng.integers(0, 20, coarse.shape)
    dtype = np.uint8 if header.BitsAllocated == 8 else np.uint16
    header.Rows, header.Columns = pixels.shape
    header.PixelData = (pixels // 8 if dtype == np.uint8 else pixels).astype(dtype).tobytes()
    for keyword, value in SECRETS.items():
        setattr(header, keyword, value)
    header.PatientID = patient
    header.StudyInstanceUID, header.SeriesInstanceUID = f"{root}.7", f"{root}.7.{series}"
    header.FrameOfReferenceUID = f"{root}.8"
    header.SOPInstanceUID = header.file_meta.MediaStorageSOPInstanceUID = f"{root}.7.{series}.{index + 1}"
    header.EchoTime = "14"
    if modality != "CR":
        header.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        header.ImagePositionPatient = [0, 0, 3 * index]
        header.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        header.InstanceNumber = index + 1
    block = header.private_block(0x0009, "Maker 1.0", create=True)
    block.add_new(1, "LO", "Privatgeheimnis")
    for keyword, value in changes.items():
        setattr(header, keyword, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    header.save_as(path)
    return path


@pytest.fixture
def make_slice() -> Callable[..., Path]:
    """Return :func:`_slice`."""
    return _slice


@pytest.fixture
def ward(tmp_path: Path) -> Path:
    """Folder with CT of five patients, two slices each whose names say the wrong order, and MR of one of them."""
    folder = tmp_path / "ward"
    for p in range(5):
        for i in range(2):
            _slice(folder / f"{p}" / f"IM{1 - i}", f"PAT-00{p}", index=i)
    _slice(folder / "0" / "mr", "PAT-000", "MR", "2")
    return folder


def _picture(path: Path, seed: int, *, colour: bool = False, side: int = 72) -> Path:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 255, (side // 8, side // 8, 3)).repeat(8, 0).repeat(8, 1).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels if colour else np.ascontiguousarray(pixels[:, :, 0])).save(path)
    return path


@pytest.fixture
def make_picture() -> Callable[..., Path]:
    """Return a function that writes a picture of blocks."""
    return _picture
