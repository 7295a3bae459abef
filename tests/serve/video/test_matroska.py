"""Raw pictures as ffmpeg reads them from our stream."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acutance.serve.video import matroska


@pytest.mark.parametrize("shape", [(6, 10), (5, 7, 3)])
def test_ffmpeg_reads_pixels_and_times(ffmpeg: Any, tmp_path: Path, shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (4, *shape)).astype(np.uint8)
    times = [0, 40_000_001, 3_000_000_000, 100 * 3600 * 10**9 + 1]
    data = matroska.header(*shape[:2], gray=len(shape) == 2, interval=40_000_000)
    data += b"".join(matroska.before(t, p.nbytes) + p.tobytes() for t, p in zip(times, pixels, strict=True))
    path = tmp_path / "raw.mkv"
    path.write_bytes(data)
    assert [t * 10**9 for t in ffmpeg.times(path)] == times
    read = ffmpeg.raw(path, "gray" if len(shape) == 2 else "rgb24")
    np.testing.assert_array_equal(read, pixels.reshape(4, -1))
