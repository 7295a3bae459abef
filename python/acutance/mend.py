"""Missing data in pictures: dead lines, dropped frames and undeclared padding, found or given as a mask, are filled.

What is found is named in the Frame's ``mended``, which goes into the derivation of what is made of it. Padding is not
filled but declared, so that it comes out as padding.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from . import ops
from .errors import InputError
from .geometry import Array, Frame, luma

LONGEST = 4
"""Neighbouring dead lines, or dropped frames in a row, that are filled; more are taken for what was meant."""

_LEAST = 16
"""Rows and columns, and valid samples of a line, from which on lines are looked at."""

_AWAY = 0.05
"""Part of the picture's range by which half of a dead line differs from what its neighbours say."""

_TIMES = 6.0
"""How many times more it differs than its neighbours do from each other."""

_FLAT = 0.002
"""Mean deviation of a dead line from its mean, as part of the range: runs of several lines must be flat."""

_AIR, _APART = -1024.0, 100.0
"""Undeclared padding of CT lies below the least Hounsfield number that scanners give, and this far below all others."""

_CONTENT = 0.2
"""Part of the series' range that a picture's own is taken for at least."""

_PADDED = 0.01
"""Part of the samples that have the value of padding."""

_ALIVE = 0.25
"""Part of the median spread of a sequence's frames that those about a dropped one have."""


@dataclasses.dataclass(frozen=True)
class Faults:
    """What is missing in a picture.

    Attributes
    ----------
    rows, cols : tuple of int
        Dead lines, from 0.
    padding : float or None
        Stored value of padding that the file does not declare.
    """

    rows: tuple[int, ...] = ()
    cols: tuple[int, ...] = ()
    padding: float | None = None

    def text(self) -> str | None:
        """Return what is missing in words; None when nothing is."""
        said = []
        for name, lines in (("row", self.rows), ("column", self.cols)):
            if lines:
                listed = ", ".join(str(x + 1) for x in lines[:8]) + (", ..." if len(lines) > 8 else "")
                said.append(f"dead {name}{'s' if len(lines) > 1 else ''} {listed}")
        if self.padding is not None:
            said.append(f"undeclared padding of {self.padding:g}")
        return "; ".join(said) or None


def find(frame: Frame) -> Faults:
    """Look for dead rows and columns, and for undeclared padding, in one picture."""
    pixels = luma(frame.pixels) if frame.pixels.ndim == 3 else frame.pixels
    padding = None
    if frame.modality == "CT" and frame.pixels.ndim == 2 and frame.padding is None:
        padding = _padding(frame)
    known = frame if padding is None else dataclasses.replace(frame, padding=(padding, padding))
    if min(pixels.shape) < _LEAST:
        return Faults(padding=padding)
    missing = known.missing()
    values = pixels.astype(np.float32)
    valid = np.isfinite(values) if missing is None else ~missing
    if valid.sum() < _LEAST**2:
        return Faults(padding=padding)
    low, high = _range(values, valid)
    if frame.value_range is not None:  # noise alone is no content of a nearly empty slice
        high = max(high, low + _CONTENT * abs((frame.value_range[1] - frame.value_range[0]) / frame.slope))
    if not high > low:
        return Faults(padding=padding)
    values = np.where(valid, (values - low) / (high - low), np.nan).astype(np.float32)
    return Faults(_dead(values), _dead(values.T), padding)


def mend(frame: Frame, mask: NDArray[np.bool_] | None = None, detect: bool = True) -> Frame:
    """Return a picture in which what is missing is filled, with a line about it in ``mended``.

    Parameters
    ----------
    frame : Frame
    mask : ndarray of bool, optional
        ``[rows, cols]``, True where samples are missing and to be filled.
    detect : bool
        Whether to look for more.

    Raises
    ------
    InputError
        The mask has another size, or leaves nothing.
    """
    path = frame.source.path if frame.source else None
    said = [frame.mended] if frame.mended else []
    holes = np.zeros(frame.pixels.shape[:2], np.bool_)
    if mask is not None:
        if mask.shape != holes.shape:
            raise InputError(f"is {frame.rows} x {frame.cols}, its mask {mask.shape[0]} x {mask.shape[1]}", path)
        if mask.any():
            holes |= mask
            said.append(f"{int(mask.sum())} masked samples filled")
    # Holes are not looked at: whatever stands in them would be found again.
    seen = frame if not holes.any() else dataclasses.replace(frame, mask=_either(frame.mask, holes))
    faults = find(seen) if detect else Faults()
    if faults.padding is not None:
        frame = dataclasses.replace(frame, padding=(faults.padding, faults.padding))
    holes[list(faults.rows)] = True
    holes[:, list(faults.cols)] = True
    if (found := faults.text()) is not None:
        said.append(f"{found} mended")
    if not holes.any():
        return dataclasses.replace(frame, mended="; ".join(said) or None)
    missing = frame.missing()
    if missing is not None:
        holes &= ~missing
    if not (~holes if missing is None else ~(holes | missing)).any():
        raise InputError("has no sample that is not masked", path)
    return dataclasses.replace(frame, pixels=across(frame.pixels, holes, missing), mended="; ".join(said) or None)


def across(pixels: Array, holes: NDArray[np.bool_], missing: NDArray[np.bool_] | None = None) -> Array:
    """Fill holes by linear interpolation along rows or columns, whichever way the hole is shorter.

    Parameters
    ----------
    pixels : ndarray
        ``[rows, cols]`` or ``[rows, cols, 3]``.
    holes : ndarray of bool
        ``[rows, cols]``.
    missing : ndarray of bool, optional
        Samples that nothing may be taken from and that stay.

    Returns
    -------
    ndarray
        A copy; holes without a valid sample on both sides, along neither axis, get the nearest valid one.
    """
    bad = holes if missing is None else holes | missing
    native = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("="))
    out = ops.fill(native, bad)
    (down, by_rows), (along, by_cols) = _between(native, bad, 0), _between(native, bad, 1)
    for gap, values, other in ((down, by_rows, along), (along, by_cols, down)):
        use = holes & np.isfinite(gap) & (gap <= other)
        found = values[use]
        out[use] = np.rint(found) if out.dtype.kind != "f" else found
    if missing is not None:
        out[missing] = native[missing]
    left = holes & np.isinf(down) & np.isinf(along)
    # Where a dead row and a dead column cross, what was just filled lies on both sides.
    return across(out, left, missing) if left.any() and (left != holes).any() else out


def dropped(frames: Sequence[Frame]) -> list[int]:
    """Return the numbers of frames of one value between frames that show something.

    At most :data:`LONGEST` in a row; the nearly empty frames at the ends of a volume do not count as showing something.
    """
    spread = np.array([float(f.pixels.std()) for f in frames])
    alive = spread >= _ALIVE * float(np.median(spread[spread > 0])) if (spread > 0).any() else spread > 0
    found = [(a, b) for a, b in _runs(spread == 0) if a > 0 and b < len(frames) and alive[a - 1] and alive[b]]
    return [i for start, stop in found for i in range(start, stop)]


def sequence(frames: Sequence[Frame]) -> list[Frame]:
    """Return the frames of a sequence, dropped ones interpolated between those before and after."""
    out, gone = list(frames), dropped(frames)
    for i in gone:
        before = next(k for k in range(i - 1, -1, -1) if k not in gone)
        after = next(k for k in range(i + 1, len(frames)) if k not in gone)
        a, b = frames[before], frames[after]
        if a.pixels.shape != b.pixels.shape or a.pixels.shape != frames[i].pixels.shape:
            continue
        weight = (i - before) / (after - before)
        values = (1 - weight) * a.pixels.astype(np.float64) + weight * b.pixels
        pixels = (np.rint(values) if a.pixels.dtype.kind != "f" else values).astype(a.pixels.dtype)
        out[i] = dataclasses.replace(frames[i], pixels=pixels, mended="dropped frame interpolated")
    return out


def _range(values: NDArray[np.float32], valid: NDArray[np.bool_]) -> tuple[float, float]:
    """Return the 1 and 99 percentile of what lies on no line of one value."""
    rows, cols = (np.ptp(values, axis=axis, keepdims=True) > 0 for axis in (1, 0))
    found = values[valid & rows & cols]
    if found.size == 0:
        return 0.0, 0.0
    low, high = np.percentile(found[:: max(1, found.size // 100_000)], (1, 99))
    return float(low), float(high)


def _dead(values: NDArray[np.float32]) -> tuple[int, ...]:
    """Return the dead rows of ``[rows, cols]``, whose valid samples run from about 0 to 1 and whose others are NaN."""
    valid = np.isfinite(values)
    count = np.maximum(valid.sum(axis=1), 1)
    filled = np.where(valid, values, 0)
    mean = filled.sum(axis=1) / count
    flat = np.where(valid, np.abs(values - mean[:, None]), 0).sum(axis=1) / count <= _FLAT
    found: list[int] = []
    for start, stop in _runs(flat):
        if _stands_out(values, start, stop):
            found += range(start, stop)
    # A line that is not flat may be dead too: shifted, or noise. Whole pictures first, they are cheap that way.
    d = np.abs(values[1:-1] - 0.5 * (values[:-2] + values[2:]))
    suspect = np.flatnonzero((np.nan_to_num(d) > _AWAY).mean(axis=1) > 0.5) + 1
    found += [int(r) for r in suspect if r not in found and not flat[r] and _stands_out(values, int(r), int(r) + 1)]
    return tuple(sorted(found))


def _stands_out(values: NDArray[np.float32], start: int, stop: int) -> bool:
    """Tell whether rows ``start`` to ``stop`` differ from both neighbours, which agree and are not flat themselves."""
    if start == 0 or stop == len(values):
        return False
    above, below = values[start - 1], values[stop]
    use = np.isfinite(above) & np.isfinite(below) & np.isfinite(values[start:stop]).all(axis=0)
    if use.sum() < max(_LEAST, 0.25 * values.shape[1]):
        return False
    agree = float(np.median(np.abs(above - below)[use]))
    away = min(float(np.median(np.abs(row - 0.5 * (above + below))[use])) for row in values[start:stop])
    alive = all(float(np.abs(x[use] - x[use].mean()).mean()) > 10 * _FLAT for x in (above, below))
    return alive and away > _AWAY and away > _TIMES * agree


def _runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return start and end of the runs of True of at most :data:`LONGEST`."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a <= LONGEST]


def _padding(frame: Frame) -> float | None:
    """Return the least value of a CT picture where it is padding that the file does not declare, else None.

    That is what stands outside a round field: in a corner, frequent, and no Hounsfield number.
    """
    pixels = frame.pixels
    low = pixels.min()
    corners = (pixels[0, 0], pixels[0, -1], pixels[-1, 0], pixels[-1, -1])
    others = pixels[pixels != low]
    if low not in corners or others.size == 0 or pixels.size - others.size < _PADDED * pixels.size:
        return None
    real, least = (float(x) * frame.slope + frame.intercept for x in (low, others.min()))
    return float(low) if frame.slope > 0 and real < _AIR and least - real >= _APART else None


def _between(pixels: Array, bad: NDArray[np.bool_], axis: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return for each sample the distance of the valid ones about it along an axis, and what lies between them.

    The distance is infinite where there are not two.
    """
    turned, gone = np.moveaxis(pixels, axis, 0), np.moveaxis(bad, axis, 0)
    n = len(gone)
    at = np.broadcast_to(np.arange(n).reshape(-1, 1), gone.shape)
    before = np.maximum.accumulate(np.where(gone, -1, at), axis=0)
    after = np.minimum.accumulate(np.where(gone, n, at)[::-1], axis=0)[::-1]
    inside = (before >= 0) & (after < n)
    other = np.arange(gone.shape[1])[None]
    a = turned[np.maximum(before, 0), other].astype(np.float64)
    b = turned[np.minimum(after, n - 1), other].astype(np.float64)
    weight = np.where(inside, (at - before) / np.maximum(after - before, 1), 0.0)
    if turned.ndim == 3:
        weight = weight[..., None]
    gap = np.where(inside, after - before, np.inf)
    return np.moveaxis(gap, 0, axis), np.moveaxis((1 - weight) * a + weight * b, 0, axis)


def _either(mask: NDArray[np.bool_] | None, holes: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return holes if mask is None else mask | holes
