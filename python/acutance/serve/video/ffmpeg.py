"""ffmpeg as a separate process, and what it has to say. Nothing of it is ever loaded into this one."""

from __future__ import annotations

import collections
import contextlib
import fcntl
import functools
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Sequence
from typing import IO

from ...errors import UsageError

QUIET = ["-hide_banner", "-nostats", "-nostdin", "-loglevel"]

PIPE_BYTES = 1 << 20
"""Of a pipe: fewer switches between the processes than with the 64 KiB that it has by itself."""

ENDING = 5.0
"""Seconds that a process gets to end by itself."""

_MESSAGE = re.compile(r"^(?:\[[^\]]* @ 0x[0-9a-f]+\] )*\[(error|fatal|panic)\] (.*)")
_EMPTY = re.compile(
    r"Error (initializing output|while opening|marking|opening)|Could not write header|Conversion failed|"
    r".*: Invalid (data found|argument)|Nothing was written"
)
"""Messages that say that something failed, after the one that says what."""

_CONTEXT = re.compile(r"\[[^\]]* @ 0x[0-9a-f]+\] ")


def find(name: str = "ffmpeg") -> str:
    """Return the path of ``ffmpeg`` or ``ffprobe``.

    Raises
    ------
    UsageError
        It is not installed.
    """
    path = shutil.which(name)
    if path is None:
        raise UsageError(f"video needs {name}, which is not installed: sudo apt install ffmpeg")
    return path


@functools.cache
def _version(path: str) -> tuple[int, int]:
    said = subprocess.run([path, "-version"], capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout
    found = re.match(r"ffmpeg version n?(\d+)\.(\d+)", said)
    return (int(found[1]), int(found[2])) if found else (99, 0)  # development versions have names of their own


def passthrough() -> list[str]:
    """Return the options with which pictures keep their timestamps, none is dropped and none doubled."""
    return ["-fps_mode" if _version(find()) >= (5, 1) else "-vsync", "passthrough"]


@functools.cache
def _encoders(path: str) -> str:
    return subprocess.run([path, "-hide_banner", "-encoders"], capture_output=True, text=True).stdout


def has_encoder(name: str) -> bool:
    """Tell whether this ffmpeg has an encoder."""
    return f" {name} " in _encoders(find())


class Process:
    """A running ffmpeg or ffprobe.

    Parameters
    ----------
    arguments : sequence of str
        The program first.
    stdin, stdout : bool
        Whether we write to it, read from it.
    hear : callable, optional
        Gets each line of its standard error; ``None`` at the end.
    hide : str
        Never quoted: the address of a source may hold a password.

    Notes
    -----
    It is in a session of its own, so that Ctrl-C ends us first and we end it. When we are killed, its pipes break.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        stdin: bool = False,
        stdout: bool = False,
        hear: Callable[[str | None], None] | None = None,
        hide: str = "",
    ) -> None:
        self._hear, self._hide = hear, hide
        self._errors: collections.deque[str] = collections.deque(maxlen=20)
        self.error_count = 0
        self._process = subprocess.Popen(
            list(arguments),
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE if stdout else subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # above what a user may have
                    fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._listener = threading.Thread(target=self._listen, name="ffmpeg", daemon=True)
        self._listener.start()

    @property
    def stdin(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def stdout(self) -> IO[bytes]:
        assert self._process.stdout is not None
        return self._process.stdout

    @property
    def pid(self) -> int:
        return self._process.pid

    def running(self) -> bool:
        """Tell whether it has not ended."""
        return self._process.poll() is None

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended and everything it said was heard; return its status.

        Raises
        ------
        subprocess.TimeoutExpired
        """
        status = self._process.wait(timeout)
        self._listener.join(ENDING)
        return status

    def interrupt(self) -> None:
        """End it now, for whoever reads from it or writes to it in another thread to see."""
        self._process.kill()

    def kill(self) -> None:
        """End it now, and close its pipes."""
        self.interrupt()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(ENDING)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    @property
    def reason(self) -> str:
        """What it said last of what went wrong, in one line without names."""
        last = list(reversed(self._errors)) or ["no reason given"]
        said = next((e for e in last if not _EMPTY.match(e)), last[0])
        return said.replace(self._hide, "the source") if self._hide else said

    def said(self, text: str) -> bool:
        """Tell whether a text is in one of its last errors."""
        return any(text in e for e in self._errors)

    def _listen(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as pipe:
            for raw in _lines(pipe):
                line = raw.decode("utf-8", "replace")
                found = _MESSAGE.match(line)
                if found:
                    self.error_count += 1
                    self._errors.append(_CONTEXT.sub("", found[2]).strip() or "no reason given")
                if self._hear is not None:
                    self._hear(line)
        if self._hear is not None:
            self._hear(None)


def _lines(pipe: IO[bytes]) -> collections.abc.Iterator[bytes]:
    """Yield lines of at most some kilobytes: metadata in a file may hold lines of any length."""
    rest = b""
    while chunk := pipe.read(1 << 16):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines
        rest = rest[: 1 << 14]
    if rest:
        yield rest
