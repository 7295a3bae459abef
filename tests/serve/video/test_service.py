"""The service: streams that come and go, and files."""

from __future__ import annotations

import itertools
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from acutance.errors import InputError, OutputError
from acutance.live.metrics import Metrics
from acutance.serve import logs
from acutance.serve.service import Context, Streams
from acutance.serve.video import service as module
from acutance.serve.video.service import VideoService, make
from acutance.serve.video.settings import VideoSettings

Start = Callable[..., VideoService]


@pytest.fixture
def start() -> Iterator[Start]:
    """Return a function that starts a service, which ends with the test."""
    made: list[VideoService] = []

    def begin(**settings: Any) -> VideoService:
        said = {"kind": "video", "name": "room", "enhance": {"model": "base", "threads": 1}, **settings}
        context = Context(Metrics().of(service="room"), logs.of("room"), Streams())
        made.append(make(VideoSettings.model_validate(said), context))
        made[-1].start()
        return made[-1]

    yield begin
    for one in made:
        one.stop(5.0)


def until(true: Callable[[], object], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.02)


class Camera:
    """Sends a test pattern by UDP."""

    def __init__(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            one.bind(("127.0.0.1", 0))
            self.address = f"udp://127.0.0.1:{one.getsockname()[1]}"
        self._process: subprocess.Popen[bytes] | None = None

    def on(self, size: str = "64x48") -> None:
        command = ["ffmpeg", "-v", "error", "-nostdin", "-re", "-f", "lavfi", "-i", f"testsrc2=s={size}:r=15"]
        coded = ["-c:v", "mpeg2video", "-g", "5", "-bf", "0", "-f", "mpegts", f"{self.address}?pkt_size=1316"]
        self._process = subprocess.Popen([*command, *coded], stderr=subprocess.DEVNULL)

    def off(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@pytest.fixture
def camera(ffmpeg: object) -> Iterator[Camera]:
    made = Camera()
    yield made
    made.off()


def left(service: VideoService) -> float:
    return service.context.metrics.total("frames_out_total", stream="room")


def test_a_stream_is_watched_and_recorded(ffmpeg: Any, camera: Camera, start: Start, tmp_path: Path) -> None:
    camera.on()
    service = start(source=camera.address, output=str(tmp_path / "out.mkv"), page={"port": 0})
    until(lambda: left(service) >= 5)
    assert service.health() is None and service.page is not None
    said = service.page.status()
    assert (said["picture"]["rows"], said["picture"]["cols"]) == (96, 128)
    assert said["deadline_ms"] == pytest.approx(1000 / 15) and said["in"] >= said["out"] >= 5
    assert service.context.streams.get("room") is not None
    service.stop(10.0)
    assert service.context.streams.all() == []
    assert service.recorder is not None and service.recorder.parts == [tmp_path / "out.mkv"]
    times = ffmpeg.times(tmp_path / "out.mkv")
    assert len(times) >= 5 and all(b > a for a, b in itertools.pairwise(times))


@pytest.mark.slow
def test_a_stream_comes_back(
    ffmpeg: Any, camera: Camera, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_WAIT", 0.1)
    camera.on()
    service = start(
        source=camera.address, output=str(tmp_path / "out.mkv"), page={"port": 0}, decode={"silence_s": 2.0}
    )
    until(lambda: left(service) >= 5)
    decoder = service._decoder
    assert decoder is not None
    decoder._process.kill()  # ffmpeg dies
    before = left(service)
    until(lambda: left(service) > before + 3 and service.health() is None)
    assert service.context.metrics.total("source_failures_total") == 1

    camera.off()  # the source goes, and comes back with another size
    until(lambda: service.health() is not None)
    camera.on("96x64")
    until(lambda: service.page is not None and service.page.status()["picture"]["rows"] == 128)
    assert service.health() is None
    service.stop(10.0)
    assert service.recorder is not None and len(service.recorder.parts) >= 2
    assert all(ffmpeg.times(p) for p in service.recorder.parts)
    assert {p.name for p in tmp_path.iterdir()} == {p.name for p in service.recorder.parts}


def test_a_source_that_is_not_there_is_told_and_tried_again(
    camera: Camera, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acutance.serve.video.source.PROBE_TIME", 0.3)
    monkeypatch.setattr(module, "FIRST_WAIT", 0.05)
    service = start(source=camera.address, page={"port": 0})
    until(lambda: service.context.metrics.total("source_failures_total", reason="InputError") >= 2)
    assert service.health() == "no picture yet" and not service.done.is_set()


def test_a_file_is_done_once(ffmpeg: Any, clip: Callable[..., Path], start: Start, tmp_path: Path) -> None:
    source, out = clip("a.mkv", "-c:v", "ffv1"), tmp_path / "out.mkv"
    service = start(source=str(source), output=str(out))
    assert service.done.wait(30) and service.failure is None and service.health() is None
    assert len(ffmpeg.times(out)) == 5


def test_a_file_goes_to_the_page_in_its_own_time(clip: Callable[..., Path], start: Start) -> None:
    source = clip("a.mkv", "-c:v", "ffv1", pattern="testsrc2=s=48x32:r=10:d=1")
    began = time.monotonic()
    service = start(source=str(source), page={"port": 0})
    assert service.done.wait(30) and service.failure is None and time.monotonic() - began > 0.7
    assert service.context.metrics.total("frames_in_total", stream="room") == 10


def test_a_broken_file_fails(ffmpeg: Any, start: Start, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"not a film" * 100)
    service = start(source=str(broken), output=str(tmp_path / "out.mp4"))
    assert service.done.wait(30) and isinstance(service.failure, InputError)
    assert service.health() == "the file could not be finished" and not (tmp_path / "out.mp4").exists()


def test_what_cannot_start_says_so(ffmpeg: Any, start: Start, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such file"):
        start(source=str(tmp_path / "a.mp4"), output=str(tmp_path / "b.mp4"))
    with pytest.raises(OutputError, match="its folder does not exist"):
        start(source="udp://127.0.0.1:9", output=str(tmp_path / "nowhere" / "b.mp4"))
