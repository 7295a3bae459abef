"""A derived DICOM object from the enhanced Frames of one source object."""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from pydicom import uid
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.tag import BaseTag, Tag

from ..errors import InputError, OutputError, UsageError
from ..geometry import Derivation, Frame
from . import overlays, pixel_units, places, provenance
from .layout import integer, text
from .quiet import quiet
from .uids import IMPLEMENTATION, derived_uid

MAX_SIDE = 65535
"""Largest Rows and Columns, VR US (PS3.3 C.7.6.3)."""

MAX_BYTES = 2**32 - 2
"""Largest value of an element with a length of 32 bits (PS3.5 7.1.1)."""

SYNTAXES: dict[str | None, uid.UID] = {
    None: uid.ExplicitVRLittleEndian,
    "jpeg2000": uid.JPEG2000Lossless,
    "rle": uid.RLELossless,
}
"""Transfer syntax of a derived object for each ``compress``."""


def check(
    header: Dataset,
    scale: int,
    *,
    allow_burned_in: bool = False,
    path: str | os.PathLike[str] | None = None,
    frames: int | None = None,
) -> None:
    """Raise InputError if no object enlarged by ``scale`` may or can be derived from a source.

    To be asked before the work is done: annotation burned into the pixels (PS3.3 C.7.6.1, unless ``allow_burned_in``),
    more than 65535 rows or columns, more than 2^32 - 2 bytes. ``frames``: of the derived object, the source's when not
    given.
    """
    if text(header, "BurnedInAnnotation").upper() == "YES" and not allow_burned_in:
        raise InputError("has text burned into its pixels (Burned In Annotation YES), which was not allowed", path)
    rows, columns = ((integer(header, x) or 0) * scale for x in ("Rows", "Columns"))
    if max(rows, columns) > MAX_SIDE:
        raise InputError(f"would become {rows} x {columns} pixels; DICOM holds at most {MAX_SIDE} a side", path)
    samples = integer(header, "SamplesPerPixel", 1) or 1
    frames = frames or integer(header, "NumberOfFrames", 1) or 1
    size = rows * columns * samples * frames * _allocated(header) // 8
    if size > MAX_BYTES:
        raise InputError(f"would become {size} bytes of pixels; DICOM holds at most {MAX_BYTES} in one file", path)


def derive(
    frames: Sequence[Frame],
    *,
    compress: Literal["jpeg2000", "rle"] | None = None,
    allow_burned_in: bool = False,
) -> FileDataset:
    """Return the derived object of the enhanced Frames of one source object.

    Kept are the class, patient, study, frame of reference, acquisition, rescale, window, Bits Stored, signedness and
    padding; PS3.3 sections beside what changes:

    - Image Pixel (C.7.6.3): Rows, Columns, RGB for YBR, the smallest and largest pixel value without padding.
    - Pixel Spacing and all else that counts pixels: :mod:`acutance.dicom.pixel_units`.
    - Image Position (Patient): :mod:`acutance.dicom.places`; overlays: :mod:`acutance.dicom.overlays`.
    - Image Type, derivation, source, equipment, series: :mod:`acutance.dicom.provenance`.
    - SOP Instance and Series Instance UID: :mod:`acutance.dicom.uids`. No dates are added, so that the same work makes
      the same bytes.
    - Dropped: private elements, curves, icons, and what :data:`acutance.dicom.pixel_units.DROPPED` lists.

    Parameters
    ----------
    frames : sequence of Frame
        As ``Enhancer.run`` returns them, in order, all frames of the source.
    compress : {"jpeg2000", "rle"}, optional
        Lossless compression of the pixels; none when not given.
    allow_burned_in : bool
        Take sources that say that text is burned into their pixels.

    Raises
    ------
    UsageError
        The Frames are not all frames of one DICOM object, or were not enhanced.
    InputError
        See :func:`check`.
    OutputError
        The object cannot be compressed.
    """
    if compress not in SYNTAXES:
        raise UsageError(f"compress '{compress}' is none of {', '.join(str(x) for x in SYNTAXES)}")
    header, derivations = _checked(frames)
    scale = derivations[0].scale
    source = frames[0].source
    path = source.path if source else None
    check(header, scale, allow_burned_in=allow_burned_in, path=path)
    with quiet():
        out = copied(header, swap=header.original_encoding[1] is False)
        places.move(out, scale)
        pixel_units.rescale(out, scale)
        overlays.rescale(out, scale)
        out.SOPInstanceUID = derived_uid(header, derivations)
        provenance.mark(out, header, derivations)
        return finished(out, frames, compress, path)


def finished(
    out: Dataset, frames: Sequence[Frame], compress: Literal["jpeg2000", "rle"] | None, path: str | None
) -> FileDataset:
    """Return a derived object with its pixels and file meta information, compressed if that is wanted."""
    _set_pixels(out, frames)
    made = FileDataset(None, out, preamble=bytes(128), is_implicit_VR=False, is_little_endian=True)  # type: ignore[arg-type]
    made.file_meta = _meta(made)
    if compress is not None:
        _compress(made, compress, path)
    return made


def _checked(frames: Sequence[Frame]) -> tuple[Dataset, list[Derivation]]:
    """Return the header and the derivations of Frames that belong together."""
    sources = [f.source for f in frames]
    derivations = [f.derivation for f in frames if f.derivation is not None]
    if not frames or any(s is None or s.kind != "dicom" for s in sources) or len(derivations) < len(frames):
        raise UsageError("derive() wants enhanced Frames that were read from DICOM")
    header = sources[0].header  # type: ignore[union-attr]
    if any(s.header is not header for s in sources) or [s.index for s in sources] != list(range(len(frames))):  # type: ignore[union-attr]
        raise UsageError("derive() wants the Frames of one file, in order")
    if len(frames) != (integer(header, "NumberOfFrames", 1) or 1):
        raise UsageError(f"derive() wants all {header.NumberOfFrames} frames of the file, got {len(frames)}")
    scale = derivations[0].scale
    wanted = (header.Rows * scale, header.Columns * scale)
    if any(d.scale != scale for d in derivations) or any((f.rows, f.cols) != wanted for f in frames):
        raise UsageError(f"derive() wants frames of {wanted[0]} x {wanted[1]} pixels, all enlarged alike")
    return header, derivations


def copied(dataset: Dataset, swap: bool) -> Dataset:
    """Return a deep copy without what does not hold for a derived object; ``swap`` turns words of big endian data.

    An element whose value cannot be read is left out: nothing valid could be written for it.
    """
    out = Dataset()
    for tag in sorted(dataset.keys()):
        if tag.is_private or tag.element == 0 or tag.group in range(0x5000, 0x5100) or tag.group < 8:
            continue
        try:
            element = dataset[tag]
            if element.keyword not in pixel_units.DROPPED:
                out.add(_copied(element, swap))
        except Exception:  # each VR raises something else for what it cannot read
            continue
    return out


def _copied(element: DataElement, swap: bool) -> DataElement:
    if element.VR == "SQ":
        return DataElement(element.tag, "SQ", [copied(item, swap) for item in element.value or ()])
    found = copy.deepcopy(element)
    width = {"OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}.get(found.VR, 0) if swap else 0
    if width and isinstance(found.value, bytes) and len(found.value) % width == 0:
        found.value = np.frombuffer(found.value, f"u{width}").byteswap().tobytes()
    return found


def _allocated(header: Dataset) -> int:
    """Return the Bits Allocated of derived pixels: the source's, at most 16."""
    return min(integer(header, "BitsAllocated", 16) or 16, 16)


def _set_pixels(out: Dataset, frames: Sequence[Frame]) -> None:
    """Write the Image Pixel Module (PS3.3 C.7.6.3) and the pixels, native, little endian, colour by pixel."""
    first = frames[0].pixels
    signed = integer(out, "PixelRepresentation", 0) == 1
    allocated = _allocated(out)
    stored = integer(out, "BitsStored", allocated) or allocated
    kind = np.dtype(f"<{'i' if signed else 'u'}{allocated // 8}")
    out.SamplesPerPixel = 3 if first.ndim == 3 else 1
    if first.ndim == 3:
        out.PhotometricInterpretation = "RGB"
        out.PlanarConfiguration = 0
    out.Rows, out.Columns = first.shape[:2]
    out.BitsAllocated, out.BitsStored, out.HighBit = allocated, stored, stored - 1
    out.PixelRepresentation = int(signed)
    data = np.stack([f.pixels for f in frames]).astype(kind, copy=False).tobytes()
    out.add(DataElement(Tag("PixelData"), "OW" if allocated > 8 else "OB", data + b"\0" * (len(data) % 2)))
    _set_extremes(out, frames, signed)


def _set_extremes(out: Dataset, frames: Sequence[Frame], signed: bool) -> None:
    """Recompute Smallest and Largest Image Pixel Value where they stand; padding does not count (C.7.5.1.1.2)."""
    tags: dict[BaseTag, Any] = {Tag("SmallestImagePixelValue"): min, Tag("LargestImagePixelValue"): max}
    present = [tag for tag in tags if tag in out]
    values: list[int] = []
    for frame in frames:
        missing = frame.missing()
        valid = frame.pixels if missing is None else frame.pixels[~missing]
        values += [int(valid.min()), int(valid.max())] if valid.size else []
    for tag in present:
        if values and frames[0].pixels.ndim == 2:
            out.add(DataElement(tag, "SS" if signed else "US", tags[tag](values)))
        else:
            del out[tag]


def _meta(out: Dataset) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = out.SOPClassUID
    meta.MediaStorageSOPInstanceUID = out.SOPInstanceUID
    meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    meta.ImplementationClassUID = IMPLEMENTATION
    meta.ImplementationVersionName = "ACUTANCE"
    return meta


def _compress(out: FileDataset, compress: str, path: str | None) -> None:
    """Compress in place; reversible JPEG 2000 of colour is YBR_RCT, which its codec makes of RGB (PS3.5 8.2.4)."""
    if compress == "jpeg2000" and out.SamplesPerPixel == 3:
        out.PhotometricInterpretation = "YBR_RCT"
    try:
        out.compress(SYNTAXES[compress], encoding_plugin="pylibjpeg", generate_instance_uid=False)
    except Exception as e:
        raise OutputError(f"cannot be compressed as {compress} ({type(e).__name__})", path) from None
