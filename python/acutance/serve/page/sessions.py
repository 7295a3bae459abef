"""Who looks: each browser has series, runs and uploads of its own."""

from __future__ import annotations

import secrets
import shutil
import threading
import time
from pathlib import Path

from .folder import PrivateFolder
from .refused import Refused
from .runs import Run
from .series import Reader, Series, Skipped, find

_SPARE = 300.0
"""Seconds without a question after which a browser may be forgotten for another one."""

MOST_RUNS = 32


class Session:
    """What one browser has opened.

    Parameters
    ----------
    folder : Path
        Private to it.
    files, size : int
        Most that it may have uploaded at a time: files, bytes.
    """

    def __init__(self, folder: Path, files: int, size: int) -> None:
        self.folder, self._files, self._size = folder, files, size
        self.series: dict[str, Series] = {}
        self.runs: dict[str, Run] = {}
        self.seen = self.looked = time.monotonic()
        self._lock = threading.Lock()
        self._uploads: dict[Path, tuple[str, int]] = {}
        self._fresh: set[Path] = set()

    @property
    def room(self) -> int:
        """Bytes that may still be uploaded."""
        with self._lock:
            return self._size - sum(size for _, size in self._uploads.values())

    def begin(self, name: str) -> Path:
        """Return a path for a file that is about to come.

        Raises
        ------
        Refused
            There are too many.
        """
        with self._lock:
            if len(self._uploads) >= self._files:
                raise Refused(413, f"more than {self._files} files; close a series first, or send fewer")
            path = self.folder / f"{secrets.token_hex(8)}{_end(name)}"
            self._uploads[path] = (name, 0)
            return path

    def grow(self, path: Path, count: int) -> None:
        """Count bytes that have come.

        Raises
        ------
        Refused
            They are too many.
        """
        with self._lock:
            name, size = self._uploads[path]
            used = sum(n for _, n in self._uploads.values())
            if used + count > self._size:
                raise Refused(413, f"more than {self._size >> 20} MiB; close a series first, or send less")
            self._uploads[path] = (name, size + count)

    def finish(self, path: Path) -> None:
        """Take note that a file is whole."""
        with self._lock:
            self._fresh.add(path)

    def drop(self, path: Path) -> None:
        """Delete an uploaded file."""
        with self._lock:
            self._uploads.pop(path, None)
        path.unlink(missing_ok=True)

    def open(self, reader: Reader) -> tuple[list[Series], list[tuple[str, str]]]:
        """Sort the files that came since the last time into series.

        Returns
        -------
        list of Series, list of (str, str)
            The latter are name and reason of each file that is not looked at; it is deleted.
        """
        with self._lock:
            fresh = [path for path in self._uploads if path in self._fresh]  # as they began to come
            self._fresh.clear()
        series, skipped = find(fresh, reader)
        self.series |= {s.id: s for s in series}
        return series, [self._reject(s) for s in skipped]

    def remove(self, series: Series, reader: Reader) -> None:
        """Forget a series and delete its files."""
        for run in [r for r in self.runs.values() if r.series is series]:
            run.close()
            del self.runs[run.id]
        del self.series[series.id]
        reader.forget(series)
        for path in series.paths:
            self.drop(path)

    def add(self, run: Run) -> None:
        """Keep a run, in place of the oldest where there are many."""
        while len(self.runs) >= MOST_RUNS:
            self.runs.pop(next(iter(self.runs))).close()
        self.runs[run.id] = run

    def clear(self) -> None:
        """End all work, and delete all files."""
        runs = list(self.runs.values())
        for run in runs:
            run.close()
        self.runs.clear()
        self.series.clear()
        for run in runs:
            run.stop(5.0)
        with self._lock:
            self._uploads.clear()
            self._fresh.clear()
        for path in self.folder.iterdir():
            path.unlink(missing_ok=True)

    def close(self) -> None:
        """End for good."""
        self.clear()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _reject(self, skipped: Skipped) -> tuple[str, str]:
        with self._lock:
            name = self._uploads.get(skipped.path, ("", 0))[0]
        self.drop(skipped.path)
        return name, skipped.reason


class Sessions:
    """The browsers at a time.

    Parameters
    ----------
    folder : PrivateFolder
    most : int
    idle : float
        Seconds without a question after which one is forgotten.
    files, size : int
        See :class:`Session`.
    """

    def __init__(self, folder: PrivateFolder, most: int, idle: float, files: int, size: int) -> None:
        self._folder, self._most, self._idle, self._limits = folder, most, idle, (files, size)
        self._lock = threading.Lock()
        self._sessions: dict[str, Session] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def get(self, cookie: str | None, looks_on: bool = False) -> Session | None:
        """Return the session of a cookie, which is in use; ``looks_on``: but not what it has opened."""
        with self._lock:
            found = self._sessions.get(cookie or "")
            if found is not None:
                found.looked = time.monotonic()
                found.seen = found.seen if looks_on else found.looked
            return found

    def new(self) -> str:
        """Begin a session and return its cookie.

        Raises
        ------
        Refused
            There are too many, and none that has been idle for a while.
        """
        self.expire()
        oldest = None
        with self._lock:
            if len(self._sessions) >= self._most:
                key, oldest = min(self._sessions.items(), key=lambda pair: pair[1].looked)
                if time.monotonic() - oldest.looked < _SPARE:
                    raise Refused(503, f"{self._most} browsers are connected, as many as are allowed; try again later")
                del self._sessions[key]
            cookie = secrets.token_urlsafe(32)
            self._sessions[cookie] = Session(self._folder.new(), *self._limits)
        if oldest is not None:
            oldest.close()
        return cookie

    def end(self, cookie: str | None) -> None:
        """Forget a session and what it has uploaded."""
        with self._lock:
            found = self._sessions.pop(cookie or "", None)
        if found is not None:
            found.close()

    def expire(self) -> int:
        """Forget the sessions that have been idle for too long; return how many.

        One that looks on at live streams stays; what it has opened does not.
        """
        before = time.monotonic() - self._idle
        with self._lock:
            old = [key for key, one in self._sessions.items() if one.looked < before]
            idle = [one for one in self._sessions.values() if one.seen < before <= one.looked]
        for key in old:
            self.end(key)
        for one in idle:
            one.clear()
        return len(old)

    def close(self) -> None:
        """Forget all sessions."""
        for key in list(self._sessions):
            self.end(key)


def _end(name: str) -> str:
    """Return the end of a file's name where it is one that says what is inside: names say more than that."""
    from ...io import SUFFIXES

    return next((s for found in SUFFIXES.values() for s in found if name.lower().endswith(s)), "")
