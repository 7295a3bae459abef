"""What the spool does to the file system: each a step after which the process may be killed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


class Disk:
    """The file system.

    Folders are made for their owner alone (0700), and so are files (0600). Of what was done a power cut undoes the last
    steps, back to a step that was flushed: journaling file systems (ext4, XFS, Btrfs) keep the order. With a new file
    they flush its name.
    """

    @contextlib.contextmanager
    def create(self, path: Path) -> Iterator[BinaryIO]:
        """Open a new file for writing, and flush it to the disk when the block ends well; else it is removed."""
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with open(handle, "wb") as file:  # noqa: PTH123
                yield file
                file.flush()
                os.fsync(handle)
        except BaseException:
            with contextlib.suppress(OSError):
                path.unlink()
            raise

    def touch(self, path: Path) -> None:
        """Make an empty file, which may be there already."""
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))

    def append(self, path: Path, line: bytes) -> None:
        """Add a line to a file, which is made if need be."""
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(handle, line)
        finally:
            os.close(handle)

    def rename(self, path: Path, to: Path) -> None:
        path.rename(to)

    def unlink(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def make_folder(self, path: Path) -> None:
        """Make a folder, which may be there already, and let only its owner in."""
        path.mkdir(mode=0o700, exist_ok=True)
        path.chmod(0o700)

    def remove_folder(self, path: Path) -> None:
        """Remove an empty folder."""
        with contextlib.suppress(FileNotFoundError):
            path.rmdir()

    def flush(self, folder: Path) -> None:
        """Make what was named in a folder last through a power cut."""
        handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def free(self, folder: Path) -> int:
        """Return the bytes that may still be written by this user."""
        about = os.statvfs(folder)
        return about.f_bavail * about.f_frsize
