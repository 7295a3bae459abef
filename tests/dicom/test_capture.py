"""Secondary captures for presentation."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pydicom
import pytest

from acutance import dicom
from acutance.errors import UsageError
from acutance.geometry import Frame

Enlarge = Callable[..., list[Frame]]


def test_a_capture_is_for_presentation_and_valid(objects: ModuleType, enlarge: Enlarge, tmp_path: Path) -> None:
    source = objects.ct()
    source.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    (frame,) = enlarge(dicom.read(tmp_path / "a.dcm"))
    picture = np.arange(frame.pixels.size, dtype=np.uint8).reshape(frame.pixels.shape)
    dicom.write(tmp_path / "b.dcm", dicom.capture(frame, picture, "window 40, 400"))
    made = pydicom.dcmread(tmp_path / "b.dcm")
    assert made.SOPClassUID == "1.2.840.10008.5.1.4.1.1.7" and made.PresentationIntentType == "FOR PRESENTATION"
    assert list(made.ImageType) == ["DERIVED", "SECONDARY"] and "for presentation]" in made.SeriesDescription
    assert made.DerivationDescription.startswith("For presentation: window 40, 400; Enlarged 2 times")
    assert (made.PatientID, made.StudyInstanceUID) == (source.PatientID, source.StudyInstanceUID)
    derived = dicom.derive([frame])
    assert made.SeriesInstanceUID not in (source.SeriesInstanceUID, derived.SeriesInstanceUID)
    assert made.SOPInstanceUID not in (source.SOPInstanceUID, derived.SOPInstanceUID)
    assert "RescaleSlope" not in made and "WindowCenter" not in made and "ImagePositionPatient" not in made
    assert made.SourceImageSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID
    np.testing.assert_array_equal(made.pixel_array, picture)
    if shutil.which("dciodvfy"):
        done = subprocess.run(["dciodvfy", tmp_path / "b.dcm"], capture_output=True, text=True, check=False)
        assert not [x for x in (done.stdout + done.stderr).splitlines() if x.startswith("Error")], done.stderr


def test_each_frame_has_a_uid_of_its_own(objects: ModuleType, enlarge: Enlarge, tmp_path: Path) -> None:
    source = objects.enhanced_mr()
    source.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    frames = enlarge(dicom.read(tmp_path / "a.dcm"))
    made = [dicom.capture(f, np.zeros(f.pixels.shape, np.uint8), "x") for f in frames]
    assert len({m.SOPInstanceUID for m in made}) == 3 and len({m.SeriesInstanceUID for m in made}) == 1
    assert [m.InstanceNumber for m in made] == [1, 2, 3]
    assert [m.SourceImageSequence[0].ReferencedFrameNumber for m in made] == [1, 2, 3]
    other = dicom.capture(frames[0], np.zeros(frames[0].pixels.shape, np.uint8), "y")
    assert other.SOPInstanceUID != made[0].SOPInstanceUID


def test_only_enhanced_pictures_from_dicom_are_captured() -> None:
    with pytest.raises(UsageError, match="DICOM capture"):
        dicom.capture(Frame(np.zeros((4, 4), np.uint8)), np.zeros((4, 4), np.uint8), "x")
