"""Where instances lie from when the sender is told that they are safe until every destination has them.

What state an instance is in is said by the folder that it lies in, and every move is one rename::

    incoming/NAME-SIZE-CRC      being received; whole when size and CRC-32 fit
    ready/NAME-TRIES            a DICOM file, to be worked on
    work/NAME-TRIES/source.dcm  being worked on, with what is made of it
    waiting/SERIES/NAME-TRIES   its series is not complete yet
    series/SERIES.json          the value range of a series, once and for all its instances
    sending/NAME/               source.dcm and derived.dcm, and an empty file todo.WHAT.DESTINATION for each that is to
                                be sent
    dead/NAME/                  the same, but dead.WHAT.DESTINATION says why it was given up
    retry/                      what is moved here out of dead/ is sent again
    done/DATE.jsonl             what was sent where

So the process may be killed at any moment: :meth:`Spool.recover` finds each instance in one state and goes on from it.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import errno
import fcntl
import heapq
import json
import secrets
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from ...beside import reason
from ...errors import OutputError, UsageError
from .disk import Disk
from .entry import DERIVED, NAME, PART, SOURCE, Item, Range, Taken, Waiting, What, checksum_of, received, tries_of
from .part10 import Received, head

FOLDERS = ("incoming", "ready", "work", "waiting", "series", "sending", "dead", "retry", "done")


class SpoolFull(OutputError):
    """There is no room for an instance: the sender must keep it and try again."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """How much a spool may hold.

    Attributes
    ----------
    quota : int or None
        Bytes of all its files together.
    reserve : int
        Bytes of the disk that received instances leave free, so that there is room to enhance them.
    """

    quota: int | None = None
    reserve: int = 0


class Spool:
    """A folder of instances; all methods may be called from any thread.

    Parameters
    ----------
    folder : Path
        It is made if need be; its parent must be there.
    limits : Limits
    disk : Disk
    """

    def __init__(self, folder: Path, limits: Limits = Limits(), disk: Disk | None = None) -> None:
        self.folder, self.limits = folder, limits
        self.disk = disk or Disk()
        self._changed = threading.Condition(threading.RLock())
        self._ready: list[tuple[int, str]] = []
        self._waiting: dict[str, Waiting] = {}
        self._out: dict[str, collections.deque[Item]] = {}
        self._todo: collections.Counter[str] = collections.Counter()
        self._used = 0
        self._lock: BinaryIO | None = None

    # The start.

    def recover(self) -> None:
        """Take the folder and bring order into what a killed process left in it; to be called before all else.

        Raises
        ------
        UsageError
            Another process has the folder.
        OutputError
            It cannot be made or read.
        """
        try:
            self.disk.make_folder(self.folder)
            self._take_lock()
            for name in FOLDERS:
                self.disk.make_folder(self.folder / name)
            self.disk.flush(self.folder)
            self.disk.flush(self.folder.parent)
            for path in self._list("incoming"):
                self._recover_incoming(path)
            for path in self._entries("work"):
                self._recover_work(path)
            self._ready = [(tries_of(p.name), p.name) for p in self._entries("ready")]
            heapq.heapify(self._ready)
            self._recover_waiting()
            for path in self._entries("sending"):
                self._recover_entry(path)
            self.revive()
            self._used = sum(p.stat().st_size for p in self.folder.rglob("*") if p.is_file())
        except OSError as e:
            raise OutputError(f"cannot be used as a spool: {reason(e)}", self.folder) from e

    def close(self) -> None:
        """Give the folder back."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _take_lock(self) -> None:
        self._lock = open(self.folder / "lock", "ab")  # noqa: PTH123, SIM115
        (self.folder / "lock").chmod(0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise UsageError(
                "is the spool of a process that runs; stop that one, or name another folder", self.folder
            ) from None

    def _list(self, *names: str) -> list[Path]:
        return sorted(self.folder.joinpath(*names).iterdir())

    def _entries(self, *names: str) -> list[Path]:
        """Return what the spool has put into a folder, the oldest first; other people's files are left alone."""
        return [p for p in self._list(*names) if NAME.fullmatch(p.name)]

    def _recover_incoming(self, path: Path) -> None:
        """Keep what is whole: its sender may have been told so."""
        said = PART.fullmatch(path.name)
        if said and path.stat().st_size == int(said[2]) and checksum_of(path) == int(said[3], 16):
            self.disk.rename(path, self.folder / "ready" / f"{said[1]}-0")
        else:
            self.disk.unlink(path)

    def _recover_work(self, path: Path) -> None:
        """Put back what was being worked on; the process may have died of it, so that is counted."""
        if (path / SOURCE).exists():
            name = path.name.rsplit("-", 1)[0]
            self.disk.rename(path / SOURCE, self.folder / "ready" / f"{name}-{tries_of(path.name) + 1}")
        self._remove(path)

    def _recover_waiting(self) -> None:
        for path in self._list("waiting"):
            if not path.is_dir():
                continue
            times = [received(p.name) for p in self.members(path.name)]
            if times and self.frozen(path.name) is None:
                self._waiting[path.name] = Waiting(len(times), min(times), max(times))
            else:
                self.release(path.name)

    def _recover_entry(self, path: Path) -> None:
        for dead in path.glob("dead.*"):
            if dead.suffix == ".part":
                self.disk.unlink(dead)
            else:
                self.disk.unlink(path / dead.name.replace("dead.", "todo.", 1))
        if not self._queue(path):
            self._finish(path)

    def revive(self) -> None:
        """Send again what was moved out of ``dead/`` into ``retry/``."""
        with self._changed:
            for path in self._entries("retry"):
                for dead in path.glob("dead.*"):
                    self.disk.rename(dead, path / dead.name.replace("dead.", "todo.", 1))
                to = self.folder / "sending" / path.name
                self.disk.rename(path, to)
                if not self._queue(to):
                    self._finish(to)

    # From the network.

    def receive(self, dataset: bytes | memoryview, about: Received) -> None:
        """Take an instance; it is flushed to the disk when this returns.

        Parameters
        ----------
        dataset : bytes or memoryview
            As it came over the network, without file meta information.
        about : Received

        Raises
        ------
        SpoolFull
            There is no room for it.
        OutputError
            It cannot be written. In both cases nothing of it is left.
        """
        try:
            start = head(about)
        except Exception:  # whatever pydicom says to UIDs and titles that are none
            raise OutputError("is named by no UID that a file may hold", self.folder) from None
        size = len(start) + len(dataset)
        name = f"{time.time_ns():016x}-{secrets.token_hex(4)}"
        checksum = zlib.crc32(dataset, zlib.crc32(start))
        part = self.folder / "incoming" / f"{name}-{size}-{checksum:08x}"
        with self._reserved(size):
            with self.disk.create(part) as file:
                file.write(start)
                file.write(dataset)
            try:
                self.disk.rename(part, self.folder / "ready" / f"{name}-0")
            except OSError:
                with contextlib.suppress(OSError):
                    self.disk.unlink(part)
                raise
        self._push(0, f"{name}-0")

    @contextlib.contextmanager
    def _reserved(self, size: int) -> Iterator[None]:
        """Count bytes as used before they are written, and no longer should that fail."""
        with self._changed:
            if self.limits.quota is not None and self._used + size > self.limits.quota:
                raise SpoolFull(f"the spool holds {self._used} bytes, and may hold {self.limits.quota}", self.folder)
            self._used += size
        try:
            if self.limits.reserve and self.disk.free(self.folder) < self.limits.reserve + size:
                raise SpoolFull(f"less than {self.limits.reserve} bytes would stay free on the disk", self.folder)
            yield
        except BaseException as e:
            self._forget(size)
            if isinstance(e, OSError):
                full = e.errno in (errno.ENOSPC, errno.EDQUOT)
                raise (SpoolFull if full else OutputError)(f"cannot be written: {reason(e)}", self.folder) from e
            raise

    def _forget(self, size: int) -> None:
        with self._changed:
            self._used -= size

    # Work.

    @property
    def used(self) -> int:
        """Bytes that all files take."""
        return self._used

    def counts(self) -> dict[str, int]:
        """Return how many instances are ready, and wait for their series, and files that are to be sent."""
        with self._changed:
            waiting = sum(w.count for w in self._waiting.values())
            return {"ready": len(self._ready), "waiting": waiting, "sending": sum(self._todo.values())}

    def has_room(self, size: int) -> bool:
        """Tell whether ``size`` bytes may be made now: within the quota, or nothing is on its way out to make room."""
        with self._changed:
            return self.limits.quota is None or self._used + size <= self.limits.quota or not self._todo

    def take(self, timeout: float) -> Taken | None:
        """Take the oldest instance to be worked on, waiting for one; first those that no process has died of."""
        with self._changed:
            if not self._ready:
                self._changed.wait(timeout)
            if not self._ready:
                return None
            tries, name = heapq.heappop(self._ready)
        folder = self.folder / "work" / name
        try:
            self.disk.make_folder(folder)
            self.disk.rename(self.folder / "ready" / name, folder / SOURCE)
        except FileNotFoundError:  # somebody has removed it
            self.disk.remove_folder(folder)
            return None
        except OSError:
            self._push(tries, name)
            raise
        return Taken(folder, tries)

    def put_back(self, taken: Taken) -> None:
        """Let an instance be taken again later."""
        self.disk.rename(taken.source, self.folder / "ready" / taken.folder.name)
        with contextlib.suppress(OSError):  # recover() does it at the next start
            self._forget(self._remove(taken.folder))
        self._push(taken.tries, taken.folder.name)

    def wait(self, taken: Taken, series: str) -> None:
        """Let an instance wait for the rest of its series."""
        folder = self.folder / "waiting" / series
        self.disk.make_folder(folder)
        self.disk.rename(taken.source, folder / taken.folder.name)
        with contextlib.suppress(OSError):  # recover() does it at the next start
            self._remove(taken.folder)
        with self._changed:
            came = received(taken.folder.name)
            self._waiting[series] = self._waiting.get(series, Waiting(0, came, came)).and_one(came)

    def drop(self, taken: Taken) -> None:
        """Forget an instance for good."""
        size = taken.source.stat().st_size
        self.disk.unlink(taken.source)
        self._forget(size)
        with contextlib.suppress(OSError):  # recover() does it at the next start
            self._forget(self._remove(taken.folder))

    def add(self, taken: Taken, write: Callable[[BinaryIO], None]) -> None:
        """Make the derived object of an instance, in place of one made before; ``write`` puts it into a file."""
        self._discard(taken)
        with self.disk.create(taken.derived) as file:
            write(file)
        with self._changed:
            self._used += taken.derived.stat().st_size

    def _discard(self, taken: Taken) -> None:
        with contextlib.suppress(FileNotFoundError):
            size = taken.derived.stat().st_size
            self.disk.unlink(taken.derived)
            self._forget(size)

    def send(self, taken: Taken, items: Iterable[tuple[What, str]]) -> None:
        """Let an instance be sent: what of it (``"source"`` or ``"derived"``) to which destination.

        Should that fail, it may be tried again.
        """
        for what, destination in items:
            self.disk.touch(taken.folder / f"todo.{what}.{destination}")
        self.disk.flush(taken.folder)
        to = self.folder / "sending" / taken.folder.name.rsplit("-", 1)[0]
        self.disk.rename(taken.folder, to)
        with contextlib.suppress(OSError):  # only a power cut would undo it, and then it is made and sent again
            self.disk.flush(to.parent)
        with self._changed:
            if not self._queue(to):
                self._finish(to)

    def _push(self, tries: int, name: str) -> None:
        with self._changed:
            heapq.heappush(self._ready, (tries, name))
            self._changed.notify_all()

    # Series.

    def waiting(self) -> dict[str, Waiting]:
        """Return the series that wait for more of their instances."""
        with self._changed:
            return dict(self._waiting)

    def looked_until(self) -> float:
        """Return until when all that came has been looked at, in seconds since 1970."""
        with self._changed:
            return received(self._ready[0][1]) if self._ready else time.time()

    def members(self, series: str) -> list[Path]:
        """Return the files of a series that waits, none where it does not."""
        try:
            return self._entries("waiting", series)
        except FileNotFoundError:
            return []

    def frozen(self, series: str) -> Range | None:
        """Return the range that a series has got for good, None before it has one."""
        try:
            low, high = json.loads((self.folder / "series" / f"{series}.json").read_text())
        except FileNotFoundError:
            return None
        return float(low), float(high)

    def freeze(self, series: str, value_range: Range) -> None:
        """Give a series its range, if it has none yet, and let its instances be taken."""
        if self.frozen(series) is None:
            self._write(self.folder / "series" / f"{series}.json", json.dumps(value_range))
        self.release(series)

    def release(self, series: str) -> None:
        """Let the instances of a series be taken that wait."""
        with self._changed:
            for path in self.members(series):
                self.disk.rename(path, self.folder / "ready" / path.name)
                self._push(tries_of(path.name), path.name)
            self._waiting.pop(series, None)
        self.disk.remove_folder(self.folder / "waiting" / series)

    # To the destinations.

    def next(self, destination: str, timeout: float) -> Item | None:
        """Return what is to be sent to a destination next, waiting for it; the sources of it come first."""
        with self._changed:
            queue = self._out.setdefault(destination, collections.deque())
            if not queue:
                self._changed.wait(timeout)
            return queue.popleft() if queue else None

    def again(self, item: Item) -> None:
        """Let a file be sent later, after the others."""
        with self._changed:
            self._out[item.destination].append(item)
            self._changed.notify_all()

    def sent(self, item: Item, note: dict[str, object]) -> None:
        """Remember that a destination has a file; ``note`` goes into the journal."""
        self._journal({"entry": item.entry, "what": item.what, "destination": item.destination, **note})
        self._settle(item)

    def give_up(self, item: Item, why: dict[str, object]) -> None:
        """Send a file to a destination no more; once all others have it, it lies in ``dead/`` with the reason."""
        self._write(item.path.parent / f"dead.{item.what}.{item.destination}", json.dumps(why) + "\n")
        self._settle(item)

    def destinations(self) -> list[str]:
        """Return to whom there is something to be sent, also those that the settings do not name."""
        with self._changed:
            return sorted(name for name, queue in self._out.items() if queue)

    def _settle(self, item: Item) -> None:
        with self._changed:
            with contextlib.suppress(OSError):  # it is sent again after the next start
                self.disk.unlink(item.path.parent / f"todo.{item.what}.{item.destination}")
            self._todo[item.entry] -= 1
            if self._todo[item.entry] <= 0:
                self._finish(item.path.parent)

    def _queue(self, folder: Path) -> int:
        """Put what is to be sent of an entry into the queues; return how many files that are."""
        found = sorted(folder.glob("todo.*"), key=lambda p: (not p.name.startswith("todo.source."), p.name))
        with self._changed:
            for path in found:
                _, what, destination = path.name.split(".", 2)
                file = folder / (SOURCE if what == "source" else DERIVED)
                item = Item(folder.name, "source" if what == "source" else "derived", destination, file)
                self._out.setdefault(destination, collections.deque()).append(item)
            self._todo[folder.name] += len(found)
            self._changed.notify_all()
        return len(found)

    def _finish(self, folder: Path) -> None:
        """Remove an entry that every destination has, or keep it for good where one was given up."""
        del self._todo[folder.name]
        try:
            if any(folder.glob("dead.*")):
                self.disk.rename(folder, self.folder / "dead" / folder.name)
            else:
                self._forget(self._remove(folder))
        except OSError:  # recover() does it at the next start
            return

    def _journal(self, line: dict[str, object]) -> None:
        """Add a line to the journal of the day; that it cannot be written must not make a file be sent twice."""
        now = time.time()
        path = self.folder / "done" / time.strftime("%Y-%m-%d.jsonl", time.gmtime(now))
        said = json.dumps({"time": round(now, 3), **line}) + "\n"
        with contextlib.suppress(OSError):
            self.disk.append(path, said.encode())

    # Files.

    def sweep(self, days: float) -> None:
        """Remove journals and the ranges of series that are older than ``days``."""
        limit = time.time() - days * 86400
        for path in [*self._list("done"), *self._list("series")]:
            if path.stat().st_mtime < limit:
                self.disk.unlink(path)

    def _write(self, path: Path, text: str) -> None:
        """Write a small file: whole, or not at all."""
        part = path.with_name(f"{path.name}.part")
        self.disk.unlink(part)
        with self.disk.create(part) as file:
            file.write(text.encode())
        self.disk.rename(part, path)
        self.disk.flush(path.parent)

    def _remove(self, folder: Path) -> int:
        """Remove a folder of files; return how many bytes they had."""
        size = 0
        for path in list(folder.iterdir()):
            size += path.stat().st_size
            self.disk.unlink(path)
        self.disk.remove_folder(folder)
        return size
