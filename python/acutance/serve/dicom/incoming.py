"""Messages of one association: put together from fragments, kept, answered."""

from __future__ import annotations

import dataclasses
import threading
from time import monotonic
from typing import Protocol

from ...errors import AcutanceError
from ..service import Context as ServiceContext
from . import messages, walk
from .limits import Memory, Places, Share
from .messages import Command
from .negotiate import Context
from .part10 import Received
from .scp_settings import ReceiveSettings
from .spool import SpoolFull
from .wire import Malformed, Wire

_MIB = 1 << 20


class Spool(Protocol):
    """Where instances go."""

    def receive(self, dataset: bytes | memoryview, about: Received) -> None:
        """Keep an instance; when this returns it is flushed to the disk.

        Raises
        ------
        SpoolFull
        AcutanceError
            Any other reason why it is not kept.
        """


@dataclasses.dataclass(frozen=True)
class Node:
    """What all associations share.

    Attributes
    ----------
    settings : ReceiveSettings
    spool : Spool
    context : ServiceContext
    places : Places
        For associations.
    memory : Memory
        For instances that are being received.
    leaving : threading.Event
        Set when the node shuts down: what has begun is finished, and nothing else begins.
    """

    settings: ReceiveSettings
    spool: Spool
    context: ServiceContext
    places: Places
    memory: Memory
    leaving: threading.Event


class Incoming:
    """The message that is being received, and the answers to those before.

    Parameters
    ----------
    link : Wire
    node : Node
    contexts : dict
        Accepted presentation contexts by their numbers.
    calling_ae, peer : str
        Who sends.
    share : Share
        What the message takes of the memory.

    Attributes
    ----------
    begun : float or None
        When the message began (monotonic seconds); None between two messages.
    size : int
        Its bytes so far.
    kept : int
        Instances that were kept.
    """

    def __init__(
        self, link: Wire, node: Node, contexts: dict[int, Context], calling_ae: str, peer: str, share: Share
    ) -> None:
        self._wire, self._node, self._contexts, self._share = link, node, contexts, share
        self._calling_ae, self._peer = calling_ae, peer
        self._most = node.settings.object_mb * _MIB
        self.kept = 0
        self._clear()

    def _clear(self) -> None:
        self.begun: float | None = None
        self.size = 0
        self._command_set = bytearray()
        self._command: Command | None = None
        self._context_id = 0
        self._dataset = bytearray()
        self._refused: int | None = None  # status of an instance that will not be kept
        self._share.clear()

    def add(self, context_id: int, control: int, fragment: memoryview) -> None:
        """Take a presentation data value; the last one of a message is answered.

        Raises
        ------
        Ended
        """
        if self.begun is None:
            self.begun, self._context_id = monotonic(), context_id
        if context_id != self._context_id or context_id not in self._contexts:
            raise Malformed("wrong context")
        if (control & 1 == 0) == (self._command is None):
            raise Malformed("fragments out of order")
        self.size += len(fragment)
        if self._command is not None:
            self._take(fragment)
            if control & 2:
                self._answer(self._command, self._keep(self._command) if self._refused is None else self._refused)
            return
        if self.size > messages.MOST:
            raise Malformed("command too long")
        self._command_set += fragment
        if control & 2:
            self._begin(messages.parse(bytes(self._command_set)))

    def _begin(self, command: Command) -> None:
        """Answer a command, or take what is needed to receive its data set."""
        if command.field == messages.CANCEL_RQ and not command.has_dataset:
            self._clear()  # there is nothing that could be cancelled
        elif command.field == messages.ECHO_RQ and not command.has_dataset:
            self._answer(command, messages.SUCCESS)
        elif command.field != messages.STORE_RQ:
            raise Malformed("command not served")
        elif not command.has_dataset:
            self._answer(command, messages.NOT_UNDERSTOOD)
        else:
            self._command = command
            if command.class_uid != self._contexts[self._context_id].class_uid:
                self._refused = messages.CLASS_NOT_SUPPORTED
            elif not command.instance_uid:
                self._refused = messages.INVALID_INSTANCE

    def _take(self, fragment: memoryview) -> None:
        """Add a fragment to the data set, within the limits; what is refused is read and forgotten."""
        if self._refused is None and (self.size > self._most or not self._share.grow(len(fragment))):
            self._refused = messages.OUT_OF_RESOURCES
            self._dataset = bytearray()
            self._share.clear()
        if self._refused is None:
            self._dataset += fragment
        elif self.size > 2 * self._most:
            raise Malformed("too large")

    def _keep(self, command: Command) -> int:
        """Hand the instance to the spool; return the status."""
        context, start = self._contexts[self._context_id], monotonic()
        with memoryview(self._dataset).toreadonly() as dataset:
            try:
                found = walk.uids(dataset, context.syntax, self._most)
            except walk.NotUnderstood:
                return messages.NOT_UNDERSTOOD
            if found is not None and found != (command.class_uid, command.instance_uid):
                return messages.OTHER_CLASS
            about = Received(command.class_uid, command.instance_uid, context.syntax, self._calling_ae, self._peer)
            try:
                self._node.spool.receive(dataset, about)
            except SpoolFull:
                return messages.OUT_OF_RESOURCES
            except AcutanceError:
                return messages.PROCESSING_FAILURE
        self._node.context.metrics.observe("spool_seconds", monotonic() - start)
        return messages.SUCCESS

    def _answer(self, command: Command, status: int) -> None:
        metrics = self._node.context.metrics
        if command.field == messages.STORE_RQ:
            if status == messages.SUCCESS:
                self.kept += 1
                metrics.count("instances_in_total")
                metrics.count("instance_bytes_in_total", self.size)
                metrics.observe("receive_seconds", monotonic() - (self.begun or monotonic()))
            else:
                metrics.count("instances_refused_total", status=f"0x{status:04X}")
                self._node.context.log.warning(
                    "instance refused", extra={**self._said(command), "status": f"0x{status:04X}"}
                )
        context_id = self._context_id
        self._clear()
        self._wire.send(messages.data_pdu(context_id, messages.response(command, status)))

    def _said(self, command: Command) -> dict[str, object]:
        """Return what the log may tell of an instance."""
        said = self._contexts[self._context_id].class_uid
        return {"class": said, "bytes": self.size, "calling_ae": self._calling_ae, "peer": self._peer}
