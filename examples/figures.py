"""Pictures side by side with labels, for the demo."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Array = NDArray[Any]

GAP = 8
"""Pixels between panels and around the sheet."""

PAPER, INK, FRAME = (255, 255, 255), (20, 20, 20), (255, 170, 0)

HEAT = np.array([(0, 0, 0), (70, 10, 110), (190, 50, 80), (250, 150, 30), (255, 255, 190)], dtype=np.float64)
"""Colours from no error to the largest that is shown."""


def gray(values: Array, window: tuple[float, float]) -> Array:
    """Return ``[rows, cols, 3]`` of uint8; ``window`` is centre and width."""
    centre, width = window
    scaled = np.clip((values.astype(np.float64) - centre) / width + 0.5, 0, 1)
    return np.repeat(np.rint(255 * scaled).astype(np.uint8)[..., None], 3, axis=2)


def heat(error: Array, largest: float) -> Array:
    """Return ``[rows, cols, 3]`` of uint8: the colour of ``|error| / largest``."""
    place = np.clip(np.abs(error) / largest, 0, 1) * (len(HEAT) - 1)
    channels = [np.interp(place, np.arange(len(HEAT)), HEAT[:, c]) for c in range(3)]
    return np.rint(np.stack(channels, axis=2)).astype(np.uint8)


def crop(picture: Array, box: tuple[int, int, int, int]) -> Array:
    """Cut ``(top, left, rows, cols)`` out of a picture."""
    top, left, rows, cols = box
    return picture[top : top + rows, left : left + cols]


def enlarged(picture: Array, side: int) -> Array:
    """Repeat pixels until the picture is ``side`` pixels wide: what is seen is the picture's own pixels."""
    times = side // picture.shape[1]
    return picture.repeat(times, axis=0).repeat(times, axis=1)


def overview(picture: Array, box: tuple[int, int, int, int], side: int) -> Array:
    """Return the whole picture, fitted into ``side`` x ``side`` pixels, with a frame around ``box``."""
    rows, cols = picture.shape[:2]
    factor = side / max(rows, cols)
    small = Image.fromarray(picture).resize((round(cols * factor), round(rows * factor)), Image.Resampling.LANCZOS)
    sheet = Image.new("RGB", (side, side))
    left, top = (side - small.width) // 2, (side - small.height) // 2
    sheet.paste(small, (left, top))
    y, x, height, width = (v * factor for v in box)
    corners = (left + x - 1, top + y - 1, left + x + width, top + y + height)
    ImageDraw.Draw(sheet).rectangle(corners, outline=FRAME, width=2)
    return np.asarray(sheet)


def scale_bar(largest: float, unit: str, side: int) -> Array:
    """Return a ``side`` x ``side`` panel that tells what the colours of :func:`heat` mean."""
    sheet = Image.new("RGB", (side, side), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(side // 20)
    top, bottom, left, right = side // 8, side - side // 8, side // 8, side // 4
    ramp = np.linspace(largest, 0, bottom - top)[:, None].repeat(right - left, axis=1)
    sheet.paste(Image.fromarray(heat(ramp, largest)), (left, top))
    draw.rectangle((left, top, right, bottom), outline=INK)
    for part in (0, 0.5, 1):
        y = bottom - part * (bottom - top)
        draw.text((right + 10, y), f"{part * largest:.3g} {unit}".strip(), INK, font, anchor="lm")
    draw.text((left, bottom + 14), "absolute error", INK, font)
    return np.asarray(sheet)


def sheet(rows: Sequence[Sequence[tuple[str, Array]]], title: str, side: int) -> Image.Image:
    """Lay out labelled panels.

    Parameters
    ----------
    rows : sequence of sequences of (str, ndarray)
        Label and ``[side, side, 3]`` picture of each panel.
    title : str
        Line above all of them.
    """
    font, small = ImageFont.load_default(side // 18), ImageFont.load_default(side // 22)
    line = side // 12
    columns = max(len(row) for row in rows)
    size = (GAP + columns * (side + GAP), GAP + line + len(rows) * (side + line + GAP))
    page = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(page)
    draw.text((GAP, GAP + line // 2), title, INK, font, anchor="lm")
    for i, row in enumerate(rows):
        for j, (label, picture) in enumerate(row):
            x, y = GAP + j * (side + GAP), GAP + line + i * (side + line + GAP)
            draw.text((x, y + line // 2), label, INK, small, anchor="lm")
            page.paste(Image.fromarray(np.ascontiguousarray(picture)), (x, y + line))
    return page
