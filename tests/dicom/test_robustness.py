"""Every file of two collections becomes a valid derived file or is skipped with one clear line."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_files

from acutance import dicom
from acutance.errors import InputError
from acutance.geometry import Frame

CONVERTED_OF_PYDICOM = 79
CONVERTED_OF_DATA = 49
PYJPEGLS = importlib.util.find_spec("jpeg_ls") is not None
"""JPEG-LS of 7 bits, one file of the data, is decoded by pyjpegls alone."""

REASONS = (
    "is empty",
    "is not a DICOM file",
    "is damaged",
    "is cut short",
    "is a DICOM object of the class",
    "has no SOP Class UID",
    "has no SOP Instance UID",
    "has no pixel data",
    "its pixels are palette colour",
    "its pixels are partly palette colour",
    "bits stored in 32; wanted",
    "has text burned into its pixels",
)

Check = Callable[[Iterable[Path]], int]


def _block_means(frame: Frame, scale: int) -> np.ndarray[Any, Any]:
    shape = (frame.rows // scale, scale, frame.cols // scale, scale, *frame.pixels.shape[2:])
    return frame.pixels.reshape(shape).astype(np.int64).sum(axis=(1, 3)) / scale**2


@pytest.fixture
def check(
    enlarge: Callable[..., list[Frame]], complaints: Callable[[Path], set[str]], tool: Any, tmp_path: Path
) -> Check:
    """Return a function that converts files, holds each result against its source and counts them."""
    derived, inflated = tmp_path / "derived.dcm", tmp_path / "inflated.dcm"

    def one(source: Path) -> bool:
        try:
            frames = dicom.read(source)
            dicom.write(derived, dicom.derive(enlarge(frames)))
        except InputError as e:
            assert e.path == str(source) and "\n" not in str(e)
            assert any(reason in e.message for reason in REASONS + (("JPEG-LS",) if not PYJPEGLS else ())), e
            return False
        for frame, back in zip(frames, dicom.read(derived), strict=True):
            valid = ~missing if (missing := frame.missing()) is not None else ...
            assert np.array_equal(_block_means(back, 2)[valid], frame.pixels[valid])
        known = source
        if (
            pydicom.uid.DeflatedExplicitVRLittleEndian.encode() in source.read_bytes()[:1024]
        ):  # dciodvfy does not inflate
            assert tool("dcmconv", "+te", source, inflated).returncode == 0
            known = inflated
        assert complaints(derived) - complaints(known) == set(), source
        dumped = tool("dcmdump", "+P", "SOPInstanceUID", derived)
        assert dumped.returncode == 0 and b"E:" not in dumped.stderr, source
        return True

    def run(sources: Iterable[Path]) -> int:
        return sum(one(source) for source in sources)

    return run


def _files(folder: Path) -> Iterator[Path]:
    return (p for p in sorted(folder.rglob("*")) if p.is_file())


def test_files_of_pydicom(check: Check, capfd: Any, recwarn: Any) -> None:
    paths = [Path(p) for p in get_testdata_files()]
    assert check(p for p in paths if p.is_file()) >= CONVERTED_OF_PYDICOM
    assert capfd.readouterr() == ("", "") and len(recwarn) == 0
    for folder in (p for p in paths if p.is_dir()):
        with pytest.raises(InputError, match="is a folder"):
            dicom.read(folder)


def test_files_of_the_data(data_dir: Path, check: Check, capfd: Any) -> None:
    assert check(_files(data_dir / "DICOM")) == CONVERTED_OF_DATA - (not PYJPEGLS)
    assert capfd.readouterr() == ("", "")
