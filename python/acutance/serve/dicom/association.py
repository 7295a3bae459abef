"""One association from its request to its end, as the acceptor (PS3.8 9.2).

It has one thread, which reads, keeps and answers one message after the other. pynetdicom reads and writes the requests;
its own reactor is not used, because it reads PDUs of any length into memory, waits without end for the rest of one, and
takes any number of messages before it answers the first.
"""

from __future__ import annotations

import logging
import secrets
from time import monotonic

from . import negotiate, wire
from .incoming import Incoming, Node
from .wire import Closed, Ended, Malformed, Wire

_LIMIT_REACHED = (2, 3, 2)
"""Rejected for now by the service provider: local limit exceeded (PS3.8 table 9-21)."""


class Association:
    """An association with the peer at the other end of a wire.

    Parameters
    ----------
    link : Wire
    peer : str
        Its address.
    node : Node
    """

    def __init__(self, link: Wire, peer: str, node: Node) -> None:
        self._wire, self._node, self._settings = link, node, node.settings
        self._peer = peer
        self._about: dict[str, object] = {"association": secrets.token_hex(4), "peer": peer}

    def run(self) -> None:
        """Serve the peer until the association ends; the wire is closed then."""
        log = self._node.context.log
        try:
            how = self._run()
        except Ended as e:
            how = e.why
            if not isinstance(e, Closed):
                self._wire.abort()
        except Exception:
            how = "failure"
            log.exception("association failed", extra=self._about)
            self._wire.abort()
        finally:
            self._wire.close(self._node.leaving)
        self._node.context.metrics.count("association_ends_total", how=how)
        level = logging.INFO if "calling_ae" in self._about else logging.DEBUG  # checks of the port ask for nothing
        log.log(level, "association ended", extra={**self._about, "how": how})

    def _run(self) -> str:
        deadline = monotonic() + self._settings.begin_s
        kind, body = self._wire.read(deadline, self._settings.begin_s, deadline, self._node.leaving)
        if kind == wire.ABORT:
            return "aborted"
        if kind != wire.ASSOCIATE_RQ:
            raise Malformed("no request")
        asked = negotiate.decode(body)
        refusal = negotiate.refusal(asked, self._settings)
        self._about["calling_ae"] = asked.calling_ae_title
        if refusal is None and not self._node.places.enter(self._peer):
            refusal = _LIMIT_REACHED
        if refusal is not None:
            self._wire.reject(*refusal)
            return f"rejected {refusal[0]}/{refusal[1]}/{refusal[2]}"
        try:
            accept, contexts = negotiate.answer(asked, self._settings)
            self._wire.send(accept)
            with self._node.memory.share() as share:
                calling = str(asked.calling_ae_title)
                incoming = Incoming(self._wire, self._node, contexts, calling, self._peer, share)
                try:
                    return self._serve(incoming)
                finally:
                    self._about["instances"] = incoming.kept
        finally:
            self._node.places.leave(self._peer)

    def _serve(self, incoming: Incoming) -> str:
        stall = self._settings.stall_s
        while True:
            now = monotonic()
            if incoming.begun is None:
                pdu = self._wire.read(now + self._settings.idle_s, stall, float("inf"), self._node.leaving)
            else:
                fair = incoming.begun + incoming.size / (self._settings.slowest_kb_s * 1024)
                pdu = self._wire.read(now + stall, stall, fair + stall)
            if pdu.kind == wire.RELEASE_RQ:
                self._wire.release()
                return "released"
            if pdu.kind == wire.ABORT:
                return "aborted"
            if pdu.kind != wire.DATA:
                raise Malformed("PDU out of turn")
            for context_id, control, fragment in wire.values(pdu.body):
                incoming.add(context_id, control, fragment)
