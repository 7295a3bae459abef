"""The content of an IMAGE message: its pixels as a Frame, and the message of the enlarged picture.

The protocol's page Image gives a matrix of four columns: the steps in mm to the next pixel along i (columns of the
picture), j (rows) and k (slices), and a position, which is the centre of the whole image: index ``(n - 1) / 2`` of each
axis. Enlarging a picture leaves its centre where it is, so the position stays; read from it, the first pixel has moved
by ``0.5 * (1/s - 1)`` old pixels, as it must where corners stay (:func:`acutance.geometry.output_to_input`).
"""

from __future__ import annotations

import dataclasses
import math
import struct
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...geometry import Frame, output_to_input
from .message import DEVICE_BYTES, Bytes, Entry, Message, Parts, assembled

IMAGE = struct.Struct(">HBBBB3H12f3H3H")
"""Version, components, scalar type, byte order, coordinates; size; matrix by columns; sub-volume: first index, size."""

VERSION = 1

SCALARS = {2: "i1", 3: "u1", 4: "i2", 5: "u2", 6: "i4", 7: "u4", 10: "f4", 11: "f8"}
"""NumPy's names of the scalar types, by number."""

ENHANCED = ("u1", "i2", "u2", "f4")
"""Scalar types of which pictures are enhanced."""

ORDERS: dict[int, Literal[">", "<"]] = {1: ">", 2: "<"}

LARGEST_SIDE = 65535

Position = Literal["centre", "first"]
"""What the position in a matrix is of: the image's centre, as the protocol says, or the centre of its first pixel."""


@dataclasses.dataclass(frozen=True, eq=False)
class Image:
    """An IMAGE message.

    Attributes
    ----------
    message : Message
    parts : Parts
    components : int
        Samples of a pixel: 1 gray, 3 RGB, 4 RGBA.
    scalar : str
        One of :data:`SCALARS`.
    order : {">", "<"}
        Byte order of the pixels.
    coordinates : int
        1: to the right, front and head; 2: to the left, back and head.
    size : (int, int, int)
        Pixels along i, j and k.
    matrix : 12 floats
        Steps along i, j and k and the position, in mm.
    whole : bool
        Whether it is all of the image, not an update of a part.
    """

    message: Message
    parts: Parts
    components: int
    scalar: str
    order: Literal[">", "<"]
    coordinates: int
    size: tuple[int, int, int]
    matrix: tuple[float, ...]
    whole: bool

    @classmethod
    def of(cls, message: Message) -> Image | None:
        """Read an IMAGE; None where its layout is of a version that is not known here.

        Raises
        ------
        InputError
            It contradicts itself.
        """
        parts = Parts.of(message)
        if len(parts.content) < IMAGE.size:
            raise InputError(f"image has {len(parts.content)} bytes; its header alone takes {IMAGE.size}")
        version, components, scalar, order, coordinates, *rest = IMAGE.unpack(parts.content[: IMAGE.size])
        if version != VERSION:
            return None
        if scalar not in SCALARS or order not in ORDERS or components == 0:
            raise InputError(f"image has {components} components, scalar type {scalar} and byte order {order}")
        size, matrix, first, part = rest[:3], rest[3:15], rest[15:18], rest[18:21]
        if 0 in part or any(a + n > all_ for a, n, all_ in zip(first, part, size, strict=True)):
            raise InputError(f"image part of {part} pixels from {first} is empty or does not lie in {size}")
        said = math.prod(part) * components * int(SCALARS[scalar][1])
        if said != len(parts.content) - IMAGE.size:
            raise InputError(f"image of {said} bytes came with {len(parts.content) - IMAGE.size}")
        i, j, k = size
        name, byte_order = SCALARS[scalar], ORDERS[order]
        return cls(message, parts, components, name, byte_order, coordinates, (i, j, k), tuple(matrix), part == size)

    def unfit(self, scale: int) -> str | None:
        """Return in a word why the image is not enhanced; None when it is."""
        i, j, k = self.size
        if not self.whole:
            return "part"
        if k != 1:
            return "volume"
        if self.scalar not in ENHANCED:
            return "scalar"
        if self.components not in (1, 3, 4):
            return "components"
        return "size" if max(i, j) * scale > LARGEST_SIDE else None

    @property
    def pixels(self) -> NDArray[Any]:
        """``[rows, cols]`` or ``[rows, cols, components]`` in the byte order of the message; nothing is copied."""
        i, j, _ = self.size
        flat = np.frombuffer(self.parts.content, self.order + self.scalar, offset=IMAGE.size)
        return flat.reshape((j, i) if self.components == 1 else (j, i, self.components))

    def frame(self, modality: str) -> Frame:
        """Return the picture; of RGBA without the transparency."""
        pixels = self.pixels
        if self.components == 4:
            pixels = np.ascontiguousarray(pixels[..., :3])
        along_i, along_j = (math.hypot(*self.matrix[at : at + 3]) for at in (0, 3))
        measured = all(0 < step < math.inf for step in (along_i, along_j))
        return Frame(
            pixels.astype(pixels.dtype.newbyteorder("="), copy=False),
            modality=modality,
            spacing=(along_j, along_i) if measured else None,
            timestamp=self.message.seconds if self.message.stamp else None,
        )

    def enlarged(
        self, pixels: NDArray[Any], suffix: str, position: Position, notes: dict[str, str]
    ) -> tuple[Bytes, ...]:
        """Return the message of the enlarged picture, in parts.

        Parameters
        ----------
        pixels : ndarray
            ``[rows * s, cols * s]`` or ``[rows * s, cols * s, 3]`` of the scalar type.
        suffix : str
            Put behind the name of the device, which is cut where the two take more than 20 bytes.
        position : {"centre", "first"}
            What the position is of.
        notes : dict of str
            Put into the metadata, for headers that have any.
        """
        i, j, k = self.size
        scale = pixels.shape[0] // j
        if self.components == 4:
            alpha = self.pixels[..., 3].repeat(scale, 0).repeat(scale, 1)
            pixels = np.concatenate([pixels, alpha[..., None].astype(pixels.dtype)], axis=2)
        out = np.ascontiguousarray(pixels, self.order + self.scalar)
        size = (i * scale, j * scale, k)
        number = {name: n for n, name in SCALARS.items()}[self.scalar]
        order = {name: n for n, name in ORDERS.items()}[self.order]
        matrix = refined(self.matrix, scale, position)
        head = IMAGE.pack(VERSION, self.components, number, order, self.coordinates, *size, *matrix, 0, 0, 0, *size)
        entries = tuple(Entry(key.encode(), value.encode()) for key, value in notes.items())
        own = {e.key for e in entries}
        kept = tuple(e for e in self.parts.metadata if e.key not in own)
        parts = dataclasses.replace(self.parts, metadata=kept + entries)
        return assembled(
            self.message, named(self.message.device, suffix), parts.packed((head, out.reshape(-1).view(np.uint8).data))
        )


def refined(matrix: tuple[float, ...], scale: int, position: Position) -> tuple[float, ...]:
    """Return the matrix of a picture enlarged by ``scale`` along i and j."""
    along_i, along_j, along_k, place = (matrix[at : at + 3] for at in (0, 3, 6, 9))
    if position == "first":
        first = float(output_to_input(0, scale))
        place = tuple(p + first * (a + b) for p, a, b in zip(place, along_i, along_j, strict=True))
    # As float32 has it: what is too large for one becomes infinite, and does not fail.
    with np.errstate(over="ignore"):
        numbers = np.array([a / scale for a in (*along_i, *along_j)] + [*along_k, *place], np.float32)
    return tuple(float(n) for n in numbers)


def named(device: bytes, suffix: str) -> bytes:
    """Return the name of a device with a suffix, in 20 bytes."""
    end = suffix.encode()
    return device[: DEVICE_BYTES - len(end)] + end


def unnamed(device: bytes, suffix: str) -> bytes:
    """Return the name of a device without the suffix."""
    return device.removesuffix(suffix.encode())
