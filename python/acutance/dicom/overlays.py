"""Overlay planes (PS3.3 C.9.2, C.9.3): bit planes on their own grid of rows and columns."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.tag import Tag

GROUPS = range(0x6000, 0x6020, 2)

_MAX_SIDE = 65535
_MAX_BITS = 1 << 31


def rescale(dataset: Dataset, scale: int) -> None:
    """Enlarge every overlay by repeating its bits, in place; overlay data are in little endian.

    Dropped are overlays that have no data of their own (retired: bits inside the pixels, which are masked off), are
    damaged, or would not fit.
    """
    for group in GROUPS:
        elements = [tag for tag in list(dataset.keys()) if tag.group == group]
        if elements and not _rescale(dataset, group, scale):
            for tag in elements:
                del dataset[tag]


def _rescale(dataset: Dataset, group: int, scale: int) -> bool:
    rows, columns = (_integer(dataset, group, x) for x in (0x0010, 0x0011))
    frames = _integer(dataset, group, 0x0015) or 1
    data = dataset.get(Tag(group, 0x3000))
    if not rows or not columns or data is None or not isinstance(data.value, bytes):
        return False
    bits = rows * columns * frames
    fits = max(rows, columns) * scale <= _MAX_SIDE and bits * scale * scale <= _MAX_BITS
    if not fits or min(rows, columns, frames) < 1 or 8 * len(data.value) < bits:
        return False
    plane = np.unpackbits(np.frombuffer(data.value, np.uint8), count=bits, bitorder="little")
    plane = plane.reshape(frames, rows, columns).repeat(scale, axis=1).repeat(scale, axis=2)
    packed = np.packbits(plane, bitorder="little").tobytes()
    data.value = packed + b"\0" * (len(packed) % 2)
    data.VR = "OW"
    dataset[Tag(group, 0x0010)].value = rows * scale
    dataset[Tag(group, 0x0011)].value = columns * scale
    origin = dataset.get(Tag(group, 0x0050))
    if origin is not None and not origin.is_empty:
        try:
            origin.value = [(int(x) - 1) * scale + 1 for x in origin.value]
        except (TypeError, ValueError):
            return False
    area = _integer(dataset, group, 0x1301)
    if area is not None:
        dataset[Tag(group, 0x1301)].value = area * scale * scale
    elif Tag(group, 0x1301) in dataset:
        del dataset[Tag(group, 0x1301)]
    return True


def _integer(dataset: Dataset, group: int, element: int) -> int | None:
    found: Any = dataset.get(Tag(group, element))
    try:
        return None if found is None or found.is_empty else int(found.value)
    except (TypeError, ValueError):
        return None
