"""Settings of a video service: what makes no sense is said with its key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from acutance.errors import UsageError
from acutance.serve.config import read
from acutance.serve.video.settings import is_loopback


def written(folder: Path, text: str) -> Path:
    path = folder / "serve.toml"
    path.write_text('[[service]]\nkind = "video"\nname = "room-1"\n' + text)
    return path


def test_reads_a_whole_service(tmp_path: Path) -> None:
    (settings,) = read(
        written(
            tmp_path,
            'source = "rtsp://camera/1"\noutput = "a.mkv"\nmodality = "US"\n'
            '[service.page]\naddress = "0.0.0.0"\ntoken = "0123456789abcdef"\n'
            '[service.decode]\nmatrix = "bt709"\n[service.encode]\nlossless = true\n'
            '[service.enhance]\nmodel = "gray-seq-x2"\n[service.stream]\nfps = 30\n',
        )
    ).services
    said: Any = settings
    assert (said.page.port, said.decode.matrix, said.encode.lossless, said.enhance.model, said.stream.fps) == (
        *(8750, "bt709", True, "gray-seq-x2", 30),
    )
    assert not said.is_file and "0123456789abcdef" not in repr(said)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('source = "a.mp4"\n', "it goes nowhere"),
        ('source = "http://x/a.m3u8"\noutput = "a.mkv"\n', "source: streams come by rtsp"),
        ('source = "rtsp://"\noutput = "a.mkv"\n', "names no host"),
        ('source = "a.mp4"\noutput = "a.avi"\n', "must end in .mp4 or .mkv; got '.avi'"),
        ('source = "a.mp4"\noutput = "a.mp4"\n[service.encode]\nlossless = true\n', "lossless goes into .mkv only"),
        ('source = "a.mp4"\noutput = "b.mp4"\n[service.page]\n', "not to both"),
        ('source = "udp://h:1"\n[service.page]\naddress = "0.0.0.0"\n', "page: address 0.0.0.0 can be reached"),
        ('source = "udp://h:1"\n[service.page]\ntoken = "short"\n', "page.token"),
        ('source = "udp://h:1"\noutput = "a.mkv"\n[service.decode]\nrange = "tv"\n', "decode.range"),
        ('source = "udp://h:1"\noutput = "a.mkv"\nsize = 3\n', "size: there is no such key"),
    ],
)
def test_says_what_makes_no_sense(tmp_path: Path, text: str, wanted: str) -> None:
    with pytest.raises(UsageError) as e:
        read(written(tmp_path, text))
    assert wanted in str(e.value) and "\n" not in str(e.value) and "short" not in str(e.value)


def test_knows_loopback() -> None:
    assert [is_loopback(a) for a in ("localhost", "127.0.0.2", "::1", "0.0.0.0", "10.0.0.1", "camera")] == [
        *(True, True, True, False, False, False),
    ]
