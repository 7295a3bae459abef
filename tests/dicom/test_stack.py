"""New slices of a DICOM volume: in their place to the micrometre, one new series, and valid."""

from __future__ import annotations

import copy
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from acutance import Enhancer, dicom, volume
from acutance.dicom import groups
from acutance.errors import InputError
from acutance.geometry import Frame

MICROMETRE = 1e-3


def series(
    objects: ModuleType, folder: Path, places: Sequence[float], kind: str = "ct", shear: float = 0
) -> list[Path]:
    """Write slices of 4 mm nominal distance along the normal of an oblique plane, in an order of their own."""
    folder.mkdir()
    iop = np.asarray(objects.IOP)
    normal = np.cross(iop[:3], iop[3:])
    paths = []
    for i, place in sorted(enumerate(places), key=lambda x: x[0] * 7 % len(places)):
        made = getattr(objects, kind)()
        made.PixelSpacing = [0.7, 0.7]
        made.ImagePositionPatient = [
            round(float(x), 6) for x in np.asarray(objects.IPP) + place * (normal + shear * iop[:3])
        ]
        made.SliceThickness, made.SpacingBetweenSlices, made.SliceLocation = 3.5, 4.0, round(float(place), 3)
        made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = f"{made.SOPInstanceUID}.{i + 1}"
        made.InstanceNumber = i + 1
        values = np.roll(made.pixel_array, i, axis=0)
        made.PixelData = values.tobytes()
        paths.append(folder / f"{i}.dcm")
        made.save_as(paths[-1], enforce_file_format=True)
    return paths


def read(paths: Sequence[Path]) -> list[Frame]:
    return [f for p in paths for f in dicom.read(p)]


def isotropic(frames: Sequence[Frame], **options: Any) -> tuple[volume.Grid, list[Any], dicom.Located]:
    located = dicom.locate(frames)
    stack = volume.gathered(located.frames, located.places, located.thickness)
    grid = volume.plan(located.places, located.thickness, min(stack.spacing))
    enhancers = {2: Enhancer("base")}
    made = volume.isotropic(stack, grid, enhancers)
    said = volume.derivation(stack, grid, enhancers)
    near = volume.nearest(grid, located.places)
    derivations = volume.derivations(said, grid, located.places, located.frames)
    new = volume.stored(made.voxels, made.missing, located.frames, derivations, near)
    objects = list(dicom.derive_stack(located, new, near, grid.targets, grid.step, **options))
    assert [o.SOPInstanceUID for o in objects] == dicom.stack_uids(located, derivations)
    return grid, objects, located


def corner(header: Dataset, plane: Dataset | None = None) -> np.ndarray[Any, Any]:
    return np.asarray((plane or header).ImagePositionPatient, float)


@pytest.mark.parametrize("kind", ["ct", "mr"])
def test_a_series_becomes_one_new_series(objects: ModuleType, tmp_path: Path, kind: str) -> None:
    places = 4.0 * np.arange(6)
    paths = series(objects, tmp_path / "in", places, kind)
    grid, made, located = isotropic(read(paths))
    assert len(made) == grid.count == round(6 * 4 / 0.7)
    first = pydicom.dcmread(paths[0])
    iop = np.asarray(objects.IOP)
    normal = np.cross(iop[:3], iop[3:])
    start = np.asarray(objects.IPP) + (0.5 * 0.7 - 2.0) * normal
    for i, one in enumerate(made):
        np.testing.assert_allclose(corner(one), start + 0.7 * i * normal, atol=MICROMETRE)
        assert one.SliceThickness == one.SpacingBetweenSlices == 0.7 and one.InstanceNumber == i + 1
        assert (one.StudyInstanceUID, one.FrameOfReferenceUID) == (first.StudyInstanceUID, first.FrameOfReferenceUID)
        assert one.SOPClassUID == first.SOPClassUID and list(one.PixelSpacing) == [0.7, 0.7]
        assert one.ImageType[0] == "DERIVED" and "isotropic" in one.SeriesDescription
        assert "3.5 mm thick" in one.DerivationDescription and 1 <= len(one.SourceImageSequence) <= 2
        assert list(one.ImageOrientationPatient) == objects.IOP
    assert len({o.SeriesInstanceUID for o in made}) == 1 != first.SeriesInstanceUID
    assert len({o.SOPInstanceUID for o in made}) == len(made)
    assert {o.SeriesNumber for o in made} == {3 * 100 + 51}
    # A distance between two places of the patient is what it was.
    assert np.linalg.norm(corner(made[30]) - corner(made[5])) == pytest.approx(25 * 0.7, abs=MICROMETRE)
    assert made[0].SourceImageSequence[0].ReferencedSOPInstanceUID == located.frames[0].source.header.SOPInstanceUID  # type: ignore[union-attr]


def test_written_slices_are_read_back_in_place(objects: ModuleType, tmp_path: Path) -> None:
    paths = series(objects, tmp_path / "in", 4.0 * np.arange(5))
    grid, made, located = isotropic(read(paths), compress="rle")
    (tmp_path / "out").mkdir()
    for i, one in enumerate(made):
        dicom.write(tmp_path / "out" / f"{i:03}.dcm", one)
    (found,) = dicom.find([tmp_path / "out"]).series
    again = dicom.locate(read([Path(p) for p in found.paths]))
    np.testing.assert_allclose(np.diff(again.places), 0.7, atol=MICROMETRE)
    stack = volume.gathered(again.frames, again.places, None)
    means = volume.along.profile(located.places, 3.5, grid.first, grid.step, grid.count)
    old = volume.gathered(located.frames, located.places, 3.5)
    assert np.abs(volume.along.apply(means, stack.voxels) - old.voxels).max() <= 0.51  # rounding


@pytest.mark.parametrize("kind", ["ct", "mr"])
def test_slices_are_valid(objects: ModuleType, tmp_path: Path, kind: str) -> None:
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy is not installed")
    _, made, _ = isotropic(read(series(objects, tmp_path / "in", 4.0 * np.arange(3), kind)))
    dicom.write(tmp_path / "one.dcm", made[4])
    done = subprocess.run(["dciodvfy", tmp_path / "one.dcm"], capture_output=True, text=True, check=False)
    assert not [x for x in (done.stdout + done.stderr).splitlines() if x.startswith("Error")], done.stderr


def _three_parallel(made: Dataset) -> Dataset:
    for i, group in enumerate(made.PerFrameFunctionalGroupsSequence):
        group.PlaneOrientationSequence[0].ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        group.PlanePositionSequence[0].ImagePositionPatient = [1.5, -2.5, 2.0 * i]
    return made


@pytest.mark.parametrize("name", ["enhanced_ct", "enhanced_mr"])
def test_an_enhanced_object_becomes_one(objects: ModuleType, tmp_path: Path, name: str) -> None:
    source = _three_parallel(getattr(objects, name)())
    source.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    grid, (made,), _ = isotropic(dicom.read(tmp_path / "a.dcm"))
    assert made.NumberOfFrames == grid.count == 12 == len(made.PerFrameFunctionalGroupsSequence)
    assert grid.step == 0.5 and made.SOPInstanceUID != source.SOPInstanceUID
    measures = groups.item(made, "PixelMeasuresSequence", 0)
    assert measures is not None and measures.SliceThickness == measures.SpacingBetweenSlices == 0.5
    for i, group in enumerate(made.PerFrameFunctionalGroupsSequence):
        wanted = [1.5, -2.5, -1.0 + 0.25 + 0.5 * i]
        np.testing.assert_allclose(corner(group.PlanePositionSequence[0]), wanted, atol=MICROMETRE)
        content = group.FrameContentSequence[0]
        assert content.InStackPositionNumber == i + 1 and content.DimensionIndexValues in (i + 1, [i + 1])
        sources = group.DerivationImageSequence[0].SourceImageSequence
        assert {s.ReferencedFrameNumber for s in sources} <= {1, 2, 3} and sources
    dicom.write(tmp_path / "b.dcm", made)
    assert len(dicom.read(tmp_path / "b.dcm")) == 12
    if shutil.which("dciodvfy"):
        done = subprocess.run(["dciodvfy", tmp_path / "b.dcm"], capture_output=True, text=True, check=False)
        before = subprocess.run(["dciodvfy", tmp_path / "a.dcm"], capture_output=True, text=True, check=False)
        known = {x for x in (before.stdout + before.stderr).splitlines() if x.startswith("Error")}
        found = {x for x in (done.stdout + done.stderr).splitlines() if x.startswith("Error")}
        assert not found - known


def test_missing_slices_are_marked(objects: ModuleType, tmp_path: Path) -> None:
    paths = series(objects, tmp_path / "in", [0.0, 4, 8, 16, 20, 24])
    grid, made, _ = isotropic(read(paths))
    assert grid.gaps == ((2, 1),) and grid.old == 7
    marked = [i for i, one in enumerate(made) if "slice is missing" in one.DerivationDescription]
    centres = grid.targets - grid.start
    assert marked == np.flatnonzero(np.abs(centres - 12) < 1.8).tolist() and len(marked) >= 5


def test_a_tilted_gantry_keeps_its_shear(objects: ModuleType, tmp_path: Path) -> None:
    paths = series(objects, tmp_path / "in", 4.0 * np.arange(4), shear=0.2)
    _, made, _ = isotropic(read(paths))
    step = corner(made[1]) - corner(made[0])
    iop = np.asarray(objects.IOP)
    np.testing.assert_allclose(step, 0.7 * (np.cross(iop[:3], iop[3:]) + 0.2 * iop[:3]), atol=MICROMETRE)


def test_slopes_of_single_slices_become_one(objects: ModuleType, tmp_path: Path) -> None:
    paths = series(objects, tmp_path / "in", 4.0 * np.arange(3))
    for k, path in enumerate(paths):
        header = pydicom.dcmread(path)
        header.RescaleSlope = k + 1
        header.save_as(path)
    _, made, _ = isotropic(read(paths))
    assert {float(o.RescaleSlope) for o in made} == {3.0}


def _changed(**values: Any) -> Callable[[Dataset], None]:
    def change(header: Dataset) -> None:
        for keyword, value in values.items():
            setattr(header, keyword, copy.copy(value))

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_changed(ImageOrientationPatient=[0, 1, 0, 0, 0, -1]), "not parallel"),
        (_changed(ImagePositionPatient=None), "without Image Position"),
        (_changed(ImagePositionPatient=[99, 99, 99]), "do not lie behind each other"),
    ],
)
def test_what_is_no_volume_is_refused(
    objects: ModuleType, tmp_path: Path, change: Callable[[Dataset], None], message: str
) -> None:
    paths = series(objects, tmp_path / "in", 4.0 * np.arange(4))
    header = pydicom.dcmread(paths[2])
    change(header)
    header.save_as(paths[2])
    with pytest.raises(InputError, match=message):
        dicom.locate(read(paths))
