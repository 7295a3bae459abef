"""Files that are run: each with a sidecar that holds its SHA-256, and both the user's own.

An engine is code, and whoever can change one runs code as the user. So a file counts only when its owner is the user,
nobody else can write to it, to its sidecar or to their folder, and the sidecar holds the SHA-256 of its bytes. What is
checked is what is used: the bytes come from the descriptor that was looked at.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..beside import beside, reason
from ..errors import BackendError, OutputError

FILE, FOLDER = 0o600, 0o700
OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class Refused(Exception):
    """A file that must not be used; the text says why."""


class Absent(Refused):
    """There is no such file."""


def sidecar(path: Path) -> Path:
    """Return the place of a file's sidecar."""
    return path.with_name(f"{path.name}.json")


def open_folder(folder: Path) -> Path:
    """Return a folder that is the user's own; make it where there is none.

    Raises
    ------
    OutputError
        It cannot be made.
    BackendError
        It belongs to or can be written by others.
    """
    try:
        folder.mkdir(mode=FOLDER, parents=True, exist_ok=True)
        found = folder.stat()
    except OSError as e:
        raise OutputError(f"cannot be made: {reason(e)}", folder) from None
    objection = _objection(found)
    if objection:
        raise BackendError(
            f"engines are code and cannot be kept here: the folder {objection}; wanted one of the user's own with mode"
            " 700; `chmod 700`, or name another with --store or ACUTANCE_ENGINES",
            folder,
        )
    return folder


@contextlib.contextmanager
def lock(path: Path, wait: bool = True) -> Iterator[bool]:
    """Hold the one lock of a file, its sidecar and whoever makes them.

    Parameters
    ----------
    path : Path
    wait : bool
        Until the lock is free; else give False when another holds it.

    Raises
    ------
    OutputError
        The lock's file cannot be opened.
    """
    place = path.with_name(f"{path.name}.lock")
    try:
        handle = os.open(place, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, FILE)
    except OSError as e:
        raise OutputError(f"cannot be locked: {reason(e)}", place) from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(handle)


def write(path: Path, data: bytes, record: dict[str, Any]) -> None:
    """Write a file and then its sidecar, each beside its place and renamed.

    Raises
    ------
    OutputError
    """
    line = {**record, "sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    for place, content in ((path, data), (sidecar(path), json.dumps(line, indent=1).encode())):
        with beside(place) as file:
            os.fchmod(file.fileno(), FILE)
            file.write(content)


def read(path: Path) -> tuple[bytes, dict[str, Any]]:
    """Return a file's bytes and its sidecar, checked.

    Raises
    ------
    Absent
        There is no such file.
    Refused
        It has no sidecar, either is not the user's own, or they do not belong together.
    """
    try:
        objection = _objection(path.parent.stat())
    except OSError as e:
        raise Absent(f"its folder cannot be read: {reason(e)}") from None
    if objection:
        raise Refused(f"foreign: its folder {objection}")
    data = _own(path, "it")
    try:
        record = json.loads(_own(sidecar(path), "its sidecar"))
        said = record["sha256"]
    except Absent:
        raise Refused("foreign: it has no sidecar") from None
    except (ValueError, KeyError, TypeError):
        raise Refused("tampered: its sidecar holds no SHA-256") from None
    if hashlib.sha256(data).hexdigest() != said:
        raise Refused("tampered: its SHA-256 is not the one in its sidecar")
    return data, record


def remove(path: Path) -> None:
    """Remove a file with its sidecar. Its lock stays: another process may be waiting for it."""
    for place in (sidecar(path), path):
        try:
            place.unlink(missing_ok=True)
        except OSError as e:
            raise OutputError(f"cannot be removed: {reason(e)}", place) from None


def _own(path: Path, what: str) -> bytes:
    """Read a file if nobody but the user can have written it."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise Absent(f"{what} is not there") from None
    except OSError as e:
        why = "is a link" if path.is_symlink() else f"cannot be read: {reason(e)}"
        raise Refused(f"foreign: {what} {why}") from None
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise Refused(f"foreign: {what} is no regular file")
        objection = _objection(found)
        if objection:
            raise Refused(f"foreign: {what} {objection}")
        return file.read()


def _objection(found: os.stat_result) -> str:
    """Say why others may have written a file or folder; nothing when they cannot."""
    if found.st_uid != os.geteuid():
        return f"belongs to user {found.st_uid}, not to user {os.geteuid()}"
    if found.st_mode & OTHERS_WRITE:
        return f"can be written by others (mode {stat.S_IMODE(found.st_mode):o})"
    return ""
