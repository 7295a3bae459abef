"""How sure a result is, drawn over it: a PNG picture for the eye, beside the map that holds the values."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ..beside import beside
from ..geometry import Frame, luma, robust_range
from . import png, record

STRIP = 84
"""Pixels to the right of the picture for its scale."""

_TOP = 99.5
"""Percentile of the half widths that is drawn strongest; 0 is not drawn."""

_OPAQUE = 0.75


def write(
    path: str | os.PathLike[str], frame: Frame, half: NDArray[np.float32], unit: str, made: record.Record | None
) -> None:
    """Draw half widths over a result, from clear through yellow to red, with their scale at the right.

    Parameters
    ----------
    path : str or os.PathLike
    frame : Frame
        The result, shown in its window, or else over its robust range.
    half : ndarray of float32
        ``[rows, cols]``: half the width of the interval that holds 90 of 100 true values, in real values.
    unit : str
        Of the real values; empty when they have none.
    made : Record or None
        Goes into the file as text.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    top = float(np.percentile(half, _TOP))
    strength = np.clip(half / top, 0, 1) if top > 0 else np.zeros_like(half)
    canvas = np.zeros((max(frame.rows, 48), frame.cols + STRIP, 3), np.uint8)
    canvas[: frame.rows, : frame.cols] = _tinted(_gray(frame), strength)
    ramp = np.linspace(1, 0, len(canvas) - 24, dtype=np.float32)[:, None].repeat(12, 1)
    canvas[12:-12, frame.cols + 6 : frame.cols + 18] = _tinted(np.full(ramp.shape, 60, np.float32), ramp)
    drawn = Image.fromarray(canvas)
    pen = ImageDraw.Draw(drawn)
    for y, value in ((6, top), (len(canvas) - 18, 0.0)):
        pen.text((frame.cols + 22, y), f"{value:.3g} {unit}".strip(), fill=(255, 255, 255), font_size=14)
    text = {} if made is None else {record.KEY: made.text()}
    with beside(Path(path)) as file:
        png.write(file, np.asarray(drawn), text=text)


def _gray(frame: Frame) -> NDArray[np.float32]:
    """Return the picture as it is shown, 0 to 255."""
    pixels = luma(frame.pixels) if frame.pixels.ndim == 3 else frame.pixels.astype(np.float32)
    values = np.nan_to_num(pixels * np.float32(frame.slope) + np.float32(frame.intercept))
    if frame.window is not None:
        low, high = frame.window[0] - frame.window[1] / 2, frame.window[0] + frame.window[1] / 2
    else:
        low, high = frame.value_range or robust_range([frame])
    shown = np.clip((values - low) / max(high - low, 1e-12), 0, 1) * 255
    return np.asarray(255 - shown if frame.inverted else shown, np.float32)


def _tinted(gray: NDArray[np.float32], strength: NDArray[np.float32]) -> NDArray[np.uint8]:
    colour = np.stack([np.full_like(gray, 255), 255 * (1 - strength), np.zeros_like(gray)], axis=-1)
    opaque = _OPAQUE * strength[..., None]
    return np.asarray(np.rint(gray[..., None] * (1 - opaque) + colour * opaque), np.uint8)
