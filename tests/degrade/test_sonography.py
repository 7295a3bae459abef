"""Ultrasound: the blur acts on the envelope, along and across the beam by its own width; speckle is Rayleigh's."""

from __future__ import annotations

from types import SimpleNamespace

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from acutance import degrade
from acutance.degrade import sonography
from acutance.errors import UsageError


@given(value=st.floats(0, 255), along=st.floats(0, 1.5), across=st.floats(0, 3))
def test_constants_stay(value: float, along: float, across: float) -> None:
    found = degrade.ultrasound(np.full((12, 18), value), 2, (along, across))
    assert found.shape == (6, 9)
    np.testing.assert_allclose(found, value, atol=1e-3)


@given(value=st.floats(0, 255), decibels=st.floats(20, 100))
def test_compression_is_undone(value: float, decibels: float) -> None:
    echo = sonography.envelope(np.array([[value]]), decibels=decibels)
    np.testing.assert_allclose(sonography.compressed(echo, decibels=decibels), value, atol=1e-3)


@settings(max_examples=25)
@given(row=st.floats(44, 52), col=st.floats(44, 52))
def test_a_blob_stays_where_it_is(blobs: SimpleNamespace, row: float, col: float) -> None:
    small = degrade.ultrasound(200 * blobs.make(96, row, col, 6), 2, (0.5, 1.5))
    np.testing.assert_allclose((blobs.centroid(small) + 0.5) * 2 - 0.5, [row, col], atol=0.01)


def test_the_envelope_is_blurred_more_across_the_beam() -> None:
    point = np.zeros((32, 32))
    point[16, 16] = 255
    small = degrade.ultrasound(point, 1, (0.6, 1.8))
    echo = sonography.envelope(small) - sonography.envelope(np.zeros((1, 1)))
    rows, cols = (np.sqrt((echo.sum(axis=a) * (np.arange(32) - 16) ** 2).sum() / echo.sum()) for a in (1, 0))
    assert (rows, cols) == (pytest.approx(0.6, abs=0.02), pytest.approx(1.8, abs=0.02))


@pytest.mark.parametrize("looks", [1, 4])
def test_speckle_is_rayleighs(looks: int) -> None:
    found = degrade.speckle(np.full((256, 256), 200.0), looks, np.random.default_rng(0), (0.0, 0.0))
    echo = sonography.envelope(found)
    assert echo.mean() / echo.std() == pytest.approx(1.913 * looks**0.5, rel=0.03)
    assert echo.mean() == pytest.approx(sonography.envelope(np.array([200.0]))[0], rel=0.01)


def test_speckle_has_cells_and_a_seed() -> None:
    flat = np.full((128, 128), 200.0)
    same, too = (degrade.speckle(flat, 2, np.random.default_rng(2), (0.5, 2.0)) for _ in range(2))
    np.testing.assert_array_equal(same, too)
    echo = sonography.envelope(same) - sonography.envelope(same).mean()
    down, right = (np.mean(echo * np.roll(echo, 2, axis)) / np.mean(echo**2) for axis in (0, 1))
    assert right > 0.4 > 0.1 > down
    with pytest.raises(UsageError, match="0 looks make no sense"):
        degrade.speckle(flat, 0, np.random.default_rng(0))
