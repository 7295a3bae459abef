"""The Storage SCP: listens, lets in who may come, and gives each connection a thread."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from ipaddress import ip_address
from time import monotonic, sleep

from ...beside import reason
from ...errors import UsageError
from ..service import Context
from . import tls
from .association import Association
from .incoming import Node, Spool
from .limits import Memory, Places
from .scp_settings import ReceiveSettings
from .wire import TICK, Wire

_MIB = 1 << 20

_CONNECTIONS = 2
"""Connections for each association: those beyond are told why they get none, and may wait to close."""

_TELL_S = 1.0
"""Seconds between lines in the log about connections refused for the same reason: who comes often fills no disk."""


class StorageScp:
    """Receives instances from the network into a spool.

    Parameters
    ----------
    settings : ReceiveSettings
    spool : Spool
    context : Context

    Attributes
    ----------
    port : int
        Where it listens, once it has started.
    """

    def __init__(self, settings: ReceiveSettings, spool: Spool, context: Context) -> None:
        self.port = settings.port
        self._settings, self._context = settings, context
        self._leaving = threading.Event()
        most, each = settings.associations, settings.associations_per_peer
        places, memory = Places(most, each), Memory(settings.memory_mb * _MIB)
        self._node = Node(settings, spool, context, places, memory, self._leaving)
        self._connections = Places(_CONNECTIONS * most, _CONNECTIONS * each)
        self._tls: ssl.SSLContext | None = None
        self._listener: socket.socket | None = None
        self._sockets: dict[int, socket.socket] = {}  # by thread
        self._told: dict[str, float] = {}  # when the log was last told of a reason
        self._thread = threading.Thread(target=self._listen, name="dicom-listen", daemon=True)

    def start(self) -> None:
        """Bind, listen and return.

        Raises
        ------
        UsageError
            The port is taken, or a certificate cannot be used.
        """
        self._tls = tls.server_context(self._settings.tls) if self._settings.tls else None
        address = self._settings.address
        family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((str(address), self._settings.port))
            listener.listen(128)
        except OSError as e:
            listener.close()
            raise UsageError(
                f"cannot listen on {address} port {self._settings.port} ({reason(e)}); wanted an address of this "
                "machine and a port that is free"
            ) from None
        listener.settimeout(TICK)
        self.port = int(listener.getsockname()[1])
        self._listener = listener
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Let no more in, end associations between messages, give those within one ``timeout`` seconds, and end."""
        self._leaving.set()
        if self._listener is None:
            return
        deadline = monotonic() + timeout
        self._thread.join(timeout)
        while self._connections.taken and monotonic() < deadline:
            sleep(0.01)
        for sock in list(self._sockets.values()):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def health(self) -> str | None:
        """Return why it does not receive; None when it does."""
        return None if self._thread.is_alive() and not self._leaving.is_set() else "does not listen"

    def _listen(self) -> None:
        listener = self._listener
        assert listener is not None
        with listener:
            while not self._leaving.is_set():
                try:
                    sock, address = listener.accept()
                except TimeoutError:
                    continue
                except OSError:  # no more files, or the peer has gone already
                    sleep(TICK)
                    continue
                self._let_in(sock, str(address[0]))
                del sock  # the last reference is the thread's

    def _let_in(self, sock: socket.socket, peer: str) -> None:
        """Give a connection its thread, or close it."""
        found = ip_address(peer.partition("%")[0])
        found = getattr(found, "ipv4_mapped", None) or found
        if not any(found in network for network in self._settings.networks):
            self._turn_away(sock, peer, "address")
        elif not self._connections.enter(peer):
            self._turn_away(sock, peer, "connections")
        else:
            try:
                threading.Thread(target=self._serve, args=(sock, peer), name="dicom-association", daemon=True).start()
            except RuntimeError:  # no more threads
                self._connections.leave(peer)
                self._turn_away(sock, peer, "threads")

    def _turn_away(self, sock: socket.socket, peer: str, why: str) -> None:
        self._context.metrics.count("connections_refused_total", reason=why)
        sock.close()
        now = monotonic()
        if now - self._told.get(why, -_TELL_S) >= _TELL_S:
            self._told[why] = now
            self._context.log.warning("connection refused", extra={"peer": peer, "reason": why})

    def _serve(self, sock: socket.socket, peer: str) -> None:
        me = threading.get_ident()
        self._sockets[me] = sock
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                # Here and not while accepting: a peer that takes its time keeps nobody else waiting.
                sock = self._tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
                self._sockets[me] = sock
                sock.settimeout(self._settings.begin_s)
                sock.do_handshake()
        except (OSError, ValueError):
            self._turn_away(sock, peer, "TLS")
        else:
            Association(Wire(sock, self._settings.pdu_bytes, self._settings.begin_s), peer, self._node).run()
        finally:
            del self._sockets[me]
            self._connections.leave(peer)
