"""Pictures with their timestamps, out of ffmpeg.

Pixels come raw through its standard output. What the filter ``showinfo`` says of each of them (timestamp, size, pixel
aspect, fields) comes through its standard error, before the picture itself, in the same order and numbered; both are
held against each other.
"""

from __future__ import annotations

import dataclasses
import queue
import re
import select
from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from ...errors import InputError
from ...geometry import Array
from .ffmpeg import QUIET, Process, find, passthrough
from .settings import DecodeSettings
from .source import MATRICES, PROBE_TIME, Format, Source, bare

SCALER = "flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"
"""How swscale turns one colour model into another: without these it is several levels off."""

_CONFIG = re.compile(r"showinfo\S* @ 0x[0-9a-f]+\].* config in time_base: (\d+)/(\d+)")
_PICTURE = re.compile(
    r"showinfo\S* @ 0x[0-9a-f]+\].* n: *(\d+) pts: *(\S+) .*\bsar:(\d+)/(\d+) s:(\d+)x(\d+) i:(\S)",
)


class Silence(InputError):
    """A source has sent nothing for too long."""


class FormatChanged(InputError):
    """A source now sends something else than what it said."""


@dataclasses.dataclass(frozen=True, eq=False)
class Picture:
    """A decoded picture.

    Attributes
    ----------
    pixels : ndarray of uint8
        ``[rows, cols]`` or ``[rows, cols, 3]``, RGB of the full range.
    ticks : int
        Its time since the source's start, in units of ``unit``.
    unit : Fraction
        Seconds.
    aspect : Fraction
        Width of a pixel by its height; 1 where the source does not say.
    interlaced : bool
    """

    pixels: Array
    ticks: int
    unit: Fraction
    aspect: Fraction
    interlaced: bool

    @property
    def seconds(self) -> float:
        return float(self.ticks * self.unit)


@dataclasses.dataclass(frozen=True)
class _Said:
    """What showinfo says of a picture; ``ticks`` is None where it has no timestamp."""

    number: int
    ticks: int | None
    unit: Fraction
    aspect: Fraction
    rows: int
    cols: int
    interlaced: bool


class Decoder:
    """The pictures of a source, one after the other, each as it was decoded.

    Parameters
    ----------
    source : Source
    form : Format
        What :func:`probe` said of it.
    settings : DecodeSettings
    realtime : bool
        Give the pictures of a file when their time has come.

    Attributes
    ----------
    untimed : int
        Pictures without a timestamp, which got that of the one before and the interval at which they come.
    """

    def __init__(self, source: Source, form: Format, settings: DecodeSettings, realtime: bool = False) -> None:
        self._source, self._form, self._settings = source, form, settings
        # Left to itself, ffmpeg counts some formats' times from the first picture, and not from where sound begins.
        self._own_zero = source.kind == "file" and not realtime
        self._said: queue.SimpleQueue[_Said | None] = queue.SimpleQueue()
        self._unit = Fraction(1, 1000)
        self._size: tuple[int, int] | None = None
        self._last: tuple[int, int] | None = None
        self._count = 0
        self.untimed = 0
        self._process = Process(self._arguments(realtime), stdout=True, hear=self._hear, hide=source.address)

    @property
    def error_count(self) -> int:
        """Errors that ffmpeg has found in the source so far, and got over."""
        return self._process.error_count

    @property
    def reason(self) -> str:
        """The last of these errors."""
        return bare(self._process.reason, self._source)

    def read(self) -> Picture | None:
        """Return the next picture; None at the end of a file.

        Raises
        ------
        InputError
            The source broke off or cannot be decoded.
        Silence, FormatChanged
        """
        said = self._next()
        if said is None:
            self._end()
            return None
        if self._size not in (None, (said.rows, said.cols)):
            assert self._size is not None
            was, now = (f"{c} x {r}" for r, c in (self._size, (said.rows, said.cols)))
            last, step = self._last or (0, 0)  # what comes now may count from another zero
            at = f"at {float(self._since_start(last + step, said.unit) * said.unit):.2f} s"
            raise FormatChanged(f"its size changes from {was} to {now} {at}; cut it there", self._source.shown)
        if said.number != self._count:
            raise InputError("ffmpeg's pictures and their timestamps do not fit each other", self._source.shown)
        self._size = (said.rows, said.cols)
        self._count += 1
        pixels = np.empty(self._size if self._form.gray else (*self._size, 3), np.uint8)
        if not self._fill(memoryview(pixels.reshape(-1).data)):
            self._end(broken=True)
            return None
        return Picture(pixels, self._timed(said), said.unit, said.aspect, said.interlaced)

    def __iter__(self) -> Iterator[Picture]:
        while (picture := self.read()) is not None:
            yield picture

    def __enter__(self) -> Decoder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def interrupt(self) -> None:
        """Have :meth:`read` end soon, from another thread."""
        self._process.interrupt()

    def close(self) -> None:
        """End ffmpeg."""
        self._process.kill()

    def _arguments(self, realtime: bool) -> list[str]:
        form, settings = self._form, self._settings
        filters = []
        if settings.deinterlace == "always" or (settings.deinterlace == "auto" and form.interlaced):
            only = "interlaced" if settings.deinterlace == "auto" else "all"
            filters.append(f"bwdif=mode=send_frame:deint={only}")
        if form.gray:
            filters.append("format=gray")
        elif form.rgb:
            filters.append(f"scale={SCALER},format=rgb24")
        else:
            colours = f"in_color_matrix={MATRICES[form.matrix]}:in_range={'pc' if form.full else 'tv'}"
            filters.append(f"scale={colours}:out_range=pc:{SCALER},format=rgb24")
        live = [] if self._source.kind == "file" else ["-thread_type", "slice"]  # threads by frame hold frames back
        return [
            *(find(), *QUIET, "repeat+level+info"),
            *(["-re"] if realtime else []),
            *(["-copyts"] if self._own_zero else []),
            *live,
            *self._source.arguments(settings.max_pixels),
            *("-map", f"0:{form.index}", "-vf", ",".join([*filters, "showinfo@acutance=checksum=0"])),
            *passthrough(),
            *("-threads", "1", "-flush_packets", "1", "-f", "rawvideo", "pipe:1"),  # more threads hold pictures back
        ]

    def _hear(self, line: str | None) -> None:
        """Take a line that ffmpeg says; called by the thread that listens."""
        if line is None:
            self._said.put(None)
        elif found := _CONFIG.search(line):
            self._unit = Fraction(int(found[1]), int(found[2]))
        elif found := _PICTURE.search(line):
            number, ticks, across, down, cols, rows, fields = found.groups()
            aspect = Fraction(int(across), int(down)) if int(across) and int(down) else Fraction(1)
            time = int(ticks) if ticks != "NOPTS" else None
            self._said.put(_Said(int(number), time, self._unit, aspect, int(rows), int(cols), fields in "TB"))

    @property
    def _patience(self) -> float | None:
        """Seconds until a picture must have come; the first one has longer."""
        if self._source.kind == "file":
            return None
        return self._settings.silence_s + (PROBE_TIME if self._count == 0 else 0)

    def _next(self) -> _Said | None:
        try:
            return self._said.get(timeout=self._patience)
        except queue.Empty:
            raise self._silence() from None

    def _fill(self, buffer: memoryview) -> bool:
        """Read until a buffer is full; return False when the pixels end before."""
        pipe, done = self._process.stdout, 0
        while done < len(buffer):
            if not select.select([pipe], [], [], self._patience)[0]:
                raise self._silence()
            n = pipe.readinto(buffer[done:])  # type: ignore[attr-defined]
            if not n:
                return False
            done += n
        return True

    def _silence(self) -> Silence:
        return Silence(f"has sent no picture for {self._patience:g} s", self._source.shown)

    def _end(self, broken: bool = False) -> None:
        """Say how the source ended."""
        status = self._process.wait()
        if broken or status != 0:
            raise InputError(f"broke off after {self._count} pictures: {self.reason}", self._source.shown)
        if self._count == 0:
            raise InputError(f"gives no picture: {self.reason}", self._source.shown)
        if self._source.kind != "file":
            raise InputError("has ended", self._source.shown)

    def _timed(self, said: _Said) -> int:
        """Return the time of a picture, made up where it has none."""
        ticks = said.ticks
        if ticks is None:
            self.untimed += 1
            nominal = max(1, round(1 / (self._form.fps or 25) / said.unit))
            ticks = 0 if self._last is None else self._last[0] + (self._last[1] or nominal)
        self._last = (ticks, 0 if self._last is None else ticks - self._last[0])
        return self._since_start(ticks, said.unit)

    def _since_start(self, ticks: int, unit: Fraction) -> int:
        return ticks - (round(self._form.start / unit) if self._own_zero else 0)
