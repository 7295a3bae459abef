"""Scans are found by split and read as slices along their acquisition axis."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from acutance import degrade
from acutance.errors import InputError, UsageError
from acutance.evaluate import scans
from acutance.model import Fixed, Percentile

HEAD = ["path", "split", "modality", "subject_id", "source", "licence"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    nibabel, image = pytest.importorskip("nibabel"), pytest.importorskip("PIL.Image")
    rng, rows = np.random.default_rng(1), []

    def add(path: str, split: str, modality: str) -> Path:
        rows.append([path, split, modality, f"s{len(rows)}", "there", "MIT"])
        return tmp_path / path

    def volume(path: Path, pixels: np.ndarray, *spacing: float) -> None:
        nibabel.save(nibabel.Nifti1Image(pixels, np.diag([*spacing, 1.0])), path)

    body = rng.integers(-100, 300, (20, 31, 4)).astype(np.int16)
    body[:, :, 2] = -1000
    volume(add("a.nii.gz", "train", "CT"), body, 0.7, 0.7, 3.0)
    volume(add("x_sagittal_1.nii.gz", "train", "CT"), body[:, :, :1], 0.7, 0.7, 3.0)
    volume(add("eight.nii.gz", "val", "CT"), body.astype(np.uint8), 0.7, 0.7, 3.0)
    volume(add("m.nii.gz", "val", "MR"), rng.integers(0, 200, (5, 20, 24)).astype(np.int16), 2.0, 0.9, 0.9)
    colours = rng.integers(0, 255, (21, 33, 3)).astype(np.uint8)
    image.fromarray(colours).save(add("c.jpg", "train", "ENDO"), quality=100, subsampling=0)
    image.fromarray(colours).save(add("p.png", "train", "US"))
    image.fromarray(colours[:, :, 0]).save(add("g.png", "test", "US"))
    (tmp_path / "broken.png").write_bytes(b"none")
    add("broken.png", "train", "XR")
    with (tmp_path / "MANIFEST.csv").open("w", newline="") as f:
        csv.writer(f).writerows([HEAD, *rows])
    return tmp_path


def the_one(folder: Path, split: str, modality: str) -> scans.Series:
    (scan,) = scans.find(folder, split, modality)
    found = scans.load(scan)
    assert found is not None
    return found


def test_a_split_gives_its_scans_alone(folder: Path) -> None:
    assert [s.path.name for s in scans.find(folder, "train", "CT")] == ["a.nii.gz"]
    both = scans.find(folder, "train", "CT", reformats=True)
    assert [(s.path.name, s.reformat) for s in both] == [("a.nii.gz", False), ("x_sagittal_1.nii.gz", True)]
    assert [s.path.name for s in scans.find(folder, "test", "US")] == ["g.png"]
    assert scans.find(folder, "val", "US") == []


def test_truths_are_whole_blocks_of_slices_that_show_something(folder: Path) -> None:
    found = the_one(folder, "train", "CT")
    assert len(found.slices) == 4 and found.spacing == pytest.approx((0.7, 0.7))
    assert [(i, t.shape) for i, t in found.truths(2)] == [(0, (20, 30)), (1, (20, 30)), (3, (20, 30))]
    assert found.truths(2)[0][1].dtype == np.int16


def test_slices_lie_along_the_acquisition_axis(folder: Path) -> None:
    found = the_one(folder, "val", "MR")
    assert [s.shape for s in found.slices] == [(20, 24)] * 5
    assert found.spacing == pytest.approx((0.9, 0.9))


def test_what_a_model_sees_as_0_and_1(folder: Path) -> None:
    found = the_one(folder, "val", "MR")
    assert found.span(Fixed(unit="HU", low=-1024, high=3071)) == (-1024, 3071)
    low, high = found.span(Percentile(low=10, high=90))
    assert (low, high) == pytest.approx(tuple(np.percentile(np.stack(found.slices), (10, 90))))


def test_a_ct_of_8_bits_is_no_truth(folder: Path) -> None:
    assert scans.load(scans.find(folder, "val", "CT")[0]) is None


def test_colour_is_luma_and_jpeg_is_area_meaned(folder: Path) -> None:
    import PIL.Image

    png, jpeg = the_one(folder, "train", "US").slices[0], the_one(folder, "train", "ENDO").slices[0]
    rgb = np.asarray(PIL.Image.open(folder / "p.png"), dtype=np.float64)
    luma = rgb @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(png, luma, atol=1e-3)
    assert jpeg.shape == (10, 16)
    decoded = np.asarray(PIL.Image.open(folder / "c.jpg"), dtype=np.float64) @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(jpeg, degrade.area_mean(decoded[:20, :32], 2), atol=1e-3)
    assert the_one(folder, "test", "US").slices[0].dtype == np.uint8


def test_errors_name_the_file(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"broken.png: cannot be read"):
        scans.load(scans.find(folder, "train", "XR")[0])
    with pytest.raises(InputError, match=r"MANIFEST.csv: cannot be read"):
        scans.find(tmp_path / "none", "train", "CT")
    with pytest.raises(UsageError, match="split is 'all'; wanted one of train, val, test"):
        scans.find(folder, "all", "CT")
