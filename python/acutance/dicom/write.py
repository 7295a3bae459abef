"""A DICOM object to a file."""

from __future__ import annotations

import os
from typing import IO

from pydicom.dataset import Dataset

from ..beside import beside
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
    with beside(path) as file:
        encode(file, dataset, path)


def encode(file: IO[bytes], dataset: Dataset, path: str | os.PathLike[str] | None = None) -> None:
    """Write a data set to an open file; ``path`` is what an error names.

    Raises
    ------
    OutputError
        The data set cannot be encoded.
    OSError
        The file cannot be written.
    """
    try:
        with quiet():
            dataset.save_as(file, enforce_file_format=True)
    except Exception as e:  # pydicom raises whatever it meets in a value that it cannot encode, OSError too
        if isinstance(e, OSError) and e.errno:
            raise
        raise OutputError(f"cannot be written as DICOM ({type(e).__name__})", path) from None
