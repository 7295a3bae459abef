"""Video files are timed beside ffmpeg's own filter."""

from __future__ import annotations

import shutil

import pytest
from acutance.bench.video import RIVAL, measure


def test_times_every_way() -> None:
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed")
    rows = measure("48x32", 3, 1, ["base"])
    assert [(r["name"], r["pictures"], len(r["seconds"])) for r in rows] == [(RIVAL, 3, 1), ("base", 3, 1)]
    assert all(r["pictures_a_second"] == pytest.approx(3 / r["seconds"][0], rel=0.02) for r in rows)
    assert all(r["processor_ms_a_picture"] > 0 for r in rows)
