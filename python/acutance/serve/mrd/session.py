"""One connection: messages come, are answered in their order, and none is lost on the way."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import dataclasses
import secrets
import struct
import time

from ...errors import AcutanceError
from ..service import Context
from . import protocol
from .configs import Configs, name_in, parameters_in
from .images import Enlarger
from .protocol import Id, Image, Message, ProtocolError
from .ranges import Ranges
from .settings import DEFAULT, MrdSettings

LINGER_S = 2.0
"""How long a client has to end its side after the last message."""

MEGA = 10**6

CONFIGURING = (Id.CONFIG_FILE, Id.CONFIG_TEXT, Id.HEADER, Id.TEXT)
"""What may come before the data."""


@dataclasses.dataclass(frozen=True)
class End:
    """Stands in the queue behind the last message.

    Attributes
    ----------
    kind : str
        For the metrics: ``"closed"``, ``"hung up"``, ``"bad message"``, ``"timeout"``, ``"stopped"``.
    reason : str
        What the client is told; nothing when it asked for the end.
    """

    kind: str
    reason: str = ""


class Session:
    """Talks to one client.

    Reading, working and writing do not wait for each other but when a buffer is full, so that a client may send all of
    its images before it reads the first.

    Parameters
    ----------
    reader, writer
        Of its connection.
    settings : MrdSettings
    configs : Configs
    pool : Executor
        Where images are enhanced.
    context : Context
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        settings: MrdSettings,
        configs: Configs,
        pool: concurrent.futures.Executor,
        context: Context,
    ) -> None:
        self.id = secrets.token_hex(4)
        self._reader, self._writer = reader, writer
        self._settings, self._limits = settings, settings.limits
        self._configs, self._pool, self._context = configs, pool, context
        self._enlarger: Enlarger | None = None
        self._configured = self._begun = False
        self._ranges = Ranges(settings.freeze_after)
        self._queue: asyncio.Queue[Message | End] = asyncio.Queue()
        self._waiting = 0
        self._room = asyncio.Event()
        self._said: set[str] = set()
        self._receiver: asyncio.Task[None] | None = None
        self._low = 0

    async def run(self) -> None:
        """Serve the client until it closes, fails or is stopped."""
        metrics, log = self._context.metrics, self._context.log
        started, counted = time.monotonic(), {"in": 0, "out": 0}
        self._buffer(self._limits.buffer_mb * MEGA)
        self._receiver = asyncio.create_task(self._receive())
        end = End("lost")
        try:
            end = await self._work(counted)
            if end.reason:
                await self._say(end.reason)
            await self._send(Message(Id.CLOSE))
            self._buffer(0)
            await self._flush()
            await self._linger()
        except (OSError, asyncio.TimeoutError) as e:
            end = End("lost", type(e).__name__)
        finally:
            self._receiver.cancel()
            self._writer.transport.abort()
            metrics.count("mrd_connections_ended_total", how=end.kind)
            log.info(
                "connection ended",
                extra={
                    "connection": self.id,
                    "how": end.kind,
                    "images_in": counted["in"],
                    "images_out": counted["out"],
                    "seconds": round(time.monotonic() - started, 3),
                },
            )

    def stop(self) -> None:
        """Read nothing more; answer what has come, and close."""
        if self._receiver is not None and self._receiver.cancel():
            self._queue.put_nowait(End("stopped", "the server is ending"))

    async def _receive(self) -> None:
        """Put messages into the queue until the last one."""
        end = End("closed")
        try:
            while True:
                message = await self._read()
                if message is None:
                    break
                self._context.metrics.count("mrd_messages_total", type=message.id.name.lower())
                if message.id is Id.CLOSE:
                    break
                self._queue.put_nowait(message)
                self._waiting += message.size
                while self._waiting > self._limits.buffer_mb * MEGA:
                    self._room.clear()
                    await self._room.wait()
        except ProtocolError as e:
            end = End("bad message", e.message)
        except (asyncio.TimeoutError, TimeoutError):
            end = End("timeout", "nothing more has come for too long")
        except (asyncio.IncompleteReadError, OSError):
            end = End("hung up", "the last message has no end")
        self._queue.put_nowait(end)

    async def _read(self) -> Message | None:
        """Return the next message; None when the client has ended its side between two."""
        try:
            start = await asyncio.wait_for(self._reader.readexactly(2), self._limits.idle_s)
        except asyncio.IncompleteReadError as e:
            if e.partial:
                raise
            return None
        return await asyncio.wait_for(self._rest(struct.unpack("<H", start)[0]), self._limits.message_s)

    async def _rest(self, number: int) -> Message:
        parsing = protocol.parse(number, self._limits.image_mb * MEGA, self._limits.message_mb * MEGA)
        try:
            wanted = next(parsing)
            while True:
                wanted = parsing.send(await self._reader.readexactly(wanted))
        except StopIteration as done:
            found: Message = done.value
            return found

    async def _work(self, counted: dict[str, int]) -> End:
        """Answer messages in their order until the last one."""
        while True:
            message = await self._queue.get()
            if isinstance(message, End):
                return message
            if isinstance(message, Image):
                counted["in"] += 1
                await self._image(message)
                counted["out"] += 1
            elif message.id in CONFIGURING and await self._configure(message):
                pass
            else:
                await self._send(message)
            self._begun = self._begun or message.id not in CONFIGURING
            self._waiting -= message.size
            self._room.set()

    async def _configure(self, message: Message) -> bool:
        """Take a message that configures; return whether it was one."""
        if message.id is Id.HEADER:
            return True
        said = protocol.words(message)
        if message.id is Id.TEXT and (self._begun or parameters_in(said.strip()) is None):
            return False
        name = said.strip() if message.id is Id.CONFIG_FILE else name_in(said)
        if name is None and message.id is Id.TEXT:
            return True
        await self._use(name or DEFAULT)
        return True

    async def _use(self, name: str) -> None:
        """Take a config for what follows; pass everything through when it is not known."""
        self._configured = True
        loop = asyncio.get_running_loop()
        try:
            self._enlarger = await loop.run_in_executor(self._pool, self._configs.get, name)
        except AcutanceError as e:
            self._enlarger = None
            self._context.metrics.count("mrd_unknown_configs_total")
            await self._say(f"{e.message}. Everything is passed through as it comes.")

    async def _image(self, image: Image) -> None:
        metrics = self._context.metrics
        metrics.count("mrd_images_in_total")
        if not self._configured:
            await self._use(DEFAULT)
        if self._enlarger is None:
            await self._send(image)
            metrics.count("mrd_images_out_total", outcome="passthrough")
            return
        if self._settings.keep_originals:
            await self._send(image)
        started = time.perf_counter()
        loop = asyncio.get_running_loop()
        answer = await loop.run_in_executor(self._pool, self._enlarger.answer, image, self._ranges)
        metrics.observe("mrd_image_seconds", time.perf_counter() - started)
        metrics.count("mrd_range_restarts_total", int(answer.restarted))
        if answer.outcome in ("base", "failed", "untouched") and answer.reason:
            await self._say(f"images left {_HOW[answer.outcome]}: {answer.reason}")
        if answer.outcome in ("enhanced", "base") or not self._settings.keep_originals:
            await self._send(answer.image)
        metrics.count("mrd_images_out_total", outcome=answer.outcome)

    async def _say(self, words: str) -> None:
        """Tell the client something, once, if it wants to hear it."""
        if self._settings.texts and words not in self._said:
            self._said.add(words)
            await self._send(protocol.text(f"acutance: {words}"))

    async def _send(self, message: Message) -> None:
        self._writer.writelines(message.wire())
        await self._flush()

    def _buffer(self, most: int) -> None:
        """Set how many bytes may wait to be fetched by the client."""
        self._low = most // 2
        self._writer.transport.set_write_buffer_limits(high=most, low=self._low)

    async def _flush(self) -> None:
        """Wait until there is room to write; a client that takes nothing for too long is given up."""
        transport = self._writer.transport
        if transport.get_write_buffer_size() <= self._low:
            await self._writer.drain()
            return
        drain = asyncio.ensure_future(self._writer.drain())
        try:
            while not drain.done():
                before = transport.get_write_buffer_size()
                await asyncio.wait({drain}, timeout=self._limits.message_s)
                if not drain.done() and transport.get_write_buffer_size() >= before:
                    raise asyncio.TimeoutError("the client does not read")
            drain.result()
        finally:
            drain.cancel()

    async def _linger(self) -> None:
        """Let the client read the last message: closed at once, what it still sends would throw that away."""
        with contextlib.suppress(OSError, asyncio.TimeoutError):
            if self._writer.can_write_eof():
                self._writer.write_eof()
            await asyncio.wait_for(self._drop(), LINGER_S)

    async def _drop(self) -> None:
        if self._receiver is not None:
            self._receiver.cancel()
            await asyncio.wait({self._receiver})
        while await self._reader.read(2**16):
            pass


_HOW = {"base": "as their base", "failed": "as they came", "untouched": "as they came"}
