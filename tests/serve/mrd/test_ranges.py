"""Ranges of series whose images are answered as they come."""

from __future__ import annotations

import numpy as np
import pytest

from acutance.geometry import Frame, robust_range
from acutance.serve.mrd import ranges
from acutance.serve.mrd.ranges import Ranges, SeriesRange


def values(low: float, high: float, seed: int = 0, dtype: str = "u2") -> np.ndarray:
    return np.random.default_rng(seed).uniform(low, high, (1, 2, 30, 30)).astype(dtype)


@pytest.mark.parametrize("dtype", ["u2", "f4"])
def test_the_range_is_that_of_the_images_so_far_and_then_stays(dtype: str) -> None:
    series = SeriesRange(3)
    images = [values(0, 100 * (k + 1), k, dtype) for k in range(5)]
    found = [series.add(i, False) for i in images]
    for k in range(3):
        so_far = robust_range([Frame(i.reshape(1, -1)) for i in images[: k + 1]])
        assert found[k] == pytest.approx(so_far)
    assert found[3] == found[4] == found[2] and series.restarts == 0


def test_a_model_may_want_other_percentiles() -> None:
    found = Ranges(2)
    image = values(0, 1000)
    low, high = found.of("a", (10.0, 90.0)).add(image, False)
    assert (low, high) == pytest.approx((100, 900), abs=20)
    assert found.of("a").add(image, False)[1] > 990
    assert found.of("a", (10.0, 90.0)).add(values(0, 1800, 2), False)[1] > 900 and found.of("a").restarts == 0


def test_zero_is_the_middle_of_a_signed_range() -> None:
    series = SeriesRange(1)
    low, high = series.add(values(-800, 300, dtype="f4"), True)
    assert low == -high and high == pytest.approx(799, abs=3)
    extreme = np.array([[[[-32768, 0]]]], np.int16)  # beyond int16 when made positive
    assert SeriesRange(1).add(extreme, True)[1] == pytest.approx(32768, rel=2e-3)


def test_a_much_brighter_image_begins_the_range_anew() -> None:
    """As a stack that begins with slices of air."""
    series = SeriesRange(2)
    for k in range(3):
        assert series.add(values(0, 10, k), False)[1] < 10
    assert series.add(values(0, 18, 9), False)[1] < 10 and series.restarts == 0
    assert series.add(values(0, 1000, 9), False)[1] == pytest.approx(999, abs=3) and series.restarts == 1
    assert series.add(values(0, 10, 9), False)[1] > 900 and series.restarts == 1


def test_empty_images_freeze_nothing() -> None:
    series = SeriesRange(1)
    assert series.add(np.zeros((1, 1, 4, 4), np.uint16), False) == (0, 0)
    assert series.add(np.full((1, 1, 4, 4), np.nan, np.float32), True) == (0, 0)
    assert series.add(values(0, 100), False)[1] > 90 and series.restarts == 0


def test_large_images_are_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = SeriesRange(1).add(values(0, 1000, dtype="f4"), False)
    monkeypatch.setattr(ranges, "SAMPLES", 300)
    sampled = SeriesRange(1).add(values(0, 1000, dtype="f4"), False)
    assert sampled != whole and sampled == pytest.approx(whole, abs=20)


def test_series_are_apart_and_bounded() -> None:
    found = Ranges(1)
    first = found.of("a")
    first.add(values(0, 10), False)
    assert found.of("b") is not first and found.of("a") is first
    for k in range(ranges.MOST_SERIES):
        found.of(k)
    assert found.of("a") is not first
