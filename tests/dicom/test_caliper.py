"""A place and a distance in millimetres are the same before and after, for every class that is enhanced."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from acutance import dicom
from acutance.dicom import groups
from acutance.dicom.classes import IMAGE_CLASSES

POINTS = np.array([[0.0, 0.0], [3.5, 11.25], [23.0, 19.0]])
"""Rows and columns of the source's pixel grid."""

SUFFIXES = [uid.rpartition("5.1.4.1.1.")[2] for uid in IMAGE_CLASSES if not uid.endswith(".7.1")]


def _moved(points: np.ndarray[Any, Any], scale: int) -> np.ndarray[Any, Any]:
    """The same places on the grid of the enlarged picture."""
    return (points + 0.5) * scale - 0.5


def _distances(header: Dataset, index: int, points: np.ndarray[Any, Any]) -> list[float]:
    """Lengths in mm by the pixel spacings that a viewer would take, one for each that the header has."""
    found = []
    measures = groups.item(header, "PixelMeasuresSequence", index)
    for place in filter(None, (header, measures)):
        for keyword in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"):
            if keyword in place:
                steps = np.diff(points, axis=0) * np.asarray(place[keyword].value, float)
                found += np.linalg.norm(steps, axis=1).tolist()
    return found


def _places(position: Dataset, orientation: Dataset, spacing: Sequence[float], points: Any) -> np.ndarray[Any, Any]:
    """PS3.3 C.7.6.2.1.1, equation C.7.6.2.1-1."""
    iop = np.asarray(orientation.ImageOrientationPatient, float)
    rows, columns = points[:, :1] * float(spacing[0]), points[:, 1:] * float(spacing[1])
    return np.asarray(position.ImagePositionPatient, float) + columns * iop[:3] + rows * iop[3:]


def _in_patient(header: Dataset, index: int, points: np.ndarray[Any, Any]) -> list[np.ndarray[Any, Any]]:
    """Places in the patient by each Image Position (Patient) of the header."""
    found = []
    measures = groups.item(header, "PixelMeasuresSequence", index) or header
    if "PixelSpacing" not in measures:
        return []
    spacing = measures.PixelSpacing
    plane = groups.item(header, "PlanePositionSequence", index)
    turned = groups.item(header, "PlaneOrientationSequence", index)
    if plane is not None and turned is not None:
        found.append(_places(plane, turned, spacing, points))
    for item in (header, *groups.items(header, "DetectorInformationSequence")):
        if "ImagePositionPatient" in item and "ImageOrientationPatient" in item:
            found.append(_places(item, item, spacing, points))
    return found


def _in_regions(header: Dataset, points: np.ndarray[Any, Any]) -> list[np.ndarray[Any, Any]]:
    """Physical values by each ultrasound region (PS3.3 C.8.5.5.1.16)."""
    found = []
    for region in groups.items(header, "SequenceOfUltrasoundRegions"):
        corner = np.array([region.RegionLocationMinY0, region.RegionLocationMinX0])
        reference = np.array([region.get("ReferencePixelY0", 0), region.get("ReferencePixelX0", 0)])
        value = [region.get("ReferencePixelPhysicalValueY"), region.get("ReferencePixelPhysicalValueX")]
        delta = np.array([region.PhysicalDeltaY, region.PhysicalDeltaX])
        if None in value:
            found.append(np.diff(points, axis=0) * delta)
        else:
            found.append(np.array(value) + (points - corner - reference) * delta)
    return found


def _compare(before: Dataset, after: Dataset, scale: int) -> int:
    """Hold the calipers against each other; return how many measurements there were."""
    count = 0
    frames = int(before.get("NumberOfFrames", 1) or 1)
    assert (after.Rows, after.Columns) == (before.Rows * scale, before.Columns * scale)
    for index in {0, frames // 2, frames - 1}:
        a, b = _distances(before, index, POINTS), _distances(after, index, _moved(POINTS, scale))
        assert b == pytest.approx(a, rel=1e-9)
        places, moved = _in_patient(before, index, POINTS), _in_patient(after, index, _moved(POINTS, scale))
        regions, enlarged = _in_regions(before, POINTS), _in_regions(after, _moved(POINTS, scale))
        assert len(places) == len(moved) and len(regions) == len(enlarged)
        for x, y in zip(places + regions, moved + enlarged, strict=True):
            assert y == pytest.approx(x, rel=1e-7, abs=1e-6)
        count += len(a) + len(places) + len(regions)
    return count


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_class(
    objects: ModuleType, convert: Callable[..., Path], tmp_path: Path, suffix: str, scale: int
) -> None:
    source = objects.save(objects.CLASSES[suffix](), tmp_path / "a.dcm")
    derived = convert(source, tmp_path / "b.dcm", scale)
    assert _compare(pydicom.dcmread(source), pydicom.dcmread(derived), scale) > 0
    before, after = dicom.read(source)[0].spacing, dicom.read(derived)[0].spacing
    assert before is not None and after == pytest.approx([x / scale for x in before], rel=1e-9)


def test_the_classes_are_those_of_the_list(objects: ModuleType) -> None:
    assert sorted(objects.CLASSES) == sorted(SUFFIXES)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_objects_are_valid_before_and_after(
    objects: ModuleType,
    convert: Callable[..., Path],
    complaints: Callable[[Path], set[str]],
    tmp_path: Path,
    suffix: str,
) -> None:
    source = objects.save(objects.CLASSES[suffix](), tmp_path / "a.dcm")
    assert complaints(source) == set()
    assert complaints(convert(source, tmp_path / "b.dcm")) == set()


@pytest.mark.parametrize(
    "name",
    [
        "CT_small.dcm",
        "MR_small.dcm",
        "examples_overlay.dcm",
        "examples_ybr_color.dcm",
        "JPGExtended.dcm",
        "dicomdirtests/77654033/CR1/6154",
        "SC_rgb_small_odd.dcm",
    ],
)
def test_real_files(sample: Callable[[str], Path], convert: Callable[..., Path], tmp_path: Path, name: str) -> None:
    derived = convert(sample(name), tmp_path / "b.dcm", 3)
    assert _compare(pydicom.dcmread(sample(name)), pydicom.dcmread(derived), 3) > 0


def test_frames_of_different_spacing(objects: ModuleType, convert: Callable[..., Path], tmp_path: Path) -> None:
    made = objects.enhanced_mr()
    del made.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
    for i, group in enumerate(made.PerFrameFunctionalGroupsSequence):
        group.PixelMeasuresSequence = [objects.item(PixelSpacing=[1.0 + i, 0.5 + i], SliceThickness=2)]
    source = objects.save(made, tmp_path / "a.dcm")
    assert _compare(pydicom.dcmread(source), pydicom.dcmread(convert(source, tmp_path / "b.dcm", 3)), 3) > 0


def test_plane_shared_by_all_frames_is_moved_once(
    objects: ModuleType, convert: Callable[..., Path], tmp_path: Path
) -> None:
    made = objects.enhanced_mr()
    shared = made.SharedFunctionalGroupsSequence[0]
    shared.PlanePositionSequence = made.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence
    shared.PlaneOrientationSequence = made.PerFrameFunctionalGroupsSequence[0].PlaneOrientationSequence
    for group in made.PerFrameFunctionalGroupsSequence:
        del group.PlanePositionSequence, group.PlaneOrientationSequence
    source = objects.save(made, tmp_path / "a.dcm")
    assert _compare(pydicom.dcmread(source), pydicom.dcmread(convert(source, tmp_path / "b.dcm")), 2) > 0


def test_real_enhanced_object(data_dir: Path, convert: Callable[..., Path], tmp_path: Path) -> None:
    source = data_dir / "DICOM" / "dicom2nifti" / "hyperfine__anatomical__001__001.dcm"
    derived = convert(source, tmp_path / "b.dcm")
    assert _compare(pydicom.dcmread(source), pydicom.dcmread(derived), 2) > 0


def test_position_stays_where_no_spacing_says_how_far_pixels_are(
    objects: ModuleType, convert: Callable[..., Path], tmp_path: Path
) -> None:
    made = objects.mr()
    del made.PixelSpacing
    derived = pydicom.dcmread(convert(objects.save(made, tmp_path / "a.dcm"), tmp_path / "b.dcm"))
    assert derived.ImagePositionPatient == made.ImagePositionPatient and "PixelSpacing" not in derived
