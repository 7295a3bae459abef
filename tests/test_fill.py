"""Masked samples take the nearest valid one."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acutance import oracle
from acutance.geometry import DTYPES


def _picture(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    return rng.integers(0, 255, shape).astype(dtype)


@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(1, 24),
    cols=st.integers(1, 24),
    share=st.sampled_from([0.0, 0.1, 0.5, 0.9, 0.99, 1.0]),
    dtype=st.sampled_from(DTYPES),
    colours=st.booleans(),
)
def test_is_the_oracles(
    core: ModuleType, seed: int, rows: int, cols: int, share: float, dtype: str, colours: bool
) -> None:
    rng = np.random.default_rng(seed)
    picture = _picture(rng, (rows, cols, 3) if colours else (rows, cols), dtype)
    mask = rng.random((rows, cols)) < share
    before = picture.copy()
    filled = core.fill(picture, mask, threads=2)
    assert filled.dtype == picture.dtype
    assert np.array_equal(filled, oracle.fill(picture, mask))
    assert np.array_equal(picture, before)


def test_ties_go_to_the_smallest_row_then_column(core: ModuleType) -> None:
    picture = np.arange(25, dtype=np.uint8).reshape(5, 5)
    mask = np.ones((5, 5), bool)
    for r, c in ((0, 2), (2, 0), (2, 4), (4, 2)):
        mask[r, c] = False
    filled = core.fill(picture, mask)
    assert filled[2, 2] == picture[0, 2]
    assert filled[4, 4] == picture[2, 4]
    assert filled[3, 1] == picture[2, 0]


def test_large_masked_area_over_threads_is_right(core: ModuleType) -> None:
    """A disc of valid samples, as a scanner's field of view; the nearest is found by SciPy."""
    ndimage = pytest.importorskip("scipy.ndimage")
    rng = np.random.default_rng(3)
    picture = rng.random((300, 410)).astype(np.float32)
    r, c = np.mgrid[0:300, 0:410]
    mask = (r - 150) ** 2 + (c - 180) ** 2 > 140**2
    filled = core.fill(picture, mask, threads=3)
    distance = ndimage.distance_transform_edt(mask)
    assert np.array_equal(filled[~mask], picture[~mask])
    rows_of = core.fill(np.ascontiguousarray(r.astype(np.float32)), mask)
    cols_of = core.fill(np.ascontiguousarray(c.astype(np.float32)), mask)
    assert np.allclose(np.hypot(rows_of - r, cols_of - c), distance, atol=1e-4)
    assert not mask[rows_of.astype(int), cols_of.astype(int)].any()
    assert np.array_equal(filled, picture[rows_of.astype(int), cols_of.astype(int)])


def test_row_pitch_and_own_place(core: ModuleType) -> None:
    rng = np.random.default_rng(4)
    wide = _picture(rng, (20, 50), "int16")
    picture, mask = wide[::-2, 7:31], rng.random((30, 40))[5:15, 3:27] < 0.5
    wanted = oracle.fill(picture, mask)
    assert np.array_equal(core.fill(picture, mask.view(np.uint8)), wanted)
    place = np.zeros((10, 40), np.int16)
    core.fill(picture, mask, out=place[:, 5:29])
    assert np.array_equal(place[:, 5:29], wanted)
    assert not place[:, :5].any() and not place[:, 29:].any()
    itself = picture.copy()
    core.fill(itself, mask, out=itself)
    assert np.array_equal(itself, wanted)
