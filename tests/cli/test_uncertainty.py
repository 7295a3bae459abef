"""`acutance enhance --uncertainty`: what is written beside the result, read back."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest

import acutance

Run = Callable[..., Any]
Make = Callable[..., Path]

ZERO = np.zeros((4, 1))


@pytest.fixture
def unsure(make_mixer: Callable[..., Path]) -> Path:
    """A model for CT and MR whose interval is wider where the picture is brighter, lopsided around the result."""
    mixes = {"residual": ZERO, "q05": (np.full((4, 1), -0.01), np.full(4, -0.002)), "q95": np.full((4, 1), 0.03)}
    mapping = {"kind": "fixed", "unit": "HU", "low": -1024.0, "high": 3071.0}
    return make_mixer(("lr",), mixes, modalities=["CT", "MR"], mapping=mapping)


def half_of(model: Path, source: Path, modality: str | None = None) -> np.ndarray:
    """Return half the width of the interval of each picture of a file, in real values."""
    with acutance.Enhancer(model) as enhancer:
        found = [enhancer.run(f) for f in acutance.read(source, modality)]
    return np.stack([(r.upper.astype(float) - r.lower) / 2 * abs(r.frame.slope) for r in found])


@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_a_parametric_map_stands_beside_a_dicom_result(
    run: Run, tmp_path: Path, unsure: Path, make_dicom: Make, modality: str
) -> None:
    pytest.importorskip("highdicom")
    source = make_dicom(tmp_path / "a.dcm", modality, RescaleSlope=2, RescaleIntercept=-1000)
    command = ("enhance", source, "-o", tmp_path / "b.dcm", "--model", unsure, "--uncertainty")
    ran = run(*command)
    assert ran.code == 0 and not ran.err and "1 enhanced" in ran.out
    beside = tmp_path / "b_uncertainty.dcm"
    made, (frame,) = pydicom.dcmread(beside), acutance.read(source)
    assert made.SOPClassUID.name == "Parametric Map Storage"
    wanted = half_of(unsure, source)[0]
    pixels = np.frombuffer(made.FloatPixelData, "<f4").reshape(made.Rows, made.Columns)
    np.testing.assert_allclose(pixels, wanted)
    assert np.unique(wanted).size > 10
    shared = made.SharedFunctionalGroupsSequence[0]
    (mapping,) = shared.RealWorldValueMappingSequence
    unit = mapping.MeasurementUnitsCodeSequence[0]
    assert (unit.CodeValue, unit.CodingSchemeDesignator) == ("[hnsf'U]" if modality == "CT" else "1", "UCUM")
    assert (mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept) == (1, 0)
    assert mapping.DoubleFloatRealWorldValueLastValueMapped == pytest.approx(wanted.max())
    result = pydicom.dcmread(tmp_path / "b.dcm")
    np.testing.assert_allclose(shared.PixelMeasuresSequence[0].PixelSpacing, result.PixelSpacing, rtol=1e-5)
    position = made.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0].ImagePositionPatient
    np.testing.assert_allclose(position, result.ImagePositionPatient, atol=1e-5)
    assert made.FrameOfReferenceUID == frame.plane.reference
    header = pydicom.dcmread(source)
    reference = made.ReferencedSeriesSequence[0]
    assert reference.SeriesInstanceUID == header.SeriesInstanceUID
    assert reference.ReferencedInstanceSequence[0].ReferencedSOPInstanceUID == header.SOPInstanceUID
    assert made.SeriesInstanceUID not in (header.SeriesInstanceUID, result.SeriesInstanceUID)
    assert (made.PatientID, made.StudyInstanceUID) == (header.PatientID, header.StudyInstanceUID)
    np.testing.assert_array_equal(made.pixel_array, pixels)
    data = beside.read_bytes()
    assert "1 already right" in run(*command).out
    beside.unlink()
    assert "1 enhanced" in run(*command).out and beside.read_bytes() == data, "the same work makes the same bytes"
    assert "1 already right" in run(*command[:-1]).out
    again = run("enhance", tmp_path, "-o", tmp_path / "out", "--model", unsure)
    assert sum("is itself a result of acutance" in line for line in again.err) == 3, "result, map and picture"


@pytest.mark.parametrize("tool", ["dciodvfy", "dcmdump"])
def test_other_programs_read_the_map(run: Run, tmp_path: Path, unsure: Path, make_dicom: Make, tool: str) -> None:
    pytest.importorskip("highdicom")
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    source = make_dicom(tmp_path / "a.dcm", "CT")
    assert run("enhance", source, "-o", tmp_path / "b.dcm", "--model", unsure, "--uncertainty").code == 0
    ran = subprocess.run([tool, tmp_path / "b_uncertainty.dcm"], capture_output=True, text=True, check=False)
    said = (ran.stdout + ran.stderr).splitlines()
    assert not [line for line in said if line.startswith(("Error", "E:", "F:"))]
    assert any("ParametricMap" in line for line in said)


def test_without_highdicom_the_extra_is_named(
    run: Run, tmp_path: Path, unsure: Path, make_dicom: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [n for n in sys.modules if n.split(".")[0] == "highdicom"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "highdicom", None)
    source = make_dicom(tmp_path / "a.dcm", "CT")
    ran = run("enhance", source, "-o", tmp_path / "b.dcm", "--model", unsure, "--uncertainty")
    assert ran.code == 1 and len(ran.err) == 1 and "pip install 'acutance[uncertainty]'" in ran.err[0]


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_nifti_gets_a_volume_of_real_values(
    run: Run, tmp_path: Path, unsure: Path, make_picture: Make, name: str
) -> None:
    plain = nibabel.load(make_picture(tmp_path / "plain.nii"))
    image = nibabel.Nifti1Image(np.asarray(plain.dataobj), plain.affine)
    image.header.set_slope_inter(2, -1000)
    source = tmp_path / name
    nibabel.save(image, source)
    out = tmp_path / f"out{name[1:]}"
    command = ("enhance", source, "-o", out, "--model", unsure, "--modality", "MR", "--uncertainty")
    assert run(*command).code == 0
    made, result = nibabel.load(tmp_path / f"out_uncertainty{name[1:]}"), nibabel.load(out)
    np.testing.assert_allclose(made.affine, result.affine)
    assert made.get_data_dtype() == np.float32
    got = np.moveaxis(np.asarray(made.dataobj), 2, 0).swapaxes(1, 2)
    np.testing.assert_allclose(got, half_of(unsure, source, "MR"))
    assert "1 already right" in run(*command).out


def test_the_picture_shows_where_it_is_unsure(run: Run, tmp_path: Path, unsure: Path, make_picture: Make) -> None:
    source = make_picture(tmp_path / "a.png", 60, 70)
    command = ("enhance", source, "-o", tmp_path / "b.png", "--model", unsure, "--modality", "MR", "--uncertainty")
    assert run(*command).code == 0
    half = half_of(unsure, source, "MR")[0]
    pixels = acutance.read(tmp_path / "b_uncertainty.png")[0].pixels
    assert pixels.shape == (120, 140 + 84, 3)
    tint = pixels[:, :140, 0].astype(int) - pixels[:, :140, 2]
    assert np.corrcoef(tint.ravel(), half.ravel())[0, 1] > 0.9
    assert pixels[:, 140:].any() and not (tmp_path / "b_uncertainty.nii").exists()
    assert "1 already right" in run(*command).out
    (tmp_path / "b_uncertainty.png").unlink()
    assert "1 enhanced" in run(*command).out
    foreign = make_picture(tmp_path / "b_uncertainty.png", seed=1).read_bytes()
    ran = run(*command)
    assert ran.code == 1 and "b_uncertainty.png is there and not from acutance" in ran.err[0]
    assert (tmp_path / "b_uncertainty.png").read_bytes() == foreign
    assert "1 enhanced" in run(*command, "--overwrite").out


def test_what_has_no_bounds_is_said(run: Run, tmp_path: Path, unsure: Path, make_dicom: Make) -> None:
    source = make_dicom(tmp_path / "a.dcm", "CT")
    ran = run("enhance", source, "-o", tmp_path / "b.dcm", "--uncertainty")
    assert ran.code == 2 and "gives no quantiles" in ran.err[0]
    xray = make_dicom(tmp_path / "c.dcm", "CR")
    ran = run("enhance", xray, "-o", tmp_path / "d.dcm", "--model", unsure, "--uncertainty", "--strict")
    assert ran.code == 0 and "its uncertainty is not known" in ran.out
    assert [p.name for p in tmp_path.glob("*_uncertainty*")] == []
    ran = run("enhance", xray, "-o", tmp_path / "d.dcm", "--model", unsure, "--uncertainty")
    assert ran.code == 0 and [p.name for p in tmp_path.glob("*_uncertainty*")] == ["d_uncertainty.png"]
