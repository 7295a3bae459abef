"""DICOM files become Frames, or are refused with one line."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pydicom
import pytest

from acutance import dicom
from acutance.errors import InputError

Sample = Callable[[str], Path]


def test_ct_slice(sample: Sample) -> None:
    (frame,) = dicom.read(sample("CT_small.dcm"))
    assert frame.pixels.shape == (128, 128) and frame.pixels.dtype == np.int16
    assert (int(frame.pixels.min()), int(frame.pixels.max())) == (128, 2191)
    assert frame.modality == "CT" and frame.spacing == (0.661468, 0.661468)
    assert (frame.slope, frame.intercept, frame.bits_stored) == (1.0, -1024.0, 16)
    assert frame.padding == (-2000.0, -2000.0)
    assert frame.source is not None and frame.source.kind == "dicom" and frame.source.index == 0
    assert "PixelData" not in frame.source.header and frame.source.header.Rows == 128
    assert not frame.inverted and frame.timestamp is None and frame.value_range is None


def test_window_and_inversion(sample: Sample) -> None:
    (frame,) = dicom.read(sample("dicomdirtests/77654033/CR1/6154"))
    assert frame.inverted and frame.window == (1600.0, 2800.0) and frame.spacing == (0.1, 0.1)
    assert (frame.slope, frame.intercept, frame.bits_stored) == (0.684, 200.0, 12)


def test_cine_has_times_and_one_range(sample: Sample) -> None:
    frames = dicom.read(sample("examples_ybr_color.dcm"))
    assert len(frames) == 30 and frames[0].pixels.shape == (240, 320, 3)
    assert [f.source.index for f in frames if f.source] == list(range(30))
    assert frames[0].timestamp == 0.0
    step = frames[1].timestamp
    assert step is not None and frames[7].timestamp == pytest.approx(7 * step)
    assert len({f.value_range for f in frames}) == 1 and frames[0].value_range is not None
    assert all(f.source.header is frames[0].source.header for f in frames if f.source and frames[0].source)


def test_enhanced_object_frame_by_frame(objects: ModuleType, tmp_path: Path) -> None:
    made = objects.enhanced_ct()
    other = made.PerFrameFunctionalGroupsSequence[1]
    other.PixelValueTransformationSequence = [objects.item(RescaleSlope=2, RescaleIntercept=-5, RescaleType="HU")]
    other.FrameVOILUTSequence = [objects.item(WindowCenter=1, WindowWidth=2)]
    other.PixelMeasuresSequence = [objects.item(PixelSpacing=[3, 4])]
    frames = dicom.read(objects.save(made, tmp_path / "a.dcm"))
    assert [(f.slope, f.intercept) for f in frames] == [(1, -1024), (2, -5), (1, -1024)]
    assert [f.window for f in frames] == [(900, 1800), (1, 2), (900, 1800)]
    assert [f.spacing for f in frames] == [(0.75, 0.5), (3, 4), (0.75, 0.5)]
    assert {f.modality for f in frames} == {"CT"}


def test_ct_without_hounsfield_units_is_not_ct(objects: ModuleType, tmp_path: Path) -> None:
    made = objects.ct()
    made.RescaleType = "Z_EFF"
    assert dicom.read(objects.save(made, tmp_path / "a.dcm"))[0].modality == "OT"
    del made.RescaleType, made.RescaleSlope
    assert dicom.read(objects.save(made, tmp_path / "a.dcm"))[0].modality == "OT"


@pytest.mark.parametrize(
    ("set_", "wanted"),
    [
        ({"PixelSpacing": [2, 3], "ImagerPixelSpacing": [4, 5]}, (2, 3)),
        ({"PixelSpacing": [0, 0], "ImagerPixelSpacing": [4, 5]}, (4, 5)),
        ({"ImagerPixelSpacing": [4, 5], "NominalScannedPixelSpacing": [6, 7]}, (4, 5)),
        ({"NominalScannedPixelSpacing": [6, 7]}, (6, 7)),
        ({"PixelSpacing": [6]}, None),
        ({}, None),
    ],
)
def test_spacing(objects: ModuleType, tmp_path: Path, set_: dict[str, Any], wanted: Any) -> None:
    made = objects.cr()
    del made.ImagerPixelSpacing
    for keyword, value in set_.items():
        setattr(made, keyword, value)
    assert dicom.read(objects.save(made, tmp_path / "a.dcm"))[0].spacing == wanted


def test_spacing_of_ultrasound_regions_must_agree(objects: ModuleType, tmp_path: Path) -> None:
    made = objects.us()
    assert dicom.read(objects.save(made, tmp_path / "a.dcm"))[0].spacing == pytest.approx((0.75, 0.5))
    second = objects.us().SequenceOfUltrasoundRegions[0]
    second.PhysicalDeltaX = 0.06
    made.SequenceOfUltrasoundRegions.append(second)
    assert dicom.read(objects.save(made, tmp_path / "a.dcm"))[0].spacing is None


def _mono(objects: ModuleType, values: Any, allocated: int, stored: int, high: int, signed: bool) -> Any:
    made = objects.mr()
    made.Rows, made.Columns = 1, len(values)
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = allocated, stored, high, int(signed)
    data = np.asarray(values, f"<u{allocated // 8}").tobytes()
    made.PixelData = data + b"\0" * (len(data) % 2)
    return made


@pytest.mark.parametrize(
    ("values", "allocated", "stored", "high", "signed", "dtype", "wanted"),
    [
        ([0x0FFF, 0xF001, 0x1800], 16, 12, 11, False, "uint16", [4095, 1, 0x800]),
        ([0x0FFF, 0xF001, 0x1800], 16, 12, 11, True, "int16", [-1, 1, -2048]),
        ([0xFFFF, 0x0013, 0x8000], 16, 12, 15, False, "uint16", [4095, 1, 0x800]),
        ([0xFFFF, 0x0013, 0x8000], 16, 12, 15, True, "int16", [-1, 1, -2048]),
        ([0xFF, 0x7F, 0x80], 8, 8, 7, True, "int16", [-1, 127, -128]),
        ([0xFF, 0x80, 0x41], 8, 7, 6, False, "uint8", [127, 0, 0x41]),
        ([0x3FF, 0xFC01, 512], 16, 10, 9, False, "uint16", [1023, 1, 512]),
        ([0x10FFF, 0xFFFFF001], 32, 12, 11, False, "uint16", [4095, 1]),
        ([0xFFFF, 0x8000], 32, 16, 15, True, "int16", [-1, -32768]),
    ],
)
def test_bits(
    objects: ModuleType,
    tmp_path: Path,
    values: list[int],
    allocated: int,
    stored: int,
    high: int,
    signed: bool,
    dtype: str,
    wanted: list[int],
) -> None:
    made = _mono(objects, values, allocated, stored, high, signed)
    (frame,) = dicom.read(objects.save(made, tmp_path / "a.dcm"))
    assert frame.pixels.dtype == dtype and frame.pixels[0].tolist() == wanted and frame.bits_stored == stored


@pytest.mark.parametrize(
    ("value", "limit", "signed", "wanted"),
    [
        (0, None, False, (0, 0)),
        (100, 90, False, (90, 100)),
        (-2000, None, True, (-2000, -2000)),
        (5000, None, False, None),
        (None, None, False, None),
    ],
)
def test_padding(
    objects: ModuleType, tmp_path: Path, value: int | None, limit: int | None, signed: bool, wanted: Any
) -> None:
    made = _mono(objects, [0, 1], 16, 12, 11, signed)
    for keyword, number in (("PixelPaddingValue", value), ("PixelPaddingRangeLimit", limit)):
        if number is not None:
            made.add_new(keyword, "SS" if signed else "US", number)
    assert dicom.read(objects.save(made, tmp_path / "a.dcm"))[0].padding == wanted


def test_padding_with_the_wrong_sign(objects: ModuleType, tmp_path: Path) -> None:
    made = _mono(objects, [0, 1], 16, 16, 15, True)
    made.add_new("PixelPaddingValue", "US", 63536)
    assert dicom.read(objects.save(made, tmp_path / "a.dcm"))[0].padding == (-2000, -2000)


def test_bits_beyond_a_lossy_range_are_clamped(sample: Sample) -> None:
    from acutance.dicom import decode, layout

    found = layout.layout(pydicom.dcmread(sample("JPGExtended.dcm")), None)
    assert found.stored == 12
    values = decode._stored(np.array([[4095, 4099]], np.uint16), found, lossy=True)
    assert values.tolist() == [[4095, 4095]]


def _ybr(rgb: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """PS3.3 C.7.6.3.1.2."""
    matrix = np.array([[0.299, 0.587, 0.114], [-0.1687, -0.3313, 0.5], [0.5, -0.4187, -0.0813]])
    return (rgb.astype(float) @ matrix.T + [0, 128, 128]).round().clip(0, 255).astype(np.uint8)


def test_ybr_full(objects: ModuleType, tmp_path: Path) -> None:
    made = objects.sc()
    made.PhotometricInterpretation = "YBR_FULL"
    made.PixelData = _ybr(objects.colour()).tobytes()
    (frame,) = dicom.read(objects.save(made, tmp_path / "a.dcm"))
    assert np.abs(frame.pixels.astype(int) - objects.colour()).max() <= 2


def test_ybr_full_422(objects: ModuleType, tmp_path: Path) -> None:
    made = objects.sc()
    made.PhotometricInterpretation = "YBR_FULL_422"
    pairs = objects.colour()[:, ::2].repeat(2, axis=1)
    ybr = _ybr(pairs)
    made.PixelData = np.stack([ybr[:, ::2, 0], ybr[:, 1::2, 0], ybr[:, ::2, 1], ybr[:, ::2, 2]], axis=-1).tobytes()
    (frame,) = dicom.read(objects.save(made, tmp_path / "a.dcm"))
    assert np.abs(frame.pixels.astype(int) - pairs).max() <= 2


def test_colour_by_plane(objects: ModuleType, tmp_path: Path) -> None:
    made = objects.us_multi()
    frames = np.frombuffer(made.PixelData, np.uint8).reshape(3, 24, 20, 3)
    made.PlanarConfiguration = 1
    made.PixelData = frames.transpose(0, 3, 1, 2).tobytes()
    found = dicom.read(objects.save(made, tmp_path / "a.dcm"))
    assert np.array_equal(np.stack([f.pixels for f in found]), frames)


@pytest.mark.parametrize(
    "name",
    [
        "SC_rgb_dcmtk_+eb+cr.dcm",
        "SC_rgb_dcmtk_+eb+cy+n1.dcm",
        "SC_rgb_dcmtk_+eb+cy+n2.dcm",
        "SC_rgb_dcmtk_+eb+cy+np.dcm",
        "SC_rgb_dcmtk_+eb+cy+s2.dcm",
        "SC_rgb_dcmtk_+eb+cy+s4.dcm",
        "SC_rgb_jpeg_dcmtk.dcm",
        "SC_rgb_jpeg_lossy_gdcm.dcm",
        "SC_rgb_gdcm_KY.dcm",
        "SC_rgb_jls_lossy_line.dcm",
        "SC_rgb_jls_lossy_sample.dcm",
        "SC_ybr_full_422_uncompressed.dcm",
    ],
)
def test_lossy_colours_are_those_of_the_picture(sample: Sample, name: str) -> None:
    """All of these are made of the picture in SC_rgb_rle.dcm: bars of pure colours."""
    truth = dicom.read(sample("SC_rgb_rle.dcm"))[0].pixels.astype(int)
    found = dicom.read(sample(name))[0].pixels.astype(int)
    assert np.median(np.abs(found - truth)) <= 2


def test_reversible_colours_are_exact(sample: Sample) -> None:
    truth = dicom.read(sample("SC_rgb_rle.dcm"))[0].pixels
    assert np.array_equal(dicom.read(sample("SC_rgb_jpeg_gdcm.dcm"))[0].pixels, truth)
    assert (truth[..., 0] != truth[..., 2]).any()


@pytest.mark.parametrize(
    "name", ["MR_small_RLE.dcm", "MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm", "MR_small_bigendian.dcm"]
)
def test_lossless_syntaxes_are_exact(sample: Sample, name: str) -> None:
    truth = dicom.read(sample("MR_small.dcm"))[0].pixels
    assert np.array_equal(dicom.read(sample(name))[0].pixels, truth)


def test_odd_number_of_bytes_in_words(sample: Sample) -> None:
    truth = dicom.read(sample("SC_rgb_small_odd.dcm"))[0].pixels
    assert truth.size % 2 and np.array_equal(dicom.read(sample("SC_rgb_small_odd_big_endian.dcm"))[0].pixels, truth)


def test_twelve_bit_jpeg_is_what_dcmtk_decodes(sample: Sample, tmp_path: Path, tool: Any) -> None:
    assert tool("dcmdjpeg", sample("JPGExtended.dcm"), tmp_path / "a.dcm").returncode == 0
    wanted = pydicom.dcmread(tmp_path / "a.dcm").pixel_array
    (frame,) = dicom.read(sample("JPGExtended.dcm"))
    assert wanted.max() > 255 and np.array_equal(frame.pixels, wanted)


def test_loss_is_noted_only_where_there_is_any(sample: Sample, tmp_path: Path) -> None:
    for name, method in (
        ("JPEG2000.dcm", "ISO_15444_1"),
        ("SC_rgb_jpeg_dcmtk.dcm", "ISO_10918_1"),
        ("SC_rgb_jls_lossy_line.dcm", "ISO_14495_1"),
        ("SC_rgb_gdcm_KY.dcm", None),
        ("MR_small_jp2klossless.dcm", None),
        ("SC_rgb_rle.dcm", None),
    ):
        made = pydicom.dcmread(sample(name))
        for keyword in ("LossyImageCompression", "LossyImageCompressionMethod", "LossyImageCompressionRatio"):
            if keyword in made:
                delattr(made, keyword)
        made.save_as(tmp_path / "a.dcm")
        (frame,) = dicom.read(tmp_path / "a.dcm")
        assert frame.source is not None
        header = frame.source.header
        assert header.get("LossyImageCompressionMethod") == method, name
        assert ("LossyImageCompression" in header) is (method is not None)
        assert method is None or 1 < header.LossyImageCompressionRatio < 3000


def test_file_without_preamble(sample: Sample, tmp_path: Path) -> None:
    whole = sample("MR_small.dcm").read_bytes()
    truth = dicom.read(sample("MR_small.dcm"))[0].pixels
    meta_end = 132 + 12 + struct.unpack_from("<I", whole, 140)[0]
    for i, cut in enumerate((whole[128:], whole[132:], whole[meta_end:])):
        (tmp_path / f"{i}").write_bytes(cut)
        assert np.array_equal(dicom.read(tmp_path / f"{i}")[0].pixels, truth), i


def _says(path: Path, **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        dicom.read(path, **options)
    assert caught.value.path == str(path) and "\n" not in str(caught.value)
    return caught.value.message


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("liver_1frame.dcm", "Segmentation Storage"),
        ("rtdose_1frame.dcm", "RT Dose Storage"),
        ("rtplan.dcm", "RT Plan Storage"),
        ("rtstruct.dcm", "RT Structure Set Storage"),
        ("reportsi.dcm", "Basic Text SR Storage"),
        ("waveform_ecg.dcm", "12-lead ECG Waveform Storage"),
        ("dicomdirtests/DICOMDIR", "Media Storage Directory"),
        ("examples_palette.dcm", "palette colour"),
        ("SC_rgb_rle_32bit.dcm", "32 bits stored in 32"),
        ("README.txt", "not a DICOM file"),
        ("MR_truncated.dcm", "cut short: 8192 bytes of pixels are promised, 8130 are there"),
        ("empty_charset_LEI.dcm", "no SOP Class UID"),
    ],
)
def test_refused_by_name(sample: Sample, name: str, words: str) -> None:
    assert words in _says(sample(name))


def test_refused_without_a_file(tmp_path: Path) -> None:
    assert "cannot be read" in _says(tmp_path / "none.dcm")
    assert "is a folder" in _says(tmp_path)
    (tmp_path / "empty.dcm").write_bytes(b"")
    assert "is empty" in _says(tmp_path / "empty.dcm")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.77.1.6"}, "VL Whole Slide Microscopy Image Storage"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.30"}, "Parametric Map Storage"),
        ({"SOPClassUID": "1.2.3"}, "class 1.2.3"),
        ({"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0}, "1 bits stored in 1"),
        ({"BitsAllocated": 12}, "12 bits stored in 12"),
        ({"HighBit": 3}, "below bit 3"),
        ({"PhotometricInterpretation": "ARGB"}, "interpretation is ARGB"),
        ({"PhotometricInterpretation": "YBR_PARTIAL_420"}, "YBR_PARTIAL_420"),
        ({"PixelPresentation": "COLOR"}, "partly palette colour"),
        ({"SamplesPerPixel": 3}, "MONOCHROME2 pixels with 3 samples"),
        ({"Rows": 0}, "no Rows and Columns"),
        ({"NumberOfFrames": 0}, "Number of Frames"),
        ({"RescaleSlope": 0, "RescaleIntercept": 0}, "do not map values"),
    ],
)
def test_refused_for_one_element(objects: ModuleType, tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    made = objects.mr()
    for keyword, value in changes.items():
        setattr(made, keyword, value)
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    assert words in _says(objects.save(made, tmp_path / "a.dcm"))


def test_refused_float_and_missing_pixels(objects: ModuleType, tmp_path: Path) -> None:
    made = objects.mr()
    del made.PixelData
    assert "no pixel data" in _says(objects.save(made, tmp_path / "a.dcm"))
    made.FloatPixelData = b"\0" * 4 * 24 * 20
    assert "float pixel data" in _says(objects.save(made, tmp_path / "a.dcm"))


def test_large_header_is_refused_before_memory_is_taken(objects: ModuleType, tmp_path: Path) -> None:
    made = objects.mr()
    made.Rows = made.Columns = 60000
    path = objects.save(made, tmp_path / "a.dcm")
    assert "3600000000" not in _says(path) and "at most" in _says(path)
    assert "cut short: 7200000000 bytes of pixels are promised, 960 are there" in _says(path, max_pixels=1 << 40)


@pytest.mark.parametrize("length", [960, 0x7FFFFFF0])
def test_file_that_ends_inside_its_pixels(objects: ModuleType, tmp_path: Path, length: int) -> None:
    data = objects.save(objects.mr(), tmp_path / "a.dcm").read_bytes()
    at = data.rindex(b"\xe0\x7f\x10\x00OW") + 8
    (tmp_path / "b.dcm").write_bytes(data[:at] + struct.pack("<I", length) + data[at + 4 : -100])
    assert "960 bytes of pixels are promised, 860 are there" in _says(tmp_path / "b.dcm")


def test_compressed_file_cut_inside_a_fragment(sample: Sample, tmp_path: Path) -> None:
    for name in ("MR_small_RLE.dcm", "MR_small_jp2klossless.dcm", "SC_rgb_jpeg_dcmtk.dcm"):
        data = sample(name).read_bytes()
        (tmp_path / name).write_bytes(data[:-200])
        assert "cut short" in _says(tmp_path / name)


@pytest.mark.parametrize("name", ["MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm", "JPGExtended.dcm"])
def test_codestream_of_another_size(sample: Sample, tmp_path: Path, name: str) -> None:
    made = pydicom.dcmread(sample(name))
    made.Rows = made.Rows - 1
    made.save_as(tmp_path / "a.dcm")
    assert "a compressed frame holds" in _says(tmp_path / "a.dcm")


def test_rle_that_does_not_fill_the_picture(sample: Sample, tmp_path: Path) -> None:
    made = pydicom.dcmread(sample("MR_small_RLE.dcm"))
    made.Rows = 65
    made.save_as(tmp_path / "a.dcm")
    assert "do not fill the picture" in _says(tmp_path / "a.dcm")
    made.Rows = 20000
    made.save_as(tmp_path / "a.dcm")
    assert "does not hold what the header promises" in _says(tmp_path / "a.dcm")


def test_deflated_bomb_is_not_inflated(objects: ModuleType, tmp_path: Path) -> None:
    made = objects.mr()
    made.PixelData = bytes(1 << 27)
    made.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1.99"
    made.file_meta.ImplementationClassUID = "1.2.3"
    path = tmp_path / "a.dcm"
    with path.open("wb") as file:
        file.write(bytes(128) + b"DICM")
        pydicom.filewriter.write_file_meta_info(file, made.file_meta)
        body = pydicom.filebase.DicomBytesIO()
        body.is_implicit_VR, body.is_little_endian = False, True
        pydicom.filewriter.write_dataset(body, made)
        squeezer = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
        file.write(squeezer.compress(body.getvalue()) + squeezer.flush())
    del made, body
    assert path.stat().st_size < 1 << 21
    tracemalloc.start()
    (frame,) = dicom.read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert frame.pixels.shape == (24, 20) and peak < 1 << 26


def test_messages_hold_no_patient_data(objects: ModuleType, tmp_path: Path) -> None:
    made = objects.mr()
    made.PatientName, made.PatientID, made.AccessionNumber = "Secret^Person", "SECRET7", "SECRET8"
    whole = objects.save(made, tmp_path / "a.dcm").read_bytes()
    for end in range(140, len(whole), 37):
        (tmp_path / "b.dcm").write_bytes(whole[:end])
        assert "SECRET" not in _says(tmp_path / "b.dcm").upper()


def test_damaged_files_raise_nothing_else(sample: Sample, tmp_path: Path, capfd: Any) -> None:
    rng = np.random.default_rng(5)
    names = ("MR_small_RLE.dcm", "MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm", "SC_rgb_jpeg_gdcm.dcm")
    refused = 0
    for name in (*names, "JPGExtended.dcm", "SC_rgb_jpeg_dcmtk.dcm", "MR_small_implicit.dcm", "image_dfl.dcm"):
        whole = np.frombuffer(sample(name).read_bytes(), np.uint8)
        for _ in range(12):
            bad = whole.copy()
            bad[rng.integers(132, bad.size, 20)] = rng.integers(0, 256, 20)
            (tmp_path / "a.dcm").write_bytes(bad.tobytes())
            try:
                dicom.read(tmp_path / "a.dcm", max_pixels=1 << 20)
            except InputError:
                refused += 1
    assert refused > 30
    assert capfd.readouterr() == ("", "")
