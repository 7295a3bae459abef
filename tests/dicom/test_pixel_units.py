"""Everything in a header that counts pixels is on the new grid; nothing else is touched."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from acutance.dicom import overlays, pixel_units


def _after(objects: ModuleType, convert: Callable[..., Path], tmp_path: Path, made: Dataset, scale: int) -> Dataset:
    return pydicom.dcmread(convert(objects.save(made, tmp_path / "a.dcm"), tmp_path / "b.dcm", scale))


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("kind", ["Shutter", "Collimator"])
def test_edges_keep_the_same_pixels_open(
    objects: ModuleType, convert: Callable[..., Path], tmp_path: Path, scale: int, kind: str
) -> None:
    made = objects.xa()
    after = _after(objects, convert, tmp_path, made, scale)

    def open_(header: Dataset) -> np.ndarray[Any, Any]:
        rows, columns = np.mgrid[1 : header.Rows + 1, 1 : header.Columns + 1]
        left, right = header[f"{kind}LeftVerticalEdge"].value, header[f"{kind}RightVerticalEdge"].value
        upper, lower = header[f"{kind}UpperHorizontalEdge"].value, header[f"{kind}LowerHorizontalEdge"].value
        return (rows >= upper) & (rows <= lower) & (columns >= left) & (columns <= right)

    before = open_(made)
    assert 0 < before.sum() < before.size
    assert np.array_equal(open_(after), before.repeat(scale, 0).repeat(scale, 1))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_circles_and_polygons(objects: ModuleType, convert: Callable[..., Path], tmp_path: Path, scale: int) -> None:
    made = objects.xa()
    after = _after(objects, convert, tmp_path, made, scale)
    for kind in ("Shutter", "Collimator"):
        centre, moved = made[f"CenterOfCircular{kind}"].value, after[f"CenterOfCircular{kind}"].value
        for x, y in zip(centre, moved, strict=True):
            assert abs((y - 0.5) / scale - (x - 0.5)) <= 0.5 / scale
        assert after[f"RadiusOfCircular{kind}"].value == scale * made[f"RadiusOfCircular{kind}"].value
        vertices, turned = made[f"VerticesOfThePolygonal{kind}"].value, after[f"VerticesOfThePolygonal{kind}"].value
        for x, y in zip(vertices, turned, strict=True):
            assert abs((y - 0.5) / scale - (x - 0.5)) <= 0.5 / scale
    assert after.MaskSubtractionSequence[0].MaskSubPixelShift == [0.25 * scale, -0.5 * scale]
    assert after.MaskSubtractionSequence[0].MaskFrameNumbers == 1


def test_what_is_not_in_pixels_stays(objects: ModuleType, convert: Callable[..., Path], tmp_path: Path) -> None:
    made = objects.CLASSES["1.1"]()
    made.PixelAspectRatio = [3, 2]
    made.DetectorActiveDimensions = [100, 100]
    after = _after(objects, convert, tmp_path, made, 2)
    for keyword in (
        "DetectorElementSpacing",
        "DetectorBinning",
        "FieldOfViewOrigin",
        "PixelAspectRatio",
        "DetectorActiveDimensions",
        "SpatialResolution",
    ):
        assert after[keyword].value == made[keyword].value, keyword
    enhanced = objects.enhanced_ct()
    derived = _after(objects, convert, tmp_path, enhanced, 2).SharedFunctionalGroupsSequence[0]
    assert derived.CTReconstructionSequence[0].ReconstructionPixelSpacing == [0.75, 0.5]
    assert derived.PixelMeasuresSequence[0].SliceThickness == 2
    assert objects.save(objects.mr(), tmp_path / "c.dcm").is_file()
    assert _after(objects, convert, tmp_path, objects.mr(), 3).AcquisitionMatrix == [0, 20, 24, 0]


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_ultrasound_region(objects: ModuleType, convert: Callable[..., Path], tmp_path: Path, scale: int) -> None:
    made = objects.us()
    before = made.SequenceOfUltrasoundRegions[0]
    after = _after(objects, convert, tmp_path, made, scale).SequenceOfUltrasoundRegions[0]
    assert after.RegionLocationMinX0 == scale * before.RegionLocationMinX0
    assert after.RegionLocationMaxX1 == scale * before.RegionLocationMaxX1 + scale - 1
    assert after.RegionLocationMaxY1 - after.RegionLocationMinY0 + 1 == scale * 23
    assert after.PhysicalDeltaX == pytest.approx(0.05 / scale) and after.PhysicalUnitsXDirection == 3
    assert after.TMLinePositionX1 == scale * 8
    at = (after.ReferencePixelX0 + 0.5) / scale - 0.5
    assert after.ReferencePixelPhysicalValueX == pytest.approx(0.5 + (at - 5) * 0.05)


def test_overlay_repeats_its_bits(objects: ModuleType, convert: Callable[..., Path], tmp_path: Path) -> None:
    made = objects.cr()
    made[0x60000050].value = [2, -1]
    before = made.overlay_array(0x6000)
    after = _after(objects, convert, tmp_path, made, 3)
    assert np.array_equal(after.overlay_array(0x6000), before.repeat(3, 0).repeat(3, 1))
    assert after[0x60000050].value == [4, -5] and after[0x60001301].value == 9 * 24
    assert (after[0x60000010].value, after[0x60000011].value) == (72, 60)


def test_real_overlay(sample: Callable[[str], Path], convert: Callable[..., Path], tmp_path: Path) -> None:
    source = pydicom.dcmread(sample("examples_overlay.dcm"))
    after = pydicom.dcmread(convert(sample("examples_overlay.dcm"), tmp_path / "b.dcm"))
    assert source.overlay_array(0x6000).sum() > 0
    assert after.overlay_array(0x6000).sum() == 4 * source.overlay_array(0x6000).sum()


def test_overlay_inside_the_pixels_is_dropped(
    objects: ModuleType, convert: Callable[..., Path], tmp_path: Path
) -> None:
    made = objects.cr()
    del made[0x60003000]
    made[0x60000100].value, made[0x60000102].value = 16, 12
    stored = np.frombuffer(made.PixelData, "<u2")
    made.PixelData = (stored | 0x1000).tobytes()
    after = _after(objects, convert, tmp_path, made, 2)
    assert not [tag for tag in after.keys() if tag.group == 0x6000]  # noqa: SIM118
    assert after.pixel_array.max() < 4096


def test_damaged_overlay_is_dropped() -> None:
    made = Dataset()
    made.add_new(0x60000010, "US", 100)
    made.add_new(0x60000011, "US", 100)
    made.add_new(0x60003000, "OW", b"\0\0")
    overlays.rescale(made, 2)
    assert len(made) == 0


def test_number_that_is_none_is_dropped() -> None:
    made = Dataset()
    made.ShutterLeftVerticalEdge = 4
    made["ShutterLeftVerticalEdge"]._value = "four"
    pixel_units.rescale(made, 2)
    assert "ShutterLeftVerticalEdge" not in made


def test_history_is_not_rescaled(objects: ModuleType) -> None:
    made = objects.item(
        PixelSpacing=[1, 1],
        OriginalAttributesSequence=[objects.item(ModifiedAttributesSequence=[objects.item(PixelSpacing=[1, 1])])],
    )
    pixel_units.rescale(made, 2)
    assert made.PixelSpacing == [0.5, 0.5]
    assert made.OriginalAttributesSequence[0].ModifiedAttributesSequence[0].PixelSpacing == [1, 1]


def test_decimals_fit_their_representation() -> None:
    for value in (-123.456789012345678, 1 / 3, 1e-20 / 3, -1e20 / 3):
        found = pixel_units.decimal(value)
        assert len(str(found)) <= 16 and float(str(found)) == pytest.approx(value, rel=1e-8)
