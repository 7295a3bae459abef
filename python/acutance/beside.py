"""A file is written beside its place and renamed into it: whole or not at all, whenever the program ends."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from .errors import OutputError

PREFIX, SUFFIX = ".acutance-", ".tmp"

_REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the quota is used up",
    errno.EACCES: "no permission to write there",
    errno.EPERM: "no permission to write there",
    errno.EROFS: "the file system is read-only",
    errno.ENOENT: "its folder does not exist",
    errno.ENOTDIR: "its folder is a file",
    errno.EISDIR: "it is a folder",
}


def reason(error: OSError) -> str:
    """Return in a few words why writing failed."""
    return _REASONS.get(error.errno or 0, error.strerror or type(error).__name__)


@contextlib.contextmanager
def beside(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Open a temporary file in the folder of ``path``, and rename it to ``path`` when the block ends well.

    Yields
    ------
    binary file, open for writing and reading
        It is synchronised to the disk before it is renamed, and locked, so that :func:`sweep` of another process knows
        that it is in use.

    Raises
    ------
    OutputError
        Writing fails; nothing is left behind and what stood at ``path`` still stands.
    """
    path = Path(path)
    temporary = path.parent / f"{PREFIX}{secrets.token_hex(8)}{SUFFIX}"
    try:
        with temporary.open("xb+") as file:
            with contextlib.suppress(OSError):  # file systems without locks
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield file
            file.flush()
            os.fsync(file.fileno())
            temporary.replace(path)
        _synchronise(path.parent)
    except OSError as e:
        raise OutputError(f"cannot be written: {reason(e)}", path) from e
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def make_folder(path: Path) -> None:
    """Make a folder and those above it, unless they are there.

    Raises
    ------
    OutputError
        It cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise OutputError(f"cannot be made: {reason(e)}", path) from None


def cache_folder() -> Path:
    """Return the user's folder of files that can be made anew: ``acutance`` in ``$XDG_CACHE_HOME`` or ``~/.cache``."""
    said = os.environ.get("XDG_CACHE_HOME")
    return (Path(said) if said else Path.home() / ".cache") / "acutance"


def is_temporary(name: str) -> bool:
    """Tell whether a file name is one that :func:`beside` gives to unfinished files."""
    return name.startswith(PREFIX) and name.endswith(SUFFIX)


def sweep(folder: str | os.PathLike[str]) -> int:
    """Remove unfinished files that killed processes left in ``folder``; return how many."""
    removed = 0
    try:
        found = [p for p in Path(folder).iterdir() if is_temporary(p.name)]
    except OSError:
        return 0
    for path in found:
        with contextlib.suppress(OSError), path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails while its writer lives
            path.unlink()
            removed += 1
    return removed


def _synchronise(folder: Path) -> None:
    """Make a rename last through a power cut, where the file system lets a folder be synchronised."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
