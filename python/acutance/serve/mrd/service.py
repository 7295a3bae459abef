"""The MRD server: what a client sends comes back in its order, images enhanced."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import ipaddress
import socket
import threading
from typing import Any

from ...errors import UsageError
from ..service import Context, Service
from . import protocol
from .configs import Configs
from .protocol import Id, Message
from .session import Session
from .settings import MrdSettings

READ_AHEAD = 2**20
"""Bytes that asyncio reads before it is asked for them."""

START_S = 10.0


class MrdService(Service):
    """Serves MRD clients, each in a session of its own.

    Parameters
    ----------
    settings : MrdSettings
    context : Context

    Attributes
    ----------
    port : int
        Where it listens once it is started; the system chooses where the settings say 0.
    """

    settings: MrdSettings

    def __init__(self, settings: MrdSettings, context: Context) -> None:
        super().__init__(settings, context)
        self.port = settings.port
        self._configs = Configs(settings)
        self._sessions: dict[Session, asyncio.Task[None]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._server: asyncio.Server | None = None
        self._pool: concurrent.futures.ThreadPoolExecutor | None = None

    def start(self) -> None:
        """Load the models, bind, and serve in a thread.

        Raises
        ------
        UsageError, ModelError
            A config cannot work, or the port cannot be opened.
        """
        _describe(self.context)
        self._configs.open_all()
        workers = self.settings.workers
        self._pool = concurrent.futures.ThreadPoolExecutor(workers, thread_name_prefix=f"mrd {self.settings.name}")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"mrd {self.settings.name}", daemon=True)
        self._thread.start()
        where = self.settings.address, self.settings.port
        try:
            self._server = self._call(self._listen(), START_S)
        except (OSError, OverflowError) as e:
            why = e.strerror if isinstance(e, OSError) and e.strerror else str(e)
            raise UsageError(f"port {where[1]} of {where[0]} cannot be opened ({why}); choose another one") from None
        self.port = int(self._server.sockets[0].getsockname()[1])

    def stop(self, timeout: float) -> None:
        """Accept nobody more, answer what has come, and end."""
        if self._loop is not None and self._thread is not None:
            if self._thread.is_alive():
                with contextlib.suppress(concurrent.futures.TimeoutError, TimeoutError):
                    self._call(self._end(timeout), timeout + START_S)
                self._loop.call_soon_threadsafe(self._loop.stop)
                self._thread.join(START_S)
            if not self._loop.is_running():
                self._loop.close()
            self._loop = None
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        self._configs.close()

    def health(self) -> str | None:
        """Return why it does not serve, or why its last images left as they came or as their base."""
        if self._thread is None or not self._thread.is_alive() or self._server is None:
            return "it does not listen"
        return self._configs.health()

    def _call(self, coroutine: Any, timeout: float) -> Any:
        """Run something in the server's own thread and return what it gives."""
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout)

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(
            self._accept, self.settings.address, self.settings.port, limit=READ_AHEAD, reuse_address=True
        )

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        metrics = self.context.metrics
        peer = str((writer.get_extra_info("peername") or ("",))[0])
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if self.settings.allow and not _within(peer, self.settings.allow):
            metrics.count("mrd_connections_refused_total", why="address")
            self.context.log.warning("connection refused: its address is not allowed", extra={"peer": peer})
            writer.transport.abort()
            return
        if len(self._sessions) >= self.settings.limits.connections:
            metrics.count("mrd_connections_refused_total", why="too many")
            self.context.log.warning("connection refused: there are too many", extra={"peer": peer})
            await self._refuse(writer)
            return
        assert self._pool is not None
        session = Session(reader, writer, self.settings, self._configs, self._pool, self.context)
        task = asyncio.current_task()
        assert task is not None
        self._sessions[session] = task
        metrics.count("mrd_connections_total")
        metrics.set("mrd_connections", len(self._sessions))
        self.context.log.info("connection", extra={"connection": session.id, "peer": peer})
        try:
            await session.run()
        except asyncio.CancelledError:
            pass
        except Exception as e:  # of one connection; the others go on
            self.context.log.error("connection failed", extra={"connection": session.id, "error": type(e).__name__})
        finally:
            del self._sessions[session]
            metrics.set("mrd_connections", len(self._sessions))

    async def _refuse(self, writer: asyncio.StreamWriter) -> None:
        """Close a connection that is one too many, politely."""
        said = [protocol.text("acutance: there are too many connections; try again")] if self.settings.texts else []
        for message in (*said, Message(Id.CLOSE)):
            writer.writelines(message.wire())
        writer.close()
        with contextlib.suppress(OSError, asyncio.TimeoutError):
            await asyncio.wait_for(writer.wait_closed(), START_S)

    async def _end(self, timeout: float) -> None:
        if self._server is not None:
            self._server.close()
        for session in self._sessions:
            session.stop()
        tasks = set(self._sessions.values())
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=timeout)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=1.0)
                self.context.log.error("connections ended before all was answered", extra={"connections": len(late)})


def make(settings: MrdSettings, context: Context) -> MrdService:
    """Return the service that settings describe, not yet started."""
    return MrdService(settings, context)


def _within(address: str, networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]) -> bool:
    try:
        found: Any = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if found.version == 6 and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return any(found in network for network in networks)


def _describe(context: Context) -> None:
    for name, words in {
        "mrd_connections": "MRD clients that are connected.",
        "mrd_connections_total": "MRD clients that have connected.",
        "mrd_connections_refused_total": "MRD clients that were turned away.",
        "mrd_connections_ended_total": "How connections to MRD clients ended.",
        "mrd_messages_total": "MRD messages that have come.",
        "mrd_images_in_total": "MRD images that have come.",
        "mrd_images_out_total": "MRD images that have left, by what was made of them.",
        "mrd_image_seconds": "Time to enhance one MRD image, waiting for its turn included.",
        "mrd_range_restarts_total": "Series whose frozen value range was too small for a later image.",
        "mrd_unknown_configs_total": "Configs that clients asked for and that are not known.",
    }.items():
        context.metrics.describe(name, words)
