"""Degradations keep constants, keep positions, and refuse what they cannot divide."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray

from acutance import degrade
from acutance.errors import UsageError
from acutance.evaluate import rivals


def blob(side: int, row: float, col: float, sigma: float) -> NDArray[np.float64]:
    i = np.arange(side)
    return np.outer(np.exp(-0.5 * ((i - row) / sigma) ** 2), np.exp(-0.5 * ((i - col) / sigma) ** 2))


def centroid(picture: NDArray[np.float32]) -> NDArray[np.float64]:
    weights = picture.astype(np.float64)
    at = np.indices(picture.shape)
    return (at * weights).sum(axis=(1, 2)) / weights.sum()


SHAPES = st.tuples(st.integers(1, 12), st.integers(1, 12))


@given(shape=SHAPES, scale=st.sampled_from([2, 3, 4]), sigma=st.floats(0, 1.5), value=st.floats(-2000, 2000))
def test_area_mean_has_unit_gain(shape: tuple[int, int], scale: int, sigma: float, value: float) -> None:
    picture = np.full((shape[0] * scale, shape[1] * scale), value, dtype=np.float32)
    small = degrade.area_mean(picture, scale, sigma)
    assert small.shape == shape
    np.testing.assert_allclose(small, np.float32(value), rtol=1e-6, atol=1e-6)


@given(shape=SHAPES, scale=st.sampled_from([2, 3, 4]), value=st.floats(-2000, 2000))
def test_truncation_has_unit_gain(shape: tuple[int, int], scale: int, value: float) -> None:
    picture = np.full((shape[0] * scale, shape[1] * scale), value, dtype=np.float32)
    np.testing.assert_allclose(degrade.truncate(picture, scale), np.float32(value), rtol=1e-6, atol=1e-6)


@settings(max_examples=25)
@given(
    scale=st.sampled_from([2, 3, 4]),
    row=st.floats(40, 56),
    col=st.floats(40, 56),
    kind=st.sampled_from(["area 0", "area 0.8", "k-space"]),
)
def test_a_blob_stays_where_it_is_on_the_grid(scale: int, row: float, col: float, kind: str) -> None:
    picture = blob(96, row, col, 2.5 * scale / 2)
    if kind == "k-space":
        small = degrade.truncate(picture, scale)
    else:
        small = degrade.area_mean(picture, scale, float(kind.split()[1]))
    truth_of_small = (centroid(small) + 0.5) * scale - 0.5
    np.testing.assert_allclose(truth_of_small, [row, col], atol=0.01)


def test_area_mean_without_blur_is_the_mean_of_blocks() -> None:
    picture = np.random.default_rng(1).normal(size=(12, 18))
    np.testing.assert_allclose(
        degrade.area_mean(picture, 3), picture.reshape(4, 3, 6, 3).mean(axis=(1, 3)), rtol=1e-6, atol=1e-6
    )


def test_blur_is_scipys() -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    picture = np.random.default_rng(1).normal(size=(40, 40))
    wanted = ndimage.gaussian_filter(picture, 0.8, radius=4, mode="reflect")
    np.testing.assert_allclose(degrade.area_mean(picture, 1, 0.8), wanted, atol=1e-6)


@pytest.mark.parametrize("side", [8, 9])
def test_zero_filling_brings_back_what_truncation_keeps(side: int) -> None:
    picture = degrade.band_limit(np.random.default_rng(2).normal(size=(2 * side, 2 * side)), (0.4, 0.4))
    np.testing.assert_allclose(rivals.zero_filled(degrade.truncate(picture, 2), 2), picture, atol=1e-5)


def test_a_limit_of_all_frequencies_changes_nothing_and_a_taper_weakens_the_high_ones() -> None:
    picture = np.random.default_rng(3).normal(size=(16, 20))
    np.testing.assert_allclose(degrade.band_limit(picture, (1.0, 1.0)), picture, atol=1e-6)
    power = [np.square(degrade.band_limit(picture, (0.6, 0.6), taper)).sum() for taper in (0.0, 0.5, 1.0)]
    assert power[0] > power[1] > power[2] > 0


def test_crop_leaves_whole_multiples() -> None:
    assert degrade.crop(np.zeros((11, 8, 3)), 3).shape == (9, 6, 3)


def test_errors_say_what_helps() -> None:
    with pytest.raises(UsageError, match="7x8 pixels cannot be divided by 2"):
        degrade.area_mean(np.zeros((7, 8)), 2)
    with pytest.raises(UsageError, match="5x6 pixels cannot be divided by 4"):
        degrade.truncate(np.zeros((5, 6)), 4)
    with pytest.raises(UsageError, match="sigma -1"):
        degrade.area_mean(np.zeros((8, 8)), 2, -1)
