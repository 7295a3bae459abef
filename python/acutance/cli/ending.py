"""How a command ends: its exit status, and one line for what went wrong."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from typing import NoReturn

from ..errors import AcutanceError, UsageError

INTERRUPTED = 130
"""Exit status after Ctrl-C: 128 and the number of the signal."""


def one_line(text: str) -> str:
    """Return text that prints on one line of any terminal: no control characters, no broken Unicode."""
    clean = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in clean)


def end(command: Callable[[], object]) -> NoReturn:
    """Run a command and exit: 0 done, 1 failed, 2 wrong usage, 130 interrupted, or with the status that it asks for.

    For ``acutance`` and for each ``python -m acutance.X``.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files come in every encoding
    try:
        command()
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(INTERRUPTED)
    except AcutanceError as e:
        sys.stderr.write(f"acutance: {one_line(str(e))}\n")
        sys.exit(2 if isinstance(e, UsageError) else 1)
    sys.exit(0)
