"""A DICOM object to a file."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from pathlib import Path

from pydicom.dataset import Dataset

from ..errors import OutputError
from .quiet import quiet


def write(path: str | os.PathLike[str], dataset: Dataset) -> None:
    """Write a data set as a DICOM file (PS3.10 7.1): beside its place first, then renamed into it.

    A reader sees the whole file or none of it, whenever the writer is killed, and what stood there stands until then.

    Raises
    ------
    OutputError
        The file cannot be written, or the data set cannot be encoded.
    """
    target = Path(path)
    temporary = target.parent / f".acutance-{secrets.token_hex(8)}.tmp"
    try:
        with temporary.open("xb") as file:
            with contextlib.suppress(OSError):  # file systems without locks
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with quiet():
                dataset.save_as(file, enforce_file_format=True)
            file.flush()
            os.fsync(file.fileno())
            temporary.replace(target)
    except Exception as e:  # pydicom raises whatever it meets in a value that it cannot encode
        if isinstance(e, OSError) and e.strerror:
            raise OutputError(f"cannot be written ({e.strerror})", target) from None
        raise OutputError(f"cannot be written as DICOM ({type(e).__name__})", target) from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
