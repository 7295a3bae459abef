"""Logs: one JSON object a line, and nothing in it that was not written to be logged."""

from __future__ import annotations

import datetime
import json
import logging
import sys
import threading
import traceback
from collections.abc import MutableMapping
from types import TracebackType
from typing import Any

from ..errors import OutputError
from .config import LogSettings
from .service import Log

SAID = ("acutance.serve", "acutance.live", "acutance.enhancer", "acutance.backends", "acutance.trt_engines")
"""Loggers whose lines are kept. What other parts and other libraries log may hold names of files and values of headers,
which are patient data."""

FIELDS = "fields"
"""Attribute of a record for what its line holds beside the text: a name of its own, as records have many."""

log = logging.getLogger("acutance.serve")


class Lines(logging.Formatter):
    """Formats a record as one JSON object: time, level, event, and the fields that a :class:`ServiceLog` adds.

    Of an exception only its type and the place in the code are kept: its message may hold what a peer sent.
    """

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.datetime.fromtimestamp(record.created, datetime.timezone.utc)
        line = {"time": when.isoformat(timespec="milliseconds"), "level": record.levelname.lower()}
        line |= {"event": record.getMessage()} | getattr(record, FIELDS, {})
        if record.exc_info and record.exc_info[0] is not None:
            line |= failure(record.exc_info[0], record.exc_info[2])
        return json.dumps(line, default=str)


def failure(kind: type[BaseException], trace: TracebackType | None) -> dict[str, str]:
    """Return the fields that tell of an exception."""
    places = [f"{f.filename.rpartition('/')[2]}:{f.lineno}" for f in traceback.extract_tb(trace)]
    return {"error": kind.__name__, "at": " < ".join(reversed(places[-6:]))}


class ServiceLog(Log):
    """A logger whose lines name a service and hold what else is given as ``extra``."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        return msg, {**kwargs, "extra": {FIELDS: {**(self.extra or {}), **(kwargs.get("extra") or {})}}}


def of(service: str) -> Log:
    """Return the logger of a service."""
    return ServiceLog(log, {"service": service})


def set_up(settings: LogSettings) -> logging.Handler:
    """Send the lines of :data:`SAID` where the settings say, and those of all others nowhere.

    Raises
    ------
    OutputError
        The file cannot be opened.
    """
    try:
        handler = logging.StreamHandler(sys.stderr) if settings.file is None else logging.FileHandler(settings.file)
    except OSError as e:
        raise OutputError(f"cannot be opened for the log ({e.strerror})", settings.file) from None
    handler.setFormatter(Lines())
    logging.captureWarnings(True)
    root = logging.getLogger()
    root.addHandler(logging.NullHandler())
    for name in SAID:
        logger = logging.getLogger(name)
        logger.setLevel(settings.level.upper())
        logger.addHandler(handler)
        logger.propagate = False
    threading.excepthook = _died
    return handler


def _died(what: threading.ExceptHookArgs) -> None:
    """Tell of a thread that an exception has ended."""
    name = what.thread.name if what.thread else "unknown"
    fields = {"thread": name, **failure(what.exc_type, what.exc_traceback)}
    log.error("a thread has died", extra={FIELDS: fields})
