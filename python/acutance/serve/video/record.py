"""A stream into files: one, and another each time it breaks off or changes."""

from __future__ import annotations

import contextlib
from pathlib import Path

from ...errors import AcutanceError
from ...live.stream import Outgoing
from .convert import RUN_BACK, comment
from .decode import Picture
from .encode import Look, Writer
from .settings import EncodeSettings
from .source import Format


def part(path: Path, number: int) -> Path:
    """Return the place of a part of a recording: ``NAME.mkv``, ``NAME-2.mkv``, ..."""
    return path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")


class Recorder:
    """Writes what leaves a stream.

    Called by one thread at a time.

    Attributes
    ----------
    parts : list of Path
        Files that are finished.
    """

    def __init__(self, path: Path, settings: EncodeSettings) -> None:
        self._path, self._settings = path, settings
        self._writer: Writer | None = None
        self._shape: tuple[int, ...] = ()
        self._look: Look | None = None
        self._first = 0
        self._begun = 0
        self._open_at: Path | None = None
        self.parts: list[Path] = []

    def write(self, outgoing: Outgoing, picture: Picture, form: Format) -> None:
        """Write a picture; where it does not fit those before, into a new part.

        Raises
        ------
        OutputError, UsageError
            The part under way is lost; the next picture begins another.
        """
        pixels = outgoing.frame.pixels
        if self._writer is not None and not self._fits(pixels.shape, picture, form):
            self.finish()
        try:
            if self._writer is None:
                self._begin(outgoing, picture, form)
            assert self._writer is not None
            self._writer.write(pixels, picture.ticks - self._first)
        except AcutanceError as e:
            self._abort(e)
            raise

    def finish(self) -> None:
        """End the part under way.

        Raises
        ------
        OutputError
        """
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.finish()
            assert self._open_at is not None
            self.parts.append(self._open_at)

    def _fits(self, shape: tuple[int, ...], picture: Picture, form: Format) -> bool:
        look, writer = self._look, self._writer
        assert look is not None and writer is not None and writer.last is not None
        back = (writer.last - picture.ticks + self._first) * picture.unit
        same = (shape, form, picture.unit, picture.aspect) == (self._shape, look.form, look.unit, look.aspect)
        return same and back < RUN_BACK

    def _begin(self, outgoing: Outgoing, picture: Picture, form: Format) -> None:
        self._begun += 1
        while self._begun > 1 and part(self._path, self._begun).exists():
            self._begun += 1
        self._open_at = part(self._path, self._begun)
        made = outgoing.frame.derivation
        assert made is not None
        self._shape, self._first = outgoing.frame.pixels.shape, picture.ticks
        self._look = Look(self._shape[0], self._shape[1], form, picture.unit, picture.aspect, comment(made))
        self._writer = Writer(self._open_at, self._look, self._settings, speed="veryfast")

    def _abort(self, error: BaseException) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            with contextlib.suppress(AcutanceError):
                writer.abort(error)
