"""Frames to a stack of real values, and the new slices back to Frames of stored values."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .. import ops
from ..enhancer.picture import padding_value
from ..errors import InputError
from ..geometry import Array, Derivation, Frame, robust_range
from . import along
from .stack import Grid, Stack


def gathered(frames: Sequence[Frame], places: Array, thickness: float | None) -> Stack:
    """Return the stack of the Frames of one volume.

    Parameters
    ----------
    frames : sequence of Frame
        Gray, in the order of ``places``.
    places : ndarray
        Millimetres along the axis of the stack, increasing.
    thickness : float or None
        Width of the slice profile in mm.

    Raises
    ------
    InputError
        They are in colour, differ in size or spacing, or do not say how large a pixel is.
    """
    first = frames[0]
    path = first.source.path if first.source else None
    if any(f.pixels.ndim != 2 for f in frames):
        raise InputError("is in colour; isotropic voxels are made of gray slices", path)
    sizes = sorted({f.pixels.shape for f in frames})
    if len(sizes) > 1:
        raise InputError(f"has slices of several sizes ({sizes[0]}, {sizes[1]}), so they are not one volume", path)
    if first.spacing is None:
        raise InputError("does not say how large its pixels are, so nothing says what isotropic would be", path)
    if any(f.spacing is None or not np.allclose(f.spacing, first.spacing, rtol=1e-3) for f in frames):
        raise InputError("has slices of several pixel spacings, so they are not one volume", path)
    voxels = np.empty((len(frames), *first.pixels.shape), np.float32)
    missing: NDArray[np.bool_] | None = None
    for k, frame in enumerate(frames):
        found, pixels = frame.missing(), frame.pixels
        if found is not None:
            missing = np.zeros(voxels.shape, np.bool_) if missing is None else missing
            missing[k] = found
            pixels = ops.fill(np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("=")), found)
            pixels = np.nan_to_num(pixels, copy=False) if found.all() else pixels
        voxels[k] = pixels * np.float64(frame.slope) + frame.intercept
    return Stack(
        voxels,
        np.asarray(places, np.float64),
        thickness,
        first.spacing,
        first.modality,
        first.value_range or robust_range(frames),
        first.inverted,
        missing,
    )


def nearest(grid: Grid, places: Array) -> NDArray[np.intp]:
    """Return the old slice nearest to each new one, ``[count]``."""
    return np.asarray(np.abs(grid.targets[:, None] - np.asarray(places)[None]).argmin(axis=1))


def derivations(derivation: Derivation, grid: Grid, places: Array, frames: Sequence[Frame]) -> list[Derivation]:
    """Return the derivation of each new slice: what was mended in the nearest old one, and which lie in a gap."""
    filled, made = grid.filled(places), []
    for i, k in enumerate(nearest(grid, places)):
        said = [frames[k].mended] if frames[k].mended else []
        if filled[i]:
            said.append("lies where a slice is missing and is interpolated")
        made.append(dataclasses.replace(derivation, mended="; ".join(said) or None))
    return made


def stored(
    voxels: along.F32,
    missing: NDArray[np.bool_] | None,
    frames: Sequence[Frame],
    made: Sequence[Derivation],
    near: Sequence[int],
) -> list[Frame]:
    """Return new slices as Frames in the dtype of the old ones, rounded half to even and clipped to what that holds.

    Where the old slices had several slopes, the new ones all have the largest, so that none overflows.

    Parameters
    ----------
    voxels : ndarray of float32
        ``[count, rows, cols]``, real values.
    missing : ndarray of bool or None
        ``[count, rows, cols]``, True where the result is to be padding.
    frames : sequence of Frame
        The old slices, enlarged in their plane if that was done.
    made : sequence of Derivation
    near : sequence of int
        Which of ``frames`` each new slice takes the rest from.
    """
    widest = max(frames, key=lambda f: abs(f.slope))
    low, high = widest.limits
    out = []
    for i, k in enumerate(near):
        old = frames[k]
        values = (voxels[i].astype(np.float64) - widest.intercept) / widest.slope
        if old.pixels.dtype.kind != "f":
            values = np.clip(np.rint(values), low, high)
        pixels = values.astype(old.pixels.dtype.newbyteorder("="))
        mask = None
        if missing is not None and missing[i].any():
            pixels[missing[i]] = padding_value(old, pixels)
            mask = None if old.mask is None else missing[i]
        out.append(
            dataclasses.replace(
                old,
                pixels=pixels,
                mask=mask,
                slope=widest.slope,
                intercept=widest.intercept,
                plane=None,  # that of the old slice
                derivation=made[i],
            )
        )
    return out
