"""One file: read it, see whether its result is there already, enhance it, write it."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from .. import io
from ..beside import make_folder
from ..enhancer import Enhancer
from ..errors import AcutanceError, InputError, OutputError, why_skipped
from ..files import record
from ..geometry import Derivation, Frame, RangeCounter
from ..guide import Guide
from ..sequence import Sequence
from . import results, uncertainty
from .missing import Missing
from .shown import Shown

Range = tuple[float, float]
"""Real values that a series maps to 0 and 1."""

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Settings:
    """What the command line says beside what the Enhancer holds; ``isotropic``: by which new voxels are smaller."""

    overwrite: bool = False
    modality: str | None = None
    compress: Literal["jpeg2000", "rle"] | None = None
    allow_burned_in: bool = False
    max_pixels: int | None = None
    guide: Guide | None = None
    uncertainty: bool = False
    missing: Missing = dataclasses.field(default_factory=Missing)
    isotropic: int | None = None
    shown: Shown | None = None


@dataclasses.dataclass(frozen=True)
class Task:
    """One file to be enhanced.

    Attributes
    ----------
    source, target : Path
    kind : str
    name : str
        Of the series or file in the summary.
    """

    source: Path
    target: Path
    kind: str
    name: str


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a file.

    Attributes
    ----------
    name : str
        Of the series or file in the summary.
    state : {"enhanced", "kept", "skipped"}
        ``"kept"``: the right result was there.
    reason : str
        Why it was skipped.
    modality, model, backend, size : str
        ``size`` of the results as ``1024 x 768``, columns first.
    pictures : int
    milliseconds : float
        Of all pictures together, reading and writing not included.
    notes : tuple of str
        For each picture why it is its base, and each warning.
    """

    name: str
    state: Literal["enhanced", "kept", "skipped"]
    reason: str = ""
    modality: str = ""
    model: str = ""
    backend: str = ""
    size: str = ""
    pictures: int = 0
    milliseconds: float = 0.0
    notes: tuple[str, ...] = ()


class Stopped(Exception):
    """The user has interrupted the work."""


class Worker:
    """Enhances files; several threads may do so at once.

    Parameters
    ----------
    enhancer : Enhancer
    settings : Settings
    stop : threading.Event
        Set when work is to end at the next picture.

    Attributes
    ----------
    tell : callable
        Called with what is being worked on.
    """

    def __init__(self, enhancer: Enhancer, settings: Settings, stop: threading.Event) -> None:
        self.enhancer = enhancer
        self.settings = settings
        self.stop = stop
        self.tell: Callable[[str], None] = lambda text: None

    def count(self, path: Path) -> RangeCounter | None:
        """Count the values of a file for the range of its series; None when it cannot be read."""
        if self.stop.is_set():
            raise Stopped
        try:
            counter = RangeCounter()
            for frame in io.read(path, self.settings.modality, self.settings.max_pixels):
                counter.add(frame)
            return counter
        except Exception:  # it is read again to be enhanced, and named then
            return None

    def enhance_in_order(
        self, tasks: tuple[Task, ...], value_range: Range | None, done: Callable[[], None]
    ) -> list[Outcome]:
        """Enhance the files of a sequence one after the other; all again where one result is not right.

        ``done`` is called after each file.
        """
        if len(tasks) == 1:
            outcomes = [self.enhance(tasks[0], value_range, None if tasks[0].kind == "nifti" else Sequence())]
            done()
            return outcomes
        sequence = Sequence(name=_hash_of([t.source for t in tasks]))
        again = not all(self._holds(t, value_range, sequence) for t in tasks)
        outcomes = []
        for task in tasks:
            outcomes.append(self.enhance(task, value_range, sequence, again))
            done()
        return outcomes

    def enhance(
        self, task: Task, value_range: Range | None, sequence: Sequence | None = None, again: bool = False
    ) -> Outcome:
        """Enhance one file, ``again`` also where its right result is there.

        Whatever fails becomes the reason why it was skipped.
        """
        try:
            return self._enhance(task, value_range, sequence, again)
        except Stopped:
            raise
        except Exception as e:
            if sequence is not None:
                sequence.forget("failed")
            return Outcome(task.name, "skipped", why_skipped(e, task.source))

    def _holds(self, task: Task, value_range: Range | None, sequence: Sequence) -> bool:
        """Tell whether the right result of a file of a sequence is there."""
        if self.stop.is_set():
            raise Stopped
        try:
            frames = self._read(task, value_range)
            return self._is_right(task, frames, self._planned(frames, sequence))
        except AcutanceError:  # it is named when it is enhanced
            return True

    def _read(self, task: Task, value_range: Range | None) -> list[Frame]:
        frames = io.read(task.source, self.settings.modality, self.settings.max_pixels)
        if value_range is not None:
            frames = [dataclasses.replace(f, value_range=value_range) for f in frames]
        return self.settings.missing.apply(frames, task.source)

    def _planned(self, frames: list[Frame], sequence: Sequence | None) -> list[Derivation]:
        return [self.enhancer.derivation(f, self.settings.guide, sequence) for f in frames]

    def _is_right(self, task: Task, frames: list[Frame], planned: list[Derivation]) -> bool:
        if self.settings.uncertainty and not uncertainty.is_right(task.target, frames, planned):
            return False
        if not self._is_shown(task, frames):
            return False
        return results.is_right(task.target, frames, planned, self.settings.compress)

    def _enhance(self, task: Task, value_range: Range | None, sequence: Sequence | None, again: bool) -> Outcome:
        frames = self._read(task, value_range)
        if task.kind == "dicom":
            check_derivable(frames[0], self.enhancer.scale, self.settings, task.source)
        about = Outcome(task.name, "kept", modality=frames[0].modality, size=self._size(frames), pictures=len(frames))
        planned = self._planned(frames, sequence)
        if task.target.exists() and not self.settings.overwrite:
            if not again and self._is_right(task, frames, planned):
                said = [_Said(d.model, d.backend, 0.0, (d.fell_back,) if d.fell_back else ()) for d in planned]
                return _tell(about, said)
            _check_ours(task.target)
        if self.settings.uncertainty and not self.settings.overwrite:
            _check_ours(uncertainty.map_of(task.target), uncertainty.picture_of(task.target))
        make_folder(task.target.parent)
        said = []
        bounds = uncertainty.Bounds() if self.settings.uncertainty else None
        io.write(
            task.target,
            self._results(task, frames, said, sequence, bounds),
            compress=self.settings.compress if task.kind == "dicom" else None,
            allow_burned_in=self.settings.allow_burned_in,
        )
        if bounds is not None and (note := bounds.write(task.target)):
            about = dataclasses.replace(about, notes=(note,))
        return dataclasses.replace(_tell(about, said), state="enhanced")

    def _results(
        self,
        task: Task,
        frames: list[Frame],
        said: list[_Said],
        sequence: Sequence | None,
        bounds: uncertainty.Bounds | None,
    ) -> Iterator[Frame]:
        """Yield the enhanced Frames one by one, letting go of those they were made from."""
        frames.reverse()
        count = len(frames)
        while frames:
            if self.stop.is_set():
                raise Stopped
            self.tell(f"{task.source.name} {len(said) + 1}/{count}" if count > 1 else task.source.name)
            frame = frames.pop()
            result = self.enhancer.run(frame, guide=self.settings.guide, sequence=sequence)
            found = self.settings.missing.notes(frame)
            notes = (*((result.fell_back,) if result.fell_back else ()), *result.warnings, *found)
            said.append(_Said(result.model, result.backend, result.milliseconds, notes))
            if bounds is not None:
                bounds.add(result)
            if self.settings.shown is not None:
                self.settings.shown.write(self.settings.shown.paths(task.target, count)[len(said) - 1], result.frame)
            yield result.frame

    def _is_shown(self, task: Task, frames: list[Frame]) -> bool:
        """Tell whether the pictures for the eye are there, where they are asked for."""
        shown = self.settings.shown
        return shown is None or all(path.exists() for path in shown.paths(task.target, len(frames)))

    def _size(self, frames: list[Frame]) -> str:
        sizes = dict.fromkeys((f.cols, f.rows) for f in frames)
        if len(sizes) > 1:
            return "various"
        ((cols, rows),) = sizes
        s = self.enhancer.scale
        return f"{cols * s} x {rows * s}"


@dataclasses.dataclass(frozen=True)
class _Said:
    """What is remembered of one picture."""

    model: str
    backend: str
    milliseconds: float
    notes: tuple[str, ...]


def _tell(about: Outcome, said: list[_Said]) -> Outcome:
    """Add to an outcome what is remembered of its pictures."""
    return dataclasses.replace(
        about,
        model=", ".join(dict.fromkeys(x.model for x in said)),
        backend=", ".join(dict.fromkeys(x.backend for x in said)),
        milliseconds=sum(x.milliseconds for x in said),
        notes=(*about.notes, *(note for x in said for note in x.notes)),
    )


def _hash_of(paths: list[Path]) -> str:
    """Return a hash of what files hold, in their order; one that cannot be read counts as empty."""
    digest = hashlib.sha256()
    for path in paths:
        with contextlib.suppress(InputError):
            digest.update(record.sha256_of(path).encode())
    return digest.hexdigest()


def check_derivable(frame: Frame, scale: int, settings: Settings, path: Path) -> None:
    """Raise InputError if nothing enlarged by ``scale`` may be derived from a DICOM file."""
    from .. import dicom

    assert frame.source is not None
    dicom.check(frame.source.header, scale, allow_burned_in=settings.allow_burned_in, path=path)


def _check_ours(*paths: Path) -> None:
    """Raise OutputError where a file stands that this package did not make."""
    for path in paths:
        if path.exists() and not results.is_result(path):
            raise OutputError(f"{path} is there and not from acutance; --overwrite replaces it")
