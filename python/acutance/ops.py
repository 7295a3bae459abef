"""The three ops of the core: ``fill``, ``gather`` and ``assemble``.

A slice is ``[rows, cols]`` or ``[rows, cols, 3]`` (RGB) of uint8, int16, uint16 or float32, dense within a row and with
any distance from row to row. Arrays in host memory come in as NumPy arrays, by the buffer protocol or by DLPack and run
on the CPU. :mod:`acutance.oracle` has the same ops in NumPy.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ._native import core
from .errors import UsageError
from .geometry import Array
from .tiling import Axis, Plan

__all__ = ["assemble", "fill", "gather"]


def fill(slice: Any, mask: Any, out: Array | None = None, threads: int = 0) -> Array:
    """Put the nearest valid sample in the place of masked ones.

    Parameters
    ----------
    slice : array
        Stored values; only read.
    mask : array of bool or uint8
        ``[rows, cols]``, nonzero where the sample is missing.
    out : array, optional
        Of the slice's shape and dtype; may be the slice itself.
    threads : int
        0: as many as the process may use.

    Returns
    -------
    ndarray
        A copy of ``slice`` in which every masked pixel, all colours, has the value of the valid pixel nearest by
        Euclidean distance (ties: smallest row, then smallest column). With nothing or everything masked: the copy.

    Raises
    ------
    UsageError
        A dtype, shape or stride is not as above; the message says what was wanted.
    """
    slice, mask = _host(slice), _host(mask)
    if out is None:
        out = np.empty(slice.shape, slice.dtype)
    core.fill(slice, mask, out, threads)
    return out


def gather(
    slice: Any,
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
) -> Array:
    """Cut a slice into the tiles that a network sees.

    Parameters
    ----------
    slice : array
        Stored values of ``plan``'s size, times ``unshuffle`` along both axes; colours count as BT.601 luma.
    plan : Plan
        Beyond the slice's edge samples are mirrored, as ``numpy.pad(mode="symmetric")`` does, at any distance.
    gain, bias : float
        A tile holds ``gain * stored + bias``, computed in float32.
    unshuffle : int
        Side of the blocks that become channels: channel ``i * u + j`` is sample ``(i, j)`` of each block.
    dtype : float32 or float16
    layout : {"nchw", "nhwc"}
        ``[T, u*u, h, w]``, or ``[T, h, w, C]`` with ``u*u`` channels padded by zeros to a multiple of 8.
    first, count : int
        Tiles of the plan, numbered row by row; all from ``first`` when ``count`` is not given.
    out : array, optional
        C-contiguous, to be written in place of a new array.
    threads : int
        0: as many as the process may use.

    Returns
    -------
    ndarray
        The tiles.

    Raises
    ------
    UsageError
        A dtype, shape, stride or number is not as above; the message says what was wanted.
    """
    slice = _host(slice)
    if count is None:
        count = plan.count - first
    if out is None:
        out = np.empty(tiles_shape(plan, unshuffle, layout, count), dtype)
    elif out.shape[:1] != (count,):
        raise UsageError(f"out holds {out.shape[0] if out.ndim else 0} tiles; wanted {count}")
    core.gather(slice, _axis(plan.rows), _axis(plan.cols), gain, bias, unshuffle, layout, first, out, threads)
    return out


def assemble(
    residual: Any | None,
    slice: Any,
    plan: Plan,
    *,
    gain: float = 1.0,
    base: str = "cubic",
    guard: bool = False,
    low: float | None = None,
    high: float | None = None,
    mask: Any | None = None,
    padding: float = 0.0,
    layout: str = "nchw",
    first: int = 0,
    rows: tuple[int, int] | None = None,
    out: Array | None = None,
    threads: int = 0,
) -> tuple[Array, int]:
    """Turn residual tiles into output pixels: shuffle, stitch, add to the base, guard, round and clamp.

    Parameters
    ----------
    residual : array or None
        Tiles ``[T, s*s, h, w]`` (nchw) or ``[T, h, w, C >= s*s]`` (nhwc) of float32 or float16; channel ``i * s + j``
        is output pixel ``(i, j)`` of each block. None: the base alone.
    slice : array
        Stored values of ``plan``'s size.
    plan : Plan
        With ``overlap`` tiles are blended: along an axis tile ``i`` has weight ``(k + 0.5) / (overlap * s)`` in its
        first ``overlap`` input pixels, ``k`` counted in output pixels from ``i * step * s``; the tile before has the
        rest.
    gain : float
        Residual per stored unit, as given to :func:`gather`; 0: the base alone.
    base : {"cubic", "lanczos4"}
    guard : bool
        Project each block onto those that average to their input pixel within ``[low, high]``: integers exactly, by
        largest remainder; floats to one unit in the last place.
    low, high : float, optional
        Smallest and largest stored value allowed; those of the dtype when not given.
    mask : array of bool or uint8, optional
        ``[rows, cols]``, nonzero where the whole output block is ``padding``.
    padding : float
        A value that the dtype holds.
    layout : {"nchw", "nhwc"}
    first : int
        Number in the plan of the first tile in ``residual``.
    rows : (int, int), optional
        Half-open range of input rows whose outputs are written into ``out``, which must then be given; the tiles they
        need must be in ``residual``.
    out : array, optional
        ``[rows*s, cols*s]`` or ``[rows*s, cols*s, 3]`` of the slice's dtype, dense within a row.
    threads : int
        0: as many as the process may use.

    Returns
    -------
    out : ndarray
        Colours each get the residual of the luma.
    nonfinite : int
        How many samples were NaN or infinite, in the residual or after it was added. They have the base instead; the
        caller must look at this.

    Raises
    ------
    UsageError
        A dtype, shape, stride or number is not as above, or a tile is not there; the message says what was wanted.
    """
    slice = _host(slice)
    if out is None:
        if rows is not None:
            raise UsageError("rows are given without out; wanted the array that is written piece by piece")
        out = np.empty((*plan.output_shape, *slice.shape[2:]), slice.dtype)
    row0, row1 = rows or (0, plan.rows.size)
    nonfinite = core.assemble(
        None if residual is None else _host(residual),
        slice,
        _axis(plan.rows),
        _axis(plan.cols),
        plan.scale,
        gain,
        base,
        guard,
        low,
        high,
        None if mask is None else _host(mask),
        padding,
        layout,
        first,
        row0,
        row1,
        out,
        threads,
    )
    return out, nonfinite


def tiles_shape(plan: Plan, channels_side: int, layout: str, count: int) -> tuple[int, int, int, int]:
    """Return the shape of ``count`` tiles with ``channels_side**2`` channels; nhwc pads them to a multiple of 8.

    Raises
    ------
    UsageError
        There is no such layout, or fewer than one tile.
    """
    h, w = plan.tile_shape
    channels = channels_side * channels_side
    if count < 1:
        raise UsageError(f"{count} tiles are asked for; wanted at least 1")
    if layout == "nchw":
        return (count, channels, h, w)
    if layout == "nhwc":
        return (count, h, w, -(-channels // 8) * 8)
    raise UsageError(f"layout is '{layout}'; wanted nchw or nhwc")


def _axis(axis: Axis) -> tuple[int, int, int, int]:
    return (axis.size, axis.tile, axis.halo, axis.overlap)


def _host(x: Any) -> Any:
    """Return what is not NumPy's own as an array, without a copy where it speaks DLPack or the buffer protocol."""
    if isinstance(x, np.ndarray):
        return x
    return np.from_dlpack(x) if hasattr(x, "__dlpack__") else np.asarray(x)
