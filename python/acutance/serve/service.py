"""What every service is: settings, a way to start and stop, and what it shares with the others."""

from __future__ import annotations

import abc
import dataclasses
import logging
import threading
from typing import Any

import pydantic

from ..live.metrics import Metrics
from ..live.stream import Stream

Log = logging.LoggerAdapter[logging.Logger]


class Settings(pydantic.BaseModel):
    """Settings of a service: one ``[[service]]`` table of the configuration.

    Each kind has a class of its own, whose ``kind`` is a ``Literal``; see :mod:`.kinds`.

    Attributes
    ----------
    kind : str
    name : str
        Of this service, unlike all others; it labels its metrics and its lines in the log.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    kind: str
    name: str = pydantic.Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")


class Streams:
    """The live streams of all services, by name, for who wants to look on."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._streams: dict[str, Stream] = {}

    def add(self, stream: Stream) -> None:
        """Register a stream in place of one of the same name."""
        with self._lock:
            self._streams[stream.name] = stream

    def remove(self, stream: Stream) -> None:
        """Forget a stream, if it is still there."""
        with self._lock:
            if self._streams.get(stream.name) is stream:
                del self._streams[stream.name]

    def get(self, name: str) -> Stream | None:
        """Return the stream of a name."""
        with self._lock:
            return self._streams.get(name)

    def all(self) -> list[Stream]:
        """Return all streams, by name."""
        with self._lock:
            return [self._streams[name] for name in sorted(self._streams)]


@dataclasses.dataclass(frozen=True)
class Context:
    """What a service gets beside its settings.

    Attributes
    ----------
    metrics : Metrics
        With the service's name as label ``service``.
    log : LoggerAdapter
        Its lines name the service. What is given as ``extra`` becomes fields of the line; no patient data, no file
        names, no text from a peer but its AE title and address.
    streams : Streams
    """

    metrics: Metrics
    log: Log
    streams: Streams


class Service(abc.ABC):
    """Something that other programs talk to.

    Parameters
    ----------
    settings : Settings
        Of its kind.
    context : Context
    """

    def __init__(self, settings: Any, context: Context) -> None:
        self.settings, self.context = settings, context

    @abc.abstractmethod
    def start(self) -> None:
        """Bind and begin, in threads of its own, and return.

        Raises
        ------
        AcutanceError
            It cannot: the port is taken, a folder is missing.
        """

    @abc.abstractmethod
    def stop(self, timeout: float) -> None:
        """Take no new work, finish what was begun within ``timeout`` seconds, and end; also after a failed start."""

    @abc.abstractmethod
    def health(self) -> str | None:
        """Return why the service is not well; None when it is."""
