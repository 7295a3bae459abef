"""The example slices are what they say they are, and the demo runs on them."""

from __future__ import annotations

import csv
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from acutance import model

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
FILES = sorted(EXAMPLES.glob("*.dcm"))

SOURCES = {
    "ct-abdomen": ("CT/nysbu/A062055_axial_19001127.nii.gz", "CC BY 4.0"),
    "mr-brain": ("MR/studyforrest-02_T1.nii.gz", "PDDL 1.0"),
    "xr-chest": ("XR/mhh/7a7f0216_e1446fe8.png", "CC BY 3.0"),
}


def test_there_are_three_and_they_are_small() -> None:
    assert [f.stem for f in FILES] == sorted(SOURCES)
    assert sum(f.stat().st_size for f in FILES) < 1_500_000


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_each_says_where_it_is_from(path: Path) -> None:
    ds = pydicom.dcmread(path)
    licence = SOURCES[path.stem][1]
    assert licence in ds.ImageComments
    assert licence in ds.SeriesDescription
    assert ds.ContributingEquipmentSequence[0].ContributionDescription == ds.ImageComments
    assert ds.PatientIdentityRemoved == "YES"
    assert str(ds.PatientName).startswith("Example^")
    row = next(x for x in (EXAMPLES / "README.md").read_text().splitlines() if x.startswith(f"| `{path.name}`"))
    assert licence in row


def test_samples_are_in_the_units_that_the_header_says() -> None:
    ct, mr, xr = (pydicom.dcmread(EXAMPLES / f"{name}.dcm") for name in ("ct-abdomen", "mr-brain", "xr-chest"))
    hu = ct.pixel_array * float(ct.RescaleSlope) + float(ct.RescaleIntercept)
    assert np.median(hu[:20]) < -950  # air
    assert 0 < np.median(hu[250:300, 130:180]) < 150  # soft tissue
    assert mr.pixel_array.max() < 2**mr.BitsStored
    assert (xr.BitsAllocated, xr.pixel_array.dtype) == (8, np.uint8)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_dciodvfy_finds_no_error(path: Path) -> None:
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy is not installed")
    done = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False)
    assert "Error" not in done.stdout + done.stderr


def test_rebuilt_from_the_data_they_are_the_same_bytes(data_dir: Path, tmp_path: Path) -> None:
    runpy.run_path(str(EXAMPLES / "make_examples.py"))["main"](tmp_path, data_dir)
    assert len(list(tmp_path.iterdir())) == len(FILES)
    for path in FILES:
        assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name


def test_they_are_from_the_test_split_and_free(data_dir: Path) -> None:
    with (data_dir / "MANIFEST.csv").open(newline="") as file:
        rows = {row["path"]: row for row in csv.DictReader(file)}
    for source, licence in SOURCES.values():
        assert rows[source]["split"] == "test"
        assert rows[source]["licence"].startswith(licence)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("demo")
    command = [sys.executable, EXAMPLES / "demo.py", out]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out, done.stdout


def test_demo_writes_derived_files_and_pictures(demo: tuple[Path, str]) -> None:
    out = demo[0]
    for path in FILES:
        before, after = pydicom.dcmread(path), pydicom.dcmread(out / f"{path.stem}_x2.dcm")
        assert (after.Rows, after.Columns) == (2 * before.Rows, 2 * before.Columns)
        assert after.ImageType[0] == "DERIVED"
        assert after.SOPInstanceUID != before.SOPInstanceUID
        assert after.pixel_array.shape == (after.Rows, after.Columns)
        for picture in ("before_after", "brought_back"):
            with Image.open(out / f"{path.stem}_{picture}.png") as image:
                assert min(image.size) > 400


def table(text: str) -> dict[str, list[str]]:
    return {x[0]: x[1:] for x in map(str.split, text.splitlines()) if len(x) == 8 and x[0].endswith(".dcm")}


def test_demo_gives_what_the_readme_says(demo: tuple[Path, str]) -> None:
    said, found = (table(text) for text in ((EXAMPLES.parent / "README.md").read_text(encoding="utf-8"), demo[1]))
    assert said.keys() == found.keys()
    for name, row in found.items():
        assert said[name][:2] == row[:2]
        assert float(said[name][3]) == pytest.approx(float(row[3]), abs=0.02)
        assert float(said[name][5]) == pytest.approx(float(row[5]), abs=0.02)


def test_demo_ends_in_a_table(demo: tuple[Path, str]) -> None:
    rows = table(demo[1])
    assert list(rows) == [path.name for path in FILES]
    for path in FILES:
        chosen = model.choose(pydicom.dcmread(path, stop_before_pixels=True).Modality)
        used, backend, _, cubic, _, ours, _ = rows[path.name]
        if chosen is None:
            assert (used, backend, ours) == ("base", "base", cubic)
            assert f"{path.name} got the base" in demo[1]
        else:
            assert (used, backend) == (chosen.meta.name, "onnxruntime")
            assert float(ours) - float(cubic) > 0.1
    assert {"ct-rt-x2", "mr-rt-x2"} <= {row[0] for row in rows.values()}
