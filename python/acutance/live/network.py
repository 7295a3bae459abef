"""What may take long or fail in a stream: its pictures go through the network one by one, on a thread of its own."""

from __future__ import annotations

import dataclasses
import logging
import queue
import threading
from collections.abc import Callable

from ..enhancer import Enhancer, Result
from ..errors import InputError
from ..geometry import Frame
from ..sequence import Sequence
from .metrics import Metrics

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, eq=False)
class Job:
    """What to do.

    Attributes
    ----------
    frame : Frame
    forget : str or None
        Why what came before is forgotten first.
    restart : bool
        Whether backends are opened anew first.
    """

    frame: Frame
    forget: str | None = None
    restart: bool = False


@dataclasses.dataclass(frozen=True, eq=False)
class Answer:
    """What came of it.

    Attributes
    ----------
    result : Result or None
        None where there is none. It may be a base.
    failed : bool
        Whether there is no network's picture because something broke.
    refused : bool
        Whether the picture itself is at fault.
    strayed : bool
        Whether a backend failed and another one made the picture.
    nonfinite : bool
        Whether a network gave NaN or infinity.
    """

    result: Result | None = None
    failed: bool = False
    refused: bool = False
    strayed: bool = False
    nonfinite: bool = False


class Network:
    """Runs an enhancer.

    Parameters
    ----------
    name : str
    enhancer : Enhancer
        For this stream alone: what it counts tells what went wrong with a picture.
    metrics : Metrics
    answer : callable
        Called with each answer, from the thread.
    """

    def __init__(self, name: str, enhancer: Enhancer, metrics: Metrics, answer: Callable[[Answer], None]) -> None:
        self._enhancer, self._metrics, self._answer = enhancer, metrics, answer
        self._sequence = Sequence()
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=f"network {name}", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def give(self, job: Job) -> None:
        """Hand in a job; the one before has been answered."""
        self._jobs.put(job)

    def close(self, timeout: float) -> None:
        """End after the job under way, which is waited for ``timeout`` seconds."""
        self._jobs.put(None)
        self._thread.join(timeout)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._answer(self._run(job))

    def _run(self, job: Job) -> Answer:
        try:
            if job.restart:
                self._enhancer.restart()
            if job.forget is not None:
                self._sequence.forget(job.forget)
            before = self._enhancer.counters
            result = self._enhancer.run(job.frame, sequence=self._sequence)
            grown = self._enhancer.counters - before
        except InputError:
            return Answer(refused=True)
        except Exception as e:  # whatever a driver raises, the stream goes on
            fields = {"error": type(e).__name__, "by": type(e).__module__}
            log.warning("the network has failed", extra={"fields": fields})
            self._metrics.count("network_failures_total")
            return Answer(failed=True)
        nonfinite, broken = grown["not finite"] > 0, grown["failed"] + grown["unavailable"] > 0
        if nonfinite:
            self._metrics.count("frames_nan_total")
        if broken:
            self._metrics.count("network_failures_total")
        for stage, milliseconds in (self._enhancer.stage_times() or {}).items():
            self._metrics.observe("stage_seconds", milliseconds / 1000, stage=stage)
        base = result.model == "base"
        return Answer(result, failed=base and broken, strayed=broken and not base, nonfinite=nonfinite)
