"""A video file in, a sharper one out: every picture enhanced, none dropped, each at its time."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import importlib.metadata
import threading
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

from ...enhancer import IN_FLIGHT, Enhancer, Result
from ...errors import AcutanceError, InputError, UsageError
from ...geometry import Derivation, Frame
from .decode import Decoder, Picture
from .encode import Look, Writer
from .settings import DecodeSettings, EncodeSettings
from .source import Format, Source, probe

LEVELS = (0.0, 255.0)
"""Value range of every picture: that of 8 bits, so that nothing pumps, and files come out as streams do."""

RUN_BACK = 1.0
"""Seconds by which time may run back from one picture to the next; they are then a tick apart."""

LONGEST_GAP = 3600.0
"""Seconds from one picture to the next, above which a file is two that were put together."""

Tell = Callable[[int, int | None], None]
"""Gets how many pictures are done, and of how many about."""


class Stopped(AcutanceError):
    """The user wants no more."""


@dataclasses.dataclass
class Report:
    """What became of a file.

    Attributes
    ----------
    form : Format
    pictures : int
    size : (int, int)
        Rows and columns of the result.
    model, backend : str
    based : Counter of str
        Pictures that are only their base though a network was asked for, by the reason.
    notes : list of str
        What the user should know.
    seconds : float
    whole : bool
        Whether nothing in the source was damaged.
    """

    form: Format
    pictures: int = 0
    size: tuple[int, int] = (0, 0)
    model: str = ""
    backend: str = ""
    based: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    notes: list[str] = dataclasses.field(default_factory=list)
    seconds: float = 0.0
    whole: bool = True


def frame_of(picture: Picture, modality: str) -> Frame:
    """Return a decoded picture as the Enhancer takes it."""
    return Frame(picture.pixels, modality=modality, value_range=LEVELS, timestamp=picture.seconds)


def comment(made: Derivation) -> str:
    """Return what a file says of how it was made."""
    version = importlib.metadata.version("acutance")
    with_model = "cubic filter" if made.model == "base" else f"{made.model} {made.version}"
    return f"enlarged by {made.scale} by acutance {version} ({with_model}); derived, not for diagnosis"


def convert(
    source: Path,
    target: Path,
    enhancer: Enhancer,
    *,
    modality: str = "ES",
    decoding: DecodeSettings | None = None,
    encoding: EncodeSettings | None = None,
    stop: threading.Event | None = None,
    tell: Tell = lambda done, total: None,
) -> Report:
    """Enhance every picture of a file, in the order of time; what was at ``target`` stays until all is done.

    Parameters
    ----------
    source, target : Path
    enhancer : Enhancer
        For this file alone: a model with memory takes it as one sequence.
    modality : str
    decoding : DecodeSettings, optional
    encoding : EncodeSettings, optional
    stop : Event, optional
        Set: end soon, by :class:`Stopped`.
    tell : callable

    Raises
    ------
    InputError, OutputError, UsageError
        One line; nothing is left of the result.
    """
    started = time.monotonic()
    decoding, encoding, stop = decoding or DecodeSettings(), encoding or EncodeSettings(), stop or threading.Event()
    if target.exists() and source.exists() and target.samefile(source):
        raise UsageError("the result would overwrite its source", target)
    where = Source("file", str(source))
    form = probe(where, decoding, stop)
    work = _Work(where, target, enhancer, encoding, Report(form, notes=list(form.notes)), tell)
    try:
        with Decoder(where, form, decoding) as decoder:
            for picture in decoder:
                if stop.is_set():
                    raise Stopped("interrupted; nothing is left of the result", target)
                work.take(picture, modality)
            writer = work.finish()
            _conclude(work, decoder, writer, decoding)
    except BaseException as e:
        work.give_up(e)
        raise
    work.report.seconds = time.monotonic() - started
    return work.report


class _Work:
    """Pictures of a file on their way through the Enhancer to the writer."""

    def __init__(
        self, source: Source, target: Path, enhancer: Enhancer, encoding: EncodeSettings, report: Report, tell: Tell
    ) -> None:
        self._source, self._target, self._enhancer, self._encoding = source, target, enhancer, encoding
        self.report, self._tell = report, tell
        self._waiting: collections.deque[Picture] = collections.deque()
        self._writer: Writer | None = None
        self._last: float | None = None
        self.interlaced = 0

    def take(self, picture: Picture, modality: str) -> None:
        """Hand in a picture; where there are enough under way, the first one leaves."""
        last, self._last = self._last, picture.seconds
        if last is not None and not -RUN_BACK < self._last - last < LONGEST_GAP:
            raise InputError(f"its time jumps from {last:.2f} to {self._last:.2f} s; cut it there", self._source.shown)
        if len(self._waiting) == IN_FLIGHT:
            self._leave()
        self._enhancer.submit(frame_of(picture, modality))
        self._waiting.append(picture)
        self.interlaced += picture.interlaced

    def finish(self) -> Writer:
        """Write what is left, and have the file in its place."""
        while self._waiting:
            self._leave()
        assert self._writer is not None
        self._writer.finish()
        return self._writer

    def give_up(self, error: BaseException) -> None:
        """Leave nothing behind."""
        while self._waiting:
            self._waiting.popleft()
            with contextlib.suppress(Exception):
                self._enhancer.result()
        if self._writer is not None:
            self._writer.abort(error)

    def _leave(self) -> None:
        picture, result = self._waiting.popleft(), self._enhancer.result()
        writer = self._writer = self._writer or self._begin(picture, result)
        writer.write(result.pixels, picture.ticks)
        self.report.pictures += 1
        if result.fell_back is not None:
            self.report.based[result.fell_back] += 1
        self._tell(self.report.pictures, self.report.form.frames)

    def _begin(self, picture: Picture, result: Result) -> Writer:
        form, made = self.report.form, result.frame.derivation
        assert made is not None
        rows, cols = result.pixels.shape[:2]
        self.report.size, self.report.model, self.report.backend = (rows, cols), result.model, result.backend
        look = Look(rows, cols, form, picture.unit, picture.aspect, comment(made))
        sound = self._source if form.sound and self._encoding.audio else None
        return Writer(self._target, look, self._encoding, sound, shift=max(Fraction(0), -picture.ticks * picture.unit))


def _conclude(work: _Work, decoder: Decoder, writer: Writer, decoding: DecodeSettings) -> None:
    """Note what the user should know of the source."""
    report, interlaced = work.report, work.interlaced
    if decoder.error_count:
        report.whole = False
        report.notes.append(f"the source is damaged ({decoder.reason}); what could be decoded is in the result")
    if interlaced:
        kept = "as --deinterlace never says" if decoding.deinterlace == "never" else "--deinterlace always turns them"
        report.notes.append(f"{interlaced} pictures are interlaced, and were kept so ({kept})")
    elif decoding.deinterlace != "never" and report.form.interlaced:
        report.notes.append("interlaced: each pair of fields was made one picture (bwdif)")
    if decoder.untimed:
        report.notes.append(f"{decoder.untimed} pictures have no timestamp; they follow at the usual interval")
    if writer.uneven:
        report.notes.append(f"{writer.uneven} timestamps do not grow; those pictures follow in the next tick")
