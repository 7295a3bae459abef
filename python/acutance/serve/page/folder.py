"""The folder of what browsers upload: private, and gone when the program has ended, however it ended."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import tempfile
from pathlib import Path

from ...beside import reason
from ...errors import OutputError

PREFIX = "acutance-page-"
_LOCK = ".lock"


class PrivateFolder:
    """A new folder that only its owner may enter (0700).

    Those that killed programs of the same user left beside it are deleted.

    Parameters
    ----------
    parent : Path, optional
        The system's folder of temporary files when not given.

    Raises
    ------
    OutputError
        It cannot be made.
    """

    def __init__(self, parent: Path | None = None) -> None:
        parent = Path(tempfile.gettempdir()) if parent is None else parent
        sweep(parent)
        try:
            self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
            self._lock = (self.path / _LOCK).open("wb")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as e:
            raise OutputError(f"no folder for uploads can be made in it: {reason(e)}", parent) from None

    def new(self) -> Path:
        """Return a new folder inside, as private."""
        path = self.path / secrets.token_hex(8)
        path.mkdir(mode=0o700)
        return path

    def close(self) -> None:
        """Delete it and all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()


def sweep(parent: Path) -> int:
    """Delete the folders of programs of this user that have ended; return how many."""
    removed = 0
    try:
        found = [p for p in parent.iterdir() if p.name.startswith(PREFIX)]
    except OSError:
        return 0
    for path in found:
        with contextlib.suppress(OSError):
            if path.is_symlink() or path.stat().st_uid != os.getuid():
                continue
            with (path / _LOCK).open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails while its program lives
                shutil.rmtree(path, ignore_errors=True)
                removed += 1
    return removed
