"""Files are known by what they hold, and results go back into the kind that they came from."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
import tifffile
from PIL import Image

import acutance
from acutance import io
from acutance.errors import InputError, OutputError, UsageError
from acutance.geometry import Frame

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "mr-brain.dcm"


def pixels(*shape: int) -> Any:
    return (np.arange(np.prod(shape)) % 251).reshape(shape).astype(np.uint8)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """One small file of each kind."""
    found = {k: tmp_path / f"a{s}" for k, s in (("dicom", ".dcm"), ("nifti", ".nii.gz"), ("png", ".png"))}
    found |= {k: tmp_path / f"a{s}" for k, s in (("tiff", ".tif"), ("jpeg", ".jpg"))}
    header = pydicom.dcmread(EXAMPLE)
    small = header.pixel_array[:20, :30]
    header.Rows, header.Columns = small.shape
    header.PixelData = small.tobytes()
    header.save_as(found["dicom"])
    nibabel.save(nibabel.Nifti1Image(pixels(6, 5, 3), np.eye(4)), found["nifti"])
    Image.fromarray(pixels(7, 8)).save(found["png"])
    Image.fromarray(pixels(7, 8, 3)).save(found["jpeg"])
    tifffile.imwrite(found["tiff"], pixels(2, 9, 8), photometric="minisblack")
    return found


@pytest.mark.parametrize("kind", ["dicom", "nifti", "png", "tiff", "jpeg"])
def test_a_file_is_known_by_its_content_under_any_name(files: dict[str, Path], tmp_path: Path, kind: str) -> None:
    for name in ("a.txt", "1.2.840.113", "noname", "b.png", "b.nii", "b.dcm"):
        (tmp_path / "other").mkdir(exist_ok=True)
        path = tmp_path / "other" / name
        path.write_bytes(files[kind].read_bytes())
        assert io.kind_of(path) == kind
        frames = acutance.read(path)
        assert [f.source.kind for f in frames if f.source] == [kind] * {"nifti": 3, "tiff": 2}.get(kind, 1)


def test_plain_nifti_and_dicom_without_preamble_are_known(files: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(gzip.decompress(files["nifti"].read_bytes()))
    assert io.kind_of(tmp_path / "x") == "nifti"
    (tmp_path / "x").write_bytes(files["dicom"].read_bytes()[132:])
    assert io.kind_of(tmp_path / "x") == "dicom"


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "is empty"),
        (b"hello, this is text", "no DICOM, NIfTI, PNG, TIFF or JPEG"),
        (b"GIF89a" + bytes(400), "no DICOM, NIfTI, PNG, TIFF or JPEG"),
        (bytes(1000), "no DICOM, NIfTI, PNG, TIFF or JPEG"),
        (gzip.compress(b"text" * 200), "compressed file, but no NIfTI"),
        (gzip.compress(os.urandom(500))[:200], "damaged or cut short"),
        (b"\x1f\x8b", "damaged or cut short"),
    ],
)
def test_what_is_no_picture_is_named_in_one_line(tmp_path: Path, content: bytes, word: str) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(content)
    with pytest.raises(InputError, match=word) as e:
        acutance.read(path)
    assert str(e.value).startswith(f"{path}: ") and "\n" not in str(e.value)


def test_folders_and_missing_files_are_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(InputError, match="cannot be read"):
            acutance.read(path)


@pytest.mark.parametrize("kind", ["dicom", "nifti", "png", "tiff", "jpeg"])
def test_what_is_read_enhanced_and_written_is_read_again(files: dict[str, Path], tmp_path: Path, kind: str) -> None:
    frames = acutance.read(files[kind], modality="US")
    assert {f.modality for f in frames} == {"MR" if kind == "dicom" else "US"}
    with acutance.Enhancer("base") as enhancer:
        done = [enhancer.run(f).frame for f in frames]
    end = {"dicom": ".dcm", "nifti": ".nii", "tiff": ".tif"}.get(kind, ".png")
    acutance.write(tmp_path / f"out{end}", done[0] if len(done) == 1 else done)
    again = acutance.read(tmp_path / f"out{end}")
    assert len(again) == len(done)
    for a, b in zip(again, done, strict=True):
        np.testing.assert_array_equal(a.pixels, b.pixels)
        assert a.pixels.dtype == b.pixels.dtype
        assert a.spacing == (None if b.spacing is None else pytest.approx(b.spacing))


def test_a_generator_of_slices_is_written_as_it_comes(files: dict[str, Path], tmp_path: Path) -> None:
    acutance.write(tmp_path / "b.nii.gz", (f for f in acutance.read(files["nifti"])))
    assert [f.rows for f in acutance.read(tmp_path / "b.nii.gz")] == [5, 5, 5]


def test_arrays_become_pictures(tmp_path: Path) -> None:
    acutance.write(tmp_path / "a.png", Frame(pixels(5, 4)))
    np.testing.assert_array_equal(acutance.read(tmp_path / "a.png")[0].pixels, pixels(5, 4))


def test_a_result_is_not_written_as_another_kind(files: dict[str, Path], tmp_path: Path) -> None:
    with acutance.Enhancer("base") as enhancer:
        frames = {k: [enhancer.run(f).frame for f in acutance.read(p)] for k, p in files.items()}
    frames["array"] = [Frame(pixels(4, 4))]
    for kind, name, word in (
        ("dicom", "b.png", r"written as DICOM; let the name end in \.dcm"),
        ("dicom", "b.nii.gz", "written as DICOM"),
        ("nifti", "b.png", r"from NIfTI .* ends in \.nii\.gz or \.nii"),
        ("png", "b.dcm", r"from PNG .* ends in \.png or \.tif or \.tiff"),
        ("jpeg", "b.jpg", "from JPEG"),
        ("tiff", "b", "from TIFF"),
        ("array", "b.dcm", "from an array"),
    ):
        with pytest.raises(UsageError, match=word):
            acutance.write(tmp_path / name, frames[kind])
        assert not (tmp_path / name).exists()
    with pytest.raises(UsageError, match="only DICOM"):
        io.write(tmp_path / "b.png", frames["png"], compress="rle")
    with pytest.raises(UsageError, match="no picture to write"):
        io.write(tmp_path / "b.png", [])


@pytest.mark.parametrize("kind", ["dicom", "nifti", "png", "tiff"])
def test_failing_to_write_leaves_nothing(files: dict[str, Path], tmp_path: Path, kind: str) -> None:
    with acutance.Enhancer("base") as enhancer:
        frames = [enhancer.run(f).frame for f in acutance.read(files[kind])]
    before = sorted(tmp_path.iterdir())
    with pytest.raises(OutputError, match="cannot be written"):
        acutance.write(tmp_path / "none" / files[kind].name, frames)
    assert sorted(tmp_path.iterdir()) == before


def test_limits_hold_for_every_kind(files: dict[str, Path]) -> None:
    for path in files.values():
        with pytest.raises(InputError, match="pixels"):
            io.read(path, max_pixels=10)


def test_the_public_names_are_there_and_come_when_they_are_used() -> None:
    code = (
        "import sys, acutance\n"
        "assert not {'numpy', 'pydicom', 'nibabel', 'onnxruntime', 'PIL'} & set(sys.modules), 'imported at once'\n"
        "assert acutance.__version__ and set(acutance.__all__) <= set(dir(acutance))\n"
        "assert all(getattr(acutance, n) for n in acutance.__all__)\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        acutance.nothing  # noqa: B018
