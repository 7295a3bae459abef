"""A DICOM node: receives into the spool, enhances out of it, and sends on."""

from __future__ import annotations

import time

from ...errors import AcutanceError
from ..service import Context, Service
from .cstore import CStoreLink
from .scp import StorageScp
from .send import Link, Sender
from .settings import CStore, Destination, DicomSettings
from .spool import Limits, Spool
from .stow import StowLink
from .work import Worker

_MIB = 1 << 20

_FAILED_START = 5.0
"""Seconds for the threads to end that could start."""

_NUMBERS = {
    "instances_total": "Instances that were worked on, by what became of them",
    "spool_instances": "Instances in the spool that are ready or wait for their series, and files that are to be sent",
    "spool_bytes": "Bytes in the spool",
    "sent_total": "Files that a destination has taken",
    "send_failures_total": "Attempts to send a file that failed",
    "given_up_total": "Files that were given up",
    "work_seconds": "From taking an instance out of the spool until it may be sent",
    "enhance_seconds": "Enhancing a picture",
    "send_seconds": "Sending a file",
    "base_total": "Pictures that got their base only",
}
"""What the metrics of worker and senders are."""


class DicomNode(Service):
    """A node whose parts meet in the spool alone.

    Attributes
    ----------
    port : int
        Where it listens, once it has started.
    """

    def __init__(self, settings: DicomSettings, context: Context) -> None:
        super().__init__(settings, context)
        for name, text in _NUMBERS.items():
            context.metrics.describe(name, text)
        quota = None if settings.spool.quota_mb is None else settings.spool.quota_mb * _MIB
        self.spool = Spool(settings.spool.folder, Limits(quota, settings.spool.reserve_mb * _MIB))
        self._scp = StorageScp(settings.receive, self.spool, context)
        self._worker = Worker(settings, self.spool, context)
        self._senders = [
            Sender(d.name, _link(d, settings.receive.ae_title), d.retry, self.spool, context)
            for d in settings.destination
        ]

    @property
    def _parts(self) -> tuple[StorageScp | Worker | Sender, ...]:
        return (self._scp, self._worker, *self._senders)

    @property
    def port(self) -> int:
        return self._scp.port

    def start(self) -> None:
        """Put the spool in order, then work, send and listen."""
        self.spool.recover()
        try:
            self._bury_strangers()
            self._worker.start()
            for sender in self._senders:
                sender.start()
            self._scp.start()
        except AcutanceError:
            self.stop(_FAILED_START)
            raise
        self.context.log.info("spool", extra=self.spool.counts())

    def stop(self, timeout: float) -> None:
        """Take no more instances, finish the one at hand; the others lie in the spool until the next start."""
        deadline = time.monotonic() + timeout
        for part in self._parts:
            part.stop(max(deadline - time.monotonic(), 0.0))
        self.context.log.info("spool", extra=self.spool.counts())
        self.spool.close()

    def health(self) -> str | None:
        """Return what the first part that is not well says."""
        return next((why for part in self._parts if (why := part.health()) is not None), None)

    def _bury_strangers(self) -> None:
        """Give up what was to be sent to destinations that the settings do not name any more."""
        named = {d.name for d in self.settings.destination}
        for name in self.spool.destinations():
            while name not in named and (item := self.spool.next(name, 0.0)) is not None:
                self.spool.give_up(item, {"reason": "the settings name no such destination"})


def _link(destination: Destination, ae_title: str) -> Link:
    return CStoreLink(destination, ae_title) if isinstance(destination, CStore) else StowLink(destination)


def make(settings: DicomSettings, context: Context) -> DicomNode:
    """Return a node, not yet started."""
    return DicomNode(settings, context)
