"""Files are grouped into series and sorted by where they lie, from headers only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np

from acutance import dicom


def _save(objects: ModuleType, folder: Path, name: str, **values: object) -> Path:
    made = objects.mr()
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{abs(hash(name)) % 10**9}"
    for keyword, value in values.items():
        if value is None:
            delattr(made, keyword)
        else:
            setattr(made, keyword, value)
    return Path(objects.save(made, folder / name))


def _names(found: dicom.Found) -> list[list[str]]:
    return [[Path(p).name for p in series.paths] for series in found.series]


def test_sorted_along_the_normal(objects: ModuleType, tmp_path: Path) -> None:
    normal = np.cross(objects.IOP[:3], objects.IOP[3:])
    for name, along, number in (("a", 4.0, 1), ("b", -2.5, 2), ("c", 10.0, 3), ("d", 0.0, 4)):
        place = (np.array(objects.IPP) + along * normal).round(6).tolist()
        _save(objects, tmp_path, name, ImagePositionPatient=place, InstanceNumber=number)
    assert _names(dicom.find([tmp_path])) == [["b", "d", "a", "c"]]


def test_same_place_by_acquisition_then_instance(objects: ModuleType, tmp_path: Path) -> None:
    for name, acquisition, instance in (("a", 2, 1), ("b", 1, 10), ("c", 1, 9), ("d", 2, 0)):
        _save(objects, tmp_path, name, AcquisitionNumber=acquisition, InstanceNumber=instance)
    assert _names(dicom.find([tmp_path])) == [["c", "b", "d", "a"]]


def test_without_geometry_by_number(objects: ModuleType, tmp_path: Path) -> None:
    for name, instance in (("a", 10), ("b", 9), ("c", None)):
        _save(objects, tmp_path, name, ImagePositionPatient=None, InstanceNumber=instance)
    assert _names(dicom.find([tmp_path])) == [["b", "a", "c"]]


def test_orientations_stay_together(objects: ModuleType, tmp_path: Path) -> None:
    other = [1, 0, 0, 0, 1, 0]
    for name, orientation, z in (("a", other, 9), ("b", objects.IOP, 40), ("c", other, 3), ("d", objects.IOP, 41)):
        _save(objects, tmp_path, name, ImageOrientationPatient=orientation, ImagePositionPatient=[0, 0, z])
    (names,) = _names(dicom.find([tmp_path]))
    assert sorted((names[:2], names[2:]), key=str) in ([["b", "d"], ["c", "a"]], [["c", "a"], ["d", "b"]])
    assert {frozenset(names[:2]), frozenset(names[2:])} == {frozenset("ac"), frozenset("bd")}


def test_series_folders_and_files(objects: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    one = _save(objects, tmp_path / "deep" / "er", "one")
    two = _save(objects, tmp_path / "deep", "two", SeriesInstanceUID="1.2.7")
    (tmp_path / "deep" / ".hidden").write_bytes(one.read_bytes())
    (tmp_path / "deep" / "notes.txt").write_text("no DICOM")
    found = dicom.find([two, tmp_path / "deep", one])
    assert _names(found) == [["two"], ["one"]]
    assert [s.uid for s in found.series] == ["1.2.7", objects.mr().SeriesInstanceUID]
    assert {s.modality for s in found.series} == {"MR"}
    (skipped,) = found.skipped
    assert skipped.path is not None and skipped.path.endswith("notes.txt") and "not a DICOM file" in skipped.message


def test_real_series(sample: Callable[[str], Path]) -> None:
    folder = sample("dicomdirtests/98892003/MR700/4467").parent
    found = dicom.find([folder])
    (series,) = found.series
    assert len(series.paths) == 7 and series.modality == "MR"
    positions = [float(dicom.read(p)[0].source.header.ImagePositionPatient[2]) for p in series.paths]  # type: ignore[union-attr]
    assert positions == sorted(positions) or positions == sorted(positions, reverse=True)
    assert len(set(positions)) == 7


def test_pixels_are_not_read(objects: ModuleType, tmp_path: Path) -> None:
    path = _save(objects, tmp_path, "a")
    path.write_bytes(path.read_bytes()[:-700])
    assert _names(dicom.find([path])) == [["a"]]


def test_enhanced_files_by_their_first_frame(objects: ModuleType, tmp_path: Path) -> None:
    for name, z in (("a", 5.0), ("b", 1.0)):
        made = objects.enhanced_mr()
        made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = f"1.2.{int(z)}"
        first = made.PerFrameFunctionalGroupsSequence[0]
        first.PlaneOrientationSequence[0].ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        first.PlanePositionSequence[0].ImagePositionPatient = [0, 0, z]
        objects.save(made, tmp_path / name)
    assert _names(dicom.find([tmp_path])) == [["b", "a"]]


def test_segmentations_and_empty_ones_are_named(sample: Callable[[str], Path]) -> None:
    found = dicom.find([sample("liver_1frame.dcm"), sample("rtplan.dcm"), "nowhere.dcm"])
    assert not found.series
    assert [e.path is not None for e in found.skipped] == [True] * 3
    assert "Segmentation Storage" in found.skipped[0].message and "cannot be read" in found.skipped[2].message
