"""Residual tiles become output pixels."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as tried
from hypothesis import strategies as st

from acutance import ops, oracle, tiling
from acutance.geometry import DTYPES


def _picture(
    rng: np.random.Generator, shape: tuple[int, ...], dtype: str, low: float, high: float, edge: float = 0.3
) -> np.ndarray:
    """Values over [low, high], a share ``edge`` of them at or next to its ends."""
    values = rng.uniform(low, high, shape)
    if dtype != "float32":
        values = np.rint(values)
    ends = rng.choice([low, low, low + 1, high - 1, high, high], shape)
    return np.where(rng.random(shape) < edge, np.clip(ends, low, high), values).astype(dtype)


def _limits(dtype: str, bits: int) -> tuple[float, float]:
    if dtype == "int16":
        return -(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1
    return (-1000.0, 3000.0) if dtype == "float32" else (0.0, 2.0 ** min(bits, 8 * np.dtype(dtype).itemsize) - 1)


def _residual(rng: np.random.Generator, plan: tiling.Plan, layout: str, dtype: str, spread: float) -> np.ndarray:
    n = plan.scale**2
    h, w = plan.tile_shape
    shape = (plan.count, n, h, w) if layout == "nchw" else (plan.count, h, w, -(-n // 8) * 8)
    return rng.normal(0, spread, shape).astype(dtype)


def _found(core: Any, nonfinite: int) -> int:
    """What an implementation returns for so many samples that are not finite: devices do not count them."""
    return nonfinite if core is ops else min(nonfinite, 1)


@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(1, 24),
    cols=st.integers(1, 70),
    scale=st.sampled_from([1, 2, 3, 4]),
    halo=st.integers(0, 5),
    overlap=st.sampled_from([0, 0, 1, 4]),
    extra=st.tuples(st.integers(1, 30), st.integers(1, 60)),
    dtype=st.sampled_from(DTYPES),
    colours=st.booleans(),
    tile_dtype=st.sampled_from(["float32", "float16"]),
    layout=st.sampled_from(["nchw", "nhwc"]),
    base=st.sampled_from(["cubic", "lanczos4"]),
    guard=st.booleans(),
    masked=st.booleans(),
    limited=st.booleans(),
    bad=st.booleans(),
    by_params=st.booleans(),
)
def test_is_the_oracles(
    core: ModuleType,
    seed: int,
    rows: int,
    cols: int,
    scale: int,
    halo: int,
    overlap: int,
    extra: tuple[int, int],
    dtype: str,
    colours: bool,
    tile_dtype: str,
    layout: str,
    base: str,
    guard: bool,
    masked: bool,
    limited: bool,
    bad: bool,
    by_params: bool,
) -> None:
    rng = np.random.default_rng(seed)
    low, high = _limits(dtype, 12 if limited else 16)
    picture = _picture(rng, (rows, cols, 3) if colours else (rows, cols), dtype, low, high)
    tile = tuple(2 * halo + 2 * overlap + e for e in extra)
    plan = tiling.plan(rows, cols, tile, halo, scale, overlap)
    residual = _residual(rng, plan, layout, tile_dtype, 10 ** rng.uniform(-3, 1))
    if bad:
        residual[rng.random(residual.shape) < 0.02] = np.nan
        residual[rng.random(residual.shape) < 0.02] = np.inf
    numbers: dict[str, Any] = {"gain": 1 / rng.uniform(50, 5000)}
    if limited:
        numbers.update(low=low - 0.3, high=high + 0.3)
    if masked:
        numbers.update(padding=float(picture.flat[0]))
    settings: dict[str, Any] = {"base": base, "guard": guard, "layout": layout}
    if masked:
        settings.update(mask=rng.random((rows, cols)) < 0.3)
    settings.update({"params": ops.parameters(**numbers)} if by_params else numbers)
    out, nonfinite = core.assemble(residual, picture, plan, threads=2, **settings)
    wanted, count = oracle.assemble(residual, picture, plan, **settings)
    assert nonfinite == _found(core, count)
    assert out.dtype == wanted.dtype
    if base == "cubic":
        assert np.array_equal(out, wanted)
    else:  # the sines of the weights may differ in their last bit from one C library to the next
        near = np.abs(out.astype(np.float64) - wanted)
        assert near.max() <= (2e-3 if dtype == "float32" else 1)
        assert dtype == "float32" or (near > 0).mean() <= 0.02 or out.size < 500


@tried(max_examples=100)
@given(
    seed=st.integers(0, 2**32 - 1),
    dtype=st.sampled_from(["uint8", "int16", "uint16"]),
    bits=st.integers(1, 16),
    scale=st.sampled_from([2, 3, 4]),
    colours=st.booleans(),
    spread=st.floats(-2, 7),
    offset=st.sampled_from([0, 0, 1e3, -1e5, 1e6]),
    halves=st.booleans(),
    edge=st.sampled_from([0.0, 0.5, 1.0]),
)
def test_guarded_blocks_sum_to_their_pixel(
    core: ModuleType,
    seed: int,
    dtype: str,
    bits: int,
    scale: int,
    colours: bool,
    spread: float,
    offset: float,
    halves: bool,
    edge: float,
) -> None:
    rng = np.random.default_rng(seed)
    low, high = _limits(dtype, bits)
    picture = _picture(rng, (17, 37, 3) if colours else (17, 37), dtype, low, high, edge)
    picture[:4, :9], picture[:4, 9:20] = low, high
    plan = tiling.plan(17, 37, 24, 2, scale)
    residual = _residual(rng, plan, "nchw", "float32", 10**spread)
    if halves:  # equal remainders
        residual = np.rint(2 * residual) / 2
    residual += np.float32(offset)  # a large common part costs the small differences their last bits
    out, nonfinite = core.assemble(residual, picture, plan, guard=True, low=low, high=high)
    assert np.array_equal(out, oracle.assemble(residual, picture, plan, guard=True, low=low, high=high)[0])
    blocks = out.reshape(17, scale, 37, scale, -1).astype(np.int64)
    assert nonfinite == 0
    assert np.array_equal(blocks.sum(axis=(1, 3)), scale * scale * picture.reshape(17, 37, -1).astype(np.int64))
    assert out.min() >= low and out.max() <= high
    assert (blocks[:4, :, :9] == low).all() and (blocks[:4, :, 9:20] == high).all()


def test_a_large_common_part_lifts_no_sample_above_the_highest(core: ModuleType) -> None:
    """The mean of such residuals is off by a third of a unit, so that the remainders do not add up as they should."""
    plan = tiling.plan(4, 16, (4, 16), 0, 4)
    picture = np.full((4, 16), 254, np.uint16)
    noise = np.array([-2, 1, 0, 1, -1, -1, -1, 0, 0, 0, 1, 0, -1, 0, 0, 0], np.float32)
    residual = np.tile((noise + np.float32(871232.75))[None, :, None, None], (1, 1, 4, 16))
    out, _ = core.assemble(residual, picture, plan, guard=True, high=255)
    assert out.max() == 255
    assert (out.reshape(4, 4, 16, 4).sum(axis=(1, 3), dtype=int) == 16 * 254).all()


@tried(max_examples=100)
@given(
    seed=st.integers(0, 2**32 - 1),
    scale=st.sampled_from([2, 3, 4]),
    colours=st.booleans(),
    spread=st.floats(-6, 4),
    size=st.floats(-6, 6),
    floor=st.booleans(),
)
def test_guarded_float_blocks_sum_to_one_ulp(
    core: ModuleType, seed: int, scale: int, colours: bool, spread: float, size: float, floor: bool
) -> None:
    rng = np.random.default_rng(seed)
    picture = np.abs(rng.normal(0, 10**size, (15, 21, 3) if colours else (15, 21))).astype(np.float32)
    picture[rng.random(picture.shape) < 0.1] = 0
    low = 0.0 if floor else None
    plan = tiling.plan(15, 21, 24, 2, scale)
    residual = _residual(rng, plan, "nchw", "float32", 10 ** (size + spread))
    out, _ = core.assemble(residual, picture, plan, guard=True, low=low)
    blocks = out.reshape(15, scale, 21, scale, -1).transpose(0, 2, 4, 1, 3).reshape(15, 21, -1, scale * scale)
    x = picture.reshape(15, 21, -1)
    error = np.abs(blocks.sum(axis=3, dtype=np.float64) - scale * scale * x.astype(np.float64))
    # Blocks of both signs with no sample as small as x cannot be nearer than their smallest sample allows.
    unit = np.spacing(np.maximum(x, np.abs(blocks).min(axis=3)))
    assert (error <= unit).all()
    if floor:
        assert out.min() >= 0
        assert (error <= np.spacing(x)).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("guard", [False, True])
def test_samples_that_are_not_finite_are_counted_and_give_the_base(core: ModuleType, dtype: str, guard: bool) -> None:
    rng = np.random.default_rng(8)
    picture = _picture(rng, (20, 40), dtype, 50, 200, 0)
    plan = tiling.plan(20, 40, 24, 4, 2)
    residual = np.zeros((plan.count, 4, 24, 24), np.float32)
    clean, none = core.assemble(residual, picture, plan, guard=guard)
    residual[0, 1, 4, 4] = np.nan
    residual[0, 2, 10, 9] = -np.inf
    residual[1, 3, 6, 5] = np.inf
    residual[0, 0, 0, 0] = np.nan  # in the halo: not looked at
    out, nonfinite = core.assemble(residual, picture, plan, guard=guard)
    assert (none, nonfinite) == (0, _found(core, 3))
    assert np.array_equal(out, clean)
    mask = np.zeros((20, 40), bool)
    mask[0, 0] = True
    assert core.assemble(residual, picture, plan, guard=guard, mask=mask)[1] == _found(core, 2)


def test_every_kind_of_overflow_is_counted(core: ModuleType) -> None:
    plan = tiling.plan(1, 2, (1, 2), 0, 2)
    picture = np.array([[3e38, 3e38]], np.float32)
    residual = np.zeros((1, 4, 1, 2), np.float32)
    residual[0, 0, 0, 0] = 3e38
    residual[0, 1, 0, 1] = 1e30
    out, nonfinite = core.assemble(residual, picture, plan)
    assert nonfinite == 1 and np.isfinite(out).all()
    assert core.assemble(residual, picture, plan, gain=1e-20)[1] == _found(core, 2)


@tried(max_examples=100)
@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(1, 60),
    cols=st.integers(1, 60),
    tiles=st.lists(st.tuples(st.integers(1, 50), st.integers(1, 50)), min_size=2, max_size=2),
    scale=st.sampled_from([2, 3]),
)
def test_any_tile_gives_the_same_picture(
    core: ModuleType, seed: int, rows: int, cols: int, tiles: list[tuple[int, int]], scale: int
) -> None:
    """A stand-in network sees ``radius`` pixels around each, and gives NaN where a tile does not hold them."""
    rng, radius = np.random.default_rng(seed), 2
    picture = _picture(rng, (rows, cols), "uint16", 0, 4095)
    kernel = rng.normal(0, 1, (scale * scale, 5, 5)).astype(np.float32)

    def network(x: np.ndarray) -> np.ndarray:
        y = np.full((x.shape[0], scale * scale, *x.shape[2:]), np.nan, np.float32)
        h, w = x.shape[2] - 2 * radius, x.shape[3] - 2 * radius
        inside = np.zeros((x.shape[0], scale * scale, h, w), np.float32)
        for i in range(5):
            for j in range(5):
                part = x[:, :, i : i + h, j : j + w]
                inside += kernel[:, i, j, None, None] * part * (part - np.float32(0.5))
        y[:, :, radius : radius + h, radius : radius + w] = inside
        return y

    pictures = []
    for side in [*tiles, (rows, cols)]:
        plan = tiling.plan(rows, cols, (side[0] + 2 * radius, side[1] + 2 * radius), radius, scale)
        residual = network(core.gather(picture, plan, gain=1 / 4095))
        out, nonfinite = core.assemble(residual, picture, plan, gain=1 / 4095)
        assert nonfinite == 0
        pictures.append(out)
    assert np.array_equal(pictures[0], pictures[2]) and np.array_equal(pictures[1], pictures[2])


@tried(max_examples=100)
@given(
    rows=st.integers(1, 90),
    cols=st.integers(1, 90),
    halo=st.integers(0, 3),
    overlap=st.integers(1, 6),
    extra=st.tuples(st.integers(0, 20), st.integers(0, 20)),
    scale=st.sampled_from([2, 3, 4]),
)
def test_blending_weights_sum_to_one(
    core: ModuleType, rows: int, cols: int, halo: int, overlap: int, extra: tuple[int, int], scale: int
) -> None:
    tile = (2 * (halo + overlap) + extra[0], 2 * (halo + overlap) + extra[1])
    plan = tiling.plan(rows, cols, tile, halo, scale, overlap)
    residual = np.full((plan.count, scale**2, *plan.tile_shape), np.nan, np.float32)
    residual[:, :, halo : tile[0] - halo, halo : tile[1] - halo] = 1
    out, nonfinite = core.assemble(residual, np.zeros((rows, cols), np.float32), plan)
    assert nonfinite == 0
    assert np.abs(out - 1).max() <= 3e-7


def test_feathered_seam_is_a_straight_ramp(core: ModuleType) -> None:
    plan = tiling.plan(1, 20, (12, 12), 0, 2, overlap=4)
    assert plan.cols.count == 2
    residual = np.zeros((plan.count, 4, 12, 12), np.float32)
    residual[1] = 1
    out, _ = core.assemble(residual, np.zeros((1, 20), np.float32), plan)
    wanted = np.concatenate([np.zeros(16), (np.arange(8) + 0.5) / 8, np.ones(16)])
    assert np.allclose(out[0], wanted, atol=1e-7) and np.array_equal(out[0], out[1])


@pytest.mark.parametrize("overlap", [0, 3])
def test_rows_are_written_once_and_no_others(core: ModuleType, overlap: int) -> None:
    """Streaming: each row of tiles writes the rows it owns; together they are the picture."""
    rng = np.random.default_rng(9)
    picture = _picture(rng, (50, 45), "int16", -1000, 1000)
    plan = tiling.plan(50, 45, 18, 2, 3, overlap)
    residual = _residual(rng, plan, "nchw", "float32", 30)
    whole, _ = core.assemble(residual, picture, plan)
    across = plan.cols.count
    out, written = np.zeros_like(whole), np.zeros(150, int)
    for i in range(plan.rows.count):
        rows = plan.rows.owned(i)
        first = max(i - 1, 0) if overlap else i
        piece = residual[first * across : (i + 1) * across]
        for value in (0, 1):  # two fills tell a written sample from one that was there
            out_here = np.full_like(whole, value)
            core.assemble(piece, picture, plan, first=first * across, rows=rows, out=out_here)
            changed = slice(rows[0] * 3, rows[1] * 3)
            assert np.array_equal(out_here[changed], whole[changed])
            assert (np.delete(out_here, np.arange(150)[changed], axis=0) == value).all()
        out[changed] = out_here[changed]
        written[changed] += 1
    assert np.array_equal(out, whole) and (written == 1).all()


def test_any_row_pitch_of_slice_mask_and_out(core: ModuleType) -> None:
    rng = np.random.default_rng(10)
    wide = _picture(rng, (40, 60, 3), "uint8", 0, 255)
    picture, mask = wide[::-3, 4:41], (rng.random((20, 50)) < 0.2)[3:17, 9:46]
    plan = tiling.plan(14, 37, 16, 2, 2)
    residual = _residual(rng, plan, "nchw", "float16", 20)
    wanted, _ = oracle.assemble(residual, picture, plan, mask=mask, padding=9, guard=True)
    frame = np.full((40, 100, 3), 77, np.uint8)
    place = frame[5:33, 11:85]
    core.assemble(residual, picture, plan, mask=mask, padding=9, guard=True, out=place)
    assert np.array_equal(place, wanted)
    place[:] = 77
    assert (frame == 77).all()


def test_without_a_residual_or_a_gain_it_is_the_base(core: ModuleType) -> None:
    picture = np.random.default_rng(11).random((30, 33)).astype(np.float32)
    plan = tiling.plan(30, 33, 16, 2, 4)
    residual = np.full((plan.count, 16, 16, 16), np.nan, np.float32)
    for base in ("cubic", "lanczos4"):
        wanted = oracle.base(picture, 4, base)
        assert np.allclose(core.assemble(None, picture, plan, base=base)[0], wanted, atol=1e-6)
        for settings in ({"gain": 0}, {"params": ops.parameters(gain=0)}):
            out, nonfinite = core.assemble(residual, picture, plan, base=base, **settings)
            assert nonfinite == 0 and np.allclose(out, wanted, atol=1e-6)


def test_rounds_half_to_even_and_clamps(core: ModuleType) -> None:
    plan = tiling.plan(1, 5, (1, 5), 0, 1)
    residual = np.array([0.5, 1.5, 2.5, -9, 300], np.float32).reshape(1, 1, 1, 5)
    out, _ = core.assemble(residual, np.zeros((1, 5), np.uint8), plan, low=1, high=200.7)
    assert out.tolist() == [[1, 2, 2, 1, 200]]


def test_threads_change_nothing(core: ModuleType) -> None:
    rng = np.random.default_rng(12)
    picture = _picture(rng, (300, 310), "uint16", 0, 4095)
    plan = tiling.plan(300, 310, 100, 7, 2, 5)
    residual = _residual(rng, plan, "nchw", "float32", 40)
    residual[0, 0, 50, 50] = np.nan
    one = core.assemble(residual, picture, plan, guard=True, threads=1)
    for threads in (0, 2, 5):
        out, nonfinite = core.assemble(residual, picture, plan, guard=True, threads=threads)
        assert np.array_equal(out, one[0]) and nonfinite == one[1] == 1
