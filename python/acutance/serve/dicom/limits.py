"""What peers share: places for connections and associations, and bytes of memory."""

from __future__ import annotations

import collections
import contextlib
import threading
from collections.abc import Iterator


class Places:
    """A number of places, and of these a number for each peer.

    Parameters
    ----------
    total, per_peer : int
    """

    def __init__(self, total: int, per_peer: int) -> None:
        self._total, self._per_peer = total, per_peer
        self._lock = threading.Lock()
        self._taken: collections.Counter[str] = collections.Counter()

    @property
    def taken(self) -> int:
        """How many places are taken."""
        with self._lock:
            return self._taken.total()

    def enter(self, peer: str) -> bool:
        """Take a place, to be given back with :meth:`leave`; False if none is left for this peer."""
        with self._lock:
            if self._taken.total() >= self._total or self._taken[peer] >= self._per_peer:
                return False
            self._taken[peer] += 1
            return True

    def leave(self, peer: str) -> None:
        """Give a place back."""
        with self._lock:
            self._taken[peer] -= 1
            if not self._taken[peer]:
                del self._taken[peer]


class Memory:
    """A number of bytes that everybody takes from.

    Parameters
    ----------
    size : int
    """

    def __init__(self, size: int) -> None:
        self._left = size
        self._lock = threading.Lock()

    @property
    def left(self) -> int:
        """Bytes that nobody has."""
        return self._left

    @contextlib.contextmanager
    def share(self) -> Iterator[Share]:
        """Open a share, whose bytes are given back when the block ends."""
        mine = Share(self)
        try:
            yield mine
        finally:
            self.take(-mine.size)

    def take(self, size: int) -> bool:
        """Take ``size`` bytes, or give back as many as it is below 0; False if there are not as many."""
        with self._lock:
            if size > self._left:
                return False
            self._left -= size
            return True


class Share:
    """The bytes that one message has of a :class:`Memory`."""

    def __init__(self, memory: Memory) -> None:
        self._memory, self.size = memory, 0

    def grow(self, size: int) -> bool:
        """Take so many bytes more; False if there are not as many."""
        if not self._memory.take(size):
            return False
        self.size += size
        return True

    def clear(self) -> None:
        """Give all bytes back."""
        self._memory.take(-self.size)
        self.size = 0
