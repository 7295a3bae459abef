"""What waits for one receiver, however slow it is."""

from __future__ import annotations

import collections
import dataclasses
import itertools
import threading
from collections.abc import Hashable, Sequence

from .message import Bytes

AT_ONCE = 16
"""Parts of a message that one call to the system writes; well below the system's own limit."""

OVERHEAD = 1024
"""Bytes that a message takes beside its own, so that many small ones are bounded too."""


@dataclasses.dataclass(frozen=True)
class _Waiting:
    parts: Sequence[Bytes]
    size: int
    key: Hashable


class Outbox:
    """Messages for one receiver, in order; threads may put them while another takes them out.

    Memory is bounded: of pictures with one key only the latest waits, and of what waits beyond the limit the oldest is
    dropped. A message that is being written is always finished, since half of one would break the connection.

    Parameters
    ----------
    limit : int
        Bytes that may wait; a single larger message may too.
    """

    def __init__(self, limit: int) -> None:
        self._limit, self._lock = limit, threading.Lock()
        self._waiting: collections.deque[_Waiting] = collections.deque()
        self._bytes = 0
        self._writing: collections.deque[memoryview] = collections.deque()

    def put(self, parts: Sequence[Bytes], latest: Hashable = None) -> tuple[int, int]:
        """Add a message.

        Parameters
        ----------
        parts : sequence of bytes
            Must not change any more.
        latest : hashable, optional
            Key of a picture, before which those of the same key are forgotten.

        Returns
        -------
        (int, int)
            Messages that were forgotten for a later one, and for lack of room.
        """
        size = OVERHEAD + sum(memoryview(part).nbytes for part in parts)
        with self._lock:
            older = [] if latest is None else [w for w in self._waiting if w.key == latest]
            for waiting in older:
                self._waiting.remove(waiting)
                self._bytes -= waiting.size
            self._waiting.append(_Waiting(parts, size, latest))
            self._bytes += size
            dropped = 0
            while self._bytes > self._limit and len(self._waiting) > 1:
                self._bytes -= self._waiting.popleft().size
                dropped += 1
        return len(older), dropped

    @property
    def empty(self) -> bool:
        """Whether nothing waits and nothing is half written."""
        return not self._writing and not self._waiting

    def next(self) -> list[memoryview]:
        """Return what is to be written now; nothing where nothing waits."""
        with self._lock:
            while not self._writing and self._waiting:
                waiting = self._waiting.popleft()
                self._bytes -= waiting.size
                self._writing.extend(memoryview(part).cast("B") for part in waiting.parts if part)
            return list(itertools.islice(self._writing, AT_ONCE))

    def wrote(self, n: int) -> None:
        """Take note that ``n`` bytes of :meth:`next` were written."""
        while n:
            part = self._writing.popleft()
            if n < len(part):
                self._writing.appendleft(part[n:])
                return
            n -= len(part)
