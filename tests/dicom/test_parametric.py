"""How sure results are, as DICOM Parametric Maps of every class of source, and where a source's frames lie."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pydicom
import pytest

from acutance import dicom
from acutance.dicom import parametric, places
from acutance.errors import InputError
from acutance.geometry import Frame

Enlarge = Callable[..., list[Frame]]

STORAGE = "1.2.840.10008.5.1.4.1.1."
PLACED = ("2", "2.1", "4", "4.1", "128")
"""Classes whose objects say where they lie: CT and MR, plain and enhanced, and PET."""


def half_of(frames: list[Frame]) -> list[Any]:
    rng = np.random.default_rng(0)
    return [rng.uniform(0, 40, f.pixels.shape).astype(np.float32) for f in frames]


@pytest.mark.parametrize("kind", PLACED)
def test_a_map_lies_where_the_result_lies(
    objects: ModuleType, enlarge: Enlarge, tmp_path: Path, complaints: Callable[[Path], set[str]], kind: str
) -> None:
    pytest.importorskip("highdicom")
    made = objects.CLASSES[kind]()
    groups = made.get("PerFrameFunctionalGroupsSequence", [])
    for group in groups:  # the frames of the object that is made are turned and of several spacings
        for keyword in ("PlaneOrientationSequence", "PixelMeasuresSequence"):
            if keyword in groups[0]:
                setattr(group, keyword, groups[0][keyword].value)
    source = objects.save(made, tmp_path / "a.dcm")
    frames = enlarge(dicom.read(source))
    half = half_of(frames)
    dicom.write(tmp_path / "map.dcm", parametric.derive_map(frames, half))
    dicom.write(tmp_path / "b.dcm", dicom.derive(frames))
    made, derived = pydicom.dcmread(tmp_path / "map.dcm"), pydicom.dcmread(tmp_path / "b.dcm")
    assert int(made.get("NumberOfFrames", 1)) == len(frames)
    pixels = np.frombuffer(made.FloatPixelData, "<f4").reshape(len(frames), *frames[0].pixels.shape)
    for index, frame in enumerate(frames):
        wanted = places.plane(derived, index)
        held = [
            k
            for k, group in enumerate(made.PerFrameFunctionalGroupsSequence)
            if np.allclose(group.PlanePositionSequence[0].ImagePositionPatient, wanted.origin, atol=1e-4)
        ]
        assert len(held) == 1, "one frame of the map for each of the result"
        np.testing.assert_array_equal(pixels[held[0]], half[index])
        found = places.plane(made, held[0])
        np.testing.assert_allclose([*found.down, *found.right], [*wanted.down, *wanted.right], atol=1e-5)
        np.testing.assert_allclose(found.origin, frame.plane.origin, atol=1e-4)
        assert found.reference == wanted.reference
    assert complaints(tmp_path / "map.dcm") == set()


def test_sources_that_lie_nowhere_have_no_map(objects: ModuleType, enlarge: Enlarge, tmp_path: Path) -> None:
    pytest.importorskip("highdicom")
    refused = 0
    for kind in sorted(set(objects.CLASSES) - set(PLACED)):
        frames = enlarge(dicom.read(objects.save(objects.CLASSES[kind](), tmp_path / f"{kind}.dcm")))
        with pytest.raises(InputError, match=r"does not say where it lies in a frame of reference"):
            parametric.derive_map(frames, half_of(frames))
        refused += 1
    assert refused > 10
    frames = enlarge(dicom.read(objects.save(objects.CLASSES["4.1"](), tmp_path / "turned.dcm")))
    with pytest.raises(InputError, match="its frames are not parallel"):
        parametric.derive_map(frames, half_of(frames))


def test_the_same_work_makes_the_same_map(objects: ModuleType, enlarge: Enlarge, tmp_path: Path) -> None:
    pytest.importorskip("highdicom")
    frames = enlarge(dicom.read(objects.save(objects.CLASSES["2"](), tmp_path / "a.dcm")))
    texts = []
    for _ in range(2):
        made = parametric.derive_map(frames, half_of(frames))
        held = io.BytesIO()
        made.save_as(held, enforce_file_format=True)
        texts.append(held.getvalue())
    assert texts[0] == texts[1]
    other = [dataclasses.replace(f, derivation=dataclasses.replace(f.derivation, guard="none")) for f in frames]
    assert parametric.derive_map(other, half_of(frames)).SOPInstanceUID != made.SOPInstanceUID
    assert made.SOPInstanceUID not in (frames[0].source.header.SOPInstanceUID, dicom.derive(frames).SOPInstanceUID)


def test_units_are_those_of_the_picture(objects: ModuleType, tmp_path: Path) -> None:
    units = {}
    for kind in ("2", "4", "128"):
        (frame, *_) = dicom.read(objects.save(objects.CLASSES[kind](), tmp_path / f"{kind}.dcm"))
        units[kind] = parametric.unit_of(frame).value
    assert units == {"2": "[hnsf'U]", "4": "1", "128": "Bq/ml"}


def test_planes_follow_the_headers(objects: ModuleType, tmp_path: Path) -> None:
    (frame,) = dicom.read(objects.save(objects.CLASSES["2"](), tmp_path / "a.dcm"))
    header, plane = frame.source.header, frame.plane
    iop, (down, right) = [float(x) for x in header.ImageOrientationPatient], map(float, header.PixelSpacing)
    at = np.array(header.ImagePositionPatient, float) + 3 * down * np.array(iop[3:]) + 5 * right * np.array(iop[:3])
    np.testing.assert_allclose(plane.at(3, 5), at)
    assert plane.reference == header.FrameOfReferenceUID
    assert plane.thickness == pytest.approx(float(header.SliceThickness))
    frames = dicom.read(objects.save(objects.CLASSES["4.1"](), tmp_path / "b.dcm"))
    origins = {f.plane.origin for f in frames}
    assert len(origins) == len(frames) > 1
    assert all(f.plane is None for f in dicom.read(objects.save(objects.CLASSES["3.1"](), tmp_path / "c.dcm")))
