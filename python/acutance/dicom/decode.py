"""From the bytes of a file to arrays of stored values."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import uid
from pydicom.encaps import generate_frames
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import convert_color_space

from ..errors import InputError
from . import syntaxes
from .classes import name
from .container import Container
from .layout import Layout
from .quiet import quiet

Array = NDArray[Any]


@dataclasses.dataclass(frozen=True)
class Decoded:
    """The pixels of one file.

    Attributes
    ----------
    frames : list of ndarray
        ``[rows, cols]``, or ``[rows, cols, 3]`` in RGB, of uint8, uint16 or int16: stored values, sign extended,
        without the bits outside Bits Stored.
    lossy : str or None
        Lossy Image Compression Method of the transfer syntax, None when it loses nothing.
    ratio : float
        Uncompressed bytes to bytes in the file.
    """

    frames: list[Array]
    lossy: str | None = None
    ratio: float = 1.0


def decode(file: Container, layout: Layout) -> Decoded:
    """Decode the pixels of an open file whose layout has been checked.

    Raises
    ------
    InputError
        There are none, they are cut short or damaged, or no decoder for them is installed.
    """
    if file.pixels is None:
        raise InputError("has no pixel data", file.path)
    if file.pixels.kind != "integer":
        raise InputError(f"has {file.pixels.kind} pixel data; wanted integers", file.path)
    syntaxes.check_syntax(file.syntax, file.path)
    if file.syntax in syntaxes.NATIVE:
        data = file.native(layout.frame_bytes * layout.frames)
        return Decoded([_stored(a, layout, False) for a in _pydicom(file, layout, data)])
    data = file.encapsulated()
    frames = _frames(file, layout, data)
    lossy = syntaxes.lossy_method(file.syntax, frames[0])
    if file.syntax == uid.RLELossless:
        arrays = [_rle(file, layout, frame) for frame in frames]
    elif file.syntax in syntaxes.JPEG_12 and _bits(file.syntax, frames[0]) == 12:
        arrays = [_jpeg_12(file, layout, frame) for frame in frames]
    else:
        arrays = _pydicom(file, layout, data)
    ratio = layout.frame_bytes * layout.frames / max(sum(map(len, frames)), 1)
    return Decoded([_stored(a, layout, lossy is not None) for a in arrays], lossy, ratio)


def _frames(file: Container, layout: Layout, data: bytes) -> list[bytes]:
    """Return the compressed frames, each with a size that agrees with the header, before any is decoded."""
    try:
        with quiet():
            offsets = _extended_offsets(file)
            frames = list(generate_frames(data, number_of_frames=layout.frames, extended_offsets=offsets))
    except Exception:  # what pydicom raises for each kind of damage
        raise InputError("is damaged: its compressed pixel data cannot be cut into frames", file.path) from None
    if len(frames) < layout.frames:
        raise InputError(f"is cut short: its header promises {layout.frames} frames, it holds {len(frames)}", file.path)
    frames = frames[: layout.frames]
    for frame in frames:
        _check_frame(file, layout, frame)
    return frames


def _extended_offsets(file: Container) -> tuple[bytes, bytes] | None:
    header = file.header
    if "ExtendedOffsetTable" in header and "ExtendedOffsetTableLengths" in header:
        return bytes(header.ExtendedOffsetTable), bytes(header.ExtendedOffsetTableLengths)
    return None


def _check_frame(file: Container, layout: Layout, frame: bytes) -> None:
    kind = name(file.syntax)
    if file.syntax == uid.RLELossless:
        found = len(syntaxes.segments(frame))
        wanted = layout.samples * layout.allocated // 8
        if found != wanted or 64 * len(frame) < layout.frame_bytes:
            raise InputError(f"is damaged: a {kind} frame does not hold what the header promises", file.path)
        return
    said = syntaxes.inspect(file.syntax, frame)
    if said is None:
        raise InputError(f"is damaged: a frame is not {kind} as its transfer syntax says", file.path)
    wanted_shape = (layout.rows, layout.columns, layout.samples)
    if (said.rows, said.columns, said.samples) != wanted_shape:
        raise InputError(
            f"is damaged: a compressed frame holds {said.rows} x {said.columns} x {said.samples} samples, "
            f"the header says {' x '.join(map(str, wanted_shape))}",
            file.path,
        )
    if said.bits > layout.allocated:
        raise InputError(f"is damaged: compressed samples of {said.bits} bits in {layout.allocated}", file.path)


def _bits(syntax: str, frame: bytes) -> int:
    said = syntaxes.inspect(syntax, frame)
    return said.bits if said else 0


def _pydicom(file: Container, layout: Layout, data: bytes) -> list[Array]:
    assert file.pixels is not None
    options: dict[str, Any] = {
        "rows": layout.rows,
        "columns": layout.columns,
        "number_of_frames": layout.frames,
        "samples_per_pixel": layout.samples,
        "photometric_interpretation": layout.photometric,
        "bits_allocated": layout.allocated,
        "bits_stored": layout.stored,
        "pixel_representation": int(layout.signed),
        "planar_configuration": layout.planar,
        "pixel_keyword": "PixelData",
        "pixel_vr": file.pixels.vr,
        "correct_unused_bits": False,
    }
    offsets = _extended_offsets(file)
    if offsets is not None:
        options["extended_offsets"] = offsets
    try:
        with quiet():
            decoder = get_decoder(uid.UID(file.syntax))
            found, _ = decoder.as_array(data, **options)
    except Exception:  # decoders raise whatever they meet in damaged data
        raise InputError(
            f"its {name(file.syntax)} pixels cannot be decoded: damaged, or no decoder is installed", file.path
        ) from None
    shape = (layout.frames, layout.rows, layout.columns, layout.samples)
    return list(found.reshape(shape if layout.samples > 1 else shape[:3]))


def _rle(file: Container, layout: Layout, frame: bytes) -> Array:
    """Decode one RLE frame: a segment for each byte of each sample, the most significant first (PS3.5 G.2)."""
    count = layout.rows * layout.columns
    planes = [syntaxes.unpack(segment, count) for segment in syntaxes.segments(frame)]
    if any(plane is None for plane in planes):
        raise InputError("is damaged: its RLE Lossless pixels do not fill the picture", file.path)
    joined = np.frombuffer(b"".join(planes), np.uint8)  # type: ignore[arg-type]
    width = layout.allocated // 8
    samples = joined.reshape(layout.samples, width, count).transpose(2, 0, 1)
    values = np.ascontiguousarray(samples).view(f">u{width}").reshape(layout.rows, layout.columns, layout.samples)
    if layout.photometric.startswith("YBR_FULL"):  # no codec gives back subsampled ones
        values = np.asarray(convert_color_space(values, "YBR_FULL", "RGB"))
    return values if layout.samples > 1 else values[..., 0]


def _jpeg_12(file: Container, layout: Layout, frame: bytes) -> Array:
    """Decode one frame of 12-bit JPEG, which pydicom gives to no decoder though gdcm decodes it."""
    try:
        import gdcm
    except ImportError:
        raise InputError("has 12-bit JPEG pixels, which need python-gdcm; pip install python-gdcm", file.path) from None
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(frame)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((layout.columns, layout.rows, 1))
    image.SetDataElement(element)
    kind = gdcm.PhotometricInterpretation.GetPIType(layout.photometric)
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(kind))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(file.syntax)))
    image.SetPixelFormat(gdcm.PixelFormat(layout.samples, 16, 12, 11, 0))
    with quiet():
        buffer = image.GetBuffer()
    wanted = layout.rows * layout.columns * 2
    data = b"" if buffer is None else buffer.encode("utf-8", "surrogateescape")
    if layout.samples != 1 or len(data) != wanted:
        raise InputError("its 12-bit JPEG pixels cannot be decoded: damaged, or in colour", file.path)
    return np.frombuffer(data, dtype="<u2").reshape(layout.rows, layout.columns)


def _stored(array: Array, layout: Layout, lossy: bool) -> Array:
    """Return the stored values in Bits Stored up to High Bit (PS3.5 8.1.1), in a type that the core takes.

    Bits above are overlays or garbage and masked off, the sign is extended. What a lossy codec makes of values at the
    end of their range may overshoot it and is clamped instead.
    """
    kind = np.dtype(f"{'i' if layout.signed else 'u'}{layout.allocated // 8}")
    values = array.astype(kind, copy=False)
    if lossy:
        values = np.clip(values, *layout.limits)
    elif layout.stored < layout.allocated:
        up = kind.type(layout.allocated - 1 - layout.high)
        down = kind.type(layout.allocated - layout.stored)
        values = (values << up) >> down
    small = "uint8" if kind == np.uint8 else "int16" if layout.signed else "uint16"
    return np.ascontiguousarray(values, dtype=small)
