"""Errors a caller can act on: each message is one line that says what is wrong, what was wanted and what helps."""

from __future__ import annotations

import logging
import os
import traceback
from pathlib import Path

log = logging.getLogger(__name__)


class AcutanceError(Exception):
    """Base class of every error this package raises on purpose.

    Parameters
    ----------
    message : str
        One line: what is wrong, what was wanted, what was found, what helps.
    path : str or os.PathLike, optional
        The file the error is about; it is put in front of the message.
    """

    def __init__(self, message: str, path: str | os.PathLike[str] | None = None) -> None:
        self.message = " ".join(str(message).split())
        self.path = None if path is None else os.fspath(path)
        super().__init__(self.message if self.path is None else f"{self.path}: {self.message}")


class InputError(AcutanceError):
    """A picture or file that cannot be enhanced: named, skipped, and the rest goes on."""


class OutputError(AcutanceError):
    """A result that cannot be written."""


class ModelError(AcutanceError):
    """A model file that is missing, damaged or not described well enough to be trusted."""


class BackendError(AcutanceError):
    """A backend that is not installed, cannot start or failed while running."""


class UsageError(AcutanceError):
    """A setting or combination of settings that makes no sense."""


def why_skipped(error: Exception, path: str | os.PathLike[str] | None = None) -> str:
    """Return in one line why the picture in ``path`` was not enhanced."""
    if isinstance(error, AcutanceError):
        return error.message if error.path in (None, None if path is None else os.fspath(path)) else str(error)
    if isinstance(error, MemoryError):
        return "needs more memory than there is"
    log.debug("%s", path, exc_info=error)
    place = traceback.extract_tb(error.__traceback__)[-1]
    return (
        f"could not be enhanced, which is a fault of acutance: {type(error).__name__} at "
        f"{Path(place.filename).name}:{place.lineno}; please report it"
    )
