"""Small videos made by ffmpeg, and what ffmpeg itself reads in others."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acutance.enhancer import Enhancer


class Ffmpeg:
    """The program, run to its end."""

    def run(self, *arguments: Any, data: bytes | None = None) -> bytes:
        command = ["ffmpeg", "-v", "error", "-nostdin", "-y", *map(str, arguments)]
        if data is not None:
            command.remove("-nostdin")
        return subprocess.run(command, check=True, capture_output=True, input=data, timeout=60).stdout

    def raw(self, path: Path, pixel_format: str, *filters: str) -> np.ndarray:
        """Return every picture of a file in a pixel format, one flat row each."""
        chain = ["-vf", ",".join(filters)] if filters else []
        said = self.run("-i", path, *chain, "-fps_mode", "passthrough", "-pix_fmt", pixel_format, "-f", "rawvideo", "-")
        return np.frombuffer(said, np.uint8).reshape(len(self.times(path)), -1)

    def entries(self, path: Path, what: str, *options: str) -> list[dict[str, Any]]:
        """Return what ffprobe says: ``what`` is as ``stream=width,height``."""
        command = ["ffprobe", "-v", "error", *options, "-show_entries", what, "-of", "json", str(path)]
        said = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=60).stdout)
        return said["format"] if what.startswith("format") else said[f"{what.partition('=')[0]}s"]

    def stream(self, path: Path) -> dict[str, Any]:
        """Return what ffprobe says of the pictures of a file."""
        command = ["ffprobe", "-v", "error", "-select_streams", "v:0", "-show_streams", "-of", "json", str(path)]
        return json.loads(subprocess.run(command, check=True, capture_output=True, timeout=60).stdout)["streams"][0]

    def times(self, path: Path, stream: str = "v:0") -> list[Fraction]:
        """Return the times of all pictures, or of the packets of a sound."""
        unit = Fraction(self.entries(path, "stream=time_base", "-select_streams", stream)[0]["time_base"])
        kind = "frame=pts" if stream.startswith("v") else "packet=pts"
        return [e["pts"] * unit for e in self.entries(path, kind, "-select_streams", stream)]


@pytest.fixture(scope="session")
def ffmpeg() -> Ffmpeg:
    """The program ffmpeg."""
    for name in ("ffmpeg", "ffprobe"):
        if shutil.which(name) is None:
            pytest.skip(f"{name} is not installed")
    return Ffmpeg()


@pytest.fixture
def clip(ffmpeg: Ffmpeg, tmp_path: Path) -> Callable[..., Path]:
    """Return a function that makes a clip of a test pattern: ``clip("a.mkv", "-c:v", "ffv1", pattern=...)``."""

    def make(name: str, *options: Any, pattern: str = "testsrc2=s=48x32:r=25:d=0.2") -> Path:
        ffmpeg.run("-f", "lavfi", "-i", pattern, *options, tmp_path / name)
        return tmp_path / name

    return make


@pytest.fixture(scope="session")
def base() -> Enhancer:
    """No network."""
    return Enhancer("base", threads=1)


PATCHES = np.array(
    [
        *((16, 128, 128), (235, 128, 128), (126, 128, 128), (85, 95, 200), (145, 74, 64), (70, 190, 110)),
        *((170, 150, 60), (106, 170, 180), (200, 100, 140), (60, 120, 150), (180, 140, 110), (100, 150, 130)),
    ],
    np.uint8,
)
"""Luma and chroma that are colours (inside RGB) in BT.601 and BT.709, limited and full."""

SIDE = 16

WEIGHTS = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}
"""Of red and blue in luma (H.273, table 4)."""


class Patches:
    """Clips of colour patches, and what they are by the formulas of H.273."""

    side = SIDE
    yuv = PATCHES

    def __init__(self, ffmpeg: Ffmpeg, folder: Path) -> None:
        self._ffmpeg, self._folder = ffmpeg, folder

    def make(self, matrix: str, full: bool, *options: Any, tagged: bool = True, gray: bool = False) -> Path:
        """Write two pictures without loss, or as ``options`` say."""
        planes = [np.repeat(np.repeat(PATCHES[None, :, i], SIDE, 0), SIDE, 1) for i in range(3)]
        planes = planes[:1] if gray else [planes[0], planes[1][::2, ::2], planes[2][::2, ::2]]
        name = {"bt601": "smpte170m"}.get(matrix, matrix)
        tags = f"range={'pc' if full else 'tv'}:colorspace={name}:color_primaries={name}:color_trc=bt709"
        path = self._folder / f"{matrix}-{full}.mkv"
        self._ffmpeg.run(
            *("-f", "rawvideo", "-pix_fmt", "gray" if gray else "yuv420p", "-s", f"{SIDE * len(PATCHES)}x{SIDE}"),
            *("-r", "25", "-i", "-", *(["-vf", f"setparams={tags}"] if tagged else [])),
            *(options or ("-c:v", "ffv1")),
            path,
            data=b"".join(p.tobytes() for p in planes) * 2,
        )
        return path

    def rgb(self, matrix: str, full: bool) -> np.ndarray:
        """Return ``[n, 3]`` colours in float (H.273, 8.3)."""
        red, blue = WEIGHTS[matrix]
        y, u, v = PATCHES.astype(np.float64).T
        y, u, v = (
            (y / 255, (u - 128) / 255, (v - 128) / 255) if full else ((y - 16) / 219, (u - 128) / 224, (v - 128) / 224)
        )
        r, b = y + 2 * (1 - red) * v, y + 2 * (1 - blue) * u
        g = (y - red * r - blue * b) / (1 - red - blue)
        return np.clip(255 * np.stack([r, g, b], axis=1), 0, 255)


@pytest.fixture
def patches(ffmpeg: Ffmpeg, tmp_path: Path) -> Patches:
    """Clips of colour patches."""
    return Patches(ffmpeg, tmp_path)
