"""Matrices along an axis."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acutance import oracle
from acutance.volume import along


@given(st.lists(st.floats(0.2, 5), min_size=2, max_size=12), st.integers(1, 30))
def test_interpolation_keeps_constants_samples_and_lines(steps: list[float], count: int) -> None:
    places = np.concatenate([[0.0], np.cumsum(steps)])
    targets = np.linspace(places[0], places[-1], count)
    matrix = along.cubic(places, targets)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(along.cubic(places, places), np.eye(len(places)), atol=1e-12)
    if len(places) > 3:
        inner = (targets >= places[1]) & (targets <= places[-2])
        np.testing.assert_allclose((matrix @ places)[inner], targets[inner], atol=1e-9)


def test_even_places_give_the_base_of_the_project() -> None:
    line = np.random.default_rng(0).normal(0, 1, (1, 12)).astype(np.float32)
    ours = along.apply(along.cubic(np.arange(12), (np.arange(24) + 0.5) / 2 - 0.5), line.T).T
    np.testing.assert_allclose(ours[:, 4:-4], oracle.base(line, 2)[:1, 4:-4], atol=1e-6)


def test_beyond_the_ends_the_last_sample_goes_on() -> None:
    matrix = along.cubic(np.array([0.0, 1.0, 2.0]), np.array([-5.0, 7.0]))
    np.testing.assert_array_equal(matrix, [[1, 0, 0], [0, 0, 1]])
    np.testing.assert_array_equal(along.cubic(np.array([3.0]), np.array([0.0, 9.0])), [[1], [1]])


def test_a_profile_is_an_exact_mean() -> None:
    means = along.profile(np.array([0.75]), 1.5, 0.25, 0.5, 4)  # from 0 to 1.5 over voxels of 0.5 from 0 to 2
    np.testing.assert_allclose(means, [[1 / 3, 1 / 3, 1 / 3, 0]])
    part = along.profile(np.array([0.0, 50.0]), 1.0, 0.25, 0.5, 4)  # half of the box lies before the voxels
    np.testing.assert_allclose(part, [[1, 0, 0, 0], [0, 0, 0, 0]])


@pytest.mark.parametrize(("width", "overlap"), [(2.0, False), (1.2, False), (3.3, True)])
def test_means_are_restored(width: float, overlap: bool) -> None:
    rng = np.random.default_rng(1)
    places = 0.5 + 2.0 * np.arange(8)
    means = along.profile(places, width, 0.0, 1.0, 16)
    voxels, wanted = rng.normal(0, 1, 16), rng.normal(0, 1, 8)
    mended = voxels + along.restoring(means, overlap) @ (wanted - means @ voxels)
    before = np.abs(means @ voxels - wanted).max()
    assert np.abs(means @ mended - wanted).max() < (0.1 * before if overlap else 1e-4)
    if not overlap and width == 2.0:  # the smallest change: the same for all voxels of a slice
        change = (mended - voxels).reshape(8, 2)
        np.testing.assert_allclose(change[:, 0], change[:, 1], atol=1e-9)
