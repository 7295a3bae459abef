"""Pictures with their timestamps, into a file by ffmpeg."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np

from ...beside import beside
from ...errors import OutputError, UsageError
from ...geometry import Array
from . import matroska
from .decode import SCALER
from .ffmpeg import QUIET, Process, find, has_encoder, passthrough
from .settings import EncodeSettings, check_container
from .source import MATRICES, Format, Source

H264_SIDE = 16384
"""Largest side of a picture that libx264 takes."""

NANO = 10**9

USUAL_RATE = 25.0
"""Pictures a second where a source does not say."""

FINISHING = 600.0
"""Seconds that ffmpeg gets to write what it has."""


@dataclasses.dataclass(frozen=True)
class Look:
    """What every picture of a file has in common.

    Attributes
    ----------
    rows, cols : int
        Of the enlarged pictures.
    form : Format
        Of their source: colours are tagged as they were.
    unit : Fraction
        Seconds of a tick.
    aspect : Fraction
    comment : str
        Kept in the file: how it was made.
    """

    rows: int
    cols: int
    form: Format
    unit: Fraction
    aspect: Fraction
    comment: str


class Writer:
    """Writes a file, whole or not at all.

    Parameters
    ----------
    path : Path
        ``.mp4`` or ``.mkv``.
    look : Look
    settings : EncodeSettings
    sound : Source, optional
        File whose sound is copied.
    shift : Fraction
        Seconds that are added to every time: those before 0 cannot be written.
    speed : str
        Preset of libx264.

    Attributes
    ----------
    uneven : int
        Pictures whose time was not after the one before; they got the next tick.
    last : int or None
        Ticks of the last picture.

    Raises
    ------
    UsageError
        This ffmpeg cannot write it.
    OutputError
        It cannot be written.
    """

    def __init__(
        self,
        path: Path,
        look: Look,
        settings: EncodeSettings,
        sound: Source | None = None,
        shift: Fraction = Fraction(0),
        speed: str = "fast",
    ) -> None:
        self._path, self._look, self._settings, self._shift = path, look, settings, shift
        self.uneven, self.last = 0, None
        _check(path, look, settings)
        self._file = contextlib.ExitStack()
        temporary = self._file.enter_context(beside(path))
        try:
            self._process = Process(self._arguments(temporary.name, sound, speed), stdin=True, hide=temporary.name)
        except BaseException as e:
            self._leave(e)
            raise
        try:
            interval = round(NANO / (look.form.fps or USUAL_RATE))
            self._put(matroska.header(look.rows, look.cols, look.form.gray, interval))
        except BaseException as e:
            self.abort(e)
            raise

    uneven: int
    last: int | None

    def write(self, pixels: Array, ticks: int) -> None:
        """Write the next picture.

        Parameters
        ----------
        pixels : ndarray of uint8
            ``[rows, cols]`` or ``[rows, cols, 3]``.
        ticks : int
            Its time.

        Raises
        ------
        OutputError
        """
        if self.last is not None and ticks <= self.last:
            self.uneven += 1
            ticks = self.last + 1
        self.last = ticks
        time = round((ticks * self._look.unit + self._shift) * NANO)
        self._put(matroska.before(time, pixels.nbytes))
        self._put(np.ascontiguousarray(pixels).reshape(-1).data)

    def finish(self) -> None:
        """Have everything written, and the file in its place.

        Raises
        ------
        OutputError
        """
        try:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
            try:
                status = self._process.wait(FINISHING)
            except subprocess.TimeoutExpired:
                raise OutputError(f"ffmpeg has not finished it within {FINISHING:g} s", self._path) from None
            if status != 0 or self._process.said("Error writing trailer"):
                raise self._failed()
        except BaseException as e:
            self.abort(e)
            raise
        self._file.close()

    def abort(self, error: BaseException | None = None) -> None:
        """End ffmpeg, and leave nothing behind."""
        self._process.kill()
        self._leave(error or OutputError("was given up", self._path))

    def _leave(self, error: BaseException) -> None:
        """Leave the temporary file as a failure, which removes it."""
        with contextlib.suppress(Exception):
            self._file.__exit__(type(error), error, error.__traceback__)

    def _put(self, data: bytes | memoryview) -> None:
        try:
            view = memoryview(data)
            while view:
                view = view[self._process.stdin.write(view) :]
        except (OSError, ValueError):  # a broken pipe, a closed one
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(5.0)
            raise self._failed() from None

    def _failed(self) -> OutputError:
        reason = self._process.reason
        if "not currently supported in container" in reason or "codec not supported" in reason:
            reason += "; write .mkv, or leave the sound out"
        if self._process.said("No space left on device"):
            reason = "the disk is full"
        return OutputError(f"cannot be written: {reason}", self._path)

    def _arguments(self, temporary: str, sound: Source | None, speed: str) -> list[str]:
        look = self._look
        unit = look.unit
        inputs = ["-copyts", "-f", "matroska", "-probesize", "32", "-analyzeduration", "0", "-i", "pipe:0"]
        maps = ["-map", "0:v:0"]
        if sound is not None:
            offset = float(self._shift) - look.form.start
            inputs += ["-itsoffset", f"{offset:.6f}", "-vn", "-protocol_whitelist", "file"]
            inputs += ["-i", f"file:{sound.address}"]
            maps += ["-map", "1:a", "-c:a", "copy"]
        return [
            *(find(), *QUIET, "repeat+level+error", *inputs, *maps),
            *(*_codec(look, self._settings, speed), *passthrough()),
            *("-enc_time_base", f"{unit.numerator}:{unit.denominator}"),
            *("-map_metadata", "-1", "-map_chapters", "-1", "-metadata", f"comment={look.comment}"),
            *("-movflags", "+faststart+write_colr") * (self._path.suffix.lower() == ".mp4"),
            *("-f", check_container(self._path, self._settings.lossless), "-y", f"file:{temporary}"),
        ]


def _check(path: Path, look: Look, settings: EncodeSettings) -> None:
    try:
        check_container(path, settings.lossless)
    except ValueError as e:
        raise UsageError(str(e), path) from None
    size = look.rows * look.cols * (1 if look.form.gray else 3)
    if size > matroska.LARGEST - 64:
        raise OutputError(f"a picture of {size} bytes is more than ffmpeg takes ({matroska.LARGEST})", path)
    if settings.lossless:
        return
    if max(look.rows, look.cols) > H264_SIDE:
        raise OutputError(f"{look.cols} x {look.rows} is larger than H.264 holds; write it lossless to .mkv", path)
    if not has_encoder("libx264"):
        raise UsageError("this ffmpeg has no libx264; write it lossless to .mkv, or install another build", path)


def _codec(look: Look, settings: EncodeSettings, speed: str) -> list[str]:
    """Return the options that make the colours of the source again, and say which they are."""
    form = look.form
    span = "pc" if form.full else "tv"
    tags = f"color_primaries={form.primaries}:color_trc={form.transfer}"
    aspect = f"setsar={look.aspect.numerator}/{look.aspect.denominator}"
    if settings.lossless:
        colours, pixel_format = ("unknown", "gray") if form.gray else ("gbr", "bgr0")
        spoken = f"setparams=range={span if form.gray else 'pc'}:colorspace={colours}:{tags}"
        return ["-vf", f"format={pixel_format},{spoken},{aspect}", "-c:v", "ffv1", "-level", "3", "-g", "1"]
    # Sides that are odd cannot share chroma between two pixels.
    chroma = "yuv444p" if look.rows % 2 or look.cols % 2 else "yuv420p"
    if form.gray:  # its values are luma already; full to full leaves them as they are
        turned = f"scale=out_range=pc:{SCALER},format={chroma}"
    else:
        turned = f"scale=out_color_matrix={MATRICES[form.matrix]}:out_range={span}:{SCALER},format={chroma}"
    spoken = f"setparams=range={span}:colorspace={form.matrix}:{tags}"
    return ["-vf", f"{turned},{spoken},{aspect}", "-c:v", "libx264", "-preset", speed, "-crf", str(settings.quality)]


def writable(path: Path) -> None:
    """Make sure of a place before work begins.

    Raises
    ------
    OutputError
        Its folder does not exist or cannot be written.
    """
    if not path.parent.is_dir():
        raise OutputError("its folder does not exist", path)
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise OutputError("it is a folder" if path.is_dir() else "no permission to write there", path)
