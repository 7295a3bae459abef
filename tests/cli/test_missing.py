"""`acutance enhance --mend`, `--mask` and `--display` from end to end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image

Run = Callable[..., Any]
Make = Callable[..., Path]


def broken(make_dicom: Make, path: Path, modality: str = "MR") -> Path:
    """Write a slice whose row 21 is dead."""
    make_dicom(path, modality)
    header = pydicom.dcmread(path)
    pixels = header.pixel_array.copy()
    pixels[20] = 4000
    header.PixelData = pixels.tobytes()
    header.save_as(path)
    return path


def test_a_dead_line_is_named_and_filled_when_asked(run: Run, tmp_path: Path, make_dicom: Make) -> None:
    source = broken(make_dicom, tmp_path / "a.dcm")
    ran = run("enhance", source, "-o", tmp_path / "b.dcm")
    assert ran.code == 0 and "dead row 21 found; --mend fills what is missing (1 picture)" in ran.out
    left = pydicom.dcmread(tmp_path / "b.dcm")
    assert left.pixel_array[40:42].mean() > 3500 and "dead row" not in left.DerivationDescription
    ran = run("enhance", source, "-o", tmp_path / "b.dcm", "--mend")
    assert ran.code == 0 and "dead row 21 mended (1 picture)" in ran.out and "1 enhanced" in ran.out
    made = pydicom.dcmread(tmp_path / "b.dcm")
    assert made.pixel_array.max() < 2000 and "dead row 21 mended" in made.DerivationDescription
    assert made.SeriesInstanceUID == left.SeriesInstanceUID and made.SOPInstanceUID != left.SOPInstanceUID
    again = run("enhance", source, "-o", tmp_path / "b.dcm", "--mend")
    assert "1 already right" in again.out


def test_a_mask_is_filled(run: Run, tmp_path: Path, make_picture: Make) -> None:
    source = make_picture(tmp_path / "a.png", 40, 50)
    pixels = np.array(Image.open(source))
    mask = np.zeros(pixels.shape, np.uint8)
    mask[10:20, 30:33] = 255
    pixels[mask > 0] = 255
    Image.fromarray(pixels).save(source)
    Image.fromarray(mask).save(tmp_path / "mask.png")
    ran = run("enhance", source, "-o", tmp_path / "b.png", "--mask", tmp_path / "mask.png", "--model", "base")
    assert ran.code == 0 and "30 masked samples filled (1 picture)" in ran.out
    assert np.array(Image.open(tmp_path / "b.png"))[20:40, 60:66].max() < 250
    Image.fromarray(mask[:5]).save(tmp_path / "mask.png")
    ran = run("enhance", source, "-o", tmp_path / "c.png", "--mask", tmp_path / "mask.png")
    assert ran.code == 1 and "is 40 x 50, its mask 5 x 50" in ran.err[0]


def test_a_picture_for_the_eye_stands_beside_the_result(run: Run, tmp_path: Path, make_dicom: Make) -> None:
    pytest.importorskip("skimage")
    source = make_dicom(tmp_path / "a.dcm", "CT")
    run("enhance", source, "-o", tmp_path / "plain.dcm")
    ran = run("enhance", source, "-o", tmp_path / "b.dcm", "--display", "png", "--window", "40,400")
    assert ran.code == 0
    assert (tmp_path / "b.dcm").read_bytes() == (tmp_path / "plain.dcm").read_bytes()
    shown = Image.open(tmp_path / "b_display.png")
    assert shown.mode == "L" and "For presentation: window 40, 400" in shown.info["Comment"]
    ran = run("enhance", source, "-o", tmp_path / "b.dcm", "--display", "dicom")
    assert ran.code == 0 and "1 enhanced" in ran.out  # the capture was not there
    made = pydicom.dcmread(tmp_path / "b_display.dcm")
    assert made.PresentationIntentType == "FOR PRESENTATION"
    assert made.Rows == pydicom.dcmread(tmp_path / "b.dcm").Rows
    assert "1 already right" in run("enhance", source, "-o", tmp_path / "b.dcm", "--display", "dicom").out
    ran = run("enhance", tmp_path / "b_display.dcm", "-o", tmp_path / "c.dcm")
    assert ran.code == 1 and "is itself a result of acutance" in ran.err[0]


def test_each_slice_of_a_volume_is_shown(run: Run, tmp_path: Path, make_picture: Make) -> None:
    pytest.importorskip("skimage")
    source = make_picture(tmp_path / "a.nii.gz")
    assert run("enhance", source, "-o", f"{tmp_path}/out/", "--display", "png", "--model", "base").code == 0
    names = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert names == ["a_x2.nii.gz", *(f"a_x2_display_{i:04}.png" for i in range(1, 5))]
    ran = run("enhance", source, "-o", f"{tmp_path}/dicom/", "--display", "dicom", "--model", "base")
    assert ran.code == 1 and "write .png" in ran.err[0]


@pytest.mark.parametrize("window", ["40", "a,b", "40,0", "40,-1", "nan,3"])
def test_a_window_is_two_numbers(run: Run, tmp_path: Path, make_picture: Make, window: str) -> None:
    source = make_picture(tmp_path / "a.png")
    assert run("enhance", source, "-o", tmp_path / "b.png", "--display", "png", "--window", window).code == 2
