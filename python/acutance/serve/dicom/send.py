"""Sends what lies in the spool for a destination, as often as it takes."""

from __future__ import annotations

import abc
import collections
import threading
import time
from pathlib import Path

from ..service import Context
from .entry import Item
from .part10 import Received, sender
from .settings import RetrySettings
from .spool import Spool

_PAUSE = 0.25
"""Seconds between looks at whether there is something to send."""

_UNWELL = 3
"""Failures in a row after which a destination counts as out of order."""


class NotSent(Exception):
    """A destination did not take a file.

    Parameters
    ----------
    reason : str
        In the words of this package, without any of the peer's.
    refused : bool or None
        Whether it is this file that it does not take, or any at the moment; None where that cannot be told.
    """

    def __init__(self, reason: str, *, refused: bool | None) -> None:
        super().__init__(reason)
        self.reason, self.refused = reason, refused


class Link(abc.ABC):
    """A way to a destination, used by one thread."""

    @abc.abstractmethod
    def send(self, path: Path, about: Received) -> str:
        """Send a DICOM file as it is; return what the destination said to it, in a word.

        Raises
        ------
        NotSent
        OSError
            The file cannot be read.
        """

    @abc.abstractmethod
    def rest(self) -> None:
        """There is nothing to send at the moment: let go what has been held for long enough."""

    @abc.abstractmethod
    def close(self) -> None:
        """Let go of everything."""


class Sender:
    """A thread that sends to one destination.

    Parameters
    ----------
    name : str
        Of the destination.
    link : Link
    retry : RetrySettings
    spool : Spool
    context : Context
    """

    def __init__(self, name: str, link: Link, retry: RetrySettings, spool: Spool, context: Context) -> None:
        self.name, self.link, self.retry, self.spool, self.context = name, link, retry, spool, context
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"send to {name}", daemon=True)
        self._refusals: collections.Counter[Item] = collections.Counter()
        self._failures = 0
        self._reason = ""

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """End once the file at hand is sent; the others are sent after the next start."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def health(self) -> str | None:
        """Return why nothing reaches the destination; None when all is well."""
        if self._failures >= _UNWELL:
            return f"'{self.name}' takes nothing: {self._reason}"
        if not self._stop.is_set() and not self._thread.is_alive():
            return f"nothing is sent to '{self.name}' any more"
        return None

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                item = self.spool.next(self.name, _PAUSE)
                if item is None:
                    self.link.rest()
                elif not self.deliver(item):
                    self._wait()
        finally:
            self.link.close()

    def deliver(self, item: Item) -> bool:
        """Try to send a file; return whether the next one may follow at once."""
        started = time.perf_counter()
        try:
            about = sender(item.path)
            said = self.link.send(item.path, about)
        except NotSent as e:
            return self._failed(item, e)
        except Exception as e:  # a library or the disk; the file lies there still
            self.context.log.error("sending failed", extra={"destination": self.name}, exc_info=e)
            return self._failed(item, NotSent(f"sending failed ({type(e).__name__})", refused=None))
        note: dict[str, object] = {"class": about.class_uid, "instance": about.instance_uid, "said": said}
        self.spool.sent(item, note)
        del self._refusals[item]
        if self._failures >= _UNWELL:
            self.context.log.info("destination takes files again", extra={"destination": self.name})
        self._failures = 0
        self.context.metrics.count("sent_total", destination=self.name, what=item.what)
        self.context.metrics.observe("send_seconds", time.perf_counter() - started, destination=self.name)
        return True

    def _failed(self, item: Item, error: NotSent) -> bool:
        """Give a file up, or put it back behind the others."""
        self.context.metrics.count("send_failures_total", destination=self.name)
        self._reason = error.reason
        if error.refused or (error.refused is None and self._failures == 0):  # it has just taken another one
            self._refusals[item] += 1
        if self._refusals[item] < self.retry.refusals and item.age < self.retry.give_up_h * 3600:
            if self._failures < _UNWELL:
                self._log("not sent", item, error.reason)
            self._failures += 1
            self.spool.again(item)
            return False
        why = {"reason": error.reason, "refused": self._refusals[item], "hours": round(item.age / 3600, 2)}
        try:
            self.spool.give_up(item, why)
        except OSError:
            self.spool.again(item)
            return False
        del self._refusals[item]
        self._log("given up: it lies in the folder dead of the spool", item, error.reason)
        self.context.metrics.count("given_up_total", destination=self.name)
        return error.refused is not False

    def _log(self, what: str, item: Item, reason: str) -> None:
        said = {"destination": self.name, "entry": item.entry, "what": item.what, "reason": reason}
        self.context.log.warning(what, extra=said)

    def _wait(self) -> None:
        """Wait the longer, the more failures there were in a row."""
        self._stop.wait(min(self.retry.first_s * 2.0 ** min(self._failures - 1, 30), self.retry.longest_s))
