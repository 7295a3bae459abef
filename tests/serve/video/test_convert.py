"""Files in, files out: colours, times, sound, and what is left when it fails."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acutance.enhancer import Enhancer
from acutance.errors import AcutanceError, InputError, OutputError, UsageError
from acutance.geometry import Frame
from acutance.sequence import Sequence
from acutance.serve.video.convert import Stopped, convert
from acutance.serve.video.encode import Writer
from acutance.serve.video.settings import DecodeSettings, EncodeSettings

ODD = "testsrc2=s=48x32:r=25:d=0.08,format=gbrp,crop=47:31"

LOSSLESS = EncodeSettings(lossless=True)


@pytest.mark.parametrize("full", [False, True], ids=["limited", "full"])
@pytest.mark.parametrize("matrix", ["bt601", "bt709"])
def test_colours_and_their_tags_come_back(
    ffmpeg: Any, patches: Any, base: Enhancer, tmp_path: Path, matrix: str, full: bool
) -> None:
    out = tmp_path / "out.mp4"
    convert(patches.make(matrix, full), out, base, encoding=EncodeSettings(quality=0))
    said, name = ffmpeg.stream(out), {"bt601": "smpte170m"}.get(matrix, matrix)
    tags = [said[k] for k in ("color_range", "color_space", "color_primaries", "color_transfer", "pix_fmt")]
    assert tags == ["pc" if full else "tv", name, name, "bt709", "yuvj420p" if full else "yuv420p"]
    rows, cols, side = 2 * patches.side, 2 * patches.side * len(patches.yuv), patches.side
    raw = ffmpeg.raw(out, said["pix_fmt"])[0]
    luma, chroma = raw[: rows * cols].reshape(rows, cols), raw[rows * cols :].reshape(2, rows // 2, cols // 2)
    got = np.stack([luma[side, side :: 2 * side], *chroma[:, side // 2, side // 2 :: side]], axis=1)
    assert np.abs(got - patches.yuv.astype(int)).max() <= 2


@pytest.mark.parametrize("full", [False, True], ids=["limited", "full"])
def test_gray_keeps_its_values_and_range(ffmpeg: Any, patches: Any, base: Enhancer, tmp_path: Path, full: bool) -> None:
    out = tmp_path / "out.mp4"
    source = patches.make("bt709", full, gray=True)
    report = convert(source, out, base, encoding=EncodeSettings(quality=0))
    assert report.form.gray and report.form.full == full
    said = ffmpeg.stream(out)
    assert said["color_range"] == ("pc" if full else "tv")
    got = ffmpeg.raw(out, said["pix_fmt"])[0].reshape(-1, said["width"])[16, 16::32]
    assert np.abs(got.astype(int) - patches.yuv[:, 0]).max() <= 1


@pytest.mark.parametrize("name", ["a.mp4", "a.ts"])  # the latter begins at 1.4 s
def test_every_picture_at_its_time_with_its_sound(
    ffmpeg: Any, base: Enhancer, clip: Callable[..., Path], tmp_path: Path, name: str
) -> None:
    source = clip(
        name,
        *("-vf", "settb=1/30000,setpts='N*N*N*1001+7*N+9000'", "-enc_time_base", "1:30000", "-fps_mode", "passthrough"),
        *("-c:v", "libx264", "-c:a", "aac", "-ar", 8000),
        pattern="testsrc2=s=48x32:r=25:d=0.4[out0];sine=f=300:r=8000:d=0.5[out1]",
    )
    out = tmp_path / "out.mp4"
    told: list[tuple[int, int | None]] = []
    report = convert(source, out, base, tell=lambda *x: told.append(x))
    assert [n for n, _ in told] == list(range(1, 11)) and report.pictures == 10 and report.whole

    def since_sound(path: Path) -> list[float]:
        first = ffmpeg.times(path, "a:0")[0]
        return [float(t - first) for t in ffmpeg.times(path)]

    np.testing.assert_allclose(since_sound(out), since_sound(source), atol=1e-4)  # a tick of the sound
    kind = ("stream=codec_name,sample_rate,channels", "-select_streams", "a")
    assert ffmpeg.entries(out, *kind) == ffmpeg.entries(source, *kind)
    convert(source, out, base, encoding=EncodeSettings(audio=False))
    assert not ffmpeg.entries(out, *kind)


def test_lossless_is_what_was_made(
    ffmpeg: Any, clip: Callable[..., Path], base: Enhancer, tmp_path: Path, make_model: Callable[..., Path]
) -> None:
    fixed = {"kind": "fixed", "unit": "stored", "low": 0.0, "high": 255.0}
    model = make_model(modalities=["ES"], mapping=fixed)
    out = tmp_path / "out.mkv"
    source = clip("a.mkv", "-vf", "setsar=4/3", "-c:v", "ffv1", "-pix_fmt", "bgr0", pattern=ODD)
    with Enhancer(model, threads=1) as enhancer:
        report = convert(source, out, enhancer, encoding=LOSSLESS)
        pictures = ffmpeg.raw(source, "rgb24").reshape(-1, 31, 47, 3)
        wanted = [enhancer.run(Frame(p, modality="ES")).pixels.ravel() for p in pictures]
    np.testing.assert_array_equal(ffmpeg.raw(out, "rgb24"), np.stack(wanted))
    assert not np.array_equal(wanted[0], base.run(Frame(pictures[0])).pixels.ravel())
    said = ffmpeg.stream(out)
    assert (said["codec_name"], said["color_space"], said["sample_aspect_ratio"]) == ("ffv1", "gbr", "4:3")
    comment = {k.lower(): v for k, v in ffmpeg.entries(out, "format_tags")["tags"].items()}["comment"]
    assert "acutance" in comment and "tiny-x2 1.0" in comment and "not for diagnosis" in comment
    assert (report.model, report.size) == ("tiny-x2", (62, 94))


def test_a_model_with_memory_remembers(ffmpeg: Any, clip: Callable[..., Path], tmp_path: Path) -> None:
    source = clip("a.mkv", "-c:v", "ffv1", "-pix_fmt", "gray", "-frames:v", 3, pattern="mandelbrot=s=64x48:r=25")
    with Enhancer("gray-seq-x2", threads=1) as enhancer:
        convert(source, tmp_path / "out.mkv", enhancer, encoding=LOSSLESS)
        frames = [
            Frame(p, modality="ES", value_range=(0.0, 255.0), timestamp=n / 25)
            for n, p in enumerate(ffmpeg.raw(source, "gray").reshape(-1, 48, 64))
        ]
        one = Sequence()
        wanted = [enhancer.run(f, sequence=one).pixels.ravel() for f in frames]
        alone = enhancer.run(frames[-1]).pixels.ravel()
    np.testing.assert_array_equal(ffmpeg.raw(tmp_path / "out.mkv", "gray"), np.stack(wanted))
    assert not np.array_equal(wanted[-1], alone)


def test_odd_results_are_not_cut(ffmpeg: Any, clip: Callable[..., Path], tmp_path: Path) -> None:
    source = clip("a.mkv", "-c:v", "ffv1", "-pix_fmt", "yuv420p", pattern=ODD)
    with Enhancer("base", scale=3, threads=1) as enhancer:
        convert(source, tmp_path / "out.mp4", enhancer)
    said = ffmpeg.stream(tmp_path / "out.mp4")
    assert (said["width"], said["height"], said["pix_fmt"]) == (141, 93, "yuv444p")


def nothing_left(folder: Path, *sources: Path) -> bool:
    return {p.name for p in folder.iterdir()} == {p.name for p in sources}


def test_a_failed_file_leaves_nothing_and_what_was_there(
    clip: Callable[..., Path], base: Enhancer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = clip("a.mkv", "-c:v", "ffv1"), tmp_path / "out.mkv"
    out.write_bytes(b"before")
    write = Writer.write

    def dying(self: Writer, pixels: Any, ticks: int) -> None:
        write(self, pixels, ticks)
        self._process.kill()

    with monkeypatch.context() as patch:
        patch.setattr(Writer, "write", dying)
        with pytest.raises(OutputError, match=r"out\.mkv: cannot be written") as e:
            convert(source, out, base)
        assert "\n" not in str(e.value)
    assert out.read_bytes() == b"before" and nothing_left(tmp_path, source, out)
    stop = threading.Event()
    with pytest.raises(Stopped):
        convert(source, out, base, stop=stop, tell=lambda done, total: stop.set())
    assert out.read_bytes() == b"before" and nothing_left(tmp_path, source, out)
    assert convert(source, out, base).pictures == 5 and out.read_bytes() != b"before"


@pytest.mark.parametrize(
    ("name", "settings", "error", "wanted"),
    [
        ("out.avi", EncodeSettings(), UsageError, "must end in .mp4 or .mkv"),
        ("a.mkv", EncodeSettings(), UsageError, "would overwrite its source"),
        ("nowhere/out.mp4", EncodeSettings(), OutputError, "its folder does not exist"),
        ("out.mp4", EncodeSettings(), OutputError, "write .mkv, or leave the sound out"),
    ],
)
def test_what_cannot_be_written_is_said(
    clip: Callable[..., Path],
    base: Enhancer,
    tmp_path: Path,
    name: str,
    settings: EncodeSettings,
    error: type[AcutanceError],
    wanted: str,
) -> None:
    both = "testsrc2=s=48x32:r=25:d=0.2[out0];sine=d=0.2[out1]"
    source = clip("a.mkv", "-c:v", "ffv1", "-c:a", "pcm_s16le", pattern=both)
    with pytest.raises(error, match=wanted) as e:
        convert(source, tmp_path / name, base, encoding=settings)
    assert "\n" not in str(e.value) and nothing_left(tmp_path, source)


def test_time_that_jumps_is_named(clip: Callable[..., Path], base: Enhancer, tmp_path: Path) -> None:
    late = clip("late.ts", "-c:v", "mpeg2video", "-bf", 0, "-output_ts_offset", 100)
    soon = clip("soon.ts", "-c:v", "mpeg2video", "-bf", 0)
    both = tmp_path / "both.ts"
    both.write_bytes(late.read_bytes() + soon.read_bytes())
    with pytest.raises(InputError, match=r"its time jumps from 0\.16 to .* s; cut it there"):
        convert(both, tmp_path / "out.mp4", base)
    assert nothing_left(tmp_path, late, soon, both)


def test_damage_is_told(clip: Callable[..., Path], base: Enhancer, tmp_path: Path) -> None:
    whole = clip("a.mkv", "-c:v", "mpeg2video", "-g", 5, pattern="testsrc2=s=96x64:r=25:d=0.4").read_bytes()
    data = bytearray(whole)
    middle = len(data) // 2
    data[middle : middle + 300] = bytes(300)
    (tmp_path / "damaged.mkv").write_bytes(data)
    report = convert(tmp_path / "damaged.mkv", tmp_path / "out.mkv", base)
    assert not report.whole and any("the source is damaged" in n for n in report.notes)


def test_a_broken_file_leaves_nothing(clip: Callable[..., Path], base: Enhancer, tmp_path: Path) -> None:
    one = clip("1.ts", "-c:v", "mpeg2video", "-bf", 0)
    two = clip("2.ts", "-c:v", "mpeg2video", "-bf", 0, pattern="testsrc2=s=96x64:r=25:d=0.2")
    both = tmp_path / "both.ts"
    both.write_bytes(one.read_bytes() + two.read_bytes())
    with pytest.raises(InputError, match="its size changes"):
        convert(both, tmp_path / "out.mp4", base)
    assert nothing_left(tmp_path, one, two, both)


def test_says_what_it_did_with_fields(clip: Callable[..., Path], base: Enhancer, tmp_path: Path) -> None:
    comb = ("-vf", "format=yuv420p,tinterlace=interleave_top,fieldorder=tff", "-flags", "+ilme+ildct")
    source = clip("a.mkv", *comb, "-c:v", "mpeg2video", pattern="testsrc2=s=64x48:r=50:d=0.2")
    out = tmp_path / "out.mkv"
    assert any("each pair of fields was made one" in n for n in convert(source, out, base).notes)
    kept = convert(source, out, base, decoding=DecodeSettings(deinterlace="never")).notes
    assert any("pictures are interlaced, and were kept so" in n for n in kept)
