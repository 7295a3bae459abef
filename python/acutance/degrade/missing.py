"""Missing data: masks, True where a sample is missing, as :func:`acutance.ops.fill` takes them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]

MOST_LINES = 3
"""Dead lines that are drawn at most."""

DEEPEST = 0.25
"""Part of a side that padding takes at most, from each border."""


def dead_lines(shape: tuple[int, int], rng: np.random.Generator, most: int = MOST_LINES) -> Mask:
    """Draw 1 to ``most`` whole rows or columns of a detector that are dead.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns of the picture.

    Returns
    -------
    ndarray of bool
        ``[rows, cols]``.
    """
    mask = np.zeros(shape, dtype=bool)
    for _ in range(int(rng.integers(1, most + 1))):
        axis = int(rng.integers(2))
        line = int(rng.integers(shape[axis]))
        mask[(line, slice(None)) if axis == 0 else (slice(None), line)] = True
    return mask


def padded(shape: tuple[int, int], rng: np.random.Generator, deepest: float = DEEPEST) -> Mask:
    """Draw what a scanner pads: the outside of a round field of view, or strips along some borders.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns of the picture.
    deepest : float
        Part of a side that a strip takes at most.

    Returns
    -------
    ndarray of bool
        ``[rows, cols]``; the middle is never missing.
    """
    rows, cols = shape
    if rng.random() < 0.5:
        radius = rng.uniform(1 - 2 * deepest, 1.2) * min(rows, cols) / 2
        y, x = np.ogrid[:rows, :cols]
        return np.asarray(np.hypot(y - (rows - 1) / 2, x - (cols - 1) / 2) > max(radius, 1.0))
    top, bottom, left, right = (rng.uniform(0, deepest, 4) * (rows, rows, cols, cols)).astype(int)
    mask = np.ones(shape, dtype=bool)
    mask[top : rows - bottom, left : cols - right] = False
    return mask
