"""Where slices lie, and the grid that takes their place."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acutance.errors import InputError
from acutance.volume import plan
from acutance.volume.stack import SHORT, passes


@given(st.integers(2, 60), st.floats(1.0, 8.0), st.floats(0.3, 1.0), st.floats(-500, 500))
def test_the_outer_face_stays_and_voxels_are_exact(count: int, distance: float, step: float, start: float) -> None:
    grid = plan(start + distance * np.arange(count), None, step)
    assert grid.step == step and grid.old == count and not grid.uneven and grid.gaps == ()
    assert grid.distance == pytest.approx(distance, rel=1e-9) and grid.width == grid.distance
    assert grid.targets[0] - step / 2 == pytest.approx(start - distance / 2, abs=1e-6)
    at = (grid.targets - start) / grid.distance
    np.testing.assert_allclose(at, (np.arange(grid.count) + 0.5) * step / grid.distance - 0.5, atol=1e-6)
    assert abs(grid.count * step - count * distance) <= step / 2 + 1e-6
    assert not grid.filled(grid.nodes).any()


def test_missing_slices_are_counted_and_marked() -> None:
    places = np.delete(3.0 * np.arange(12), [4, 7, 8])
    grid = plan(places, 3.0, 1.0)
    assert grid.old == 12 and grid.gaps == ((3, 1), (5, 2)) and not grid.uneven
    assert grid.notes() == ("3 missing slices are interpolated (1 after slice 4, 2 after slice 6)",)
    filled = np.flatnonzero(grid.filled(places))
    np.testing.assert_array_equal(filled // 3, np.repeat([4, 7, 8], 3))


def test_a_little_jitter_is_even_and_much_is_not() -> None:
    rng = np.random.default_rng(0)
    even = 3.0 * np.arange(10)
    assert not plan(even + rng.uniform(-0.05, 0.05, 10), None, 1.0).uneven
    grid = plan(even + rng.uniform(-0.9, 0.9, 10), None, 1.0)
    assert grid.uneven and grid.notes()[-1].startswith("slices that are not evenly spaced are interpolated to")


def test_what_cannot_be_made_isotropic_is_refused() -> None:
    with pytest.raises(InputError, match="single slice"):
        plan(np.array([1.0]), None, 1.0)
    with pytest.raises(InputError, match=r"two slices at the same place \(slices 2 and 3\)"):
        plan(np.array([0.0, 3.0, 3.0, 6.0]), None, 1.0)
    with pytest.raises(InputError, match="closer than its pixels"):
        plan(np.arange(5.0), None, 1.2)


def test_isotropic_within_five_per_cent() -> None:
    assert plan(1.04 * np.arange(5), None, 1.0).isotropic and plan(0.96 * np.arange(5), None, 1.0).isotropic
    assert not plan(1.06 * np.arange(5), None, 1.0).isotropic
    assert not plan(np.array([0.0, 1, 2, 4, 5]), None, 1.0).isotropic


def test_thickness_is_the_headers_where_it_has_one() -> None:
    places = 3.0 * np.arange(4)
    assert plan(places, 2.5, 1.0).width == 2.5 and plan(places, 4.0, 1.0).width == 4.0
    assert plan(places, 0.0, 1.0).width == 3.0


@given(st.floats(1.06, 20), st.sets(st.sampled_from([2, 3, 4]), min_size=1))
def test_passes_reach_the_ratio(ratio: float, scales: set[int]) -> None:
    found = passes(ratio, scales)
    assert found and set(found) <= scales and np.prod(found) >= SHORT * ratio
    assert np.prod(found) <= max(scales) * SHORT * ratio or len(found) == 1


def test_passes() -> None:
    assert passes(3.3 / 0.7, [2]) == (2, 2) and passes(3.0, [2, 3]) == (3,) and passes(4.0, [2, 3, 4]) == (4,)
    assert passes(1.03, [2]) == () and passes(4.0, []) == () and passes(8.0, [2]) == (2, 2, 2)
