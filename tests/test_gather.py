"""Tiles hold what the network is to see."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acutance import ops, oracle, tiling
from acutance.geometry import DTYPES


def _picture(rng: np.random.Generator, rows: int, cols: int, dtype: str, colours: bool) -> np.ndarray:
    shape = (rows, cols, 3) if colours else (rows, cols)
    if dtype == "float32":
        return rng.normal(0, 1000, shape).astype(np.float32)
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, shape, endpoint=True).astype(dtype)


def _mapping(rng: np.random.Generator, by_params: bool) -> dict[str, Any]:
    gain, bias = float(rng.normal(0, 0.01)), float(rng.normal())
    return {"params": ops.parameters(gain, bias)} if by_params else {"gain": gain, "bias": bias}


@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(1, 40),
    cols=st.integers(1, 40),
    halo=st.integers(0, 9),
    core_side=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    unshuffle=st.integers(1, 4),
    dtype=st.sampled_from(DTYPES),
    colours=st.booleans(),
    tile_dtype=st.sampled_from(["float32", "float16"]),
    layout=st.sampled_from(["nchw", "nhwc"]),
    by_params=st.booleans(),
)
def test_is_the_oracles_bit_for_bit(
    core: ModuleType,
    seed: int,
    rows: int,
    cols: int,
    halo: int,
    core_side: tuple[int, int],
    unshuffle: int,
    dtype: str,
    colours: bool,
    tile_dtype: str,
    layout: str,
    by_params: bool,
) -> None:
    rng = np.random.default_rng(seed)
    picture = _picture(rng, rows * unshuffle, cols * unshuffle, dtype, colours)
    plan = tiling.plan(rows, cols, (core_side[0] + 2 * halo, core_side[1] + 2 * halo), halo, 2)
    first = int(rng.integers(plan.count))
    count = int(rng.integers(1, plan.count - first, endpoint=True))
    settings = {
        **_mapping(rng, by_params),
        "unshuffle": unshuffle,
        "dtype": tile_dtype,
        "layout": layout,
        "first": first,
        "count": count,
    }
    tiles, wanted = core.gather(picture, plan, threads=2, **settings), oracle.gather(picture, plan, **settings)
    assert tiles.dtype == wanted.dtype
    assert np.array_equal(tiles, wanted)


def test_one_whole_tile_is_the_mirrored_picture(core: ModuleType) -> None:
    picture = np.random.default_rng(5).integers(0, 4096, (9, 5)).astype(np.uint16)
    tiles = core.gather(picture, tiling.plan(9, 5, (9 + 24, 5 + 24), 12, 2))
    assert np.array_equal(tiles[0, 0], np.pad(picture, 12, mode="symmetric"))


def test_nhwc_pads_channels_with_zeros(core: ModuleType) -> None:
    picture = np.full((6, 6), 7, np.uint8)
    out = np.full((1, 2, 2, 16), np.nan, np.float32)
    assert core.gather(picture, tiling.plan(2, 2, 2, 0, 2), unshuffle=3, layout="nhwc", out=out) is out
    assert (out[..., :9] == 7).all() and (out[..., 9:] == 0).all()


def test_half_precision_rounds_as_numpy(core: ModuleType) -> None:
    """Every half, every point midway between two, their neighbours, and what overflows or is not a number."""
    halves = np.arange(0x7C01, dtype=np.uint16).view(np.float16).astype(np.float32)
    halves[-1] = 65536
    middles = (halves[1:] + halves[:-1]) / 2
    values = np.concatenate([halves, middles, np.nextafter(middles, 0), np.nextafter(middles, np.inf), [1e30, np.inf]])
    values = np.concatenate([values, -values, [np.nan]]).astype(np.float32)[None]
    plan = tiling.plan(1, values.shape[1], (1, values.shape[1]), 0, 2)
    with np.errstate(over="ignore"):
        wanted = values.astype(np.float16)
    assert np.array_equal(core.gather(values, plan, dtype=np.float16)[0, 0], wanted, equal_nan=True)


@pytest.mark.parametrize("dtype", DTYPES)
def test_any_row_pitch(core: ModuleType, dtype: str) -> None:
    wide = _picture(np.random.default_rng(6), 31, 70, dtype, False)
    plan = tiling.plan(10, 33, 16, 3, 2)
    for picture in (wide[1:30:3, 5:38], wide[29:0:-3, 37:70]):
        assert np.array_equal(core.gather(picture, plan), oracle.gather(picture, plan))


def test_mapping_is_undone_exactly(core: ModuleType) -> None:
    rng = np.random.default_rng(7)
    picture = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    plan = tiling.plan(256, 256, 256, 0, 2)
    for _ in range(5):
        low, width = rng.uniform(-1000, 60000), rng.uniform(100, 60000)
        tiles = core.gather(picture, plan, gain=1 / width, bias=-low / width)
        assert np.array_equal(np.rint(tiles[0, 0].astype(np.float64) * width + low), picture)
