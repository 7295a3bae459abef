"""Derived objects say what they are, keep what stays true and hold the right pixels."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from acutance import dicom
from acutance.errors import InputError, UsageError
from acutance.geometry import Frame

Enlarge = Callable[..., list[Frame]]


def _derived(
    objects: ModuleType, enlarge: Enlarge, tmp_path: Path, made: Dataset, scale: int = 2, **options: Any
) -> Any:
    """Save, read, enlarge, derive, write and read back."""
    frames = enlarge(dicom.read(objects.save(made, tmp_path / "a.dcm")), scale)
    dicom.write(tmp_path / "b.dcm", dicom.derive(frames, **options))
    return pydicom.dcmread(tmp_path / "b.dcm")


def _as_network(frames: list[Frame], **changes: Any) -> list[Frame]:
    """Frames that claim to be made by a network."""
    settings: dict[str, Any] = {
        "model": "ct-rt-x2",
        "version": "1.0",
        "sha256": "ab" * 32,
        "backend": "onnxruntime",
        "low": -1024.0,
        "high": 3071.0,
        "range_from": "model",
        **changes,
    }
    return [
        dataclasses.replace(f, derivation=dataclasses.replace(f.derivation, **settings)) for f in frames if f.derivation
    ]


def test_image_type_keeps_the_rest(objects: ModuleType, enlarge: Enlarge, tmp_path: Path) -> None:
    for before, after in (
        (["ORIGINAL", "PRIMARY", "AXIAL"], ["DERIVED", "PRIMARY", "AXIAL"]),
        (["ORIGINAL", "PRIMARY", "LOCALIZER", "X"], ["DERIVED", "PRIMARY", "LOCALIZER", "X"]),
        (["DERIVED", "SECONDARY", "AXIAL"], ["DERIVED", "SECONDARY", "AXIAL"]),
        ("ORIGINAL", ["DERIVED", "PRIMARY"]),
        (None, ["DERIVED", "PRIMARY"]),
    ):
        made = objects.ct()
        made.ImageType = before
        assert list(_derived(objects, enlarge, tmp_path, made).ImageType) == after


def test_provenance_of_a_network(objects: ModuleType, enlarge: Enlarge, tmp_path: Path) -> None:
    source = objects.ct()
    frames = _as_network(enlarge(dicom.read(objects.save(source, tmp_path / "a.dcm"))))
    made = dicom.derive(frames)
    assert made.SeriesDescription == "source [acutance ct-rt-x2]"
    assert "network ct-rt-x2 1.0" in made.DerivationDescription and "guard box" in made.DerivationDescription
    (code,) = made.DerivationCodeSequence
    assert (code.CodeValue, code.CodingSchemeDesignator) == ("113085", "DCM")
    (origin,) = made.SourceImageSequence
    assert origin.ReferencedSOPInstanceUID == source.SOPInstanceUID
    assert origin.ReferencedSOPClassUID == source.SOPClassUID
    purpose = origin.PurposeOfReferenceCodeSequence[0]
    assert (purpose.CodeValue, purpose.CodingSchemeDesignator) == ("121322", "DCM")
    (equipment,) = made.ContributingEquipmentSequence
    purpose = equipment.PurposeOfReferenceCodeSequence[0]
    assert (purpose.CodeValue, purpose.CodingSchemeDesignator) == ("109102", "DCM")
    assert equipment.Manufacturer == "acutance" and equipment.ManufacturerModelName == "ct-rt-x2"
    for word in ("ab" * 32, "fp32", "guard box"):
        assert word in equipment.ContributionDescription


def test_a_generative_network_says_so(objects: ModuleType, enlarge: Enlarge, tmp_path: Path) -> None:
    read = dicom.read(objects.save(objects.ct(), tmp_path / "a.dcm"))
    made = dicom.derive(_as_network(enlarge(read), model="ct-gan-x2", generative=True))
    assert made.SeriesDescription == "source [acutance ct-gan-x2 GENERATIVE]"
    assert "fine detail may be made up" in made.DerivationDescription


def test_base_says_so(objects: ModuleType, enlarge: Enlarge, tmp_path: Path) -> None:
    made = _derived(objects, enlarge, tmp_path, objects.ct(), 3)
    assert made.SeriesDescription == "source [acutance base-x3]"
    assert "by interpolation only, no network" in made.DerivationDescription
    assert made.ContributingEquipmentSequence[0].ManufacturerModelName == "base-x3"
    frames = enlarge(dicom.read(tmp_path / "a.dcm"))
    assert frames[0].derivation is not None
    fallen = dataclasses.replace(frames[0].derivation, fell_back="no model enlarges CT by 2")
    said = dicom.derive([dataclasses.replace(frames[0], derivation=fallen)])
    assert "network not used: no model enlarges CT by 2" in said.DerivationDescription
    assert "base-x2" in said.SeriesDescription


def test_history_is_carried_on(objects: ModuleType, enlarge: Enlarge, tmp_path: Path) -> None:
    source = objects.ct()
    source.DerivationDescription = "denoised"
    source.DerivationCodeSequence = [objects.code("113040", "DCM", "Lossy Compression")]
    source.LossyImageCompression, source.LossyImageCompressionRatio = "01", 12
    source.LossyImageCompressionMethod = "ISO_10918_1"
    source.ContributingEquipmentSequence = [
        objects.item(
            PurposeOfReferenceCodeSequence=[objects.code("109101", "DCM", "Acquisition Equipment")], Manufacturer="x"
        )
    ]
    made = _derived(objects, enlarge, tmp_path, source)
    assert made.DerivationDescription.startswith("denoised; Enlarged 2 times")
    source.DerivationDescription = "d" * 1024
    long = _derived(objects, enlarge, tmp_path, source).DerivationDescription
    assert len(long) <= 1024 and long.startswith("ddd") and "; Enlarged 2 times" in long
    assert [x.CodeValue for x in made.DerivationCodeSequence] == ["113040", "113085"]
    assert [x.Manufacturer for x in made.ContributingEquipmentSequence] == ["x", "acutance"]
    assert (made.LossyImageCompression, made.LossyImageCompressionRatio) == ("01", 12)
    assert made.LossyImageCompressionMethod == "ISO_10918_1"


def test_lossy_transfer_syntax_is_carried_on(sample: Callable[[str], Path], enlarge: Enlarge) -> None:
    made = dicom.derive(enlarge(dicom.read(sample("SC_rgb_jpeg_dcmtk.dcm"))))
    assert made.LossyImageCompression == "01" and made.PhotometricInterpretation == "RGB"


def test_series_is_marked(objects: ModuleType, enlarge: Enlarge, tmp_path: Path) -> None:
    for number, wanted in ((3, 302), (0, 2), (None, 2), (2**31 - 1, 2)):
        source = objects.ct()
        source.SeriesNumber = number
        assert _derived(objects, enlarge, tmp_path, source).SeriesNumber == wanted
    source.SeriesDescription = "d" * 64
    made = _derived(objects, enlarge, tmp_path, source)
    assert len(made.SeriesDescription) <= 64 and made.SeriesDescription.endswith("... [acutance base-x2]")
    del source.SeriesDescription
    assert _derived(objects, enlarge, tmp_path, source).SeriesDescription == "[acutance base-x2]"


def test_what_stays(objects: ModuleType, enlarge: Enlarge, tmp_path: Path) -> None:
    source = objects.ct()
    source.PatientName = "Ærø^Bjørn"
    source.add_new("PixelPaddingValue", "SS", -2000)
    made = _derived(objects, enlarge, tmp_path, source)
    for keyword in (
        "SOPClassUID",
        "StudyInstanceUID",
        "FrameOfReferenceUID",
        "PatientName",
        "PatientID",
        "RescaleSlope",
        "RescaleIntercept",
        "RescaleType",
        "WindowCenter",
        "WindowWidth",
        "BitsStored",
        "HighBit",
        "BitsAllocated",
        "PixelRepresentation",
        "PixelPaddingValue",
        "ImageOrientationPatient",
        "SliceThickness",
        "InstanceNumber",
        "AcquisitionNumber",
        "ContentDate",
        "KVP",
    ):
        assert made[keyword].value == source[keyword].value, keyword
    assert made.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert made.file_meta.MediaStorageSOPInstanceUID == made.SOPInstanceUID


def test_what_goes(objects: ModuleType, enlarge: Enlarge, tmp_path: Path) -> None:
    source = objects.ct()
    block = source.private_block(0x0011, "somebody", create=True)
    block.add_new(1, "LO", "private")
    nested = objects.item(ReferencedSOPClassUID="1.2.840.10008.5.1.4.1.1.2", ReferencedSOPInstanceUID="1.2.3")
    nested.private_block(0x0011, "somebody", create=True).add_new(1, "LO", "private")
    source.ReferencedImageSequence = [nested]
    source.IconImageSequence = [objects.item(Rows=1, Columns=1)]
    source.add_new(0x50000005, "US", 2)
    source.add_new("SmallestPixelValueInSeries", "SS", 0)
    source.InstanceCreationDate, source.SOPInstanceStatus = "20200101", "AO"
    made = _derived(objects, enlarge, tmp_path, source)
    assert not [e for e in made.iterall() if e.tag.is_private]
    for keyword in ("IconImageSequence", "SmallestPixelValueInSeries", "InstanceCreationDate", "SOPInstanceStatus"):
        assert keyword not in made, keyword
    assert 0x50000005 not in made and made.ReferencedImageSequence[0].ReferencedSOPInstanceUID == "1.2.3"


@pytest.mark.parametrize("suffix", ["2", "1", "20", "3.1", "7.2", "4.1", "128"])
@pytest.mark.parametrize("scale", [2, 3])
def test_blocks_average_to_the_source(
    objects: ModuleType, enlarge: Enlarge, tmp_path: Path, suffix: str, scale: int
) -> None:
    made = _derived(objects, enlarge, tmp_path, objects.CLASSES[suffix](), scale)
    before = pydicom.dcmread(tmp_path / "a.dcm").pixel_array.astype(np.int64)
    after = made.pixel_array.astype(np.int64)
    first = 1 if int(made.get("NumberOfFrames", 1)) > 1 else 0
    sums = np.add.reduceat(after, np.arange(0, after.shape[first], scale), axis=first)
    sums = np.add.reduceat(sums, np.arange(0, after.shape[first + 1], scale), axis=first + 1)
    assert np.array_equal(sums, before * scale * scale)
    assert (after != before.repeat(scale, first).repeat(scale, first + 1)).any()


def test_padding_stays_and_does_not_count(objects: ModuleType, enlarge: Enlarge, tmp_path: Path) -> None:
    source = objects.ct()
    values = np.frombuffer(source.PixelData, "<i2").reshape(24, 20).copy()
    values[:5, :4] = -2000
    source.PixelData = values.tobytes()
    source.add_new("PixelPaddingValue", "SS", -2000)
    made = _derived(objects, enlarge, tmp_path, source)
    after = made.pixel_array
    assert np.array_equal(after == -2000, (values == -2000).repeat(2, 0).repeat(2, 1))
    valid = after[after != -2000]
    assert made.SmallestImagePixelValue == valid.min() and made.LargestImagePixelValue == valid.max()


def test_extremes_only_where_the_source_has_them(objects: ModuleType, enlarge: Enlarge, tmp_path: Path) -> None:
    assert "SmallestImagePixelValue" not in _derived(objects, enlarge, tmp_path, objects.mr())


def test_ybr_comes_out_as_rgb(sample: Callable[[str], Path], enlarge: Enlarge, tmp_path: Path) -> None:
    frames = dicom.read(sample("SC_ybr_full_422_uncompressed.dcm"))
    dicom.write(tmp_path / "b.dcm", dicom.derive(enlarge(frames, guard="box")))
    made = pydicom.dcmread(tmp_path / "b.dcm")
    assert (made.PhotometricInterpretation, made.PlanarConfiguration, made.SamplesPerPixel) == ("RGB", 0, 3)
    means = made.pixel_array.reshape(100, 2, 100, 2, 3).mean(axis=(1, 3))
    assert np.array_equal(means, frames[0].pixels)


def test_signed_eight_bits_and_wide_allocation(objects: ModuleType, enlarge: Enlarge, tmp_path: Path) -> None:
    for allocated, stored, wanted in ((8, 8, 8), (32, 12, 16)):
        source = objects.mr()
        source.BitsAllocated, source.BitsStored, source.HighBit = allocated, stored, stored - 1
        source.PixelRepresentation = 1
        values = np.arange(-60, 60).repeat(4).reshape(24, 20)
        source.PixelData = values.astype(f"<i{allocated // 8}").tobytes()
        made = _derived(objects, enlarge, tmp_path, source)
        assert (made.BitsAllocated, made.BitsStored, made.PixelRepresentation) == (wanted, stored, 1)
        assert np.array_equal(made.pixel_array.reshape(24, 2, 20, 2).mean(axis=(1, 3)), values)


def test_high_bit_is_put_right(objects: ModuleType, enlarge: Enlarge, tmp_path: Path) -> None:
    source = objects.mr()
    stored = np.frombuffer(source.PixelData, "<u2")
    source.HighBit, source.PixelData = 15, (stored << 4).tobytes()
    made = _derived(objects, enlarge, tmp_path, source)
    assert made.HighBit == 11
    assert np.array_equal(made.pixel_array.reshape(24, 2, 20, 2).mean(axis=(1, 3)).ravel(), stored)


def test_multi_frame_keeps_its_order_and_vectors(objects: ModuleType, enlarge: Enlarge, tmp_path: Path) -> None:
    source = objects.nm()
    made = _derived(objects, enlarge, tmp_path, source)
    assert made.NumberOfFrames == 2 and made.FrameIncrementPointer == 0x00540080 and made.SliceVector == [1, 2]
    before = pydicom.dcmread(tmp_path / "a.dcm").pixel_array
    assert np.array_equal(made.pixel_array.reshape(2, 24, 2, 20, 2).mean(axis=(2, 4)), before)


def test_functional_groups_frame_by_frame(objects: ModuleType, enlarge: Enlarge, tmp_path: Path) -> None:
    source = objects.enhanced_mr()
    source.ContentQualification = "PRODUCT"
    source.SharedFunctionalGroupsSequence[0].DerivationImageSequence = [
        objects.item(DerivationCodeSequence=[objects.code("113040", "DCM", "x")], SourceImageSequence=[])
    ]
    made = _derived(objects, enlarge, tmp_path, source)
    shared = made.SharedFunctionalGroupsSequence[0]
    assert list(shared.MRImageFrameTypeSequence[0].FrameType) == ["DERIVED", "PRIMARY", "VOLUME", "NONE"]
    assert "DerivationImageSequence" not in shared and made.ContentQualification == "RESEARCH"
    for i, group in enumerate(made.PerFrameFunctionalGroupsSequence):
        (derivation,) = group.DerivationImageSequence
        assert [x.CodeValue for x in derivation.DerivationCodeSequence] == ["113040", "113085"]
        (origin,) = derivation.SourceImageSequence
        assert origin.ReferencedFrameNumber == i + 1 and origin.ReferencedSOPInstanceUID == source.SOPInstanceUID
        assert group.FrameContentSequence[0].InStackPositionNumber == i + 1
    (evidence,) = made.SourceImageEvidenceSequence
    (series,) = evidence.ReferencedSeriesSequence
    assert evidence.StudyInstanceUID == source.StudyInstanceUID
    assert series.SeriesInstanceUID == source.SeriesInstanceUID != made.SeriesInstanceUID


def test_frames_made_differently_are_told_apart(objects: ModuleType, enlarge: Enlarge, tmp_path: Path) -> None:
    frames = enlarge(dicom.read(objects.save(objects.enhanced_ct(), tmp_path / "a.dcm")))
    mixed = [*_as_network(frames[:1]), frames[1], *_as_network(frames[2:])]
    made = dicom.derive(mixed)
    assert "Frames 1, 3: " in made.DerivationDescription and "Frames 2: " in made.DerivationDescription
    assert made.SeriesDescription == "source [acutance base-x2 and ct-rt-x2]"
    said = [g.DerivationImageSequence[0].DerivationDescription for g in made.PerFrameFunctionalGroupsSequence]
    assert ["no network" in x for x in said] == [False, True, False]
    assert len(made.ContributingEquipmentSequence) == 2


def test_burned_in_annotation_is_refused(objects: ModuleType, enlarge: Enlarge, tmp_path: Path) -> None:
    source = objects.us()
    source.BurnedInAnnotation = "YES"
    frames = enlarge(dicom.read(objects.save(source, tmp_path / "a.dcm")))
    with pytest.raises(InputError, match="burned into its pixels"):
        dicom.derive(frames)
    assert dicom.derive(frames, allow_burned_in=True).BurnedInAnnotation == "YES"
    with pytest.raises(InputError, match="burned into its pixels"):
        dicom.check(source, 2)
    dicom.check(source, 2, allow_burned_in=True)


def test_too_large_for_dicom_is_refused(objects: ModuleType) -> None:
    made = objects.mr()
    made.Rows, made.Columns = 32768, 10
    with pytest.raises(InputError, match="65536 x 20 pixels; DICOM holds at most 65535 a side"):
        dicom.check(made, 2)
    made.Rows, made.Columns, made.NumberOfFrames = 1024, 1024, 512
    with pytest.raises(InputError, match="4294967296 bytes"):
        dicom.check(made, 2)
    made.NumberOfFrames = 511
    dicom.check(made, 2)


def test_frames_that_do_not_belong_together(objects: ModuleType, enlarge: Enlarge, tmp_path: Path) -> None:
    frames = dicom.read(objects.save(objects.us_multi(), tmp_path / "a.dcm"))
    enhanced = enlarge(frames)
    again = enlarge(dicom.read(tmp_path / "a.dcm"))
    for wrong in (
        [],
        frames,
        enhanced[:2],
        enhanced[::-1],
        [*enhanced[:2], again[2]],
        [Frame(np.zeros((4, 4), np.uint8))],
    ):
        with pytest.raises(UsageError):
            dicom.derive(wrong)
    with pytest.raises(UsageError, match="compress"):
        dicom.derive(enhanced, compress="zip")  # type: ignore[arg-type]


@pytest.mark.parametrize("compress", ["jpeg2000", "rle"])
@pytest.mark.parametrize("suffix", ["2", "7.2", "6.1", "4.1", "7.4"])
def test_compression_loses_nothing(
    objects: ModuleType, enlarge: Enlarge, complaints: Any, tool: Any, tmp_path: Path, suffix: str, compress: str
) -> None:
    source = objects.CLASSES[suffix]()
    plain = _derived(objects, enlarge, tmp_path, source)
    made = _derived(objects, enlarge, tmp_path, source, compress=compress)
    assert made.file_meta.TransferSyntaxUID.is_compressed and made.SOPInstanceUID == plain.SOPInstanceUID
    assert made.LossyImageCompression == "00"
    colour = "YBR_RCT" if compress == "jpeg2000" else "RGB"
    assert made.PhotometricInterpretation == (colour if made.SamplesPerPixel == 3 else "MONOCHROME2")
    assert np.array_equal(np.stack([f.pixels for f in dicom.read(tmp_path / "b.dcm")]).squeeze(), plain.pixel_array)
    assert np.array_equal(made.pixel_array, plain.pixel_array)
    assert complaints(tmp_path / "b.dcm") == set()
    if compress == "rle":
        assert tool("dcmdrle", tmp_path / "b.dcm", tmp_path / "c.dcm").returncode == 0
        assert np.array_equal(pydicom.dcmread(tmp_path / "c.dcm").pixel_array, plain.pixel_array)


def test_damaged_values_are_left_out(objects: ModuleType, enlarge: Enlarge, tmp_path: Path) -> None:
    data = objects.save(objects.ct(), tmp_path / "a.dcm").read_bytes()
    assert data.count(b"0.75\\0.5") == 1
    (tmp_path / "c.dcm").write_bytes(data.replace(b"0.75\\0.5", b"0.7z\\0.5"))
    frames = dicom.read(tmp_path / "c.dcm")
    assert frames[0].spacing is None
    assert "PixelSpacing" not in dicom.derive(enlarge(frames))


def test_source_without_a_valid_uid_is_not_referred_to(objects: ModuleType, enlarge: Enlarge, tmp_path: Path) -> None:
    source = objects.ct()
    data = objects.save(source, tmp_path / "a.dcm").read_bytes()
    uid = source.SOPInstanceUID.encode()
    (tmp_path / "c.dcm").write_bytes(data.replace(uid, b"x" * len(uid)))
    made = dicom.derive(enlarge(dicom.read(tmp_path / "c.dcm")))
    assert "SourceImageSequence" not in made and "no valid UID" in made.DerivationDescription
