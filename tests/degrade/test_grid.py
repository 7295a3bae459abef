"""Point spread and area mean keep constants and positions, and refuse what they cannot divide."""

from __future__ import annotations

from types import SimpleNamespace

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from acutance import degrade
from acutance.errors import UsageError

SHAPES = st.tuples(st.integers(1, 12), st.integers(1, 12))


@given(shape=SHAPES, scale=st.sampled_from([2, 3, 4]), sigma=st.floats(0, 1.5), value=st.floats(-2000, 2000))
def test_area_mean_has_unit_gain(shape: tuple[int, int], scale: int, sigma: float, value: float) -> None:
    picture = np.full((shape[0] * scale, shape[1] * scale), value, dtype=np.float32)
    small = degrade.area_mean(picture, scale, sigma)
    assert small.shape == shape
    np.testing.assert_allclose(small, np.float32(value), rtol=1e-6, atol=1e-6)


@settings(max_examples=25)
@given(
    scale=st.sampled_from([2, 3, 4]),
    row=st.floats(40, 56),
    col=st.floats(40, 56),
    sigma=st.sampled_from([0.0, 0.8]),
)
def test_a_blob_stays_where_it_is_on_the_grid(
    blobs: SimpleNamespace, scale: int, row: float, col: float, sigma: float
) -> None:
    picture = blobs.make(96, row, col, 2.5 * scale / 2)
    small = degrade.area_mean(picture, scale, sigma)
    truth_of_small = (blobs.centroid(small) + 0.5) * scale - 0.5
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


def test_crop_leaves_whole_multiples() -> None:
    assert degrade.crop(np.zeros((11, 8, 3)), 3).shape == (9, 6, 3)


def test_errors_say_what_helps() -> None:
    with pytest.raises(UsageError, match="7x8 pixels cannot be divided by 2"):
        degrade.area_mean(np.zeros((7, 8)), 2)
    with pytest.raises(UsageError, match="sigma -1"):
        degrade.area_mean(np.zeros((8, 8)), 2, -1)


def test_a_point_spread_may_differ_by_axis() -> None:
    point = np.zeros((33, 33))
    point[16, 16] = 1
    spread = degrade.area_mean(point, 1, (1.0, 2.0))
    assert spread[16].max() == spread[16, 16] and spread[16, 20] > 5 * spread[20, 16]
