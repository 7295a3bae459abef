"""The oracle held against formulas, other libraries and itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acutance import oracle, tiling
from acutance.errors import UsageError
from acutance.geometry import output_to_input


@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_mirror_is_numpys_symmetric_padding_at_any_distance(n: int) -> None:
    values = np.arange(n)
    padded = np.pad(values, 5 * n, mode="symmetric")
    assert np.array_equal(values[oracle.mirror(np.arange(-5 * n, 6 * n), n)], padded)


@pytest.mark.parametrize("name", ["cubic", "lanczos4"])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_base_weights_sum_to_one_and_mirror_each_other(scale: int, name: str) -> None:
    first, weights = oracle.base_weights(scale, name)
    taps = weights.shape[1]
    assert np.allclose(weights.sum(axis=1, dtype=np.float64), 1, atol=1e-7)
    at = output_to_input(np.arange(scale), scale)
    assert np.array_equal(first, np.floor(at).astype(int) - taps // 2 + 1)
    middle = at != 0  # a phase on a pixel's centre has no tap as far on the other side
    assert np.allclose(weights[middle], weights[::-1, ::-1][middle], atol=1e-7)


def test_cubic_by_two_has_keys_weights() -> None:
    _, weights = oracle.base_weights(2, "cubic")
    assert np.array_equal(weights[0] * 128, [-3, 29, 111, -9])
    assert np.array_equal(weights[1] * 128, [-9, 111, 29, -3])


def test_cubic_by_three_and_four_keeps_straight_lines_on_the_grid() -> None:
    rows, cols = np.mgrid[0:16, 0:12].astype(np.float32)
    for scale in (2, 3, 4):
        y = oracle.base(3 * rows - 2 * cols + 5, scale)
        r, c = np.mgrid[0 : 16 * scale, 0 : 12 * scale]
        wanted = 3 * output_to_input(r, scale) - 2 * output_to_input(c, scale) + 5
        inside = (slice(3 * scale, -3 * scale),) * 2
        assert np.abs(y - wanted)[inside].max() < 1e-4


def test_base_of_a_constant_is_constant_for_one_pixel_too() -> None:
    for name in ("cubic", "lanczos4"):
        assert np.allclose(oracle.base(np.full((1, 1), 1000, np.uint16), 3, name), 1000, rtol=1e-6)


def test_an_unknown_base_is_refused() -> None:
    with pytest.raises(UsageError, match="wanted cubic or lanczos4"):
        oracle.base_weights(2, "linear")


def test_unshuffled_tiles_are_torchs() -> None:
    torch = pytest.importorskip("torch")
    picture = np.random.default_rng(1).integers(0, 4096, (12, 18)).astype(np.int16)
    tiles = oracle.gather(picture, tiling.plan(4, 6, (4, 6), 0, 2), unshuffle=3)
    wanted = torch.nn.PixelUnshuffle(3)(torch.from_numpy(picture.astype(np.float32))[None, None])
    assert np.array_equal(tiles, wanted.numpy())


def test_shuffled_blocks_are_torchs() -> None:
    torch = pytest.importorskip("torch")
    residual = np.random.default_rng(2).normal(size=(1, 9, 5, 4)).astype(np.float32)
    y, _ = oracle.assemble(residual, np.zeros((5, 4), np.float32), tiling.plan(5, 4, (5, 4), 0, 3))
    assert np.array_equal(y, torch.nn.PixelShuffle(3)(torch.from_numpy(residual))[0, 0].numpy())


@given(st.integers(0, 2**32 - 1), st.sampled_from([4, 9, 16]), st.floats(0.1, 1000))
def test_projection_is_the_nearest_point(seed: int, n: int, spread: float) -> None:
    """The nearest point clamps d - shift, with one shift for the whole block; found here by bisection."""
    rng = np.random.default_rng(seed)
    d = rng.normal(0, spread, (20, n)) + rng.normal(0, spread, (20, 1))
    low, high = -np.abs(rng.normal(0, spread, 20)), np.abs(rng.normal(0, spread, 20))
    found = oracle._project(d, low, high)
    small, large = d.min(axis=1) - high, d.max(axis=1) - low
    for _ in range(80):
        shift = (small + large) / 2
        over = np.clip(d - shift[:, None], low[:, None], high[:, None]).sum(axis=1) > 0
        small, large = np.where(over, shift, small), np.where(over, large, shift)
    wanted = np.clip(d - small[:, None], low[:, None], high[:, None])
    assert np.abs(found - wanted).max() < 1e-9 * spread


def test_largest_remainders_go_up_and_ties_to_the_first() -> None:
    x = np.array([10, 10], np.float32)
    y = np.array([[10.7, 10.1, 9.1, 10.1], [10.5, 10.5, 9.5, 9.5]], np.float32)
    out = oracle._guard_integers(y, x, np.float32(0), np.float32(100))
    assert out.tolist() == [[11, 10, 9, 10], [11, 11, 9, 9]]


def test_a_tile_that_is_not_there_is_refused() -> None:
    plan = tiling.plan(20, 8, 8, 0, 2)
    out = np.zeros((40, 16), np.uint8)
    with pytest.raises(UsageError, match="need tiles"):
        oracle.assemble(np.zeros((1, 4, 8, 8), np.float32), np.zeros((20, 8), np.uint8), plan, rows=(0, 9), out=out)
