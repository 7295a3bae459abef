"""Pictures out of ffmpeg: their colours and times."""

from __future__ import annotations

import itertools
import subprocess
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acutance.errors import InputError
from acutance.serve.video.decode import Decoder, FormatChanged, Picture
from acutance.serve.video.settings import DecodeSettings
from acutance.serve.video.source import Source, probe

ODD = "testsrc2=s=48x32:r=25:d=0.1,format=gbrp,crop=47:31"


def pictures(path: Path, **settings: Any) -> list[Picture]:
    source, made = Source.of(str(path)), DecodeSettings(**settings)
    with Decoder(source, probe(source, made), made) as decoder:
        return list(decoder)


@pytest.mark.parametrize("full", [False, True], ids=["limited", "full"])
@pytest.mark.parametrize("matrix", ["bt601", "bt709"])
def test_colours_are_those_of_the_standard(patches: Any, matrix: str, full: bool) -> None:
    half = patches.side // 2
    got = pictures(patches.make(matrix, full))[0].pixels[half, half :: patches.side]
    assert np.abs(got - patches.rgb(matrix, full)).max() <= 1.0


def test_times_are_kept_at_a_varying_rate(ffmpeg: Any, clip: Callable[..., Path]) -> None:
    path = clip(
        "a.mp4", "-vf", "settb=1/30000,setpts='N*N*1001+7*N'", "-enc_time_base", "1:30000", "-fps_mode", "passthrough"
    )
    got = [p.ticks * p.unit for p in pictures(path)]
    assert got == ffmpeg.times(path) and len({b - a for a, b in itertools.pairwise(got)}) == 4


def test_counts_times_from_the_start_of_a_file(ffmpeg: Any, clip: Callable[..., Path]) -> None:
    path = clip("a.ts", "-c:v", "mpeg2video", "-output_ts_offset", 3600)
    times = ffmpeg.times(path)
    assert times[0] > 3600
    assert [p.ticks * p.unit for p in pictures(path)] == [t - times[0] for t in times]


def test_odd_sizes_and_wide_pixels(ffmpeg: Any, clip: Callable[..., Path]) -> None:
    path = clip("a.mkv", "-vf", "setsar=4/3", "-c:v", "ffv1", "-pix_fmt", "yuv420p", pattern=ODD)
    first = pictures(path)[0]
    assert first.pixels.shape == (31, 47, 3) and first.aspect == Fraction(4, 3)


def test_gray_is_left_as_it_is(ffmpeg: Any, clip: Callable[..., Path]) -> None:
    path = clip("a.mkv", "-c:v", "ffv1", "-pix_fmt", "gray")
    found = pictures(path)
    assert found[0].pixels.shape == (32, 48)
    np.testing.assert_array_equal(np.stack([p.pixels.ravel() for p in found]), ffmpeg.raw(path, "gray"))


def test_turns_what_is_to_be_turned(ffmpeg: Any, clip: Callable[..., Path]) -> None:
    path = clip("a.mp4")
    turned = path.with_name("turned.mp4")
    try:
        ffmpeg.run("-display_rotation", 90, "-i", path, "-c", "copy", turned)
    except subprocess.CalledProcessError:  # before 6.0
        ffmpeg.run("-i", path, "-c", "copy", "-metadata:s:v", "rotate=90", turned)
    assert pictures(turned)[0].pixels.shape == (48, 32, 3)


def test_fields_become_pictures_where_the_source_says_so(clip: Callable[..., Path]) -> None:
    comb = "format=yuv420p,tinterlace=interleave_top,fieldorder=tff"
    pattern = "testsrc2=s=64x48:r=50:d=0.4"
    path = clip("a.mkv", "-vf", comb, "-flags", "+ilme+ildct", "-c:v", "mpeg2video", "-q:v", 1, pattern=pattern)
    kept, made = pictures(path, deinterlace="never"), pictures(path)
    assert len(made) == len(kept) > 5
    assert all(p.interlaced for p in kept) and not any(p.interlaced for p in made)
    assert [p.ticks * p.unit for p in made] == [p.ticks * p.unit for p in kept]


def test_names_a_change_of_size(tmp_path: Path, clip: Callable[..., Path]) -> None:
    one = clip("1.ts", "-c:v", "mpeg2video", "-bf", 0)
    two = clip("2.ts", "-c:v", "mpeg2video", "-bf", 0, pattern="testsrc2=s=96x64:r=25:d=0.2")
    both = tmp_path / "both.ts"
    both.write_bytes(one.read_bytes() + two.read_bytes())
    with pytest.raises(FormatChanged, match=r"its size changes from 48 x 32 to 96 x 64 at 0\.(16|20) s"):
        pictures(both)


def test_a_file_cut_off_is_decoded_as_far_as_it_goes(tmp_path: Path, clip: Callable[..., Path]) -> None:
    whole = clip("a.mkv", "-c:v", "ffv1", "-g", 1)
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * 0.7)])
    assert 0 < len(pictures(cut)) < len(pictures(whole))


def test_what_cannot_be_decoded_is_named(tmp_path: Path, clip: Callable[..., Path]) -> None:
    data = bytearray(clip("a.avi", "-c:v", "ffv1", "-level", 3, "-g", 1, "-slicecrc", 1).read_bytes())
    start = data.index(b"movi")
    form = probe(Source.of(str(clip("b.avi", "-c:v", "ffv1", "-level", 3))), DecodeSettings())
    data[start + 40 :] = bytes(len(data) - start - 40)
    broken = tmp_path / "broken.avi"
    broken.write_bytes(data)
    source = Source.of(str(broken))
    with Decoder(source, form, DecodeSettings()) as decoder, pytest.raises(InputError, match=r"broken\.avi: ") as e:
        list(decoder)
    assert "\n" not in str(e.value)


def test_a_picture_does_not_wait_for_the_next_one(clip: Callable[..., Path]) -> None:
    path = clip("a.mkv", "-vf", "setpts='if(lt(N,4),N*0.2,15)/TB'", "-fps_mode", "passthrough", "-c:v", "ffv1")
    source = Source.of(str(path))
    with Decoder(source, probe(source, DecodeSettings()), DecodeSettings(), realtime=True) as decoder:
        decoder.read()
        began = time.monotonic()
        for _ in range(4):
            decoder.read()
        assert time.monotonic() - began < 10  # the end of the source comes after 15 s
