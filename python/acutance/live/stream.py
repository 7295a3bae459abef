"""A stream of pictures: each leaves in time, enhanced or as its base, or makes way for the latest."""

from __future__ import annotations

import collections
import dataclasses
import logging
import threading
import time
from collections.abc import Callable

import pydantic

from ..enhancer import Enhancer
from ..errors import AcutanceError
from ..geometry import Frame
from .metrics import Metrics

log = logging.getLogger(__name__)

MOST_WAITING = 2
"""Pictures that wait; one more, and the oldest is dropped."""


class StreamSettings(pydantic.BaseModel):
    """How a stream is run.

    Attributes
    ----------
    fps : float, optional
        Pictures a second that the source sends: each has the time until the next one comes.
    deadline_ms : float, optional
        Milliseconds from :meth:`Stream.put` until a picture leaves, in place of what ``fps`` gives. Without either it
        is the interval at which pictures are seen to come.
    freeze_after : int
        Pictures from which the value range is taken, for models that want one; it stays as it is after them.
    adapt : float
        Part of the way that the range then still moves with each picture toward that picture's own; 0: none.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    fps: float | None = pydantic.Field(default=None, gt=0, le=1000)
    deadline_ms: float | None = pydantic.Field(default=None, gt=0, le=60_000)
    freeze_after: int = pydantic.Field(default=8, ge=1, le=1000)
    adapt: float = pydantic.Field(default=0.0, ge=0, le=0.1)


@dataclasses.dataclass(frozen=True, eq=False)
class Outgoing:
    """A picture that leaves.

    Attributes
    ----------
    tag : object
        What was handed in with it.
    frame : Frame
        The enlarged picture; its ``derivation`` says how it was made.
    base : bool
        Whether it is only the base.
    reason : str or None
        Why it is the base though a network was asked for.
    age_ms : float
        From :meth:`Stream.put` until now.
    sequence : int
        Its number among all that were put, from 0; dropped ones leave gaps.
    model : str
    """

    tag: object
    frame: Frame
    base: bool
    reason: str | None
    age_ms: float
    sequence: int
    model: str


@dataclasses.dataclass(frozen=True, eq=False)
class _Waiting:
    frame: Frame
    tag: object
    sequence: int
    since: float


class Stream:
    """Enhances the pictures of one source as they come.

    Parameters
    ----------
    name : str
        Label of its metrics.
    enhancer : Enhancer
    settings : StreamSettings
    out : callable
        Takes each picture that leaves, in the order in which they were put; called from a thread of the stream.
    metrics : Metrics

    Attributes
    ----------
    latest : Outgoing or None
        The last picture that left.
    """

    def __init__(
        self,
        name: str,
        enhancer: Enhancer,
        settings: StreamSettings,
        out: Callable[[Outgoing], None],
        metrics: Metrics,
    ) -> None:
        self.name, self.settings = name, settings
        self._enhancer, self._out, self._metrics = enhancer, out, metrics.of(stream=name)
        self._changed = threading.Condition()
        self._waiting: collections.deque[_Waiting] = collections.deque()
        self._count, self._closed = 0, False
        self.latest: Outgoing | None = None
        self._thread = threading.Thread(target=self._work, name=f"stream {name}", daemon=True)
        self._thread.start()

    def put(self, frame: Frame, tag: object = None) -> None:
        """Hand in a picture, whose pixels must not change any more; never waits.

        Parameters
        ----------
        frame : Frame
        tag : object
            Comes back with it.
        """
        with self._changed:
            self._metrics.count("frames_in_total")
            if self._closed:
                self._metrics.count("frames_dropped_total", reason="closed")
                return
            if len(self._waiting) == MOST_WAITING:
                self._waiting.popleft()
                self._metrics.count("frames_dropped_total", reason="newer")
            self._waiting.append(_Waiting(frame, tag, self._count, time.monotonic()))
            self._count += 1
            self._changed.notify_all()

    def reset(self) -> None:
        """Begin anew: the source has come back, or is another one."""

    def health(self) -> str | None:
        """Return why the stream is not well; None when it is."""
        return None if self._thread.is_alive() else f"stream {self.name} has ended"

    def close(self, timeout: float = 5.0) -> None:
        """Take no more pictures, let those leave that wait, and end; after ``timeout`` seconds in any case."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(timeout)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    return
                waiting = self._waiting.popleft()
            try:
                result = self._enhancer.run(waiting.frame)
            except AcutanceError as e:
                log.warning("stream %s: a picture is refused (%s)", self.name, type(e).__name__)
                self._metrics.count("frames_dropped_total", reason="refused")
                continue
            age = time.monotonic() - waiting.since
            base = result.model == "base"
            made = Outgoing(
                waiting.tag, result.frame, base, result.fell_back, 1000 * age, waiting.sequence, result.model
            )
            self.latest = made
            self._out(made)
            self._metrics.count("frames_out_total")
            if base:
                self._metrics.count("frames_base_total", reason="no network")
            self._metrics.observe("age_seconds", age)
