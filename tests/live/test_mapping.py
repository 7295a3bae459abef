"""The range of a stream: that of the first pictures, then kept."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from acutance.geometry import Frame, robust_range
from acutance.live.mapping import FARTHEST, StreamRange


def frames(n: int, brightness: float = 1.0, seed: int = 0) -> list[Frame]:
    rng = np.random.default_rng(seed)
    return [
        Frame((brightness * rng.integers(0, 1000, (40, 50))).astype(np.uint16), "MR", slope=2.0, intercept=-5.0)
        for _ in range(n)
    ]


def test_the_range_is_that_of_the_first_pictures_and_stays() -> None:
    first, later = frames(4), frames(5, 3.0, seed=1)
    stream = StreamRange(freeze_after=4)
    for i, frame in enumerate(first):
        assert not stream.frozen
        assert stream.of(frame) == robust_range(first[: i + 1])
    assert stream.frozen
    assert {stream.of(frame) for frame in later} == {robust_range(first)}


def test_dark_pictures_before_the_scan_are_not_counted() -> None:
    dark = dataclasses.replace(frames(1)[0], pixels=np.zeros((40, 50), np.uint16))
    stream, (frame,) = StreamRange(freeze_after=1), frames(1)
    for _ in range(3):
        assert stream.of(dark) is None
    assert stream.of(frame) == robust_range([frame])
    assert stream.of(dark) == robust_range([frame])


@pytest.mark.parametrize("change", [{"modality": "PT"}, {"slope": 3.0}, {"pixels": np.eye(30, dtype=np.uint16)}])
def test_other_pictures_begin_anew(change: dict[str, object]) -> None:
    (frame,) = frames(1)
    other = dataclasses.replace(frame, **change)  # type: ignore[arg-type]
    stream = StreamRange(freeze_after=1)
    stream.of(frame)
    assert stream.of(other) == robust_range([other])


def test_adaptation_is_slow_and_bounded() -> None:
    first, brighter = frames(3), frames(400, 2.0, seed=1)
    low, high = robust_range(first)
    stream = StreamRange(freeze_after=3, adapt=0.01)
    for frame in first:
        stream.of(frame)
    before = high
    for frame in brighter:
        found = stream.of(frame)
        assert found is not None
        assert before <= found[1] <= before + 0.01 * (2.01 * high - before)
        before = found[1]
    assert before == pytest.approx(high + FARTHEST * (high - low))
