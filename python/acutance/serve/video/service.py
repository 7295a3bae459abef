"""The video service: a stream to a file or page as it comes, or a file to a file."""

from __future__ import annotations

import dataclasses
import threading
import time
from pathlib import Path
from typing import Any

from ...enhancer import Enhancer
from ...errors import AcutanceError, InputError, UsageError
from ...live.stream import Outgoing, Stream
from ..service import Context, Service
from .convert import Stopped, convert, frame_of
from .decode import Decoder, FormatChanged, Picture
from .encode import writable
from .ffmpeg import find
from .mjpeg import Page
from .record import Recorder
from .settings import VideoSettings
from .source import Format, Source, probe

FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0
"""Seconds until a source that failed is tried again: twice as many after each failure."""

RECORD_AGAIN = 5.0
"""Seconds until a recording that failed is begun again."""


@dataclasses.dataclass(frozen=True, eq=False)
class _Tag:
    picture: Picture
    form: Format


class VideoService(Service):
    """One source; see :class:`VideoSettings`.

    Attributes
    ----------
    done : Event
        Set when there is no more to do: a file is finished, or cannot be.
    failure : AcutanceError or None
        Why a file could not be finished.
    lost : AcutanceError or None
        Why nothing comes from a stream just now.
    page : Page or None
    recorder : Recorder or None
    """

    settings: VideoSettings

    def __init__(self, settings: VideoSettings, context: Context) -> None:
        super().__init__(settings, context)
        self.done = threading.Event()
        self.failure: AcutanceError | None = None
        self.lost: AcutanceError | None = None
        self._source = Source.of(settings.source)
        self._stop = threading.Event()
        self._enhancer: Enhancer | None = None
        self._stream: Stream | None = None
        self._decoder: Decoder | None = None
        self._thread: threading.Thread | None = None
        self._trouble: str | None = "no picture yet"
        self._recording_trouble: str | None = None
        self._record_from = 0.0
        self.page = None if settings.page is None else Page(settings.page, self._status)
        self.recorder = None
        if settings.output is not None and not settings.is_file:
            self.recorder = Recorder(settings.output, settings.encode)

    def start(self) -> None:
        find("ffmpeg"), find("ffprobe")
        if self.settings.is_file and not Path(self.settings.source).is_file():
            raise InputError("there is no such file", self.settings.source)
        if self.settings.output is not None:
            writable(self.settings.output)
        self._enhancer = self.settings.enhance.enhancer()
        if self.page is not None:
            self.page.start()
        work = self._convert if self.settings.is_file and self.page is None else self._watch
        self._thread = threading.Thread(target=work, name=f"video {self.settings.name}", daemon=True)
        self._thread.start()

    def stop(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        self._stop.set()
        if self._decoder is not None:
            self._decoder.interrupt()
        if self._thread is not None:
            self._thread.join(max(deadline - time.monotonic(), 0.1))
        if self._stream is not None:
            self._stream.close(max(deadline - time.monotonic(), 0.1))
            self.context.streams.remove(self._stream)
        if self.recorder is not None:
            self._record(self.recorder.finish)
        if self.page is not None:
            self.page.stop()
        if self._enhancer is not None:
            self._enhancer.close()

    def health(self) -> str | None:
        if self._thread is None:
            return "is not running"
        if self.failure is not None:
            return "the file could not be finished"
        return self._trouble or self._recording_trouble

    def _convert(self) -> None:
        """Work on a file."""
        settings, context = self.settings, self.context
        assert self._enhancer is not None and settings.output is not None
        self._trouble = None
        try:
            report = convert(
                Path(settings.source),
                settings.output,
                self._enhancer,
                modality=settings.modality,
                decoding=settings.decode,
                encoding=settings.encode,
                stop=self._stop,
                tell=lambda done, total: context.metrics.set("pictures_done", done),
            )
            context.log.info("file finished", extra={"pictures": report.pictures, "seconds": round(report.seconds, 1)})
        except Stopped:
            context.log.info("file given up")
        except AcutanceError as e:
            self.failure = e
            context.log.error("file not finished", extra={"error": type(e).__name__})
        except Exception as e:  # it must not look as if it were still at work
            self.failure = AcutanceError(f"failed ({type(e).__name__})", settings.source)
            context.log.exception("file not finished")
        finally:
            self.done.set()

    def _watch(self) -> None:
        """Read a stream until told to stop, connecting again after each failure; or a file, once."""
        wait = FIRST_WAIT
        while not self._stop.is_set():
            started = time.monotonic()
            try:
                self._connection()
                break
            except FormatChanged:
                self.context.log.info("source has changed its format")
                wait = 0.0
            except UsageError as e:  # nothing that time heals
                self.failure = e
                self.context.log.error("cannot go on", extra={"error": type(e).__name__})
                break
            except AcutanceError as e:
                self._fail(e)
                if self._stream is not None and time.monotonic() - started > LONGEST_WAIT:
                    wait = FIRST_WAIT
            except Exception:
                self._trouble = "failed"
                self.context.log.exception("source failed")
            if self._stream is not None:
                self._stream.reset()
            if self.settings.is_file and self.failure is not None:
                break
            self._stop.wait(wait)
            wait = min(max(2 * wait, FIRST_WAIT), LONGEST_WAIT)
        self.done.set()

    def _fail(self, error: AcutanceError) -> None:
        if self._stop.is_set():
            return
        if self.settings.is_file:
            self.failure = error
        self.lost = error
        self._trouble = "source lost" if self._stream is not None else "no picture yet"
        self.context.metrics.count("source_failures_total", reason=type(error).__name__)
        self.context.log.warning("source lost", extra={"error": type(error).__name__})

    def _connection(self) -> None:
        """Read a source until it breaks off."""
        settings = self.settings
        form = probe(self._source, settings.decode, self._stop)
        stream = self._stream_of(form)
        with Decoder(self._source, form, settings.decode, realtime=settings.is_file) as decoder:
            self._decoder = decoder
            if self._stop.is_set():
                return
            for picture in decoder:
                if self._trouble is not None:
                    self._trouble = self.lost = None
                    size = "{1} x {0}".format(*picture.pixels.shape[:2])
                    self.context.log.info("source runs", extra={"size": size, "fps": form.fps})
                stream.put(frame_of(picture, settings.modality), _Tag(picture, form))

    def _stream_of(self, form: Format) -> Stream:
        """Return the stream, made when it is known how many pictures a second come."""
        if self._stream is None:
            assert self._enhancer is not None
            settings = self.settings.stream
            if settings.fps is None and settings.deadline_ms is None and form.fps is not None:
                settings = settings.model_copy(update={"fps": form.fps})
            name = self.settings.name
            self._stream = Stream(name, self._enhancer, settings, self._out, self.context.metrics)
            self.context.streams.add(self._stream)
        return self._stream

    def _out(self, outgoing: Outgoing) -> None:
        """Take a picture that leaves the stream."""
        if self.page is not None:
            self.page.show(outgoing)
        if self.recorder is not None and time.monotonic() >= self._record_from:
            tag = outgoing.tag
            assert isinstance(tag, _Tag) and self.recorder is not None
            recorder = self.recorder
            self._record(lambda: recorder.write(outgoing, tag.picture, tag.form))

    def _record(self, act: Any) -> None:
        """Do something of the recorder, whose trouble is none of the stream."""
        try:
            act()
            self._recording_trouble = None
        except AcutanceError as e:
            self._recording_trouble = "the recording failed"
            self._record_from = time.monotonic() + RECORD_AGAIN
            self.failure = self.failure or (e if self._stop.is_set() else None)
            self.context.metrics.count("recording_failures_total")
            self.context.log.error("recording failed", extra={"error": type(e).__name__})

    def _status(self) -> dict[str, Any]:
        """Return what the page shows."""
        metrics, stream = self.context.metrics, self._stream
        names = {"in": "frames_in_total", "out": "frames_out_total", "base": "frames_base_total"}
        numbers = {k: int(metrics.total(n, stream=self.settings.name)) for k, n in names.items()}
        numbers["dropped"] = int(metrics.total("frames_dropped_total", stream=self.settings.name))
        deadline = None
        if stream is not None:
            fps = stream.settings.fps
            deadline = stream.settings.deadline_ms or (None if fps is None else 1000 / fps)
        return {**numbers, "deadline_ms": deadline, "trouble": self.health()}


def make(settings: VideoSettings, context: Context) -> VideoService:
    """Return the service, not yet started."""
    return VideoService(settings, context)
