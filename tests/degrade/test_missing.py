"""Masks of what is missing leave something, and are filled by the op that the runtime uses."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
from hypothesis import given

from acutance import degrade, ops

SHAPES = st.tuples(st.integers(8, 40), st.integers(8, 40))


@given(shape=SHAPES, seed=st.integers(0, 999))
def test_dead_lines_are_whole_lines(shape: tuple[int, int], seed: int) -> None:
    mask = degrade.dead_lines(shape, np.random.default_rng(seed))
    rows, cols = mask.all(axis=1), mask.all(axis=0)
    assert 1 <= rows.sum() + cols.sum() <= 3
    np.testing.assert_array_equal(mask, rows[:, None] | cols[None, :])
    np.testing.assert_array_equal(mask, degrade.dead_lines(shape, np.random.default_rng(seed)))


@given(shape=SHAPES, seed=st.integers(0, 999))
def test_padding_leaves_the_middle_and_lies_at_the_border(shape: tuple[int, int], seed: int) -> None:
    mask = degrade.padded(shape, np.random.default_rng(seed))
    assert mask.shape == shape
    middle = tuple(slice(n // 2 - 1, (n + 1) // 2 + 1) for n in shape)
    assert not mask[middle].any()
    valid = ~mask
    for axis in (0, 1):  # what is valid is in one piece along each line
        steps = np.abs(np.diff(valid.astype(int), axis=axis, prepend=0, append=0)).sum(axis=axis)
        assert steps.max() <= 2


def test_both_kinds_of_padding_are_drawn() -> None:
    masks = [degrade.padded((40, 40), np.random.default_rng(seed)) for seed in range(40)]
    strips = sum(bool((m == (m.all(axis=1)[:, None] | m.all(axis=0)[None, :])).all()) for m in masks)
    assert 8 < strips < 32


def test_a_filled_line_has_its_neighbours_values() -> None:
    picture = np.arange(64, dtype=np.float32).reshape(8, 8)
    mask = degrade.dead_lines((8, 8), np.random.default_rng(0), most=1)
    filled = ops.fill(np.where(mask, np.float32(np.nan), picture), mask)
    np.testing.assert_array_equal(filled[~mask], picture[~mask])
    assert np.isfinite(filled).all() and np.abs(filled - picture).max() <= 8
