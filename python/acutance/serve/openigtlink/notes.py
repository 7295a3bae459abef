"""Lines in the log that no peer can make many."""

from __future__ import annotations

import threading
import time

from ..service import Context

QUIET_S = 10.0
"""Seconds after a line in which others of the same kind are only counted."""


class Notes:
    """Says what went wrong: one line of each kind in ten seconds, with how often it happened since.

    Parameters
    ----------
    context : Context
    """

    def __init__(self, context: Context) -> None:
        self._context, self._lock = context, threading.Lock()
        self._said: dict[str, tuple[float, int]] = {}

    def say(self, what: str, **fields: object) -> None:
        """Log a warning; ``what`` is one of few, fields hold neither a peer's text nor a patient's data."""
        now = time.monotonic()
        with self._lock:
            last, unsaid = self._said.get(what, (-QUIET_S, 0))
            if now - last < QUIET_S:
                self._said[what] = (last, unsaid + 1)
                return
            self._said[what] = (now, 0)
        self._context.log.warning(what, extra={**fields, **({"more": unsaid} if unsaid else {})})
