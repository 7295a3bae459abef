"""A stream into files."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acutance.enhancer import Enhancer
from acutance.errors import OutputError
from acutance.live.stream import Outgoing
from acutance.serve.video.convert import frame_of
from acutance.serve.video.decode import Picture
from acutance.serve.video.encode import Writer
from acutance.serve.video.record import Recorder
from acutance.serve.video.settings import DecodeSettings, EncodeSettings
from acutance.serve.video.source import Format, Source, probe

Leave = Callable[..., tuple[Outgoing, Picture, Format]]


@pytest.fixture
def leave(clip: Callable[..., Path], base: Enhancer) -> Leave:
    """Return a function that gives what leaves a stream at a time in ms."""
    form = probe(Source.of(str(clip("a.mkv", "-c:v", "ffv1"))), DecodeSettings())

    def make(ticks: int, rows: int = 32) -> tuple[Outgoing, Picture, Format]:
        pixels = np.full((rows, 48, 3), ticks % 251, np.uint8)
        picture = Picture(pixels, ticks, Fraction(1, 1000), Fraction(1), False)
        made = base.run(frame_of(picture, "ES")).frame
        return Outgoing(None, made, True, None, 1.0, 0, "base"), picture, form

    return make


def test_one_file_with_the_times_of_what_left(ffmpeg: Any, leave: Leave, tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "out.mkv", EncodeSettings(lossless=True))
    for ticks in (5000, 5040, 5120, 5120, 5400):
        recorder.write(*leave(ticks))
    assert not (tmp_path / "out.mkv").exists()
    recorder.finish()
    assert recorder.parts == [tmp_path / "out.mkv"]
    assert [t * 1000 for t in ffmpeg.times(tmp_path / "out.mkv")] == [0, 40, 120, 121, 400]
    assert [int(p[0]) for p in ffmpeg.raw(tmp_path / "out.mkv", "rgb24")] == [
        t % 251 for t in (5000, 5040, 5120, 5120, 5400)
    ]


def test_another_part_where_it_begins_anew_or_changes(ffmpeg: Any, leave: Leave, tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "out.mkv", EncodeSettings(lossless=True))
    for ticks, rows in ((9000, 32), (9040, 32), (0, 32), (40, 40), (80, 40)):
        recorder.write(*leave(ticks, rows))
    recorder.finish()
    assert [p.name for p in recorder.parts] == ["out.mkv", "out-2.mkv", "out-3.mkv"]
    assert [len(ffmpeg.times(p)) for p in recorder.parts] == [2, 1, 2]


def test_goes_on_in_another_part_when_one_fails(leave: Leave, tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "out.mkv", EncodeSettings(lossless=True))
    recorder.write(*leave(0))
    writer = recorder._writer
    assert isinstance(writer, Writer)
    writer._process.kill()
    with pytest.raises(OutputError):
        recorder.write(*leave(40))
    recorder.write(*leave(80))
    recorder.finish()
    assert [p.name for p in tmp_path.iterdir() if p.name != "a.mkv"] == ["out-2.mkv"]
