"""The same object in another transfer syntax becomes the same derived object."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pydicom
import pytest

from acutance import dicom
from acutance.dicom import syntaxes

LOSSLESS = {
    "implicit": ("dcmconv", "+ti"),
    "big endian": ("dcmconv", "+tb"),
    "deflated": ("dcmconv", "+td"),
    "rle": ("dcmcrle",),
    "jpeg lossless": ("dcmcjpeg", "+e1"),
    "jpeg-ls": ("dcmcjpls",),
}


@pytest.mark.parametrize("kind", LOSSLESS)
@pytest.mark.parametrize("suffix", ["1", "2", "3.1", "4.1"])
def test_dcmtk_encodes_the_same_object(
    objects: ModuleType, convert: Callable[..., Path], tool: Any, tmp_path: Path, suffix: str, kind: str
) -> None:
    """Overlays, look-up tables and other words among it, whose bytes big endian swaps."""
    made = objects.CLASSES[suffix]()
    if suffix == "1":
        made.VOILUTSequence = [objects.item(LUTDescriptor=[4, 0, 16])]
        made.VOILUTSequence[0].add_new("LUTData", "OW", bytes(range(8)))
        made.VOILUTSequence[0]["LUTDescriptor"].VR = "US"
    source = objects.save(made, tmp_path / "a.dcm")
    program, *options = LOSSLESS[kind]
    done = tool(program, *options, source, tmp_path / "b.dcm")
    assert done.returncode == 0, done.stderr
    syntax = pydicom.dcmread(tmp_path / "b.dcm", stop_before_pixels=True).file_meta.TransferSyntaxUID
    assert syntax != pydicom.uid.ExplicitVRLittleEndian
    a, b = convert(source, tmp_path / "c.dcm"), convert(tmp_path / "b.dcm", tmp_path / "d.dcm")
    if kind in ("jpeg lossless", "jpeg-ls", "rle"):  # dcmtk notes the compression in some of them
        one, two = pydicom.dcmread(a), pydicom.dcmread(b)
        assert one.PixelData == two.PixelData and one.SOPInstanceUID == two.SOPInstanceUID
    else:
        assert a.read_bytes() == b.read_bytes()


@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL"])
def test_rle_of_colour(objects: ModuleType, tool: Any, tmp_path: Path, photometric: str) -> None:
    made = objects.sc()
    made.PhotometricInterpretation = photometric
    source = objects.save(made, tmp_path / "a.dcm")
    assert tool("dcmcrle", source, tmp_path / "b.dcm").returncode == 0
    assert np.array_equal(dicom.read(tmp_path / "b.dcm")[0].pixels, dicom.read(source)[0].pixels)


def test_rle_of_sixteen_bit_colour(sample: Callable[[str], Path]) -> None:
    wanted = pydicom.dcmread(sample("SC_rgb_rle_16bit_2frame.dcm")).pixel_array
    found = np.stack([f.pixels for f in dicom.read(sample("SC_rgb_rle_16bit_2frame.dcm"))])
    assert found.dtype == np.uint16 and np.array_equal(found, wanted)


def test_unpack() -> None:
    assert syntaxes.unpack(b"\x02abc\xfed\x80\x00e", 7) == b"abcddde"
    assert syntaxes.unpack(b"\x02abc\x00", 3) == b"abc"
    assert syntaxes.unpack(b"\xfeabc", 2) == b"aa"
    assert syntaxes.unpack(b"\x02ab", 3) is None
    assert syntaxes.unpack(b"", 1) is None


def test_damaged_codestreams_have_no_size() -> None:
    baseline = pydicom.uid.JPEGBaseline8Bit
    for frame in (b"", b"\xff\xd8\x00\x00\x00\x00", b"\xff\xd8\xff\xda\x00\x08", b"\xff\xd8\xff\xe0\x00\x00\xff\xc0"):
        assert syntaxes.inspect(baseline, frame) is None
    assert syntaxes.inspect(pydicom.uid.JPEG2000, b"\xff\x4f\xff\x51\x00") is None
    assert syntaxes.segments(b"\x02" + bytes(80)) == []


def test_sizes_of_codestreams(sample: Callable[[str], Path]) -> None:
    for name, wanted in (
        ("MR_small_jp2klossless.dcm", (64, 64, 1, 16)),
        ("MR_small_jpeg_ls_lossless.dcm", (64, 64, 1, 16)),
        ("JPGExtended.dcm", (1024, 256, 1, 12)),
        ("SC_rgb_jpeg_dcmtk.dcm", (100, 100, 3, 8)),
        ("SC_rgb_jpeg_gdcm.dcm", (100, 100, 3, 8)),
    ):
        made = pydicom.dcmread(sample(name))
        frame = next(pydicom.encaps.generate_frames(made.PixelData, number_of_frames=1))
        said = syntaxes.inspect(made.file_meta.TransferSyntaxUID, frame)
        assert said == syntaxes.Stream(*wanted), name
        assert syntaxes.inspect(made.file_meta.TransferSyntaxUID, frame[:3]) is None
