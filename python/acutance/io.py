"""Any picture file in, Frames out, and back: DICOM, NIfTI, PNG, TIFF; JPEG only in."""

from __future__ import annotations

import gzip
import itertools
import os
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from .errors import InputError, UsageError
from .geometry import Frame
from .guide import Volume

# The readers are imported where they are used: each brings a library of its own.

Kind = Literal["dicom", "nifti", "png", "tiff", "jpeg"]

SUFFIXES: dict[str, tuple[str, ...]] = {
    "dicom": (".dcm", ".dicom", ".dic", ".ima"),
    "nifti": (".nii.gz", ".nii"),
    "png": (".png",),
    "tiff": (".tif", ".tiff"),
    "jpeg": (".jpg", ".jpeg"),
}
"""Usual ends of file names. DICOM files may have others or none."""

_NIFTI = ((344, (b"n+1\0", b"ni1\0")), (4, (b"n+2\0", b"ni2\0")))
_START = 352
"""Bytes that tell what a file is."""


def kind_of(path: str | os.PathLike[str]) -> Kind:
    """Tell by its first bytes what a file holds; its name decides only where they say nothing.

    Raises
    ------
    InputError
        It cannot be read, is empty, or is none of the kinds that are read here.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            start = file.read(_START)
        if start[:2] == b"\x1f\x8b":
            with gzip.open(path, "rb") as packed:
                start = packed.read(_START)
            if not _is_nifti(start):
                raise InputError("is a compressed file, but no NIfTI volume; unpack it first", path)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise InputError("is damaged or cut short", path) from None
    except OSError as e:
        raise InputError(f"cannot be read ({e.strerror})", path) from None
    if not start:
        raise InputError("is empty", path)
    if start[128:132] == b"DICM":
        return "dicom"
    if _is_nifti(start):
        return "nifti"
    if start[:8] == b"\x89PNG\r\n\x1a\n":
        return "png"
    if start[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "tiff"
    if start[:3] == b"\xff\xd8\xff":
        return "jpeg"
    from .dicom.container import looks_like_dicom

    if looks_like_dicom(start) or path.suffix.lower() in SUFFIXES["dicom"]:
        return "dicom"
    raise InputError("is no DICOM, NIfTI, PNG, TIFF or JPEG file", path)


def read(path: str | os.PathLike[str], modality: str | None = None, max_pixels: int | None = None) -> list[Frame]:
    """Read the pictures of a file.

    Parameters
    ----------
    path : str or os.PathLike
    modality : str, optional
        DICOM modality code (``"CT"``, ``"MR"``, ...) of pictures whose file does not say it: all but DICOM. ``"OT"``
        when not given.
    max_pixels : int, optional
        Pixels of the whole file above which it is refused before memory is taken; 2^28 when not given.

    Returns
    -------
    list of Frame
        The frames of a DICOM object, the slices of a NIfTI volume, the pages of a TIFF file, or the one picture.

    Raises
    ------
    InputError
        The file holds no picture that is read here, or is damaged. The message is one line and begins with the path.

    See Also
    --------
    acutance.dicom.read, acutance.files.nifti.read, acutance.files.raster.read
    """
    kind = kind_of(path)
    if kind == "dicom":
        from . import dicom

        return dicom.read(path) if max_pixels is None else dicom.read(path, max_pixels=max_pixels)
    if kind == "nifti":
        from .files import nifti

        return nifti.read(path, modality, max_pixels)
    from .files import raster

    return raster.read(path, modality, max_pixels)


def read_guide(path: str | os.PathLike[str], max_pixels: int | None = None) -> Volume:
    """Read a guide: a second, sharper picture of a subject, for networks that take one.

    Parameters
    ----------
    path : str or os.PathLike
        A NIfTI file of one volume, a DICOM file, or a folder with the DICOM files of one series.
    max_pixels : int, optional
        Of each file, as :func:`read` takes it.

    Raises
    ------
    InputError
        It is neither, or its slices are no volume that says where it lies in the patient.
    """
    path = Path(path)
    if not path.is_dir() and kind_of(path) != "dicom":
        frames = read(path, max_pixels=max_pixels)
        kept = frames[0].source.header if frames[0].source else None
        return Volume(frames, getattr(kept, "sha256", ""))
    from . import dicom

    found = dicom.find([path])
    if len(found.series) != 1:
        why = f" ({found.skipped[0].message})" if found.skipped and not found.series else ""
        raise InputError(f"holds {len(found.series)} DICOM series{why}; wanted the one that guides", path)
    series = found.series[0]
    return Volume([f for one in series.paths for f in read(one, max_pixels=max_pixels)], series.uid)


def write(
    path: str | os.PathLike[str],
    frames: Frame | Iterable[Frame],
    *,
    compress: Literal["jpeg2000", "rle"] | None = None,
    allow_burned_in: bool = False,
) -> None:
    """Write pictures as the kind of file that they came from: beside its place first, then renamed into it.

    Parameters
    ----------
    path : str or os.PathLike
        For NIfTI it ends in ``.nii`` or ``.nii.gz``; for PNG, TIFF, JPEG and arrays in ``.png``, ``.tif`` or ``.tiff``.
    frames : Frame or iterable of Frame
        From DICOM: all frames of one object in order, enhanced (``Result.frame``). From NIfTI: all slices, or a run of
        neighbours. Else one picture, or the pages of a TIFF file.
    compress, allow_burned_in
        DICOM only: see :func:`acutance.dicom.derive`.

    Raises
    ------
    UsageError
        The pictures do not belong together, or not into this kind of file.
    InputError
        No DICOM object may be derived from the source.
    OutputError
        The file cannot be written; what stood there still stands.
    """
    frames = [frames] if isinstance(frames, Frame) else frames
    listed = frames if isinstance(frames, list | tuple) else iter(frames)
    first = next(iter(listed), None)
    if first is None:
        raise UsageError(f"{os.fspath(path)}: there is no picture to write")
    everything = listed if isinstance(listed, list | tuple) else itertools.chain([first], listed)
    kind = first.source.kind if first.source else "array"
    check_name(path, kind)
    if kind == "dicom":
        from . import dicom

        made = dicom.derive(list(everything), compress=compress, allow_burned_in=allow_burned_in)
        dicom.write(path, made)
    elif compress is not None:
        raise UsageError(f"{os.fspath(path)}: only DICOM files are compressed as {compress}")
    elif kind == "nifti":
        from .files import nifti

        nifti.write(path, everything)
    else:
        from .files import raster

        raster.write(path, list(everything))


def check_name(path: str | os.PathLike[str], kind: str) -> None:
    """Raise UsageError unless pictures from a file of ``kind`` may be written under the name ``path``."""
    name = os.fspath(path).lower()
    if kind == "dicom":
        others = [s for k, found in SUFFIXES.items() if k != "dicom" for s in found]
        if name.endswith(tuple(others)):
            raise UsageError(f"{os.fspath(path)}: a picture from DICOM is written as DICOM; let the name end in .dcm")
        return
    wanted = SUFFIXES["nifti"] if kind == "nifti" else (*SUFFIXES["png"], *SUFFIXES["tiff"])
    if not name.endswith(wanted):
        source = {"nifti": "NIfTI", "png": "PNG", "tiff": "TIFF", "jpeg": "JPEG"}.get(kind, "an array")
        raise UsageError(
            f"{os.fspath(path)}: a picture from {source} is written under a name that ends in {' or '.join(wanted)}"
        )


def _is_nifti(start: bytes) -> bool:
    return any(start[at : at + 4] in magics for at, magics in _NIFTI)
