"""OpenIGTLink messages as bytes: where each ends, and what an IMAGE says. No sockets here.

Layouts are those of the protocol's pages Header and Image (versions 1 to 3). Numbers are big-endian; the pixels of an
IMAGE have a byte order of their own. Header version 1 has no extended header and no metadata; 2 is sent by protocols 2
and 3.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Iterator, Sequence

import numpy as np
from fastcrc.crc64 import ecma_182

from ...errors import InputError

Bytes = bytes | bytearray | memoryview

HEADER = struct.Struct(">H12s20sQQQ")
"""Version, type, device name, timestamp, size and CRC of the body."""

EXTENDED = struct.Struct(">HHII")
"""Size of the extended header, of the metadata's index, of the metadata; number of the message."""

ENTRY = struct.Struct(">HHI")
"""Of the metadata's index: size of the key, encoding of the value, size of the value."""

VERSIONS = (1, 2, 3)
"""Header versions that are read; 3 is what some senders of protocol 3 write in place of 2."""

DEVICE_BYTES = 20
UTF8 = 106
"""Number of UTF-8 among IANA's character sets, as metadata names the encoding of a value."""


class FramingError(InputError):
    """Bytes that are no message, after which nobody can tell where the next one begins.

    Attributes
    ----------
    reason : str
        ``"version"``, ``"type"`` or ``"size"``: the field of the header that makes no sense.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def crc64(parts: Sequence[Bytes]) -> int:
    """Return the CRC-64 of ECMA-182 (nothing reflected, begun and ended with 0) of parts one after the other."""
    crc = 0
    for part in parts:
        crc = ecma_182(part, crc)
    return crc


@dataclasses.dataclass(frozen=True, eq=False)
class Message:
    """One message as it came.

    Attributes
    ----------
    header : bytes
        58 bytes.
    body : bytes or memoryview
        Extended header, content and metadata.
    version : int
        Of the header: one of :data:`VERSIONS`.
    kind : str
        Type of the message: ``IMAGE``, ``TRANSFORM``, ...
    device : bytes
        Name of the device, without what pads it.
    stamp : int
        When the data were made: seconds since 1970 times 2**32; 0 where not said.
    crc : int
        Of the body, as the header says.
    """

    header: bytes
    body: Bytes
    version: int
    kind: str
    device: bytes
    stamp: int
    crc: int

    @property
    def seconds(self) -> float:
        """Seconds since 1970."""
        return self.stamp / 2**32

    @property
    def parts(self) -> tuple[Bytes, ...]:
        """The message's bytes in parts, none of them copied."""
        return (self.header, self.body)

    def intact(self) -> bool:
        """Tell whether the body is as its CRC says; an empty body always is."""
        return not self.body or crc64((self.body,)) == self.crc

    def renamed(self, device: bytes) -> Message:
        """Return the message with another name of the device, of at most 20 bytes; the CRC covers only the body."""
        header = self.header[:14] + device.ljust(DEVICE_BYTES, b"\0") + self.header[14 + DEVICE_BYTES :]
        return dataclasses.replace(self, header=header, device=device)


def begun(header: Bytes, largest: int) -> tuple[Message, int]:
    """Read a header.

    Parameters
    ----------
    header : bytes
        58 bytes.
    largest : int
        Bytes that a body may have.

    Returns
    -------
    Message
        Without its body.
    int
        Bytes of the body.

    Raises
    ------
    FramingError
        It is no header, or the body is larger.
    """
    raw = bytes(header)
    version, kind, device, stamp, size, crc = HEADER.unpack(raw)
    if version not in VERSIONS:
        raise FramingError("version", f"header has version {version}; wanted one of {', '.join(map(str, VERSIONS))}")
    name = kind.split(b"\0", 1)[0].rstrip(b" ")
    if not name or not all(0x21 <= c <= 0x7E for c in name):
        raise FramingError("type", "header names no type of a message; the sender speaks another protocol")
    if size > largest:
        raise FramingError("size", f"header announces {size} bytes; at most {largest} are taken (largest_mib)")
    return Message(raw, b"", version, name.decode(), device.split(b"\0", 1)[0], stamp, crc), size


class Reader:
    """Finds messages in a stream of bytes, however it is cut.

    The caller puts bytes where :meth:`room` says and tells how many they were, so that large bodies are not copied.

    Parameters
    ----------
    largest : int
        Bytes that a body may have.
    """

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self._start()

    def _start(self) -> None:
        self._header: Message | None = None
        self._into = memoryview(bytearray(HEADER.size))
        self._filled = 0

    @property
    def midway(self) -> bool:
        """Whether a message has begun and not ended."""
        return self._header is not None or self._filled > 0

    def room(self) -> memoryview:
        """Return where the next bytes go; never empty."""
        return self._into[self._filled :]

    def took(self, n: int) -> Message | None:
        """Take note that ``n`` bytes were put into :meth:`room`; return the message that they end.

        Raises
        ------
        FramingError
        """
        self._filled += n
        if self._filled < len(self._into):
            return None
        if self._header is None:
            message, size = begun(self._into, self._largest)
            if size:
                # Not cleared, so that memory comes page by page as bytes arrive: a header alone costs nothing.
                self._header, self._into, self._filled = message, np.empty(size, np.uint8).data, 0
                return None
        else:
            message = dataclasses.replace(self._header, body=self._into)
        self._start()
        return message

    def feed(self, data: Bytes) -> Iterator[Message]:
        """Read on in ``data``; yield each message that ends in it.

        Raises
        ------
        FramingError
        """
        rest = memoryview(data)
        while rest:
            room = self.room()
            n = min(len(room), len(rest))
            room[:n] = rest[:n]
            rest = rest[n:]
            message = self.took(n)
            if message is not None:
                yield message


@dataclasses.dataclass(frozen=True)
class Entry:
    """One entry of a message's metadata: key and value as bytes, and IANA's number of the value's encoding."""

    key: bytes
    value: bytes
    encoding: int = UTF8


@dataclasses.dataclass(frozen=True, eq=False)
class Parts:
    """What a body consists of.

    Attributes
    ----------
    extended : bytes
        Extended header; empty in version 1.
    content : memoryview
    metadata : tuple of Entry
    """

    extended: bytes
    content: memoryview
    metadata: tuple[Entry, ...] = ()

    @classmethod
    def of(cls, message: Message) -> Parts:
        """Take a body apart.

        Raises
        ------
        InputError
            Its sizes do not fit together.
        """
        body = memoryview(message.body)
        if message.version == 1:
            return cls(b"", body)
        if len(body) < EXTENDED.size:
            raise InputError(f"body has {len(body)} bytes; the extended header alone takes {EXTENDED.size}")
        size, index, values, _ = EXTENDED.unpack(body[: EXTENDED.size])
        end = len(body) - index - values
        if not EXTENDED.size <= size <= end:
            raise InputError(f"extended header ({size}) and metadata ({index + values}) do not fit {len(body)} bytes")
        return cls(bytes(body[:size]), body[size:end], tuple(_entries(body[end : end + index], body[end + index :])))

    def packed(self, content: Sequence[Bytes]) -> tuple[Bytes, ...]:
        """Return a body with another content, the extended header and the metadata being these."""
        if not self.extended:
            return tuple(content)
        index = struct.pack(">H", len(self.metadata)) + b"".join(
            ENTRY.pack(len(e.key), e.encoding, len(e.value)) for e in self.metadata
        )
        values = b"".join(e.key + e.value for e in self.metadata)
        _, _, _, number = EXTENDED.unpack(self.extended[: EXTENDED.size])
        head = EXTENDED.pack(len(self.extended), len(index), len(values), number) + self.extended[EXTENDED.size :]
        return (head, *content, index + values)


def _entries(index: memoryview, values: memoryview) -> Iterator[Entry]:
    if not index and not values:
        return
    count = int.from_bytes(index[:2], "big")
    if len(index) != 2 + count * ENTRY.size:
        raise InputError(f"index of {count} entries of metadata has {len(index)} bytes")
    at = 0
    for key_size, encoding, value_size in ENTRY.iter_unpack(index[2:]):
        middle, end = at + key_size, at + key_size + value_size
        if end > len(values):
            raise InputError("an entry of the metadata reaches beyond its end")
        yield Entry(bytes(values[at:middle]), bytes(values[middle:end]), encoding)
        at = end
    if at != len(values):
        raise InputError(f"entries of the metadata take {at} bytes of {len(values)}")


def assembled(like: Message, device: bytes, body: Sequence[Bytes]) -> tuple[Bytes, ...]:
    """Return the parts of a message with the version, type and timestamp of another one."""
    size = sum(memoryview(part).nbytes for part in body)
    header = HEADER.pack(like.version, like.kind.encode(), device, like.stamp, size, crc64(body))
    return (header, *body)
