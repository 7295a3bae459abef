"""``acutance serve video``: one file or stream, without a configuration."""

from __future__ import annotations

import contextlib
import enum
import logging
import secrets
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from .service import VideoService
    from .settings import VideoSettings

DONE, FAILED, PARTLY, INTERRUPTED = 0, 1, 3, 130
"""Exit statuses."""

LOOK_EVERY = 0.2
"""Seconds."""


class Deinterlace(str, enum.Enum):
    auto = "auto"
    always = "always"
    never = "never"


class Matrix(str, enum.Enum):
    bt601 = "bt601"
    bt709 = "bt709"


class Range(str, enum.Enum):
    limited = "limited"
    full = "full"


class Guard(str, enum.Enum):
    box = "box"
    none = "none"


def video(
    source: Annotated[
        str,
        typer.Argument(
            metavar="IN",
            help="A video file, a device (/dev/video0), or a stream (rtsp://, rtsps://, udp://, rtp://, srt://).",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="OUT", help="An .mp4 or .mkv file.", show_default=False),
    ] = None,
    page: Annotated[
        str | None,
        typer.Option(
            metavar="[ADDRESS:]PORT",
            help="Show it in a browser as it comes. Without ADDRESS to this machine only; else with a token.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            metavar="auto|NAME|FILE|base",
            help="By modality; a shipped model: gray-seq-x2 remembers the pictures before; an .onnx file; no network.",
        ),
    ] = "auto",
    modality: Annotated[str, typer.Option(metavar="CODE", help="ES (endoscopy), US, XA, RF, ...")] = "ES",
    scale: Annotated[int | None, typer.Option(min=2, max=4, help="2, or the model's own, when not given.")] = None,
    backend: Annotated[str, typer.Option(help="auto, onnxruntime or tensorrt.")] = "auto",
    guard: Annotated[Guard | None, typer.Option(help="As the model says when not given.")] = None,
    threads: Annotated[int, typer.Option(min=0, help="For the network; 0: as many as there are.")] = 0,
    lossless: Annotated[bool, typer.Option("--lossless", help="FFV1 instead of H.264; into .mkv.")] = False,
    quality: Annotated[int, typer.Option(min=0, max=51, help="Of H.264 (CRF): less is better.")] = 17,
    audio: Annotated[bool, typer.Option("--audio/--no-audio", help="Copy the sound of a file.")] = True,
    deinterlace: Annotated[
        Deinterlace, typer.Option(help="Make one picture of two fields: where the source says so, always or never.")
    ] = Deinterlace.auto,
    matrix: Annotated[
        Matrix | None, typer.Option(help="Of the source's colours, in place of what it says.", show_default=False)
    ] = None,
    span: Annotated[
        Range | None,
        typer.Option("--range", help="Of the source's values, in place of what it says.", show_default=False),
    ] = None,
    fps: Annotated[
        float | None, typer.Option(min=0.1, max=1000, help="Pictures a second of a stream; its own when not given.")
    ] = None,
    deadline: Annotated[
        float | None,
        typer.Option(min=1, max=60_000, metavar="MS", help="Until a picture of a stream leaves, enhanced or not."),
    ] = None,
    max_pixels: Annotated[int, typer.Option(min=1, help="Of a picture of the source; more are refused.")] = 1 << 25,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it is there.")] = False,
) -> None:
    """Enhance a video file, or a stream as it comes.

    Every picture of a file is enhanced. A stream keeps its time: the latest picture goes first, and what the network
    cannot finish in time leaves enlarged by a filter. It runs until Ctrl-C. Needs ffmpeg (docs/video.md).

    Exit status: 0 done, 3 done but for damage in the source or pictures without the network, 1 failed, 2 wrong usage,
    130 interrupted.
    """
    settings = _settings(
        {
            "kind": "video",
            "name": "video",
            "source": source,
            "output": output,
            "page": None if page is None else _page(page),
            "modality": modality.upper(),
            "decode": {
                "deinterlace": deinterlace.value,
                "matrix": matrix and matrix.value,
                "range": span and span.value,
                "max_pixels": max_pixels,
            },
            "encode": {"lossless": lossless, "quality": quality, "audio": audio},
            "enhance": {
                "model": model,
                "scale": scale,
                "backend": backend,
                "guard": guard and guard.value,
                "threads": threads,
            },
            "stream": {"fps": fps, "deadline_ms": deadline},
        }
    )
    if output is not None:
        _check(settings, output, overwrite)
    raise typer.Exit(_file(settings) if settings.is_file and page is None else _stream(settings))


def _settings(said: dict[str, Any]) -> VideoSettings:
    """Check settings as those of a configuration are."""
    import pydantic

    from ...errors import UsageError
    from ..config import said_of
    from .settings import VideoSettings

    try:
        return VideoSettings.model_validate(said)
    except pydantic.ValidationError as e:
        raise UsageError("; ".join(said_of(e)).removeprefix("the table: ")) from None


def _page(where: str) -> dict[str, Any]:
    """Return settings of a page from ``[ADDRESS:]PORT``; with a fresh token where others can reach it."""
    from ...errors import UsageError
    from .settings import is_loopback

    address, _, port = where.rpartition(":")
    address = address.strip("[]") or "127.0.0.1"
    if not port.isdigit() or int(port) > 65535:
        raise UsageError(f"--page wants [ADDRESS:]PORT, as 8750 or 192.168.1.5:8750; got '{where}'")
    token = None if is_loopback(address) else secrets.token_urlsafe(24)
    return {"address": address, "port": int(port), "token": token}


def _check(settings: VideoSettings, output: Path, overwrite: bool) -> None:
    from ...beside import sweep
    from ...errors import UsageError
    from .encode import writable

    writable(output)
    if output.exists() and settings.is_file and Path(settings.source).exists() and output.samefile(settings.source):
        raise UsageError("the result would overwrite its source", output)
    if output.exists() and not overwrite:
        raise UsageError("is there already; give another name or --overwrite", output)
    sweep(output.parent)


def _file(settings: VideoSettings) -> int:
    """Enhance a file and say what became of it."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from .convert import Stopped, convert

    assert settings.output is not None
    screen = Console(file=sys.stderr, highlight=False, markup=False, soft_wrap=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with settings.enhance.enhancer() as enhancer, _told() as stop:
        try:
            with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as bar:
                drawn = bar.add_task("pictures", total=None)
                report = convert(
                    Path(settings.source),
                    settings.output,
                    enhancer,
                    modality=settings.modality,
                    decoding=settings.decode,
                    encoding=settings.encode,
                    stop=stop,
                    tell=lambda done, total: bar.update(drawn, completed=done, total=total and max(done, total)),
                )
        except Stopped as e:
            screen.print(str(e))
            return INTERRUPTED
    for note in report.notes:
        screen.print(f"{settings.source}: {note}")
    for why, n in report.based.items():
        screen.print(f"{settings.source}: {n} pictures are only their base: {why}")
    rows, cols = report.size
    seconds = max(report.seconds, 1e-9)
    typer.echo(
        f"{settings.output}: {report.pictures} pictures, {report.form.cols} x {report.form.rows} to {cols} x {rows}, "
        f"by {report.model} ({report.backend}), in {seconds:.1f} s ({report.pictures / seconds:.1f} a second)"
    )
    return PARTLY if report.based or not report.whole else DONE


def _stream(settings: VideoSettings) -> int:
    """Run a stream until it is done or we are told to end."""
    from ...live.metrics import Metrics
    from .. import logs
    from ..service import Context, Streams
    from .service import make

    logging.getLogger("acutance").addHandler(logging.NullHandler())  # what matters is said here
    service = make(settings, Context(Metrics(), logs.of(settings.name), Streams()))
    with _told() as stop:
        try:
            service.start()
            if service.page is not None:
                typer.echo(f"{service.page.url} shows it; Ctrl-C ends")
            lost = None
            while not (stop.is_set() or service.done.is_set()):
                stop.wait(LOOK_EVERY)
                if service.lost is not lost:
                    lost = service.lost
                    typer.echo(f"{lost}; trying again" if lost else "it is back", err=True)
        finally:
            service.stop(20.0)
    _tell(service)
    if service.failure is not None:
        raise service.failure
    return DONE


def _tell(service: VideoService) -> None:
    """Say what became of a stream."""
    total, name = service.context.metrics.total, service.settings.name
    came, left, based, dropped = (
        int(total(f"frames_{what}_total", stream=name)) for what in ("in", "out", "base", "dropped")
    )
    typer.echo(f"{came} pictures came, {left} left, {based} of them only as their base, {dropped} were dropped")
    for path in service.recorder.parts if service.recorder is not None else []:
        typer.echo(f"{path}: recorded")


@contextlib.contextmanager
def _told() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C or SIGTERM into an event; the second one ends at once."""
    stop = threading.Event()
    before: dict[signal.Signals, Any] = {}

    def hear(number: int, _: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    for one in (signal.SIGINT, signal.SIGTERM):
        before[one] = signal.signal(one, hear)
    try:
        yield stop
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
