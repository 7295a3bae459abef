"""The command line in this process, and small files for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
import tifffile
from PIL import Image

from acutance import cli

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@dataclasses.dataclass(frozen=True)
class Ran:
    """Exit status, stdout, and the lines of stderr."""

    code: int
    out: str
    err: list[str]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run ``acutance`` with arguments."""

    def run(*arguments: Any) -> Ran:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.main([str(a) for a in arguments])
        said = capsys.readouterr()
        assert "Traceback" not in said.out + said.err
        return Ran(int(end.value.code or 0), said.out, said.err.splitlines())

    return run


def values(rows: int, cols: int, seed: int = 0, top: int = 250) -> Any:
    """Return smooth values from 0 to ``top`` with some noise, float."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:rows, :cols]
    smooth = np.sin(x / 3 + seed) + np.cos(y / 4) + rng.normal(0, 0.05, (rows, cols))
    return (smooth - smooth.min()) / np.ptp(smooth) * top


def _dicom(path: Path, modality: str = "MR", index: int = 0, series: str = "1", side: int = 40, **changes: Any) -> Path:
    """Write one slice of a series cut down from the shipped example of that modality."""
    header = pydicom.dcmread(EXAMPLES / {"CT": "ct-abdomen.dcm", "MR": "mr-brain.dcm", "CR": "xr-chest.dcm"}[modality])
    pixels = values(side, side + 8, seed=index, top=900 + 100 * index if modality != "CR" else 250)
    dtype = np.uint8 if header.BitsAllocated == 8 else np.uint16
    assert header.PixelRepresentation == 0
    header.Rows, header.Columns = pixels.shape
    header.PixelData = pixels.astype(dtype).tobytes()
    header.SeriesInstanceUID = f"1.2.3.{series}"
    header.SOPInstanceUID = header.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{series}.{index + 1}"
    if modality != "CR":
        header.ImagePositionPatient = [0, 0, 3 * index]
        header.InstanceNumber = index + 1
    for keyword, value in changes.items():
        setattr(header, keyword, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    header.save_as(path)
    return path


def _picture(path: Path, rows: int = 20, cols: int = 30, seed: int = 0) -> Path:
    """Write a gray picture in the format of the name: PNG, JPEG, TIFF of 16 bits, NIfTI of four slices."""
    path.parent.mkdir(parents=True, exist_ok=True)
    name = path.name.lower()
    if name.endswith((".nii", ".nii.gz")):
        data = np.stack([values(cols, rows, seed + k, 800) for k in range(4)], axis=2)
        nibabel.save(nibabel.Nifti1Image(data.astype(np.int16), np.diag([0.7, 0.7, 4, 1])), path)
    elif name.endswith((".tif", ".tiff")):
        tifffile.imwrite(path, values(rows, cols, seed, 60000).astype(np.uint16))
    else:
        Image.fromarray(values(rows, cols, seed).astype(np.uint8)).save(path)
    return path


@pytest.fixture
def make_dicom() -> Callable[..., Path]:
    """Return :func:`_dicom`."""
    return _dicom


@pytest.fixture
def make_picture() -> Callable[..., Path]:
    """Return :func:`_picture`."""
    return _picture


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A folder with one series, one picture of each kind, and three files that are none."""
    folder = tmp_path / "in"
    for i in range(2):
        _dicom(folder / "s" / f"IM{i}", index=i)
    _dicom(folder / "ct.dcm", "CT", series="2")
    for name in ("p/a.png", "p/b.tif", "p/c.jpg", "v.nii.gz"):
        _picture(folder / name)
    (folder / "notes.txt").write_text("no picture")
    (folder / "s" / "empty").touch()
    (folder / "cut.png").write_bytes((folder / "p" / "a.png").read_bytes()[:100])
    return folder
