"""The ops of :mod:`acutance.ops` in plain NumPy, same signatures: what the native ones are held against.

Clear before fast. Sums are made in float32 in the order of the native code, which adds without fused multiply-add, so
both give the same bits but for the sines of ``lanczos4``'s weights.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .errors import UsageError
from .geometry import Array
from .tiling import Axis, Plan

__all__ = ["assemble", "base", "base_weights", "fill", "gather", "mirror"]

GUARD_REACH = np.float32(2**20)
"""Residuals beyond this many stored units are cut before the guard, so that sums stay finite in float32."""

F32 = NDArray[np.float32]


def mirror(i: Array, n: int) -> NDArray[np.int64]:
    """Return indices into ``n`` samples mirrored about their edges, as ``numpy.pad(mode="symmetric")`` does."""
    k = np.asarray(i, dtype=np.int64) % (2 * n)
    return np.where(k < n, k, 2 * n - 1 - k)


def fill(slice: Array, mask: Array, out: Array | None = None, threads: int = 0) -> Array:
    """Put the nearest valid sample in the place of masked ones; see :func:`acutance.ops.fill`."""
    missing = np.asarray(mask) != 0
    filled = slice.copy()
    if missing.any() and not missing.all():
        valid = np.argwhere(~missing)  # row by row, so that the first of several nearest is the wanted one
        for r, c in np.argwhere(missing):
            nearest = valid[np.argmin(((valid - (r, c)) ** 2).sum(axis=1))]
            filled[r, c] = slice[nearest[0], nearest[1]]
    return _into(out, filled)


def gather(
    slice: Array,
    plan: Plan,
    *,
    gain: float = 1.0,
    bias: float = 0.0,
    unshuffle: int = 1,
    dtype: DTypeLike = np.float32,
    layout: str = "nchw",
    first: int = 0,
    count: int | None = None,
    out: Array | None = None,
    threads: int = 0,
    params: F32 | None = None,
) -> Array:
    """Cut a slice into the tiles that a network sees; see :func:`acutance.ops.gather`."""
    if params is not None:
        gain, bias = params[:2]
    u = unshuffle
    h, w = plan.tile_shape
    numbers = range(first, plan.count if count is None else first + count)
    gray = _gray(slice) * np.float32(gain) + np.float32(bias)
    tiles = np.zeros((len(numbers), u * u, h, w), dtype=np.float32)
    for t, number in enumerate(numbers):
        row, col = divmod(number, plan.cols.count)
        y = mirror(plan.rows.origin(row) * u + np.arange(h * u), slice.shape[0])
        x = mirror(plan.cols.origin(col) * u + np.arange(w * u), slice.shape[1])
        blocks = gray[np.ix_(y, x)].reshape(h, u, w, u)
        tiles[t] = blocks.transpose(1, 3, 0, 2).reshape(u * u, h, w)
    if layout == "nhwc":
        padded = np.zeros((len(numbers), -(-u * u // 8) * 8, h, w), dtype=np.float32)
        padded[:, : u * u] = tiles
        tiles = np.ascontiguousarray(padded.transpose(0, 2, 3, 1))
    with np.errstate(over="ignore"):
        return _into(out, tiles.astype(dtype))


def assemble(
    residual: Array | None,
    slice: Array,
    plan: Plan,
    *,
    gain: float = 1.0,
    base: str = "cubic",
    guard: bool = False,
    low: float | None = None,
    high: float | None = None,
    mask: Array | None = None,
    padding: float = 0.0,
    layout: str = "nchw",
    first: int = 0,
    rows: tuple[int, int] | None = None,
    out: Array | None = None,
    threads: int = 0,
    params: F32 | None = None,
) -> tuple[Array, int]:
    """Turn residual tiles into output pixels; see :func:`acutance.ops.assemble`."""
    if params is not None:
        gain, _, low, high, padding = (float(v) for v in params[:5])
    s, (r0, r1) = plan.scale, rows or (0, plan.rows.size)
    lowest, highest = _limits(slice.dtype, low, high)
    picture = slice if slice.ndim == 3 else slice[:, :, None]
    keep = np.ones((r1 - r0, plan.cols.size), dtype=bool) if mask is None else np.asarray(mask)[r0:r1] == 0
    # Blocks: [row, col, colour, s*s].
    y = _blocks(_base(picture, s, base)[r0 * s : r1 * s], s)
    added = np.zeros((r1 - r0, plan.cols.size, 1, s * s), dtype=np.float32)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        if residual is not None and gain != 0:
            tiles = residual if layout == "nchw" else residual.transpose(0, 3, 1, 2)
            tiles = tiles[:, : s * s].astype(np.float32)
            added[:, :, 0] = _stitch(tiles, plan, first, r0, r1) * (np.float32(1) / np.float32(gain))
        total = y + added
    bad = ~np.isfinite(total)
    y = np.where(bad, y, total)
    x = picture[r0:r1].astype(np.float32)
    if guard:
        project = _guard_floats if slice.dtype.kind == "f" else _guard_integers
        y = project(y.reshape(-1, s * s), x.reshape(-1), lowest, highest).reshape(y.shape)
    y = np.clip(y, lowest, highest)
    if slice.dtype.kind != "f":
        y = np.rint(y)
    y[~keep] = padding
    nonfinite = int(bad[keep].sum())
    pixels = y.reshape(*y.shape[:3], s, s).transpose(0, 3, 1, 4, 2).reshape(s * y.shape[0], s * y.shape[1], -1)
    pixels = pixels.astype(slice.dtype).reshape(*pixels.shape[:2], *slice.shape[2:])
    if rows is None:
        return _into(out, pixels), nonfinite
    if out is None:
        raise UsageError("rows are given without out; wanted the array that is written piece by piece")
    out[r0 * s : r1 * s] = pixels
    return out, nonfinite


def base_weights(scale: int, name: str) -> tuple[NDArray[np.int64], F32]:
    """Return the base filter's first tap ``[s]``, relative to the phase's pixel, and weights ``[s, taps]``.

    ``cubic`` is Keys' with a = -0.5 (IEEE Trans. ASSP 29(6), 1981, eq. 15), ``lanczos4`` is sinc(t) sinc(t / 4).

    Raises
    ------
    UsageError
        There is no such base.
    """
    if name not in ("cubic", "lanczos4"):
        raise UsageError(f"base is '{name}'; wanted cubic or lanczos4")
    taps = 4 if name == "cubic" else 8
    at = (np.arange(scale) + 0.5) / scale - 0.5
    start = np.floor(at).astype(np.int64) - taps // 2 + 1
    t = np.abs(start[:, None] + np.arange(taps) - at[:, None])
    if name == "cubic":
        near = (1.5 * t - 2.5) * t * t + 1
        far = ((-0.5 * t + 2.5) * t - 4) * t + 2
        weights = np.where(t <= 1, near, np.where(t < 2, far, 0))
    else:
        weights = np.where(t < 4, np.sinc(t) * np.sinc(t / 4), 0)
    weights /= weights.sum(axis=1, keepdims=True)
    return start, weights.astype(np.float32)


def base(slice: Array, scale: int, name: str = "cubic") -> F32:
    """Return the base of a slice, ``[rows*s, cols*s]`` or ``[rows*s, cols*s, 3]``, in stored units, not rounded."""
    picture = slice if slice.ndim == 3 else slice[:, :, None]
    enlarged = _base(picture, scale, name)
    return enlarged.reshape(*enlarged.shape[:2], *slice.shape[2:])


def _base(picture: Array, s: int, name: str) -> F32:
    values = picture.astype(np.float32)
    return _enlarge(_enlarge(values, s, name, 1), s, name, 0)


def _enlarge(values: F32, s: int, name: str, axis: int) -> F32:
    """Filter along one axis, taps in order."""
    start, weights = base_weights(s, name)
    n = values.shape[axis]
    phases = []
    for i in range(s):
        taps = [
            weight * values.take(mirror(np.arange(n) + start[i] + k, n), axis=axis)
            for k, weight in enumerate(weights[i])
        ]
        phases.append(functools.reduce(np.add, taps))
    shape = list(values.shape)
    shape[axis] *= s
    return np.stack(phases, axis=axis + 1).reshape(shape)


def _stitch(tiles: F32, plan: Plan, first: int, r0: int, r1: int) -> F32:
    """Return the stitched residual ``[r1 - r0, cols, s*s]``."""
    s = plan.scale
    rows, cols = _places(plan.rows, r0, r1, s), _places(plan.cols, 0, plan.cols.size, s)
    across = plan.cols.count
    needed = int((rows[0] - rows[3]).min()) * across, (int(rows[0].max()) + 1) * across
    if needed[0] < first or needed[1] > first + len(tiles):
        raise UsageError(f"rows {r0} to {r1 - 1} need tiles that residual does not hold")
    phase_row, phase_col = np.divmod(np.arange(s * s), s)

    def at(row_tile: Array, row: Array, col_tile: Array, col: Array) -> F32:
        number = row_tile[:, None] * across + col_tile[None] - first
        return np.asarray(tiles[number, :, row[:, None], col[None]], dtype=np.float32)

    def along_row(row_tile: Array, row: Array) -> F32:
        tile, place, before, blended, weights = (cols[0], cols[1], cols[2], cols[3], cols[4][:, phase_col])
        value = at(row_tile, row, tile, place)
        previous = at(row_tile, row, np.where(blended, tile - 1, tile), before)
        both = np.where(blended[None, :, None], (np.float32(1) - weights) * previous + weights * value, value)
        return np.asarray(both, dtype=np.float32)

    tile, place, before, blended, weights = rows[0], rows[1], rows[2], rows[3], rows[4][:, None, phase_row]
    value = along_row(tile, place)
    previous = along_row(np.where(blended, tile - 1, tile), before)
    both = np.where(blended[:, None, None], (np.float32(1) - weights) * previous + weights * value, value)
    return np.asarray(both, dtype=np.float32)


def _places(axis: Axis, p0: int, p1: int, s: int) -> tuple[Array, Array, Array, Array, F32]:
    """Return for pixels p0..p1 their tile, place in it, place in the tile before, whether blended, weights [., s]."""
    p = np.arange(p0, p1)
    tile = np.minimum(p // axis.step, axis.count - 1)
    origins = np.array([axis.origin(i) for i in range(axis.count)])
    k = p - tile * axis.step
    blended = (tile > 0) & (k < axis.overlap)
    before = np.where(blended, p - origins[tile - 1], p - origins[tile])
    counted = (k[:, None] * s + np.arange(s)).astype(np.float32) + np.float32(0.5)
    weights = counted / np.float32(max(axis.overlap * s, 1))
    return tile, p - origins[tile], before, blended, weights


def _blocks(pixels: F32, s: int) -> F32:
    """Turn ``[rows*s, cols*s, colours]`` into ``[rows, cols, colours, s*s]``."""
    rows, cols, colours = pixels.shape[0] // s, pixels.shape[1] // s, pixels.shape[2]
    blocks: F32 = pixels.reshape(rows, s, cols, s, colours).transpose(0, 2, 4, 1, 3)
    return blocks.reshape(rows, cols, colours, s * s)


def _ordered_sum(values: Array, chosen: Array) -> Array:
    """Sum the chosen samples of each block in order."""
    total = np.zeros(values.shape[0], dtype=values.dtype)
    for k in range(values.shape[1]):
        total += np.where(chosen[:, k], values[:, k], 0)
    return total


def _project(d: Array, low: Array, high: Array) -> Array:
    """Project each row of ``d [blocks, n]`` onto {sum = 0, low <= d <= high} by variable fixing (Kiwiel 2008)."""
    d = d.copy()
    low, high = low[:, None], high[:, None]
    free = np.ones(d.shape, dtype=bool)
    rest = np.zeros(d.shape[0], dtype=d.dtype)
    active = np.ones(d.shape[0], dtype=bool)
    while active.any():
        left = np.maximum(free.sum(axis=1), 1).astype(d.dtype)
        z = d - ((_ordered_sum(d, free) - rest) / left)[:, None]
        under, over = free & (z < low), free & (z > high)
        with np.errstate(invalid="ignore"):
            below, above = _ordered_sum(low - z, under), _ordered_sum(z - high, over)
        fix_low = (below > 0) & (below >= above)
        fix_high = (above > 0) & (above >= below)
        last = fix_low == fix_high
        at_low = active[:, None] & under & fix_low[:, None]
        at_high = active[:, None] & over & fix_high[:, None]
        d = np.where(at_low, low, np.where(at_high, high, d))
        fixed = at_low | at_high
        done = active & last
        d = np.where(free & ~fixed & done[:, None], z, d)
        for k in range(d.shape[1]):
            rest -= np.where(fixed[:, k], d[:, k], 0)
        free &= ~fixed
        active &= ~last & free.any(axis=1)
    return d


def _guard_integers(y: F32, x: F32, low: np.float32, high: np.float32) -> F32:
    """Make each row of ``y [blocks, n]`` integers in [low, high] that sum to ``n * x``."""
    x = np.clip(x, low, high)
    lows, highs = low - x, high - x
    d = _project(np.clip(y - x[:, None], -GUARD_REACH, GUARD_REACH), lows, highs)
    whole = np.floor(d)
    remainder = d - whole
    missing = -whole.sum(axis=1)
    while missing.any():
        step = np.sign(missing)[:, None]
        allowed = (whole + step >= lows[:, None]) & (whole + step <= highs[:, None]) & (step != 0)
        best = np.argmax(np.where(allowed, step * remainder, -np.inf), axis=1)
        hit = np.zeros_like(allowed)
        hit[np.arange(len(best)), best] = True
        hit &= allowed
        whole = np.where(hit, whole + step, whole)
        remainder = np.where(hit, remainder - step, remainder)
        missing -= np.sign(missing)
    return whole + x[:, None]


def _guard_floats(y: F32, x: F32, low: np.float32, high: np.float32) -> F32:
    """Make each row of ``y [blocks, n]`` float32 in [low, high] that sum, in double, to ``n * x`` to an ulp of x."""
    finite = np.isfinite(x) & np.isfinite(y).all(axis=1)
    target = np.clip(np.where(finite, x, 0), low, high).astype(np.float64)
    d = np.where(finite[:, None], y, 0).astype(np.float64) - target[:, None]
    d = _project(d, low - target, high - target)
    g = _settle_sums(np.clip((d + target[:, None]).astype(np.float32), low, high), target, low, high)
    return np.where(finite[:, None], g, y)


def _settle_sums(y: F32, x: NDArray[np.float64], low: np.float32, high: np.float32) -> F32:
    """Make each row of ``y`` sum to ``n * x``: the sample of smallest magnitude takes what rounding left over.

    When a bound holds it back, the next larger one takes more than that, and the first gets the surplus.
    """
    n, each = y.shape[1], np.arange(len(y))
    untried = np.ones(y.shape, dtype=bool)
    first, active = np.full(len(y), -1), np.ones(len(y), dtype=bool)
    for _ in range(n):
        rest = _missing(y, x)
        active &= rest != 0
        best = np.argmin(np.where(untried, np.abs(y), np.inf), axis=1)
        wanted = y[each, best] + rest
        moved = wanted.astype(np.float32)
        further = (first >= 0) & (((rest < 0) & (moved > wanted)) | ((rest > 0) & (moved < wanted)))
        moved = np.where(further, np.nextafter(moved, np.copysign(np.inf, rest).astype(np.float32)), moved)
        y[each, best] = np.where(active, np.clip(moved, low, high), y[each, best])
        active &= moved != y[each, best]
        first = np.where(active & (first < 0), best, first)
        untried[each, best] = False
    surplus = np.clip((y[each, first] + _missing(y, x)).astype(np.float32), low, high)
    y[each, first] = np.where(first >= 0, surplus, y[each, first])
    return y


def _missing(y: F32, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what each row of ``y`` lacks to sum to ``n * x``."""
    rest: NDArray[np.float64] = y.shape[1] * x
    for k in range(y.shape[1]):
        rest = rest - y[:, k]
    return rest


def inward(low: float | None, high: float | None) -> tuple[np.float32, np.float32]:
    """Return the smallest interval of float32 inside ``[low, high]``; None is infinite."""
    a, b = np.float32(-np.inf if low is None else low), np.float32(np.inf if high is None else high)
    # As floats: NumPy compares a float32 with a Python number in float32.
    a = a if low is None or float(a) >= low else np.nextafter(a, np.float32(np.inf))
    b = b if high is None or float(b) <= high else np.nextafter(b, np.float32(-np.inf))
    return a, b


def _limits(dtype: np.dtype[Any], low: float | None, high: float | None) -> tuple[np.float32, np.float32]:
    if dtype.kind == "f":
        return inward(low, high)
    info = np.iinfo(dtype)
    lowest = info.min if low is None else max(np.ceil(low), info.min)
    highest = info.max if high is None else min(np.floor(high), info.max)
    return np.float32(lowest), np.float32(highest)


def _gray(slice: Array) -> F32:
    """BT.601 luma in float32 (ITU-R BT.601-7, 2.5.1), summed in order."""
    values = slice.astype(np.float32)
    if values.ndim == 2:
        return values
    weights = np.array([0.299, 0.587, 0.114], dtype=np.float32)
    red, green, blue = (values[:, :, k] * weights[k] for k in range(3))
    return np.asarray((red + green) + blue, dtype=np.float32)


def _into(out: Array | None, values: Array) -> Array:
    if out is None:
        return values
    out[...] = values
    return out
