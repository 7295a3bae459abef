"""Values that are kept while there is room, the least recently used of them going first."""

from __future__ import annotations

import collections
import threading
from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Kept(Generic[T]):
    """Keeps values up to a number of bytes; one that alone is larger is kept until the next one comes.

    Parameters
    ----------
    limit : int
        Bytes.
    """

    def __init__(self, limit: int) -> None:
        self.limit, self.used = limit, 0
        self._lock = threading.Lock()
        self._values: collections.OrderedDict[Hashable, tuple[T, int]] = collections.OrderedDict()

    def get(self, key: Hashable) -> T | None:
        """Return what is kept under a key."""
        with self._lock:
            if key not in self._values:
                return None
            self._values.move_to_end(key)
            return self._values[key][0]

    def put(self, key: Hashable, value: T, size: int) -> None:
        """Keep a value of ``size`` bytes."""
        with self._lock:
            self._drop(key)
            self._values[key] = (value, size)
            self.used += size
            while self.used > self.limit and len(self._values) > 1:
                self._drop(next(iter(self._values)))

    def forget(self, key: Hashable) -> None:
        """Let go of a value, and of all whose key is a tuple that begins with ``key``."""
        with self._lock:
            for one in [k for k in self._values if k == key or (isinstance(k, tuple) and k[:1] == (key,))]:
                self._drop(one)

    def _drop(self, key: Hashable) -> None:
        found = self._values.pop(key, None)
        self.used -= found[1] if found else 0
