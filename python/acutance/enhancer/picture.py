"""From what the user hands in to what a backend is given."""

from __future__ import annotations

import dataclasses

import numpy as np

from .. import backends, ops, tiling
from ..errors import InputError
from ..geometry import Array, Derivation, Frame, refined_spacing


def as_frame(picture: Frame | Array, modality: str | None, spacing: tuple[float, float] | None) -> Frame:
    """Return a Frame with the modality and spacing that were given.

    Raises
    ------
    InputError
        It has a wrong dtype or shape, or values that its BitsStored do not hold.
    """
    if not isinstance(picture, Frame):
        picture = Frame(np.asarray(picture))
    changes: dict[str, object] = {}
    if modality is not None:
        changes["modality"] = modality
    if spacing is not None:
        changes["spacing"] = (float(spacing[0]), float(spacing[1]))
    frame = dataclasses.replace(picture, **changes) if changes else picture  # type: ignore[arg-type]
    low, high = frame.limits
    if frame.bits_stored is not None and frame.pixels.dtype.kind != "f":
        smallest, largest = int(frame.pixels.min()), int(frame.pixels.max())
        if smallest < low or largest > high:
            path = frame.source.path if frame.source else None
            raise InputError(f"values {smallest} to {largest} do not fit {frame.bits_stored} bits stored", path)
    return frame


def whole(frame: Frame, scale: int, multiple: int = 1) -> tiling.Plan:
    """Return the plan of a picture that is one tile, its sides multiples of ``multiple``."""
    rows, cols = (-(-side // multiple) * multiple for side in (frame.rows, frame.cols))
    return tiling.plan(frame.rows, frame.cols, (rows, cols), 0, scale)


def task_of(frame: Frame, derivation: Derivation, threads: int) -> backends.Task:
    """Return the task that makes the base of a picture, as one tile."""
    missing = frame.missing()
    # The core takes rows of neighbouring samples in the machine's own byte order.
    pixels = np.ascontiguousarray(frame.pixels, frame.pixels.dtype.newbyteorder("="))
    padding = 0.0
    if missing is not None:
        pixels = ops.fill(pixels, missing, threads=threads)
        if missing.all() and pixels.dtype.kind == "f":
            pixels = np.zeros_like(pixels)
        padding = padding_value(frame, pixels)
    low, high = frame.limits
    return backends.Task(
        pixels=pixels,
        plan=whole(frame, derivation.scale),
        gain=0.0,
        bias=0.0,
        base=derivation.base,
        guard=derivation.guard == "box",
        low=low,
        high=high,
        mask=missing,
        padding=padding,
    )


def enlarged(frame: Frame, pixels: Array, derivation: Derivation) -> Frame:
    """Return the Frame of a result: on its own grid, and with how it was made."""
    scale = derivation.scale
    return dataclasses.replace(
        frame,
        pixels=pixels,
        mask=None if frame.mask is None else frame.mask.repeat(scale, 0).repeat(scale, 1),
        spacing=None if frame.spacing is None else refined_spacing(frame.spacing, scale),
        plane=None if frame.plane is None else frame.plane.refined(scale),
        derivation=derivation,
    )


def fallen(derivation: Derivation, why: str) -> Derivation:
    """Return what was planned as a derivation of the base, to which the picture fell back."""
    return dataclasses.replace(
        derivation,
        model="base",
        backend="base",
        precision="fp32",
        sha256="",
        version=derivation.software,
        fell_back=why,
        guide=None,
        sequence=None,
    )


def padding_value(frame: Frame, filled: Array) -> float:
    """Return what stands in the output where a sample is missing: padding, NaN in float pictures, else black."""
    if frame.padding is not None:
        return float(frame.padding[0])
    if frame.pixels.dtype.kind == "f":
        return float("nan")
    return float(filled.max() if frame.inverted else filled.min())
