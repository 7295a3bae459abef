"""NIfTI-1 and NIfTI-2 volumes in one file (``.nii``, ``.nii.gz``) as 2-D slices along their acquisition axis.

https://nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h
"""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import io
import logging
import math
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
from nibabel import nifti1, nifti2
from nibabel.spatialimages import HeaderDataError
from nibabel.volumeutils import endian_codes
from numpy.typing import NDArray

from ..beside import beside
from ..errors import InputError, UsageError
from ..geometry import Array, Derivation, Frame, Plane, Source, refined_affine, share_range
from . import record
from .values import EXPANSION, check_promise, check_size, storable

NiftiHeader: TypeAlias = Any
"""``nibabel.nifti1.Nifti1Header`` or its subclass for NIfTI-2; nibabel's methods have no types."""

_HEADERS: tuple[tuple[NiftiHeader, int, bytes, bytes], ...] = (
    (nifti1.Nifti1Header, 344, b"n+1\0", b"ni1\0"),
    (nifti2.Nifti2Header, 4, b"n+2\0", b"ni2\0"),
)
"""Class, offset of its magic, magic of a single file, magic of a pair."""

COMMENT = 6
"""Extension code of plain text (NIFTI_ECODE_COMMENT), which holds the record."""

LEVEL = 1
"""Compression level of ``.nii.gz``, as nibabel's own: higher ones take several times as long for a few per cent."""

_RGB = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
_MM = {1: 1000.0, 2: 1.0, 3: 0.001}
"""Spatial part of ``xyzt_units``: metre, millimetre, micrometre; 0 is unknown."""

_SCANNER = (1, 2)
"""Codes of sform and qform for the scanner's own space, and for that of another file of the subject."""

_SILENT = logging.Logger("acutance.files.nifti", logging.CRITICAL + 1)

_EXTENSIONS_LIMIT = 1 << 26
"""Bytes of header extensions that are looked at."""

_SAME = 1e-3
"""Spacings that differ by less than this fraction count as equal."""


@dataclasses.dataclass(frozen=True)
class Header:
    """What a slice keeps of its volume.

    Attributes
    ----------
    nifti : nibabel header
    axis : int
        Voxel axis that the slices are counted along.
    shape : tuple of int
        Voxels along the three axes, and volumes.
    sha256 : str
        Of the file.
    """

    nifti: NiftiHeader
    axis: int
    shape: tuple[int, int, int, int]
    sha256: str


def read(path: str | os.PathLike[str], modality: str | None = None, max_pixels: int | None = None) -> list[Frame]:
    """Read the slices of a volume, of every volume in turn when there are several.

    Rows and columns of a slice are the later and the earlier of the two other voxel axes. Stored values are kept;
    ``scl_slope`` and ``scl_inter`` become slope and intercept. Values of other dtypes are taken over where they fit
    (:func:`acutance.files.values.storable`). Spacing is in mm by ``xyzt_units``; an unknown unit counts as mm. All
    slices share one robust range, unless there is only one.

    Parameters
    ----------
    path : str or os.PathLike
    modality : str, optional
        DICOM modality code; NIfTI does not say it, so it is ``"OT"`` when not given.
    max_pixels : int, optional
        Voxels of the file that are read at most.

    Raises
    ------
    InputError
        The file is damaged, promises more than it holds, or is no scalar or RGB picture of 2 to 4 dimensions.
    """
    path = Path(path)
    header, shape = _header(path, max_pixels)
    data = _data(path, header, shape)
    axis = acquisition_axis(shape[:3], spacing_of(header), _slice_dimension(header))
    kept = Header(header, axis, shape, record.sha256_of(path))
    if data.dtype == _RGB:
        data = data.view(np.uint8).reshape(*data.shape, 3)
        slope, intercept, bits = 1.0, 0.0, None
    else:
        bits = 8 if data.dtype == np.int8 else None
        data = storable(data, path)
        slope, intercept = _scaling(header)
    across = [i for i in range(3) if i != axis]
    millimetres = spacing_of(header)
    spacing = None if millimetres is None else (millimetres[across[1]], millimetres[across[0]])
    slices = np.moveaxis(data, 1 + 2 - axis, 1)  # data is [volume, k, j, i]
    frames = [
        Frame(
            np.ascontiguousarray(slices[i // shape[axis], i % shape[axis]]),
            modality=modality or "OT",
            spacing=spacing,
            slope=slope,
            intercept=intercept,
            bits_stored=bits,
            plane=_plane(header, axis, i % shape[axis]),
            source=Source(os.fspath(path), kept, i, "nifti"),
        )
        for i in range(shape[3] * shape[axis])
    ]
    return share_range(frames) if len(frames) > 1 else frames


def write(
    path: str | os.PathLike[str],
    frames: Iterable[Frame],
    slices: tuple[int, float] | None = None,
    *,
    real: bool = False,
) -> None:
    """Write slices that :func:`read` gave, enhanced or not, as a volume.

    Voxel corners stay where they were (sform and qform), dtype, scaling and codes stay; a header extension holds the
    record. Other extensions are left out: what they say of the grid would be wrong. The file is written beside its
    place and renamed.

    Parameters
    ----------
    path : str or os.PathLike
        Ends in ``.nii`` or ``.nii.gz``.
    frames : iterable of Frame
        All slices of the file in order, taken one by one; in a sequence also a run of neighbours of one volume.
    slices : (int, float), optional
        The slices are new ones: how many of them each volume has, and how many old ones each of them spans.
    real : bool
        The pixels are real values of another kind than the source's: its scaling and display range are left out.

    Raises
    ------
    UsageError
        The slices are not neighbours from one NIfTI file.
    OutputError
        The file cannot be written.
    """
    path, volume = Path(path), None
    derivations: list[Derivation | None] = []
    for frame in frames:
        if volume is None:
            count = len(frames) if isinstance(frames, Sequence) and slices is None else None
            volume = _Volume(frame, count, path, slices)
            if real:
                volume.header["scl_slope"], volume.header["scl_inter"] = 1, 0
                volume.header["cal_min"], volume.header["cal_max"] = 0, 0
        volume.put(len(derivations), frame)
        derivations.append(frame.derivation)
    if volume is None or len(derivations) != volume.count:
        wanted = "at least one" if volume is None else volume.count
        raise UsageError(f"{path}: wanted {wanted} slices, got {len(derivations)}")
    made = record.made(derivations, volume.kept.sha256)
    extension = [] if made is None else [nifti1.Nifti1Extension(COMMENT, made.text().encode())]
    with beside(path) as file:
        if path.name.lower().endswith(".gz"):
            with gzip.GzipFile("", "wb", LEVEL, file, mtime=0) as packed:
                volume.save(packed, extension)
        else:
            volume.save(file, extension)


def distance(kept: Header) -> float | None:
    """Return how far the slices of a volume are apart in mm; None when its header does not say so."""
    found = spacing_of(kept.nifti)
    return None if found is None else found[kept.axis]


def read_record(path: str | os.PathLike[str]) -> record.Record | None:
    """Return what a file says of how this package made it; None when it did not, or when it is no NIfTI file."""
    path = Path(path)
    try:
        with _damage(path), _open(path) as file:
            header = _parse(file, path)
            start = header.template_dtype.itemsize + 4
            file.seek(start)
            block = io.BytesIO(file.read(min(header.get_data_offset() - start, _EXTENSIONS_LIMIT)))
            size, swapped = len(block.getbuffer()), header.endianness != endian_codes["native"]
            extensions = header.exts_klass.from_fileobj(block, size, swapped) if size else []
            texts = [e.get_content() for e in extensions if e.get_code() == COMMENT]
    except (InputError, TypeError):
        return None
    return next((r for r in map(record.parse, texts) if r is not None), None)


def acquisition_axis(shape: Sequence[int], spacing: Sequence[float] | None, said: int | None = None) -> int:
    """Return the voxel axis along which a volume was acquired slice by slice.

    That is the last axis of one voxel; else the axis that the header itself names; else the axis whose spacing differs
    from two equal ones, because pixels are square; else the axis of the largest spacing, the last of equal ones.

    Parameters
    ----------
    shape, spacing : 3 ints, 3 floats or None
    said : int, optional
        Slice dimension of the header's ``dim_info``.
    """
    single = [i for i in range(3) if shape[i] == 1]
    if single:
        return single[-1]
    if said is not None:
        return said
    if spacing is None:
        return 2
    odd = [
        i
        for i in range(3)
        if math.isclose(spacing[i - 1], spacing[i - 2], rel_tol=_SAME)
        and not any(math.isclose(spacing[i], spacing[j], rel_tol=_SAME) for j in (i - 1, i - 2))
    ]
    if odd:
        return odd[0]
    largest = max(spacing)
    return max(i for i in range(3) if math.isclose(spacing[i], largest, rel_tol=_SAME))


class _Volume:
    """The voxels to be written, ``[volume, k, j, i]``, and their header."""

    def __init__(self, first: Frame, count: int | None, path: Path, slices: tuple[int, float] | None = None) -> None:
        if first.source is None or not isinstance(first.source.header, Header):
            raise UsageError(f"{path}: only slices read from a NIfTI file are written as NIfTI, they carry its header")
        self.kept: Header = first.source.header
        self.axis, self.path = self.kept.axis, path
        shape = list(self.kept.shape)
        shape[self.axis], span = slices or (shape[self.axis], 1.0)
        length = shape[self.axis]
        self.first, start = first.source.index, first.source.index % length
        self.count = shape[3] * length if count is None else count
        if self.count != shape[3] * length:
            if start + self.count > length:
                raise UsageError(f"{path}: {count} slices from number {self.first} on are no part of one volume")
            shape[self.axis], shape[3] = self.count, 1
        scale = 1 if first.derivation is None else first.derivation.scale
        for i in range(3):
            shape[i] *= 1 if i == self.axis else scale
        self.header = _refined(self.kept, shape, start, scale, path, span)
        dtype = self.kept.nifti.get_data_dtype()
        if first.pixels.ndim == 2 and first.pixels.dtype.kind == "f" and dtype.kind != "f":
            dtype = np.dtype(np.float32).newbyteorder(self.header.endianness)
        self.header.set_data_dtype(dtype)
        colours = (3,) if first.pixels.ndim == 3 else ()
        self.data = np.empty((*reversed(shape), *colours), np.uint8 if colours else dtype)
        self._slices = np.moveaxis(self.data, 1 + 2 - self.axis, 1)

    def put(self, i: int, frame: Frame) -> None:
        """Take the slice that comes ``i``-th."""
        source, length = frame.source, self._slices.shape[1]
        if source is None or source.header is not self.kept or source.index != self.first + i or i >= self.count:
            raise UsageError(f"{self.path}: slices are written in their order, all from one file")
        if frame.pixels.shape != self._slices.shape[2:]:
            raise UsageError(f"{self.path}: slices of {self._slices.shape[2:]} voxels wanted, got {frame.pixels.shape}")
        self._slices[i // length, i % length] = frame.pixels

    def save(self, file: IO[bytes] | gzip.GzipFile, extensions: list[Any]) -> None:
        self.header.extensions = nifti1.Nifti1Extensions(extensions)
        self.header["vox_offset"] = 0  # write_to finds the place behind the extensions
        self.header.write_to(file)
        gap = int(self.header["vox_offset"]) - file.tell()
        file.write(bytes(gap))
        for volume in self.data:
            file.write(np.ascontiguousarray(volume).reshape(-1).view(np.uint8).data)


def _refined(kept: Header, shape: Sequence[int], start: int, scale: int, path: Path, span: float = 1.0) -> NiftiHeader:
    """Return a copy of the header for ``shape``, its first slice number ``start`` of the old volume.

    ``span``: old slices that each new one spans; the outer face of the first one stays.
    """
    header = kept.nifti.copy()
    axes = [i for i in range(3) if i != kept.axis]
    dims = int(header["dim"][0])
    largest = np.iinfo(header["dim"].dtype).max
    if max(shape) > largest:
        raise InputError(f"would have {max(shape)} voxels along an axis; this kind of NIfTI holds {largest}", path)
    header["dim"][1:5] = shape
    header["dim"][0] = dims if shape[3] == kept.shape[3] else 3
    for i in axes:
        header["pixdim"][i + 1] /= scale
    header["pixdim"][kept.axis + 1] *= span
    for code in ("sform_code", "qform_code"):
        if int(header[code]) <= 0:
            continue
        matrix = header.get_sform() if code == "sform_code" else kept.nifti.get_qform()
        moved = refined_affine(matrix, axes, scale)
        moved[:3, 3] += (start + 0.5 * span - 0.5) * matrix[:3, kept.axis]
        moved[:3, kept.axis] *= span
        if code == "sform_code":
            for row, name in enumerate(("srow_x", "srow_y", "srow_z")):
                header[name] = moved[row]
        else:
            for row, name in enumerate(("qoffset_x", "qoffset_y", "qoffset_z")):
                header[name] = moved[row, 3]
    if _slice_dimension(kept.nifti) in axes or shape[kept.axis] != kept.shape[kept.axis]:
        for name in ("slice_start", "slice_end", "slice_duration", "slice_code"):
            header[name] = 0
    return header


def _open(path: Path) -> IO[bytes] | gzip.GzipFile:
    """Open a file at its first uncompressed byte."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return gzip.GzipFile(path, "rb") if packed else path.open("rb")


@contextlib.contextmanager
def _damage(path: Path) -> Iterator[None]:
    """Turn what a damaged file raises into an InputError."""
    try:
        yield
    except MemoryError:
        raise InputError("needs more memory than there is", path) from None
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise InputError("is damaged or cut short: its compressed data do not end well", path) from None
    except OSError as e:
        raise InputError(f"cannot be read ({e.strerror})", path) from None
    except (HeaderDataError, ValueError, OverflowError) as e:
        raise InputError(f"has a damaged NIfTI header ({e})", path) from None


def _parse(file: IO[bytes] | gzip.GzipFile, path: Path) -> NiftiHeader:
    """Read the header without its extensions, and check that it is one of a single file."""
    raw = file.read(_HEADERS[1][0].template_dtype.itemsize)
    for kind, place, single, pair in _HEADERS:
        size = kind.template_dtype.itemsize
        if raw[place : place + 4] == pair:
            raise InputError("is half of a header and image pair; wanted one .nii or .nii.gz file", path)
        if raw[place : place + 4] == single and len(raw) >= size:
            header = kind(raw[:size], check=False)
            unknown = header["pixdim"] == 0
            header.check_fix(logger=_SILENT)
            header["pixdim"][unknown] = 0  # nibabel makes them 1
            if header["qform_code"] > 0:
                header.get_qform()  # raises when its quaternion is none
            return header
    raise InputError("is no NIfTI file, or its header is cut short", path)


def _header(path: Path, max_pixels: int | None) -> tuple[NiftiHeader, tuple[int, int, int, int]]:
    """Read and check the header; no voxel is read."""
    with _damage(path), _open(path) as file:
        header = _parse(file, path)
        shape = [int(n) for n in header.get_data_shape()]
        dtype, held = header.get_data_dtype(), path.stat().st_size
        offset = header.get_data_offset()
        expansion = EXPANSION if isinstance(file, gzip.GzipFile) else 1
    while len(shape) > 4 and shape[-1] == 1:
        shape.pop()
    if not 2 <= len(shape) <= 4 or min(shape) < 1:
        raise InputError(f"has dimensions {tuple(shape)}; wanted slices, a volume or volumes in time", path)
    if dtype != _RGB and dtype.kind not in "iuf":
        code = nifti1.data_type_codes.label[int(header["datatype"])]
        raise InputError(f"holds {code} voxels; wanted integers, real numbers or RGB", path)
    i, j, k, t = (*shape, 1, 1)[:4]
    check_size(i * j * k * t, max_pixels, path)
    check_promise(offset + i * j * k * t * dtype.itemsize, held, expansion, path)
    return header, (i, j, k, t)


def _data(path: Path, header: NiftiHeader, shape: Sequence[int]) -> Array:
    """Return the stored voxels as ``[volume, k, j, i]``."""
    with _damage(path), _open(path) as file:
        data = np.empty(tuple(reversed(shape)), header.get_data_dtype())
        file.seek(header.get_data_offset())
        wanted, held = data.reshape(-1).view(np.uint8).data, 0
        while held < len(wanted):
            got = file.readinto(wanted[held:])  # type: ignore[union-attr]
            if not got:
                raise InputError(f"holds {held} bytes of voxels, its header promises {len(wanted)}", path)
            held += got
        file.read(1)  # the end of a compressed file is where its checksum is looked at
    return data


def spacing_of(header: NiftiHeader) -> tuple[float, float, float] | None:
    """Return the spacing along the three voxel axes in mm, or None when the header does not give it."""
    unit = _MM.get(int(header["xyzt_units"]) % 8, 1.0)
    found: NDArray[np.float64] = np.abs(np.asarray(header["pixdim"][1:4], dtype=np.float64)) * unit
    if not np.isfinite(found).all() or not (found > 0).all():
        return None
    return (float(found[0]), float(found[1]), float(found[2]))


def _plane(header: NiftiHeader, axis: int, number: int) -> Plane | None:
    """Return where a slice lies, from sform or else qform; None when the header has neither.

    NIfTI's coordinates point to the right and the front, DICOM's to the left and the back.
    """
    code = max(int(header["sform_code"]), 0) or int(header["qform_code"])
    if code <= 0:
        return None
    matrix = header.get_sform if int(header["sform_code"]) > 0 else header.get_qform
    unit = _MM.get(int(header["xyzt_units"]) % 8, 1.0)
    affine = np.asarray(matrix(), np.float64)[:3] * np.array([[-unit], [-unit], [unit]])
    across = [i for i in range(3) if i != axis]
    steps = [(float(x), float(y), float(z)) for x, y, z in affine[:, :3].T]
    x, y, z = affine[:, 3] + number * affine[:, axis]
    if not np.isfinite(affine).all() or np.linalg.matrix_rank(affine[:, across]) < 2:
        return None
    return Plane(
        origin=(float(x), float(y), float(z)),
        down=steps[across[1]],
        right=steps[across[0]],
        thickness=float(np.linalg.norm(affine[:, axis])) or None,
        reference=f"NIfTI space {_SCANNER[0] if code in _SCANNER else code}",
    )


def _slice_dimension(header: NiftiHeader) -> int | None:
    found = header.get_dim_info()[2]
    return None if found is None else int(found)


def _scaling(header: NiftiHeader) -> tuple[float, float]:
    """Return slope and intercept; a slope of 0 or one that is no number means none (nifti1.h, ``scl_slope``)."""
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if not math.isfinite(slope) or slope == 0:
        return 1.0, 0.0
    return slope, intercept if math.isfinite(intercept) else 0.0
