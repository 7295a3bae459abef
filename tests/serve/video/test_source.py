"""What a source says of itself, and what is taken for granted where it says nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from acutance.errors import InputError, UsageError
from acutance.serve.video import ffmpeg as program
from acutance.serve.video.settings import DecodeSettings
from acutance.serve.video.source import Source, probe

SETTINGS = DecodeSettings()


def test_hides_user_and_password() -> None:
    source = Source.of("rtsp://nurse:secret@10.0.0.5:554/room")
    assert source.shown == "rtsp://10.0.0.5:554" and source.kind == "stream"
    assert [Source.of(a).kind for a in ("/dev/video0", "a:b.mp4")] == ["device", "file"]


def test_opens_nothing_but_the_source() -> None:
    assert Source.of("x.m3u8").arguments(9)[-4:] == ["-protocol_whitelist", "file", "-i", "file:x.m3u8"]
    assert "http" not in " ".join(Source.of("rtsp://h/1").arguments(9))


def test_a_playlist_cannot_lead_elsewhere(ffmpeg: object, tmp_path: Path) -> None:
    path = tmp_path / "list.m3u8"
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n")
    with pytest.raises(InputError):
        probe(Source.of(str(path)), SETTINGS)


@pytest.mark.parametrize(("size", "matrix", "said"), [("48x32", "smpte170m", "BT.601"), ("32x720", "bt709", "BT.709")])
def test_names_what_it_assumes(clip: Callable[..., Path], size: str, matrix: str, said: str) -> None:
    path = clip("a.mkv", "-c:v", "mpeg4", "-frames:v", 1, "-pix_fmt", "yuv420p", pattern=f"testsrc2=s={size}:r=25:d=1")
    form = probe(Source.of(str(path)), SETTINGS)
    assert form.matrix == matrix and not form.full
    assert f"says no colour matrix; taken as {said}" in form.notes and "says no range; taken as limited" in form.notes


def test_tags_are_taken_and_can_be_overruled(patches: Any) -> None:
    path = Source.of(str(patches.make("bt709", True)))
    form = probe(path, SETTINGS)
    assert (form.matrix, form.full, form.primaries, form.transfer, form.notes) == ("bt709", True, "bt709", "bt709", ())
    form = probe(path, DecodeSettings(matrix="bt601", range="limited"))
    assert (form.matrix, form.full) == ("smpte170m", False)


def test_refuses_a_matrix_that_it_does_not_know(clip: Callable[..., Path]) -> None:
    path = clip("a.mkv", "-vf", "format=yuv444p,setparams=colorspace=ycgco", "-c:v", "ffv1")
    with pytest.raises(InputError, match="colour matrix ycgco is not supported"):
        probe(Source.of(str(path)), SETTINGS)
    assert probe(Source.of(str(path)), DecodeSettings(matrix="bt709")).matrix == "bt709"


def test_refuses_absurd_sizes(clip: Callable[..., Path]) -> None:
    path = clip("a.mkv", "-c:v", "ffv1")
    with pytest.raises(InputError, match=r"48 x 32 are 1536 pixels; wanted at most 1000 \(max_pixels\)"):
        probe(Source.of(str(path)), DecodeSettings(max_pixels=1000))


@pytest.mark.parametrize(
    ("pixel_format", "kind", "note"),
    [
        ("gray", "gray", None),
        ("bgr0", "rgb", None),
        ("yuv422p10le", "yuv", "more than 8 bits"),
        ("gray16le", "gray", "more than 8 bits"),
        ("yuva420p", "yuv", "transparency is dropped"),
    ],
)
def test_tells_pixel_formats(clip: Callable[..., Path], pixel_format: str, kind: str, note: str | None) -> None:
    path = clip("a.mkv", "-c:v", "ffv1", "-frames:v", 1, "-pix_fmt", pixel_format)
    form = probe(Source.of(str(path)), DecodeSettings(matrix="bt709", range="limited"))
    assert form.pixel_format == pixel_format and (form.gray, form.rgb) == (kind == "gray", kind == "rgb")
    assert [n for n in form.notes if note is None or note in n] == ([] if note is None else list(form.notes))


def test_names_what_is_no_video(ffmpeg: object, tmp_path: Path, clip: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match=r"nothing\.mp4: there is no such file"):
        probe(Source.of(str(tmp_path / "nothing.mp4")), SETTINGS)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(clip("a.mp4").read_bytes()[:600])
    with pytest.raises(InputError, match=r"moov atom not found|Invalid data") as e:
        probe(Source.of(str(broken)), SETTINGS)
    assert str(e.value).count("broken.mp4") == 1
    sound = clip("sound.mkv", "-vn", "-c:a", "pcm_s16le", "-t", "0.1", pattern="sine[out0];testsrc2[out1]")
    with pytest.raises(InputError, match="holds no moving pictures"):
        probe(Source.of(str(sound)), SETTINGS)


def test_gives_up_when_told(ffmpeg: object) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(InputError):
        probe(Source.of("udp://127.0.0.1:9"), SETTINGS, stop)


def test_says_that_there_is_no_ffmpeg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UsageError, match="video needs ffmpeg, which is not installed: sudo apt install ffmpeg"):
        program.find()
