"""Enhances what came in, one instance at a time, and says where it is to be sent."""

from __future__ import annotations

import dataclasses
import threading
import time
from pathlib import Path
from typing import Literal

from pydicom.dataset import Dataset

from ... import dicom
from ...beside import reason
from ...enhancer import Enhancer
from ...errors import InputError, why_skipped
from ...geometry import Frame, RangeCounter
from ...sequence import Sequence
from ..service import Context
from .entry import Range, Taken, What, key_of
from .rules import Known, choose, look
from .settings import DicomSettings, RuleSettings
from .spool import Spool

State = Literal["derived", "untouched", "waits"]

_PAUSE = 0.25
"""Seconds between looks at what has changed."""

_TIDY = 60.0
"""Seconds between looks at what is old or is to be sent again."""

_NO_ROOM = 5.0
"""Seconds until a full disk is tried again."""


class _Ending(Exception):
    """It is time to end."""


class Worker:
    """A thread that takes instances out of the spool.

    Parameters
    ----------
    settings : DicomSettings
    spool : Spool
    context : Context
    """

    def __init__(self, settings: DicomSettings, spool: Spool, context: Context) -> None:
        self.settings, self.spool, self.context = settings, spool, context
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"{settings.name} worker", daemon=True)
        self._enhancers: dict[str, Enhancer] = {}
        self._trouble: str | None = None
        self._started, self._tidied = time.time(), 0.0

    def start(self) -> None:
        """Load the models and begin.

        Raises
        ------
        UsageError, ModelError
            A model that the settings name cannot be had.
        """
        for model in dict.fromkeys(rule.model for rule in self.settings.rule if rule.action == "enhance"):
            self._enhancer(model)
        self._enhancer(None)
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """End once the instance at hand is done; one that takes longer is done anew at the next start."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout)
        if not self._thread.is_alive():
            for enhancer in self._enhancers.values():
                enhancer.close()

    def health(self) -> str | None:
        """Return why nothing is enhanced; None when all is well."""
        if not self._stop.is_set() and not self._thread.is_alive():
            return "the worker has ended"
        return self._trouble

    def _enhancer(self, model: str | None) -> Enhancer:
        asked = self.settings.enhance if model is None else self.settings.enhance.model_copy(update={"model": model})
        if asked.model not in self._enhancers:
            self._enhancers[asked.model] = asked.enhancer()
        return self._enhancers[asked.model]

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._tidy()
                self._close_series()
                taken = self.spool.take(_PAUSE)
                if taken is not None:
                    self._finish(taken)
            except OSError as e:
                self._pause(e)
            except Exception as e:  # the next instance may fare better; this one is taken up at the next start
                self.context.log.error("the worker failed", exc_info=e)
                self._trouble = f"the worker failed: {type(e).__name__}"
                self._stop.wait(_PAUSE)

    def _pause(self, error: OSError) -> None:
        """Wait for a disk that does not do what it should."""
        why = reason(error)
        if self._trouble is None:
            self.context.log.error("the spool cannot be written", extra={"reason": why})
        self._trouble = f"the spool cannot be written: {why}"
        self._stop.wait(_NO_ROOM)

    def _finish(self, taken: Taken) -> None:
        """Work on one instance until that succeeds, or it is time to end."""
        while not self._stop.is_set():
            try:
                self.do(taken)
                self._trouble = None
                return
            except _Ending:
                break
            except OSError as e:
                if not taken.source.exists():
                    self.context.log.error("an instance was removed from the spool by somebody else")
                    return
                self._pause(e)
        self.spool.put_back(taken)

    def do(self, taken: Taken) -> None:
        """Do with an instance what its rule says.

        Raises
        ------
        OSError
            The spool cannot be written; may be called again.
        """
        started = time.perf_counter()
        known = look(taken.source)
        rule = choose(self.settings.rule, known)
        if rule.action == "drop":
            self.spool.drop(taken)
            self.context.metrics.count("instances_total", outcome="dropped")
            return
        state: State = "untouched"
        if rule.action == "enhance" and known.is_picture and "derived" in rule.send:
            state = self._enhanced(taken, rule, known)
        if state == "waits":
            return
        wanted: tuple[What, ...] = rule.send if state == "derived" else ("source",)
        destinations = rule.destinations or tuple(d.name for d in self.settings.destination)
        self.spool.send(taken, [(what, to) for to in destinations for what in wanted])
        self.context.metrics.count("instances_total", outcome=state)
        self.context.metrics.observe("work_seconds", time.perf_counter() - started)

    def _enhanced(self, taken: Taken, rule: RuleSettings, known: Known) -> State:
        """Make the derived object, or say in the log why there is none."""
        if taken.tries >= self.settings.spool.tries:
            self._note(known, f"the process ended {taken.tries} times while enhancing it")
            return "untouched"
        enhancer = self._enhancer(rule.model)
        try:
            series = _series(taken.source)
            value_range = None
            if enhancer.percentiles(series.modality) is not None:
                value_range = self.spool.frozen(key_of(series.uid))
                if value_range is None:
                    self.spool.wait(taken, key_of(series.uid))
                    return "waits"
            made = self._derived(taken.source, enhancer, value_range)
            self.spool.add(taken, lambda file: dicom.encode(file, made, taken.derived))
            return "derived"
        except (OSError, _Ending):
            raise
        except Exception as e:
            self._note(known, why_skipped(e, taken.source))
            return "untouched"

    def _note(self, known: Known, why: str) -> None:
        self.context.log.warning("not enhanced", extra={"class": known.class_uid, "reason": why})

    def _derived(self, path: Path, enhancer: Enhancer, value_range: Range | None) -> Dataset:
        """Return the derived object of a file."""
        frames = self._read(path)
        if value_range is not None:
            frames = [dataclasses.replace(f, value_range=value_range) for f in frames]
        assert frames[0].source is not None
        burned_in = self.settings.allow_burned_in
        dicom.check(frames[0].source.header, enhancer.scale, allow_burned_in=burned_in, path=path)
        self._wait_for_room(sum(f.pixels.nbytes for f in frames) * enhancer.scale**2)
        done = self._run_all(enhancer, frames)
        return dicom.derive(done, compress=self.settings.compress, allow_burned_in=burned_in)

    def _read(self, path: Path) -> list[Frame]:
        most = self.settings.max_pixels
        return dicom.read(path) if most is None else dicom.read(path, max_pixels=most)

    def _run_all(self, enhancer: Enhancer, frames: list[Frame]) -> list[Frame]:
        sequence = Sequence() if enhancer.sequential else None
        out = []
        for frame in frames:
            result = enhancer.run(frame, sequence=sequence)
            out.append(result.frame)
            self.context.metrics.observe("enhance_seconds", result.milliseconds / 1000)
            if result.fell_back:
                self.context.metrics.count("base_total")
        return out

    def _wait_for_room(self, size: int) -> None:
        """Wait until what is on its way out has left room within the quota."""
        while not self.spool.has_room(size):
            if self._stop.wait(_PAUSE):
                raise _Ending
            self._trouble = "the quota of the spool is used up"
        self._trouble = None

    def _close_series(self) -> None:
        """Give a range to each series that has come to its end."""
        now = self.spool.looked_until()
        limits = self.settings.series
        for key, waiting in self.spool.waiting().items():
            last = max(waiting.last, self._started)  # nothing could come while nobody listened
            if now - last >= limits.quiet_s or now - waiting.first >= limits.longest_s:
                counter = RangeCounter()
                for path in self.spool.members(key):
                    self._count(path, counter)
                self.spool.freeze(key, counter.range())

    def _count(self, path: Path, counter: RangeCounter) -> None:
        try:
            for frame in self._read(path):
                counter.add(frame)
        except Exception:  # it is read again to be enhanced, and named then
            return

    def _tidy(self) -> None:
        for state, count in self.spool.counts().items():
            self.context.metrics.set("spool_instances", count, state=state)
        self.context.metrics.set("spool_bytes", self.spool.used)
        if time.monotonic() - self._tidied >= _TIDY:
            self._tidied = time.monotonic()
            self.spool.sweep(self.settings.spool.keep_days)
            self.spool.revive()


def _series(path: Path) -> dicom.Series:
    """Return the series of a picture that may be enhanced.

    Raises
    ------
    InputError
        It may not.
    """
    found = dicom.find([path], ("ImageType", "ContributingEquipmentSequence"))
    if found.skipped:
        raise found.skipped[0]
    (series,) = found.series
    if dicom.is_ours(series.headers[0]):
        raise InputError("is itself a result of acutance", path)
    return series
