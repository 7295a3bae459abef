"""Tiles cover every pixel once, keep one size and stay as the plan says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acutance import tiling
from acutance.errors import UsageError

sizes = st.integers(1, 300)


@given(size=sizes, core=st.integers(1, 80), halo=st.integers(0, 9), overlap=st.integers(0, 20))
def test_owned_ranges_cover_each_pixel_once_and_lie_in_their_tile(size, core, halo, overlap):
    core = max(core, 2 * overlap)
    axis = tiling.plan(size, size, core + 2 * halo, halo, 2, overlap).rows
    covered = []
    for i in range(axis.count):
        low, high = axis.owned(i)
        covered += range(low, high)
        start = axis.origin(i) + halo
        blended = overlap if i < axis.count - 1 else 0  # the next tile blends this far into this one
        assert start <= low
        assert high + blended <= start + axis.core or high == size
        assert high - start <= axis.core or size <= axis.core
    assert covered == list(range(size))


@given(size=sizes, core=st.integers(1, 80), halo=st.integers(0, 9))
def test_cores_stay_inside_pictures_that_are_larger(size, core, halo):
    axis = tiling.plan(size, 1, core + 2 * halo, halo, 3).rows
    starts = [axis.origin(i) + halo for i in range(axis.count)]
    if size >= core:
        assert starts[0] == 0 and starts[-1] == size - core
    else:
        assert starts == [0]


def test_plan_numbers():
    plan = tiling.plan(100, 37, (64, 40), 7, 2)
    assert (plan.rows.count, plan.cols.count, plan.count) == (2, 2, 4)
    assert [plan.rows.origin(i) for i in range(2)] == [-7, 43]
    assert plan.output_shape == (200, 74)
    assert plan.tile_shape == (64, 40)
    assert tiling.plan(5, 5, 64, 7, 2).count == 1


@pytest.mark.parametrize(
    ("sizes", "tile", "halo", "overlap", "says"),
    [
        ((0, 5), 64, 7, 0, "0x5"),
        ((5, 5), 14, 7, 0, "at least 15"),
        ((5, 5), 20, 7, 4, "at least 22"),
        ((5, 5), 64, -1, 0, "halo -1"),
    ],
)
def test_impossible_plans_are_refused(sizes, tile, halo, overlap, says):
    with pytest.raises(UsageError, match=says):
        tiling.plan(*sizes, tile, halo, 2, overlap)
