"""MRD messages: what they are, and where in a stream of bytes one ends.

The ids and layouts are those of the MRD documentation, "Message Types" (ismrmrd.readthedocs.io), and 6 to 8 those of
Gadgetron (``core/MessageID.h`` and its readers). All numbers are little-endian.

A message has no length of its own: it follows from what its first bytes say, and one whose id is not known has no
known end, so that nothing after it can be read.
"""

from __future__ import annotations

import ctypes
import dataclasses
import enum
import math
import struct
import warnings
from collections.abc import Generator
from typing import Any

import numpy as np

with warnings.catch_warnings():  # importing it changes what Python does with warnings
    from ismrmrd.acquisition import AcquisitionHeader
    from ismrmrd.image import ImageHeader
    from ismrmrd.waveform import WaveformHeader

from ...errors import AcutanceError
from ...geometry import Array

__all__ = [
    "DTYPES",
    "Id",
    "Image",
    "ImageHeader",
    "ImageType",
    "Message",
    "ProtocolError",
    "image",
    "parse",
    "text",
    "words",
]


class Id(enum.IntEnum):
    """What kind of message follows."""

    CONFIG_FILE = 1
    CONFIG_TEXT = 2
    HEADER = 3
    CLOSE = 4
    TEXT = 5
    QUERY = 6
    RESPONSE = 7
    ERROR = 8
    ACQUISITION = 1008
    IMAGE = 1022
    WAVEFORM = 1026
    NDARRAY = 1030


class ImageType(enum.IntEnum):
    """What the values of an image are; 0 is not said, which is taken for a magnitude."""

    MAGNITUDE = 1
    PHASE = 2
    REAL = 3
    IMAG = 4
    COMPLEX = 5
    RGB = 6


DTYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype("<u2"),
    2: np.dtype("<i2"),
    3: np.dtype("<u4"),
    4: np.dtype("<i4"),
    5: np.dtype("<f4"),
    6: np.dtype("<f8"),
    7: np.dtype("<c8"),
    8: np.dtype("<c16"),
}
"""By ``data_type`` of images and arrays."""

CONFIG_FILE_BYTES = 1024
MOST_DIMENSIONS = 7
"""Of an array (``ISMRMRD_NDARRAY_MAXDIM``)."""

_U32, _U64 = struct.Struct("<I"), struct.Struct("<Q")
_PREFIX = {
    Id.CONFIG_TEXT: (0, _U32),
    Id.HEADER: (0, _U32),
    Id.TEXT: (0, _U32),
    Id.QUERY: (16, _U64),
    Id.RESPONSE: (8, _U64),
    Id.ERROR: (0, _U64),
}
"""Bytes before the length of a text, and how that is written."""


class ProtocolError(AcutanceError):
    """Bytes that are no MRD message, or one that is too large: nothing after them can be read."""


@dataclasses.dataclass(frozen=True)
class Message:
    """One message as it came.

    Attributes
    ----------
    id : Id
    parts : tuple of bytes
        All that follows the id.
    """

    id: Id
    parts: tuple[bytes, ...] = ()

    @property
    def size(self) -> int:
        """Bytes on the wire."""
        return 2 + sum(len(p) for p in self.parts)

    def wire(self) -> list[bytes]:
        """Return what is sent."""
        return [struct.pack("<H", self.id), *self.parts]


@dataclasses.dataclass(frozen=True)
class Image(Message):
    """An image; its parts are header, length of the attributes, attributes and pixels."""

    @property
    def header(self) -> ImageHeader:
        """A copy of the fixed header."""
        return ImageHeader.from_buffer_copy(self.parts[0])

    @property
    def attributes(self) -> bytes:
        return self.parts[2]

    @property
    def pixels(self) -> Array:
        """``[channels, z, y, x]``, read-only."""
        head = self.header
        x, y, z = head.matrix_size
        return np.frombuffer(self.parts[3], DTYPES[head.data_type]).reshape(head.channels, z, y, x)


def image(header: ImageHeader, attributes: bytes, pixels: Array) -> Image:
    """Return an image of ``[channels, z, y, x]``; size, type and length of the attributes in the header are set."""
    head = ImageHeader.from_buffer_copy(header)
    channels, z, y, x = pixels.shape
    head.channels, head.matrix_size[:] = channels, (x, y, z)
    head.data_type = next(n for n, dtype in DTYPES.items() if dtype == pixels.dtype)
    head.attribute_string_len = len(attributes)
    return Image(Id.IMAGE, (bytes(head), _U64.pack(len(attributes)), attributes, pixels.tobytes()))


def text(words: str) -> Message:
    """Return a text message."""
    said = words.encode()
    return Message(Id.TEXT, (_U32.pack(len(said)), said))


def words(message: Message) -> str:
    """Return the text of a message that holds one; what is no UTF-8 is replaced."""
    return message.parts[-1].rstrip(b"\0").decode("utf-8", "replace")


def parse(number: int, image_bytes: int, other_bytes: int) -> Generator[int, bytes, Message]:
    """Read one message after its id.

    Yields how many bytes it needs next, is sent just these, and returns the message.

    Parameters
    ----------
    number : int
        The id as it came.
    image_bytes, other_bytes : int
        Most bytes of an image's pixels, and of anything else.

    Raises
    ------
    ProtocolError
    """
    try:
        kind = Id(number)
    except ValueError:
        raise ProtocolError(
            f"message id {number} is not known, so where it ends is not known either; wanted one of "
            f"{', '.join(str(i.value) for i in Id)}"
        ) from None
    if kind is Id.CLOSE:
        return Message(kind)
    if kind is Id.CONFIG_FILE:
        return Message(kind, ((yield CONFIG_FILE_BYTES),))
    if kind is Id.IMAGE:
        return (yield from _image(image_bytes, other_bytes))
    if kind is Id.NDARRAY:
        return (yield from _array(image_bytes))
    if kind in _PREFIX:
        before, length = _PREFIX[kind]
        start = yield before + length.size
        size = length.unpack_from(start, before)[0]
        return Message(kind, (start, (yield _bounded(size, other_bytes, f"message {kind.name}", "message_mb"))))
    header = AcquisitionHeader if kind is Id.ACQUISITION else WaveformHeader
    start = yield ctypes.sizeof(header)
    head = header.from_buffer_copy(start)
    if kind is Id.ACQUISITION:
        size = head.number_of_samples * (4 * head.trajectory_dimensions + 8 * head.active_channels)
    else:
        size = head.number_of_samples * head.channels * 4
    return Message(kind, (start, (yield _bounded(size, other_bytes, f"message {kind.name}", "message_mb"))))


def _image(image_bytes: int, other_bytes: int) -> Generator[int, bytes, Image]:
    start = yield ctypes.sizeof(ImageHeader)
    head = ImageHeader.from_buffer_copy(start)
    size = math.prod((*head.matrix_size, head.channels)) * _itemsize(head.data_type)
    shape = " x ".join(str(n) for n in head.matrix_size)
    _bounded(size, image_bytes, f"an image of {shape} pixels and {head.channels} channels", "image_mb")
    length = yield _U64.size
    attributes = yield _bounded(_U64.unpack(length)[0], other_bytes, "a text of attributes", "message_mb")
    return Image(Id.IMAGE, (start, length, attributes, (yield size)))


def _array(image_bytes: int) -> Generator[int, bytes, Message]:
    start = yield 6
    data_type, _, dimensions = struct.unpack("<3H", start)
    if dimensions > MOST_DIMENSIONS:
        raise ProtocolError(f"an array has {dimensions} dimensions; wanted at most {MOST_DIMENSIONS}")
    shape = yield 8 * dimensions
    size = math.prod(struct.unpack(f"<{dimensions}Q", shape)) * _itemsize(data_type)
    return Message(Id.NDARRAY, (start, shape, (yield _bounded(size, image_bytes, "an array", "image_mb"))))


def _itemsize(data_type: int) -> int:
    if data_type not in DTYPES:
        raise ProtocolError(f"data type {data_type} is not known; wanted 1 to {max(DTYPES)}")
    return DTYPES[data_type].itemsize


def _bounded(size: int, most: int, what: str, limit: str) -> int:
    """Return a size that is within its limit."""
    if size > most:
        raise ProtocolError(f"{what} of {size} bytes is too large; wanted at most {most}, which limits.{limit} sets")
    return size
