"""PDUs over a socket (PS3.8 9.3), each within a size and a time."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from time import monotonic
from typing import NamedTuple

ASSOCIATE_RQ, DATA, RELEASE_RQ, ABORT = 1, 4, 5, 7

_KINDS = range(1, 8)
_REJECT, _RELEASE_RP = 3, 6

REQUEST_BYTES = 262144
"""Largest request for an association: 128 presentation contexts with some 60 transfer syntaxes each."""

TICK = 0.25
"""Seconds between looks at the clock while nothing comes."""

HEADER = 6


class Ended(Exception):
    """The association is over; ``why`` in one or two words, for the log and as a label of metrics."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Closed(Ended):
    """The connection is gone."""


class TooSlow(Ended):
    """The peer took too long."""


class Malformed(Ended):
    """The peer sent what the protocol does not allow."""


class Leaving(Ended):
    """This side is shutting down."""

    def __init__(self) -> None:
        super().__init__("shut down")


class Pdu(NamedTuple):
    """One PDU: its type and what follows its length; ``body`` holds until the next one is read."""

    kind: int
    body: memoryview


class Wire:
    """The connection to one peer, used by one thread.

    Parameters
    ----------
    sock : socket.socket
        Connected, with or without TLS.
    pdu_bytes : int
        Largest P-DATA-TF PDU that is taken.
    answer_s : float
        Seconds in which the peer must take an answer, and in which it must close when it is asked to.
    """

    def __init__(self, sock: socket.socket, pdu_bytes: int, answer_s: float) -> None:
        self._sock, self._pdu_bytes, self._answer_s = sock, pdu_bytes, answer_s
        self._buffer = bytearray(HEADER + max(pdu_bytes, REQUEST_BYTES))
        self._view = memoryview(self._buffer)
        self._start = self._end = 0
        sock.settimeout(TICK)

    def read(self, begin: float, stall: float, end: float, leave: threading.Event | None = None) -> Pdu:
        """Return the next PDU.

        Parameters
        ----------
        begin : float
            When its first byte must be there (monotonic seconds).
        stall : float
            Seconds from there to its last byte.
        end : float
            When it must be there in any case (monotonic seconds).
        leave : threading.Event, optional
            Once it is set, no PDU is waited for that has not begun.

        Raises
        ------
        Ended
        """
        if self._start == self._end:
            self._need(1, min(begin, end), leave)
        end = min(monotonic() + stall, end)
        self._need(HEADER, end)
        kind, length = struct.unpack_from(">BxL", self._buffer, self._start)
        if kind not in _KINDS:
            raise Malformed("unknown PDU")
        most = {ASSOCIATE_RQ: REQUEST_BYTES, DATA: self._pdu_bytes}.get(kind, 4)
        if length > most:  # before any of it is taken
            raise Malformed("PDU too long")
        self._need(HEADER + length, end)
        body = self._view[self._start + HEADER : self._start + HEADER + length]
        self._start += HEADER + length
        return Pdu(kind, body)

    def _need(self, size: int, deadline: float, leave: threading.Event | None = None) -> None:
        """Read until ``size`` bytes lie in the buffer."""
        if self._start + size > len(self._buffer) or self._start == self._end:
            self._view[: self._end - self._start] = self._view[self._start : self._end]
            self._start, self._end = 0, self._end - self._start
        while self._end - self._start < size:
            if leave is not None and leave.is_set():
                raise Leaving
            if monotonic() > deadline:
                raise TooSlow("too slow" if self._end > self._start else "idle")
            try:
                got = self._sock.recv_into(self._view[self._end :])
            except TimeoutError:
                continue
            except OSError:
                raise Closed("connection lost") from None
            if not got:
                raise Closed("connection closed")
            self._end += got

    def send(self, data: bytes) -> None:
        """Send bytes.

        Raises
        ------
        Ended
            The peer does not take them.
        """
        try:
            self._sock.settimeout(self._answer_s)
            self._sock.sendall(data)
            self._sock.settimeout(TICK)
        except TimeoutError:
            raise TooSlow("takes no answer") from None
        except OSError:
            raise Closed("connection lost") from None

    def reject(self, result: int, source: int, diagnostic: int) -> None:
        """Send A-ASSOCIATE-RJ (PS3.8 table 9-21)."""
        self.send(struct.pack(">BxLxBBB", _REJECT, 4, result, source, diagnostic))

    def release(self) -> None:
        """Send A-RELEASE-RP."""
        self.send(struct.pack(">BxL4x", _RELEASE_RP, 4))

    def abort(self, source: int = 2, diagnostic: int = 0) -> None:
        """Send A-ABORT, of the service provider (2) or the service user (0) (PS3.8 table 9-26), if that goes."""
        with contextlib.suppress(Ended):
            self.send(struct.pack(">BxLxxBB", ABORT, 4, source, diagnostic))

    def close(self, leave: threading.Event | None = None) -> None:
        """Wait a moment for the peer to close, so that it reads the last answer, and close."""
        deadline = monotonic() + self._answer_s
        with contextlib.suppress(OSError), contextlib.closing(self._sock):
            if isinstance(self._sock, ssl.SSLSocket):
                self._sock.settimeout(0)
                with contextlib.suppress(OSError, ValueError):
                    self._sock.unwrap()  # tells the peer; that it answers is not waited for
            self._sock.shutdown(socket.SHUT_WR)
            self._sock.settimeout(TICK)
            while monotonic() < deadline and not (leave is not None and leave.is_set()):
                with contextlib.suppress(TimeoutError):
                    if not self._sock.recv_into(self._buffer):
                        return


def values(body: memoryview) -> Iterator[tuple[int, int, memoryview]]:
    """Yield context, control header and fragment of the presentation data values of a P-DATA-TF PDU (PS3.8 9.3.5, E.2).

    Raises
    ------
    Malformed
    """
    at = 0
    while at < len(body):
        if len(body) - at < 6:
            raise Malformed("PDV cut short")
        length, context, control = struct.unpack_from(">LBB", body, at)
        if length < 2 or length > len(body) - at - 4:
            raise Malformed("PDV of a wrong length")
        yield context, control, body[at + 6 : at + 4 + length]
        at += 4 + length
