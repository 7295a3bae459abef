"""Connections without waiting: one thread reads and writes all of them, and none can hold up another."""

from __future__ import annotations

import contextlib
import ipaddress
import random
import selectors
import socket
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Protocol

from ...errors import AcutanceError, OutputError
from ..service import Context
from .message import Bytes, FramingError, Message, Reader
from .notes import Notes
from .outbox import Outbox
from .settings import SideSettings

TURN = 0.005
"""Seconds for which one connection is read or written before it is the next one's turn."""

TICK = 0.5
"""Seconds between looks at connections that stall."""

CONNECT_S = 5.0
BACK_OFF = (0.25, 8.0)
"""Seconds until a client tries again: at first, and at most; doubled each time."""

STEADY_S = 5.0
"""Seconds that a connection lasts before its loss counts as the first again."""

KEEP_ALIVE = (("TCP_KEEPIDLE", 5), ("TCP_KEEPINTVL", 2), ("TCP_KEEPCNT", 3))
"""After about ten seconds without an answer a peer that was switched off is gone."""


class Handler(Protocol):
    """What is told of one side's connections, from the loop's thread."""

    def opened(self, connection: Connection) -> None: ...

    def received(self, message: Message) -> None: ...


class Connection:
    """One socket, what was read from it and what is to be written."""

    def __init__(self, sock: socket.socket, side: Side) -> None:
        sock.setblocking(False)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in KEEP_ALIVE:
                if hasattr(socket, option):
                    sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
        self.sock, self.side = sock, side
        self.reader, self.outbox = Reader(side.largest), Outbox(side.backlog)
        self.since = self.read_at = self.wrote_at = time.monotonic()

    def read(self, take: Callable[[Message], None]) -> None:
        """Read what is there, up to one turn.

        Raises
        ------
        EOFError
            The peer has closed.
        OSError, FramingError
        """
        until = time.monotonic() + TURN
        while time.monotonic() < until:
            try:
                n = self.sock.recv_into(self.reader.room())
            except (BlockingIOError, InterruptedError):
                return
            if n == 0:
                raise EOFError
            self.read_at = time.monotonic()
            message = self.reader.took(n)
            if message is not None:
                take(message)

    def write(self) -> None:
        """Write what the socket takes, up to one turn.

        Raises
        ------
        OSError
        """
        until = time.monotonic() + TURN
        while time.monotonic() < until:
            parts = self.outbox.next()
            if not parts:
                self.wrote_at = time.monotonic()
                return
            try:
                n = self.sock.sendmsg(parts)
            except (BlockingIOError, InterruptedError):
                return
            self.outbox.wrote(n)
            self.wrote_at = time.monotonic()

    def stalled(self, limit: float) -> str | None:
        """Return what has not moved on for ``limit`` seconds."""
        now = time.monotonic()
        if self.reader.midway and now - self.read_at > limit:
            return "half a message"
        if self.outbox.empty:
            self.wrote_at = now
        return "nothing taken" if now - self.wrote_at > limit else None


class Side:
    """One side of the filter: a listening socket, or a thread that connects again and again.

    Parameters
    ----------
    name : str
        ``"source"`` or ``"receivers"``, for log and metrics.
    settings : SideSettings
    largest, backlog : int
        Bytes that a message, and what waits for a slow peer, may have.
    handler : Handler
    context : Context
    notes : Notes
    """

    def __init__(
        self,
        name: str,
        settings: SideSettings,
        largest: int,
        backlog: int,
        handler: Handler,
        context: Context,
        notes: Notes,
    ) -> None:
        self.name, self.settings, self.handler = name, settings, handler
        self.largest, self.backlog = largest, backlog
        self.listener: socket.socket | None = None
        self.connections: tuple[Connection, ...] = ()
        self.ended, self._lost = threading.Event(), threading.Event()
        self._metrics, self._notes = context.metrics.of(side=name), notes
        self._metrics.set("connections", 0)

    @property
    def port(self) -> int:
        """Port that is listened at, or connected to."""
        return self.listener.getsockname()[1] if self.listener else self.settings.port

    def open(self, loop: Loop) -> None:
        """Listen, or begin to connect.

        Raises
        ------
        OutputError
            The address cannot be listened at.
        """
        address, port = self.settings.address, self.settings.port
        if self.settings.role == "client":
            threading.Thread(target=self._dial, args=(loop,), name=f"dial {self.name}", daemon=True).start()
            return
        try:
            family = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0][0]
            self.listener = socket.create_server((address, port), family=family)
        except OSError as e:
            raise OutputError(f"{self.name}: cannot listen at {address}:{port} ({e.strerror or e})") from None
        self.listener.setblocking(False)

    def send(self, parts: Sequence[Bytes], latest: Hashable = None) -> None:
        """Put a message into the outbox of every connection."""
        for connection in self.connections:
            superseded, dropped = connection.outbox.put(parts, latest)
            if superseded:
                self._metrics.count("pictures_superseded_total", superseded)
            if dropped:
                self._metrics.count("messages_overflowed_total", dropped)
                self._notes.say("a peer is too slow: its oldest messages are dropped", side=self.name)

    def admit(self, sock: socket.socket, peer: Any) -> bool:
        """Tell whether a peer may connect now."""
        allow = self.settings.allow
        address = ipaddress.ip_address(peer[0].split("%")[0])
        mapped = getattr(address, "ipv4_mapped", None)
        if allow and not any((mapped or address) in network for network in allow):
            self.refuse("address", peer=str(address))
            return False
        if len(self.connections) >= self.settings.connections:
            self.refuse("full", peer=str(address))
            return False
        return True

    def refuse(self, reason: str, **fields: object) -> None:
        """Count and tell of a connection that is not taken, or not kept."""
        self._metrics.count("connections_refused_total", reason=reason)
        self._notes.say(f"{self.name}: a connection is refused", reason=reason, **fields)

    def add(self, connection: Connection) -> None:
        self.connections = (*self.connections, connection)
        self._metrics.count("connections_total")
        self._metrics.set("connections", len(self.connections))

    def remove(self, connection: Connection, reason: str) -> None:
        self.connections = tuple(c for c in self.connections if c is not connection)
        self._metrics.set("connections", len(self.connections))
        self._metrics.count("connections_lost_total", reason=reason)
        if not self.ended.is_set():
            self._notes.say(f"{self.name}: a connection has ended", reason=reason)
        self._lost.set()

    def close(self) -> None:
        """Take no new connections."""
        self.ended.set()
        self._lost.set()

    def health(self) -> str | None:
        """Return why the side is not well: a client without a connection."""
        if self.settings.role == "client" and not self.connections:
            return f"no connection to {self.name} at {self.settings.address}:{self.settings.port}"
        return None

    def _dial(self, loop: Loop) -> None:
        first, most = BACK_OFF
        wait = first
        address = (self.settings.address, self.settings.port)
        while not self.ended.is_set():
            self._lost.clear()
            began = time.monotonic()
            try:
                sock = socket.create_connection(address, CONNECT_S)
                if sock.getsockname() == sock.getpeername():  # a free port of this machine, connected to itself
                    sock.close()
                    raise ConnectionRefusedError(0, "nobody listens")
            except OSError as e:
                self._notes.say(f"{self.name}: cannot connect", why=e.strerror or type(e).__name__)
            else:
                loop.adopt(sock, self)
                self._lost.wait()
                if time.monotonic() - began > STEADY_S:
                    wait = first
            self.ended.wait(wait * random.uniform(0.8, 1.2))
            wait = min(2 * wait, most)


class Loop:
    """The thread that reads and writes all connections of some sides.

    Parameters
    ----------
    sides : sequence of Side
    stall : float
        Seconds after which a connection that does not move on is dropped.
    context : Context
    """

    def __init__(self, sides: Sequence[Side], stall: float, context: Context) -> None:
        self._sides, self._stall, self._context = sides, stall, context
        self._selector = selectors.DefaultSelector()
        self._ear, self._voice = socket.socketpair()
        for end in (self._ear, self._voice):
            end.setblocking(False)
        self._lock = threading.Lock()
        self._adopted: list[tuple[socket.socket, Side]] = []
        self._until: float | None = None
        self._thread = threading.Thread(target=self._run, name="openigtlink", daemon=True)

    def start(self) -> None:
        """Open all sides and begin.

        Raises
        ------
        OutputError
        """
        self._selector.register(self._ear, selectors.EVENT_READ, None)
        for side in self._sides:
            side.open(self)
            if side.listener is not None:
                self._selector.register(side.listener, selectors.EVENT_READ, side)
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def wake(self) -> None:
        """Let the thread look for what is to be written."""
        with contextlib.suppress(BlockingIOError, OSError):  # full: it will wake anyway
            self._voice.send(b"\0")

    def adopt(self, sock: socket.socket, side: Side) -> None:
        """Take over a connected socket."""
        with self._lock:
            self._adopted.append((sock, side))
        self.wake()

    def stop(self, timeout: float) -> None:
        """Write what waits, for at most ``timeout`` seconds, and close all."""
        self._until = time.monotonic() + timeout
        for side in self._sides:
            side.close()
        self.wake()
        if self._thread.is_alive():
            self._thread.join(timeout + 2 * TICK)
        else:
            self._end()

    def _run(self) -> None:
        looked = time.monotonic()
        while not self._over():
            for key, events in self._selector.select(TICK if self._until is None else 0.05):
                if key.data is None:
                    with contextlib.suppress(BlockingIOError):
                        self._ear.recv(4096)
                elif isinstance(key.data, Side):
                    self._accept(key.data)
                else:
                    self._serve(key.data, events)
            self._take_over()
            for side in self._sides:
                if side.ended.is_set():
                    self._shut(side)
                for connection in side.connections:
                    self._watch(connection)
            if time.monotonic() - looked > TICK:
                looked = time.monotonic()
                self._look()
        self._end()

    def _over(self) -> bool:
        if self._until is None:
            return False
        pending = any(not c.outbox.empty for side in self._sides for c in side.connections)
        return not pending or time.monotonic() > self._until

    def _accept(self, side: Side) -> None:
        assert side.listener is not None
        try:
            sock, peer = side.listener.accept()
        except OSError:  # gone again, or no file is free: the next turn tries again
            time.sleep(0.01)
            return
        if side.ended.is_set() or not side.admit(sock, peer):
            sock.close()
        else:
            self._add(sock, side)

    def _take_over(self) -> None:
        with self._lock:
            adopted, self._adopted = self._adopted, []
        for sock, side in adopted:
            if side.ended.is_set():
                sock.close()
            else:
                self._add(sock, side)

    def _add(self, sock: socket.socket, side: Side) -> None:
        connection = Connection(sock, side)
        self._selector.register(sock, selectors.EVENT_READ, connection)
        side.add(connection)
        self._context.log.info("connected", extra={"side": side.name})
        side.handler.opened(connection)

    def _serve(self, connection: Connection, events: int) -> None:
        if events & selectors.EVENT_READ:
            self._guarded(connection, lambda: connection.read(lambda m: self._handle(connection.side, m)))
        if events & selectors.EVENT_WRITE:
            self._guarded(connection, connection.write)

    def _handle(self, side: Side, message: Message) -> None:
        try:
            side.handler.received(message)
        except Exception as e:  # a message that nobody thought of must not end the service
            self._context.metrics.count("messages_refused_total", side=side.name, reason="failed")
            self._context.log.error("a message could not be handled", extra={"error": type(e).__name__})

    def _guarded(self, connection: Connection, call: Callable[[], None]) -> None:
        if connection not in connection.side.connections:
            return
        try:
            call()
        except EOFError:
            self._drop(connection, "half a message" if connection.reader.midway else "closed")
        except FramingError as e:
            self._drop(connection, f"no message: {e.reason}")
        except (OSError, AcutanceError):
            self._drop(connection, "broken")

    def _watch(self, connection: Connection) -> None:
        """Write what waits, and hear of it when the socket takes more."""
        if not connection.outbox.empty:
            self._guarded(connection, connection.write)
        if connection in connection.side.connections:
            wanted = selectors.EVENT_READ | (0 if connection.outbox.empty else selectors.EVENT_WRITE)
            self._selector.modify(connection.sock, wanted, connection)

    def _look(self) -> None:
        for side in self._sides:
            for connection in side.connections:
                reason = connection.stalled(self._stall)
                if reason is not None:
                    self._drop(connection, f"stalled: {reason}")

    def _drop(self, connection: Connection, reason: str) -> None:
        self._selector.unregister(connection.sock)
        connection.side.remove(connection, reason)
        connection.sock.close()

    def _shut(self, side: Side) -> None:
        """Take no connections, and of the source's no more messages."""
        if side.listener is not None:
            self._selector.unregister(side.listener)
            side.listener.close()
            side.listener = None
        if self._until is None:
            for connection in side.connections:
                self._drop(connection, "ended")

    def _end(self) -> None:
        for side in self._sides:
            if side.listener is not None:
                side.listener.close()
            for connection in side.connections:
                connection.sock.close()
            side.connections = ()
        for sock, _ in self._adopted:
            sock.close()
        self._selector.close()
        self._ear.close()
        self._voice.close()
