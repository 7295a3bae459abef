"""A series of a built data set: slices that are read without decoding, and a JSON file that says what they are.

``acutance data build`` writes them, :mod:`.scans` reads them. ``NAME.npy`` holds ``[slices, rows, cols]`` along the
acquisition axis, gray, as the protocol takes truths: CT in whole HU, colour as luma, what was compressed with loss
area-meaned by 2. ``NAME.json`` holds :class:`Shard`.
"""

from __future__ import annotations

import errno
import resource
from pathlib import Path
from typing import Literal

import numpy as np
import pydantic

from ..errors import InputError
from ..geometry import Array
from . import score

SUFFIX = ".npy"

FORMAT: Literal[1] = 1
"""Raised whenever a reader of the format before would misread a shard."""


class Shard(pydantic.BaseModel):
    """What is known of a series; nothing in it names a person, a place or a time.

    Attributes
    ----------
    modality : str
        Of the protocol: ``CT``, ``MR``, ``PET``, ``NM``, ``XR``, ``US`` or ``ENDO``.
    split, subject, source, licence : str
        As in the manifest; ``subject`` is a pseudonym.
    shape : (int, int, int)
        Slices, rows, columns.
    dtype : str
        ``uint8``, ``int16``, ``uint16`` or ``float32``.
    spacing_mm : (float or None, float, float) or None
        Between slices, between rows, between columns.
    slope, intercept : float
        Real value = slope * stored + intercept.
    eight_bit : bool
        Whether the values are gray levels from 0 to 255.
    robust_range : (float, float)
        0.1 and 99.9 percentile of the stored values.
    truths : tuple of int
        Slices that show enough to be scored, by version ``protocol`` of the protocol.
    prepared : tuple of str
        What was done to the stored values.
    acquisition : dict
        Numbers of the header, by DICOM keyword: slice thickness, echo time and the like.
    deidentified : str
        By which profile and with which program.
    sha256 : str
        Of the ``.npy`` file.
    key : str
        What tells the key of the hashes below from another one.
    made_from : str
        Keyed hash of the source's files, by which a second build sees that it has them.
    content : str
        Keyed hash of the slices, by which a second copy of them is seen.
    links : tuple of str
        Keyed hashes of what is one person's alone: patient, study, frame of reference.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = FORMAT
    modality: str
    split: Literal["train", "val", "test"]
    subject: str
    source: str
    licence: str
    shape: tuple[int, int, int]
    dtype: Literal["uint8", "int16", "uint16", "float32"]
    spacing_mm: tuple[float | None, float, float] | None
    slope: float
    intercept: float
    eight_bit: bool
    robust_range: tuple[float, float]
    truths: tuple[int, ...]
    protocol: int
    prepared: tuple[str, ...]
    acquisition: dict[str, float]
    deidentified: str
    sha256: str
    key: str
    made_from: str
    content: str
    links: tuple[str, ...]


def value_range(modality: str, eight_bit: bool, robust_range: tuple[float, float]) -> tuple[float, float]:
    """Return the real values whose difference is the peak of PSNR, as :func:`score.data_range` without the slices."""
    return score.data_range(modality, ()) if modality == "CT" or eight_bit else robust_range


def describe(path: Path) -> Shard:
    """Read what is said of slices, at their path or beside it.

    Raises
    ------
    InputError
        It is missing, or says something else than :class:`Shard`.
    """
    beside = path.with_suffix(".json")
    try:
        return Shard.model_validate_json(beside.read_bytes())
    except OSError as e:
        raise InputError(f"cannot be read ({e.strerror}); build the data set again", beside) from None
    except pydantic.ValidationError as e:
        where = ".".join(str(x) for x in e.errors()[0]["loc"]) or "its start"
        raise InputError(f"does not describe a series (wrong at {where}); build the data set again", beside) from None


def slices(path: Path, said: Shard) -> list[Array]:
    """Map the slices at ``path`` into memory, read-only.

    Raises
    ------
    InputError
        They are missing, damaged or others than ``said``.
    """
    try:
        found = _mapped(path)
    except OSError as e:
        raise InputError(f"cannot be read ({e.strerror}); build the data set again", path) from None
    except ValueError:
        raise InputError("is damaged or cut short; build the data set again", path) from None
    if found.shape != said.shape or found.dtype.name != said.dtype:
        wanted = f"{said.dtype} of shape {said.shape}"
        raise InputError(f"holds {found.dtype} of shape {found.shape}; wanted {wanted}; build the data set again", path)
    return list(found)


def _mapped(path: Path) -> Array:
    """Open a file whose mapping stays open; there are as many as series, so take all that the system lets us open."""
    try:
        mapped: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as e:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if e.errno != errno.EMFILE or soft == hard:
            raise
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    return mapped
