"""A stream of pictures: each leaves in time, enhanced or as its base, or makes way for the latest."""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Callable

import pydantic

from ..enhancer import Enhancer, Result
from ..geometry import Frame
from .cost import LONGEST, Pace
from .mapping import StreamRange
from .metrics import Metrics
from .network import Answer, Job, Network
from .schedule import Base, Drop, Dropped, Item, Schedule, Send, Try, Wait, Why

log = logging.getLogger(__name__)

STUCK = 60.0
"""Seconds of the network with one picture, or of a receiver with one, after which the stream is not well."""

REOPEN = 30.0
"""Seconds after which a backend that gave way to another one is opened anew."""

QUIET = 10.0
"""Seconds between two lines of the log that say how the pictures of a stream leave."""

HELP = {
    "frames_in_total": "Pictures that came.",
    "frames_out_total": "Pictures that left, enhanced or as their base.",
    "frames_dropped_total": "Pictures that did not leave, by reason.",
    "frames_late_total": "Pictures that left after their deadline.",
    "frames_base_total": "Pictures that left as their base, by reason.",
    "frames_nan_total": "Pictures for which a network gave NaN or infinity.",
    "network_failures_total": "Pictures on which a backend failed.",
    "age_seconds": "Seconds from a picture's coming to its leaving.",
    "stage_seconds": "Seconds that a picture spent in each stage.",
}


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
    silence_s : float, optional
        Seconds without a picture after which the stream is not well; never when not given, as sources pause.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    fps: float | None = pydantic.Field(default=None, gt=0, le=1000)
    deadline_ms: float | None = pydantic.Field(default=None, gt=0, le=60_000)
    freeze_after: int = pydantic.Field(default=8, ge=1, le=100)
    adapt: float = pydantic.Field(default=0.0, ge=0, le=0.1)
    silence_s: float | None = pydantic.Field(default=None, gt=0)


@dataclasses.dataclass(frozen=True, eq=False)
class Outgoing:
    """A picture that leaves.

    Attributes
    ----------
    tag : object
        What was handed in with it.
    frame : Frame
        The enlarged picture; its ``derivation`` says how it was made, and as ``fell_back`` why it is only the base.
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
class _Picture:
    frame: Frame
    tag: object


class Stream:
    """Enhances the pictures of one source as they come.

    Parameters
    ----------
    name : str
        Label of its metrics.
    enhancer : Enhancer
        For this stream alone. It is not closed with the stream.
    settings : StreamSettings
    out : callable
        Takes each picture that leaves, in the order in which they were put; called from a thread of the stream. While
        it has not returned, newer pictures wait.
    metrics : Metrics
    clock : callable
        Gives the time in seconds; it must not run back.

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
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name, self.settings = name, settings
        self.latest: Outgoing | None = None
        self._enhancer, self._out, self._clock = enhancer, out, clock
        self._metrics = metrics.of(stream=name)
        self._changed = threading.Condition()
        self._schedule, self._pace = Schedule(), Pace()
        self._range: StreamRange | None = None
        self._count, self._closed = 0, False
        self._put_at: float | None = None
        self._sending_since: float | None = None
        self._forget: str | None = None
        self._failures, self._reopen_at = 0, float("inf")
        self._told: tuple[str, float] = ("", -QUIET)
        self._show_counters()
        self._network = Network(name, enhancer, self._metrics, self._answer)
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
        networked = self._enhancer.networked(frame.modality)
        with self._changed:
            now = self._clock()
            self._metrics.count("frames_in_total")
            if self._closed:
                self._drop(Dropped.closed)
                return
            self._pace.add(now)
            self._put_at = now
            kind = (frame.pixels.shape, frame.pixels.dtype.name, frame.modality)
            item = Item(_Picture(frame, tag), kind, self._count, now, now + self._budget(), networked)
            self._count += 1
            if self._schedule.put(item) is not None:
                self._drop(Dropped.newer)
            self._changed.notify_all()

    def reset(self) -> None:
        """Begin anew with the next picture: the source has come back, or is another one."""
        with self._changed:
            self._forget = "other source"
            self._pace = Pace()

    def health(self) -> str | None:
        """Return why the stream is not well; None when it is."""
        with self._changed:
            now, job = self._clock(), self._schedule.job
            if not self._closed and not (self._thread.is_alive() and self._network.alive):
                return "a thread of the stream has died"
            if job is not None and now - self._schedule.job_since > STUCK:
                return f"the network has not answered for {now - self._schedule.job_since:.0f} s"
            if self._sending_since is not None and now - self._sending_since > STUCK:
                return f"the receiver has not taken a picture for {now - self._sending_since:.0f} s"
            silence = self.settings.silence_s
            if silence is not None and self._put_at is not None and now - self._put_at > silence:
                return f"no picture has come for {now - self._put_at:.0f} s"
        return None

    def close(self, timeout: float = 5.0) -> None:
        """Take no more pictures, let those leave that wait, and end; after ``timeout`` seconds in any case."""
        until = time.monotonic() + timeout
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(timeout)
        with self._changed:
            while self._schedule.waiting:
                self._schedule.waiting.popleft()
                self._drop(Dropped.closed)
        self._network.close(max(until - time.monotonic(), 0.0))

    def _show_counters(self) -> None:
        """Make counters show from the start, not first when there is something to count."""
        for name, text in HELP.items():
            self._metrics.describe(name, text)
        for name in ("in", "out", "late", "nan"):
            self._metrics.count(f"frames_{name}_total", 0)
        self._metrics.count("network_failures_total", 0)

    def _budget(self) -> float:
        """Return the seconds that a picture has."""
        if self.settings.deadline_ms is not None:
            return self.settings.deadline_ms / 1000
        if self.settings.fps is not None:
            return 1 / self.settings.fps
        return self._pace.interval or LONGEST

    def _drop(self, why: Dropped) -> None:
        self._metrics.count("frames_dropped_total", reason=why.value)

    def _work(self) -> None:
        while True:
            with self._changed:
                step = self._schedule.step(self._clock())
                if isinstance(step, Wait):
                    if step.until is None and self._closed:
                        return
                    self._changed.wait(None if step.until is None else max(step.until - self._clock(), 0.0))
                    continue
            if isinstance(step, Try):
                try:
                    self._try(step.item)
                except Exception as e:
                    self._tell(f"pictures cannot be looked at ({type(e).__name__})")
                    self._answer(Answer(refused=True))
            elif isinstance(step, Drop):
                self._drop(step.why)
            elif isinstance(step, Base):
                self._send_base(step.item, step.why)
            else:
                self._send_made(step)

    def _try(self, item: Item) -> None:
        """Give a picture to the network, with the range of the stream where its model wants one."""
        picture: _Picture = item.payload
        frame = picture.frame
        with self._changed:
            forget, self._forget = self._forget, None
            restart = self._failures > 1 or self._clock() >= self._reopen_at
            if restart:
                self._reopen_at = float("inf")
        if forget is not None:
            self._range = None
        percentiles = self._enhancer.percentiles(frame.modality)
        if percentiles is not None and frame.value_range is None:
            if self._range is None:
                self._range = StreamRange(self.settings.freeze_after, self.settings.adapt, *percentiles)
            frame = dataclasses.replace(frame, value_range=self._range.of(frame))
        if self._enhancer.sequential and frame.timestamp is None:
            frame = dataclasses.replace(frame, timestamp=item.since)  # so that a pause is seen
        self._metrics.observe("stage_seconds", self._clock() - item.since, stage="wait")
        self._network.give(Job(frame, forget, restart))

    def _answer(self, answer: Answer) -> None:
        """Take what came of a job; on the network's thread."""
        with self._changed:
            now = self._clock()
            self._metrics.observe("stage_seconds", now - self._schedule.job_since, stage="enhance")
            if answer.failed:
                self._failures += 1
                self._schedule.failed(now, None if answer.result is None else answer)
            else:
                self._failures = 0
                self._schedule.done(answer, now, measured=not answer.refused)
            if answer.strayed and self._reopen_at == float("inf"):
                self._reopen_at = now + REOPEN
            self._changed.notify_all()

    def _send_base(self, item: Item, why: Why | None) -> None:
        started = self._clock()
        picture: _Picture = item.payload
        try:
            result = self._enhancer.base(picture.frame, None if why is None else why.value)
        except Exception as e:
            self._refuse(type(e).__name__)
            return
        self._metrics.observe("stage_seconds", self._clock() - started, stage="base")
        self._send(item, result, why.name if why is not None else _lack(result))
        with self._changed:
            self._schedule.based(item, self._clock() - started)

    def _send_made(self, step: Send) -> None:
        answer: Answer = step.made
        if answer.result is None:
            self._refuse("InputError")
            return
        why = None
        if answer.result.model == "base":
            why = "nan" if answer.nonfinite else "failed" if answer.failed else _lack(answer.result)
        self._send(step.item, answer.result, why)

    def _refuse(self, error: str) -> None:
        self._drop(Dropped.refused)
        self._tell(f"pictures are refused ({error})")

    def _send(self, item: Item, result: Result, why: str | None) -> None:
        """Let a picture leave; ``why`` is a word for why it is the base."""
        picture: _Picture = item.payload
        now = self._clock()
        made = Outgoing(
            picture.tag,
            self._as_asked(picture.frame, result),
            why is not None,
            result.fell_back,
            1000 * (now - item.since),
            item.sequence,
            result.model,
        )
        self._sending_since = now
        try:
            self._out(made)
        except Exception as e:  # the receiver's fault, not the stream's end
            self._drop(Dropped.unsent)
            self._tell(f"pictures cannot be sent ({type(e).__name__})")
            return
        finally:
            self._sending_since = None
        self.latest = made
        self._metrics.count("frames_out_total")
        if now > item.deadline:
            self._metrics.count("frames_late_total")
        if why is not None:
            self._metrics.count("frames_base_total", reason=why)
        self._metrics.observe("age_seconds", now - item.since)
        self._metrics.observe("stage_seconds", self._clock() - now, stage="send")
        self._tell("pictures leave enhanced" if why is None else f"pictures leave as their base ({why})")

    def _as_asked(self, frame: Frame, result: Result) -> Frame:
        """Return the Frame of a result without what the stream added to its source, and the truth about its range."""
        how = result.frame.derivation
        assert how is not None
        if how.range_from == "series" and frame.value_range is None:
            how = dataclasses.replace(how, range_from="stream")
        return dataclasses.replace(
            result.frame, derivation=how, value_range=frame.value_range, timestamp=frame.timestamp
        )

    def _tell(self, what: str) -> None:
        """Log how pictures leave when that changes, not too often."""
        last, when = self._told
        now = self._clock()
        if what != last and now - when >= QUIET:
            self._told = (what, now)
            log.info(what, extra={"fields": {"stream": self.name}})


def _lack(result: Result) -> str:
    """Return in a word why there was no network for a picture."""
    return "asked" if result.fell_back is None else "unfit"
