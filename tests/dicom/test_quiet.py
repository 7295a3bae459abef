"""Libraries are kept off the terminal, our own messages are not."""

from __future__ import annotations

import ctypes
import platform
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from acutance import dicom
from acutance.dicom.quiet import quiet

GLIBC = platform.libc_ver()[0] == "glibc"


def _print_in_c(text: bytes) -> None:
    ctypes.CDLL(None).perror(text)


@pytest.mark.skipif(not GLIBC, reason="glibc is not the C library")
def test_c_is_muted_and_python_is_not(capfd: Any) -> None:
    with quiet():
        _print_in_c(b"from C inside")
        print("from Python", file=sys.stderr, flush=True)
    _print_in_c(b"from C after")
    said = capfd.readouterr().err
    assert "from C inside" not in said and "from Python" in said and "from C after" in said


def test_overlapping_blocks(recwarn: Any) -> None:
    inside, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with quiet():
            inside.set()
            leave.wait(5)

    before = list(warnings.filters)
    thread = threading.Thread(target=hold)
    thread.start()
    inside.wait(5)
    with quiet():
        pass
    assert list(warnings.filters) != before
    leave.set()
    thread.join()
    assert list(warnings.filters) == before


def test_noisy_files_are_read_in_silence(
    sample: Callable[[str], Path], tmp_path: Path, capfd: Any, recwarn: Any
) -> None:
    for name in (
        "JPEG-lossy.dcm",
        "J2K_pixelrep_mismatch.dcm",
        "JPEG2000-embedded-sequence-delimiter.dcm",
        "badVR.dcm",
    ):
        try:
            frames = dicom.read(sample(name))
        except dicom.read.__globals__["InputError"]:
            continue
        assert frames
    assert capfd.readouterr() == ("", "") and len(recwarn) == 0


def test_other_warnings_come_through() -> None:
    with quiet(), pytest.warns(UserWarning, match="ours"):
        warnings.warn("ours", UserWarning, stacklevel=1)
