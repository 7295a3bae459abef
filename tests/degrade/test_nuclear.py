"""PET and SPECT: a point spread in mm and Poisson's counts."""

from __future__ import annotations

from types import SimpleNamespace

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from acutance import degrade


@given(value=st.floats(0, 5000), fwhm=st.floats(4, 7))
def test_constants_stay_without_noise(value: float, fwhm: float) -> None:
    found = degrade.emission(np.full((8, 12), value), 2, fwhm, (2.0, 3.0), None, np.random.default_rng(0))
    np.testing.assert_allclose(found, np.float32(value), rtol=1e-6, atol=1e-6)


@settings(max_examples=25)
@given(row=st.floats(44, 52), col=st.floats(44, 52), fwhm=st.floats(4, 7))
def test_a_blob_stays_where_it_is(blobs: SimpleNamespace, row: float, col: float, fwhm: float) -> None:
    picture = blobs.make(96, row, col, 5)
    small = degrade.emission(picture, 2, fwhm, (2.0, 2.0), None, np.random.default_rng(0))
    np.testing.assert_allclose((blobs.centroid(small) + 0.5) * 2 - 0.5, [row, col], atol=0.01)


def test_the_point_spread_is_in_mm() -> None:
    point = np.zeros((41, 41))
    point[20, 20] = 1
    small = degrade.emission(point, 1, 6.0, (0.5, 1.0), None, np.random.default_rng(0))
    assert small[26, 20] / small[20, 20] == pytest.approx(0.5, abs=0.01)
    assert small[20, 23] / small[20, 20] == pytest.approx(0.5, abs=0.01)


def test_counts_are_poissons_and_a_seed_is_a_picture() -> None:
    flat = np.full((256, 256), 40.0)
    same, too = (degrade.emission(flat, 1, 5, (4, 4), 100, np.random.default_rng(1)) for _ in range(2))
    np.testing.assert_array_equal(same, too)
    assert same.mean() == pytest.approx(40, rel=0.005)
    assert same.std() == pytest.approx(40 / 10, rel=0.02)
    assert not degrade.emission(np.zeros((4, 4)), 2, 5, (4, 4), 100, np.random.default_rng(1)).any()
