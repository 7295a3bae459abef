"""`acutance enhance --isotropic` from end to end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest

from acutance import dicom
from acutance.files import nifti

Run = Callable[..., Any]
Make = Callable[..., Path]

OBLIQUE = np.array([[0.6, 0, -3.2, 5], [0, 0.75, 0, -7], [0.45, 0, 2.4, 11], [0, 0, 0, 1.0]])
"""Voxels of 0.75 mm, slices 4 mm apart, turned about the second axis."""


def volume(path: Path, slices: int = 7, side: int = 24, seed: int = 0) -> Path:
    z, y, x = np.mgrid[:slices, :side, :side]
    data = 400 + 200 * np.sin(x / 3 + seed) + 150 * np.cos(y / 4 + z / 2)
    nibabel.save(nibabel.Nifti1Image(data.T.astype(np.int16), OBLIQUE), path)
    return path


def series(folder: Path, make_dicom: Make, places: list[float], modality: str = "CT") -> Path:
    for i, z in enumerate(places):
        changes = {"ImagePositionPatient": [1.5, -2.5, z], "SliceThickness": 3, "PixelSpacing": [0.9, 0.9]}
        make_dicom(folder / f"IM{i}", modality, index=i, side=24, ImageOrientationPatient=[1, 0, 0, 0, 1, 0], **changes)
    return folder


def test_a_nifti_volume_keeps_its_place(run: Run, tmp_path: Path) -> None:
    source = volume(tmp_path / "a.nii.gz")
    ran = run("enhance", source, "-o", tmp_path / "b.nii.gz", "--isotropic", "--modality", "MR")
    assert ran.code == 0 and not ran.err and "mr-rt-x" in ran.out and "average to the old ones within" in ran.out
    old, new = nibabel.load(source), nibabel.load(tmp_path / "b.nii.gz")
    assert new.shape == (24, 24, round(7 * 4 / 0.75)) and new.get_data_dtype() == np.int16
    np.testing.assert_allclose(nibabel.affines.voxel_sizes(new.affine), 0.75, atol=1e-6)
    # The corner of the first voxel stays, and so does the distance of two faces.
    np.testing.assert_allclose(new.affine @ [-0.5, -0.5, -0.5, 1], old.affine @ [-0.5, -0.5, -0.5, 1], atol=1e-5)
    ends = [a @ [0, 0, n - 0.5, 1] - a @ [0, 0, -0.5, 1] for a, n in ((old.affine, 6), (new.affine, 32))]
    np.testing.assert_allclose(ends[0], ends[1], atol=1e-5)
    data = np.asarray(new.dataobj, float)
    means = np.stack([data[..., round(k * 4 / 0.75) : round((k + 1) * 4 / 0.75)].mean(-1) for k in range(7)], -1)
    assert np.abs(means - np.asarray(old.dataobj)).mean() < 12
    again = run("enhance", source, "-o", tmp_path / "b.nii.gz", "--isotropic", "--modality", "MR")
    assert again.code == 0 and "1 already right" in again.out
    other = run("enhance", source, "-o", tmp_path / "b.nii.gz", "--isotropic", "--modality", "MR", "--guard", "none")
    assert "1 enhanced" in other.out


def test_finer_in_the_plane_too(run: Run, tmp_path: Path) -> None:
    source = volume(tmp_path / "a.nii", slices=3, side=12)
    ran = run("enhance", source, "-o", tmp_path / "b.nii", "--isotropic", "--scale", "2", "--modality", "MR")
    assert ran.code == 0
    old, new = nibabel.load(source), nibabel.load(tmp_path / "b.nii")
    assert new.shape == (24, 24, 32)
    np.testing.assert_allclose(nibabel.affines.voxel_sizes(new.affine), 0.375, atol=1e-6)
    np.testing.assert_allclose(new.affine @ [-0.5, -0.5, -0.5, 1], old.affine @ [-0.5, -0.5, -0.5, 1], atol=1e-5)


def test_volumes_in_time_are_made_one_by_one(run: Run, tmp_path: Path) -> None:
    first, second = (np.asarray(nibabel.load(volume(tmp_path / f"{i}.nii", seed=i)).dataobj) for i in (0, 1))
    nibabel.save(nibabel.Nifti1Image(np.stack([first, second], 3), OBLIQUE), tmp_path / "t.nii")
    assert run("enhance", tmp_path / "t.nii", "-o", tmp_path / "u.nii", "--isotropic", "--model", "base").code == 0
    made = nibabel.load(tmp_path / "u.nii")
    assert made.shape == (24, 24, 37, 2)
    run("enhance", tmp_path / "1.nii", "-o", tmp_path / "v.nii", "--isotropic", "--model", "base")
    np.testing.assert_array_equal(made.dataobj[..., 1], nibabel.load(tmp_path / "v.nii").dataobj)


def test_a_series_becomes_a_new_one(run: Run, tmp_path: Path, make_dicom: Make) -> None:
    folder = series(tmp_path / "in", make_dicom, [0.0, 3, 6, 12, 15])
    ran = run("enhance", folder, "-o", tmp_path / "out", "--isotropic")
    assert ran.code == 0 and "1 missing slice is interpolated (1 after slice 3)" in ran.out
    files = sorted((tmp_path / "out").iterdir())
    assert [p.name for p in files] == [f"IM0_iso_{i + 1:04}" for i in range(round(18 / 0.9))]
    made = [pydicom.dcmread(p) for p in files]
    for i, one in enumerate(made):
        np.testing.assert_allclose(
            [float(v) for v in one.ImagePositionPatient], [1.5, -2.5, -1.05 + 0.9 * i], atol=1e-6
        )
        assert one.SliceThickness == one.SpacingBetweenSlices == 0.9
    assert len({m.SeriesInstanceUID for m in made}) == 1
    marked = [i for i, m in enumerate(made) if "slice is missing" in m.DerivationDescription]
    assert marked == [i for i in range(20) if abs(-1.05 + 0.9 * i - 9) < 1.5]
    before = {p: p.stat().st_mtime_ns for p in files}
    again = run("enhance", folder, "-o", tmp_path / "out", "--isotropic")
    assert "1 already right" in again.out and before == {p: p.stat().st_mtime_ns for p in files}
    files[3].unlink()
    assert "1 enhanced" in run("enhance", folder, "-o", tmp_path / "out", "--isotropic").out and files[3].exists()
    (found,) = dicom.find(files).series
    assert len(found.paths) == 20


def test_an_isotropic_volume_is_passed_on(run: Run, tmp_path: Path, make_dicom: Make) -> None:
    folder = series(tmp_path / "in", make_dicom, [0.0, 0.91, 1.82])
    ran = run("enhance", folder, "-o", tmp_path / "out", "--isotropic")
    assert ran.code == 0 and "is isotropic within 5 % already (0.91 mm) and passed on as it is" in ran.out
    for path in sorted(folder.iterdir()):
        assert (tmp_path / "out" / f"{path.name}_iso").read_bytes() == path.read_bytes()


def test_what_is_no_volume_is_skipped(run: Run, tmp_path: Path, make_dicom: Make, make_picture: Make) -> None:
    picture, one = make_picture(tmp_path / "a.png"), make_dicom(tmp_path / "one.dcm")
    ran = run("enhance", picture, one, "-o", tmp_path / "out", "--isotropic")
    assert ran.code == 1 and any("is no volume" in x for x in ran.err) and any("single slice" in x for x in ran.err)
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_foreign_files_are_not_overwritten(run: Run, tmp_path: Path) -> None:
    source = volume(tmp_path / "a.nii")
    (tmp_path / "b.nii").write_bytes(source.read_bytes())
    ran = run("enhance", source, "-o", tmp_path / "b.nii", "--isotropic", "--model", "base")
    assert ran.code == 1 and "not from acutance" in ran.err[0]
    ran = run("enhance", source, "-o", tmp_path / "b.nii", "--isotropic", "--model", "base", "--overwrite")
    assert ran.code == 0 and nifti.read_record(tmp_path / "b.nii") is not None


def test_blank_slices_are_missing_ones(run: Run, tmp_path: Path) -> None:
    source = volume(tmp_path / "a.nii")
    image = nibabel.load(source)
    data = np.asarray(image.dataobj).copy()
    data[..., 3] = 0
    nibabel.save(nibabel.Nifti1Image(data, OBLIQUE), tmp_path / "b.nii")
    ran = run("enhance", tmp_path / "b.nii", "-o", tmp_path / "c.nii", "--isotropic", "--mend", "--model", "base")
    assert ran.code == 0 and "1 missing slice is interpolated (1 after slice 3)" in ran.out
    made = np.asarray(nibabel.load(tmp_path / "c.nii").dataobj)
    assert made.shape[2] == 37 and made[..., 16:21].min() > 0


@pytest.mark.parametrize("options", [("--display", "png", "--isotropic"), ("--window", "40,400")])
def test_options_that_do_not_go_together(run: Run, tmp_path: Path, options: tuple[str, ...]) -> None:
    assert run("enhance", volume(tmp_path / "a.nii"), "-o", tmp_path / "b.nii", *options).code == 2
