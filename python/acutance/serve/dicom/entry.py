"""What lies in the spool: instances that are worked on or wait, files that are to be sent, and how they are named."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import time
import zlib
from pathlib import Path
from typing import Literal

What = Literal["source", "derived"]
Range = tuple[float, float]

SOURCE, DERIVED = "source.dcm", "derived.dcm"

NAME = re.compile(r"[0-9a-f]{16}-[0-9a-f]{8}(-[0-9]+)?")
"""When an instance came in, in nanoseconds since 1970, and a random number; how often the process died of it."""

PART = re.compile(r"([0-9a-f]{16}-[0-9a-f]{8})-([0-9]+)-([0-9a-f]{8})")
"""The same, with the size and the CRC-32 in hexadecimal of a file that is being received."""


@dataclasses.dataclass(frozen=True)
class Taken:
    """An instance that is being worked on: its ``folder`` holds :data:`SOURCE`.

    ``tries``: how often the process ended while it was being worked on.
    """

    folder: Path
    tries: int

    @property
    def source(self) -> Path:
        return self.folder / SOURCE

    @property
    def derived(self) -> Path:
        return self.folder / DERIVED


@dataclasses.dataclass(frozen=True)
class Item:
    """A file that is to be sent to a destination."""

    entry: str
    what: What
    destination: str
    path: Path

    @property
    def age(self) -> float:
        """Seconds since the instance came in."""
        return max(time.time() - received(self.entry), 0.0)


@dataclasses.dataclass(frozen=True)
class Waiting:
    """A series that waits: how many instances, the first and the last of which came when, in seconds since 1970."""

    count: int
    first: float
    last: float

    def and_one(self, received: float) -> Waiting:
        """Return the same with another instance."""
        return Waiting(self.count + 1, min(self.first, received), max(self.last, received))


def key_of(series_uid: str) -> str:
    """Return the name under which the spool knows a series: a UID from the network names no file."""
    return hashlib.sha256(series_uid.encode()).hexdigest()[:32]


def checksum_of(path: Path) -> int:
    """Return the CRC-32 of a file."""
    found = 0
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            found = zlib.crc32(part, found)
    return found


def received(name: str) -> float:
    """Return when an instance came, in seconds since 1970."""
    return int(name.split("-")[0], 16) / 1e9


def tries_of(name: str) -> int:
    """Return how often the process died of an instance."""
    return int(name.rsplit("-", 1)[1])
