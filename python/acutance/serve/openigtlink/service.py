"""The filter: what comes from the source goes to the receivers, pictures enhanced, and queries go back."""

from __future__ import annotations

import dataclasses
import itertools
import threading
import time

from ...enhancer import Enhancer
from ...errors import InputError
from ...live.stream import Outgoing, Stream
from ..service import Context, Service
from .connection import Connection, Loop, Side
from .image import Image, named, unnamed
from .message import Message
from .notes import Notes
from .settings import OpenIgtLinkSettings

MIB = 1 << 20

SILENT_S = 10.0
"""Seconds without a picture after which a device makes room for another."""

MOST_ASKED = 64
"""Requests to begin sending (``STT_``) that are kept for a source that comes back."""

KNOWN = (
    "IMAGE", "TRANSFORM", "STATUS", "STRING", "POSITION", "QTDATA", "TDATA", "POINT", "POLYDATA", "IMGMETA", "LBMETA",
    "CAPABILITY", "COMMAND", "SENSOR", "NDARRAY", "TRAJ", "COLORT", "BIND", "VIDEO", "VIDEOMETA",
)  # fmt: skip
"""Types that metrics name; all others are ``other``, since a peer can make up any number of them."""

QUERIES = ("GET_", "STT_", "STP_", "RTS_")
"""How the types of queries and their answers begin."""

NO_NETWORK = "no network was asked for"
"""What the metadata of a base says where the settings want nothing else."""


@dataclasses.dataclass
class Device:
    """A device name whose pictures are enhanced."""

    stream: Stream
    enhancer: Enhancer
    slot: int
    seen: float

    def close(self, timeout: float) -> None:
        """Let the stream send what it has begun, for at most ``timeout`` seconds, and end."""
        self.stream.close(timeout)
        self.enhancer.close()


class OpenIgtLink(Service):
    """See :class:`.settings.OpenIgtLinkSettings`.

    Messages that are not enhanced leave at once, byte for byte and in their order. A picture leaves when it is
    enhanced, so a message that the source sent after it may overtake it; both keep their timestamps.
    """

    settings: OpenIgtLinkSettings

    def __init__(self, settings: OpenIgtLinkSettings, context: Context) -> None:
        super().__init__(settings, context)
        self._notes, self._metrics = Notes(context), context.metrics
        with settings.enhance.enhancer() as enhancer:  # fails here, not at the first picture
            self._scale = enhancer.scale
        self._devices: dict[bytes, Device] = {}
        self._asked: dict[tuple[str, bytes], Message] = {}
        self._lock = threading.Lock()
        sizes = (settings.largest_mib * MIB, settings.backlog_mib * MIB)
        self.source = Side("source", settings.source, *sizes, _Source(self), context, self._notes)
        self.receivers = Side("receivers", settings.receivers, *sizes, _Receivers(self), context, self._notes)
        self._loop = Loop((self.source, self.receivers), settings.stall_s, context)

    def start(self) -> None:
        """Open both sides.

        Raises
        ------
        OutputError
            A port cannot be listened at.
        """
        self._loop.start()

    def stop(self, timeout: float) -> None:
        """Take nothing more from the source, send what was begun, and end."""
        deadline = time.monotonic() + timeout
        self.source.close()
        self._loop.wake()
        with self._lock:  # from here on no device is added
            devices = list(self._devices.values())
        for device in devices:
            self._forget(device)
            device.close(max(deadline - time.monotonic(), 0.0))
        self._loop.stop(max(deadline - time.monotonic(), 0.0))

    def health(self) -> str | None:
        """Return why the service is not well: its thread has died, or a side to connect to is not there."""
        if not self._loop.alive:
            return "its thread has ended"
        return self.source.health() or self.receivers.health()

    def from_source(self, message: Message) -> None:
        """Send a message on to the receivers, enhanced where it is a picture."""
        if message.kind != "IMAGE":
            self._pass(message, "no picture")
            return
        try:
            image = Image.of(message)
        except InputError:
            self.refuse("source", "contradiction")
            return
        reason = "layout" if image is None else image.unfit(self._scale)
        if image is None or reason is not None:
            self._pass(message, reason or "")
            return
        device = self._device(message.device)
        if device is None:
            self._notes.say("too many devices: pictures of others pass unchanged", devices=self.settings.devices)
            self._pass(message, "devices")
            return
        device.stream.put(image.frame(self.settings.modality), image)

    def from_receiver(self, message: Message) -> None:
        """Send a query on to the source."""
        if not message.kind.startswith(self.settings.forward):
            self.refuse("receivers", "not forwarded")
            return
        if self.settings.suffix:
            message = message.renamed(unnamed(message.device, self.settings.suffix))
        self._remember(message)
        self._metrics.count("messages_passed_total", side="receivers", reason="query")
        self.source.send(message.parts)
        self._loop.wake()

    def refuse(self, side: str, reason: str) -> None:
        """Count and tell of a message that is left out."""
        self._metrics.count("messages_refused_total", side=side, reason=reason)
        self._notes.say(f"{side}: a message is left out", reason=reason)

    def anew(self, connection: Connection) -> None:
        """Begin all streams anew, since a source has come, and tell it what receivers have asked for."""
        for device in list(self._devices.values()):
            device.stream.reset()
        for message in self._asked.values():
            connection.outbox.put(message.parts)

    def _remember(self, message: Message) -> None:
        """Keep what is to be sent until it is stopped: receivers do not hear that a source went and came back."""
        begin, what = message.kind[:4], (message.kind[4:], message.device)
        if begin == "STP_":
            self._asked.pop(what, None)
        elif begin == "STT_" and (what in self._asked or len(self._asked) < MOST_ASKED):
            self._asked[what] = message

    def _pass(self, message: Message, reason: str) -> None:
        self._metrics.count("messages_passed_total", side="source", reason=reason)
        self.receivers.send(message.parts)
        self._loop.wake()

    def _device(self, name: bytes) -> Device | None:
        """Return the device of a name; None where there are too many others."""
        now = time.monotonic()
        with self._lock:
            device = self._devices.get(name)
            if device is None:
                device = self._add(name, now)
            if device is not None:
                device.seen = now
            return device

    def _add(self, name: bytes, now: float) -> Device | None:
        if self.source.ended.is_set():
            return None
        if len(self._devices) >= self.settings.devices:
            oldest = min(self._devices.values(), key=lambda d: d.seen)
            if now - oldest.seen < SILENT_S:
                return None
            self._forget(oldest)
            threading.Thread(target=oldest.close, args=(SILENT_S,), name="close device", daemon=True).start()
        slot = next(n for n in itertools.count(1) if n not in {d.slot for d in self._devices.values()})
        # The name of a device is a peer's text, which no log or metric shows: streams have numbers.
        label = f"{self.settings.name}-{slot}"
        enhancer = self.settings.enhance.enhancer()
        stream = Stream(label, enhancer, self.settings.stream, self._leave, self._metrics)
        self._devices[name] = Device(stream, enhancer, slot, now)
        self.context.streams.add(stream)
        return self._devices[name]

    def _forget(self, device: Device) -> None:
        self._devices = {name: d for name, d in self._devices.items() if d is not device}
        self.context.streams.remove(device.stream)

    def _leave(self, outgoing: Outgoing) -> None:
        """Pack and send an enhanced picture; called from its stream's thread."""
        image = outgoing.tag
        assert isinstance(image, Image)
        pixels = outgoing.frame.pixels
        notes = {"acutance.model": outgoing.model, "acutance.scale": str(pixels.shape[0] // image.size[1])}
        if outgoing.base:
            notes["acutance.base"] = outgoing.reason or NO_NETWORK
            if image.message.version == 1:
                self._metrics.count("base_unmarked_total")
        began = time.perf_counter()
        parts = image.enlarged(pixels, self.settings.suffix, self.settings.position, notes)
        self._metrics.observe("pack_seconds", time.perf_counter() - began)
        self.receivers.send(parts, latest=named(image.message.device, self.settings.suffix))
        self._loop.wake()


class _Source:
    """Hears the source."""

    def __init__(self, service: OpenIgtLink) -> None:
        self._service = service

    def opened(self, connection: Connection) -> None:
        self._service.anew(connection)

    def received(self, message: Message) -> None:
        if _whole(self._service, "source", message):
            self._service.from_source(message)


class _Receivers:
    """Hears the receivers."""

    def __init__(self, service: OpenIgtLink) -> None:
        self._service = service

    def opened(self, connection: Connection) -> None:
        """A receiver begins with what comes next."""

    def received(self, message: Message) -> None:
        if _whole(self._service, "receivers", message):
            self._service.from_receiver(message)


def _whole(service: OpenIgtLink, side: str, message: Message) -> bool:
    begin, rest = message.kind[:4], message.kind[4:]
    known = message.kind in KNOWN or (begin in QUERIES and rest in KNOWN)
    kind = message.kind if known else "other"
    service.context.metrics.count("messages_in_total", side=side, type=kind)
    if message.intact():
        return True
    service.refuse(side, "crc")
    return False


def make(settings: OpenIgtLinkSettings, context: Context) -> Service:
    """Return the service, not yet started.

    Raises
    ------
    AcutanceError
        The model or the backend of ``[service.enhance]`` is not there.
    """
    return OpenIgtLink(settings, context)
