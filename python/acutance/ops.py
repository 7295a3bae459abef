"""The three ops of the core: ``fill``, ``gather`` and ``assemble``.

A slice is ``[rows, cols]`` or ``[rows, cols, 3]`` (RGB) of uint8, int16, uint16 or float32, dense within a row and with
any distance from row to row. Arrays in host memory come in as NumPy arrays, by the buffer protocol or by DLPack and run
on the CPU. :mod:`acutance.oracle` has the same ops in NumPy.

Arrays on a CUDA device, all of a call on the same one, come in by ``__cuda_array_interface__`` or DLPack and run there,
with the same results bit for bit. The work is enqueued on ``stream`` and not waited for, and no device memory is taken,
so that a call can be captured into a CUDA graph: ``out`` must be given. The stream that an array's library names is
waited for first, on the device; an array that names none must be ready on ``stream``. Page-locked host memory that is
mapped counts as the device's when it comes in that way.

Numbers that change from frame to frame can come in one array, ``params``, made by :func:`parameters`. On a device its
memory is read when the kernel runs, so that a captured graph holds for every frame.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from . import _native
from .errors import BackendError, UsageError
from .geometry import Array
from .oracle import inward
from .tiling import Axis, Plan

__all__ = ["assemble", "fill", "gather", "parameters"]

PARAMETERS = 8
"""Samples of ``params``: gain, bias, low, high, padding and three that are not used."""


def parameters(
    gain: float = 1.0, bias: float = 0.0, low: float | None = None, high: float | None = None, padding: float = 0.0
) -> NDArray[np.float32]:
    """Return ``params`` for :func:`gather` and :func:`assemble`, ``[8]``: gain, bias, low, high, padding, 0, 0, 0.

    ``low`` and ``high`` that are not given are infinite, and those given are rounded inward.

    Raises
    ------
    UsageError
        A number is not finite (but for infinite ``low`` and ``high``, and NaN as ``padding`` of float slices), or
        ``low`` is above ``high``.
    """
    least, most = inward(low, high)
    values = np.array([gain, bias, least, most, padding, 0, 0, 0], np.float32)
    if not np.isfinite(values[:2]).all() or np.isinf(values[4]) or not least <= most:
        raise UsageError(
            f"gain {gain}, bias {bias}, low {low}, high {high} and padding {padding} are no parameters; "
            "wanted finite numbers of float32, and low no more than high"
        )
    return values


def fill(slice: Any, mask: Any, out: Any = None, threads: int = 0, *, scratch: Any = None, stream: int = 0) -> Array:
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
    scratch : array of int32
        On a device: ``rows * cols`` samples of work memory.
    stream : int
        On a device: the CUDA stream's handle; 0 is the legacy default stream.

    Returns
    -------
    ndarray
        ``out``, or a new array: a copy of ``slice`` in which every masked pixel, all colours, has the value of the
        valid pixel nearest by Euclidean distance (ties: smallest row, then smallest column). With nothing or everything
        masked: the copy.

    Raises
    ------
    UsageError
        A dtype, shape or stride is not as above; the message says what was wanted.
    BackendError
        A CUDA call failed, or there is no CUDA module for device arrays.
    """
    if _on_device(slice, mask, out):
        _device_core().fill(slice, mask, _given(out), scratch, stream)
        return _given(out)
    slice, mask = _host(slice), _host(mask)
    filled: Array = np.empty(slice.shape, slice.dtype) if out is None else out
    _native.core.fill(slice, mask, filled, threads)
    return filled


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
    out: Any = None,
    threads: int = 0,
    params: Any = None,
    stream: int = 0,
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
    params : array of float32, optional
        ``[8]``, in place of ``gain`` and ``bias``; see :func:`parameters`. On a device it must lie there, is read when
        the kernel runs and is not checked.
    stream : int
        On a device: the CUDA stream's handle; 0 is the legacy default stream.

    Returns
    -------
    ndarray
        The tiles.

    Raises
    ------
    UsageError
        A dtype, shape, stride or number is not as above; the message says what was wanted.
    BackendError
        A CUDA call failed, or there is no CUDA module for device arrays.
    """
    on_device = _on_device(slice, out, params)
    gain, bias, *_ = _numbers(params, on_device, gain=gain, bias=bias)
    if count is None:
        count = plan.count - first
    tiles: Array
    if out is None and not on_device:
        tiles = np.empty(tiles_shape(plan, unshuffle, layout, count), dtype)
    else:
        tiles = _given(out)
        if tuple(tiles.shape[:1]) != (count,):
            raise UsageError(f"out holds {tiles.shape[0] if len(tiles.shape) else 0} tiles; wanted {count}")
    settings = (_axis(plan.rows), _axis(plan.cols), gain, bias, unshuffle, layout, first)
    if on_device:
        _device_core().gather(slice, *settings, tiles, params, stream)
    else:
        _native.core.gather(_host(slice), *settings, tiles, threads)
    return tiles


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
    out: Any = None,
    threads: int = 0,
    nonfinite: Any = None,
    params: Any = None,
    stream: int = 0,
) -> tuple[Array, Any]:
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
    nonfinite : array of int32 or int64
        On a device: one sample that becomes 1 when any output sample was not finite, and is left as it is when none
        was; the caller makes it 0 before and looks at it after.
    params : array of float32, optional
        ``[8]``, in place of ``gain``, ``low``, ``high`` and ``padding``; see :func:`parameters`. On a device it must
        lie there, is read when the kernel runs and is not checked: ``low`` and ``high`` are drawn in to what the dtype
        holds, and ``padding`` is cut to it.
    stream : int
        On a device: the CUDA stream's handle; 0 is the legacy default stream.

    Returns
    -------
    out : ndarray
        Colours each get the residual of the luma.
    nonfinite : int
        How many samples were NaN or infinite, in the residual or after it was added. They have the base instead; the
        caller must look at this. On a device nothing is counted: the array that was given.

    Raises
    ------
    UsageError
        A dtype, shape, stride or number is not as above, or a tile is not there; the message says what was wanted.
    BackendError
        A CUDA call failed, or there is no CUDA module for device arrays.
    """
    if out is None and rows is not None:
        raise UsageError("rows are given without out; wanted the array that is written piece by piece")
    on_device = _on_device(residual, slice, mask, out, params)
    gain, _, low, high, padding = _numbers(params, on_device, gain=gain, low=low, high=high, padding=padding)
    settings = (_axis(plan.rows), _axis(plan.cols), plan.scale, gain, base, guard, low, high)
    where = (padding, layout, first, *(rows or (0, plan.rows.size)))
    if on_device:
        _device_core().assemble(residual, slice, *settings, mask, *where, _given(out), nonfinite, params, stream)
        return _given(out), nonfinite
    if nonfinite is not None:
        raise UsageError("nonfinite is given for arrays in host memory, where the count is returned; leave it out")
    slice, mask = _host(slice), None if mask is None else _host(mask)
    if out is None:
        out = np.empty((*plan.output_shape, *slice.shape[2:]), slice.dtype)
    residual = None if residual is None else _host(residual)
    count = _native.core.assemble(residual, slice, *settings, mask, *where, out, threads)
    return out, count


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


def _numbers(
    params: Any,
    on_device: bool,
    *,
    gain: float,
    bias: float = 0.0,
    low: float | None = None,
    high: float | None = None,
    padding: float = 0.0,
) -> tuple[float, float, float | None, float | None, float]:
    """Return gain, bias, low, high and padding: those of ``params`` when it is given and lies in host memory."""
    scalars = (gain, bias, low, high, padding)
    if params is None:
        return scalars
    if scalars != (1.0, 0.0, None, None, 0.0):
        raise UsageError(f"params is given, and so are numbers among {scalars}; wanted one or the other")
    if on_device:
        return scalars
    values = np.asarray(_host(params))
    if values.dtype != np.float32 or values.shape != (PARAMETERS,):
        raise UsageError(f"params has dtype {values.dtype} and shape {values.shape}; wanted float32 [{PARAMETERS}]")
    gain, bias, low, high, padding = (float(v) for v in values[:5])
    return gain, bias, low, high, padding


def _on_device(*arrays: Any) -> bool:
    """Whether any of the arrays lies on a CUDA device."""
    for x in arrays:
        if x is None or isinstance(x, np.ndarray):
            continue
        if hasattr(x, "__cuda_array_interface__"):
            return True
        if hasattr(x, "__dlpack_device__") and int(x.__dlpack_device__()[0]) in (2, 13):  # CUDA, CUDA managed
            return True
    return False


def _device_core() -> ModuleType:
    if _native.cuda is None:
        raise BackendError(
            "an array lies on a CUDA device, and this acutance was built without CUDA; build it where nvcc is found"
        )
    return _native.cuda


def _given(out: Any) -> Array:
    if out is None:
        raise UsageError("out is not given; wanted an array on the slice's device, since none is made there")
    given: Array = out
    return given


def _host(x: Any) -> Any:
    """Return what is not NumPy's own as an array, without a copy where it speaks DLPack or the buffer protocol."""
    if isinstance(x, np.ndarray):
        return x
    return np.from_dlpack(x) if hasattr(x, "__dlpack__") else np.asarray(x)
