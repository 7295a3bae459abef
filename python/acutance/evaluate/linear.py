"""The best a linear filter can do: 5x5 weights per output phase, fitted by least squares to training scans.

The weights are kept in ``linear.json`` beside this file, with how they were made; :mod:`.fit` makes it.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..geometry import Array

SIDE = 5
MARGIN = 2
"""Input pixels along the border that are not fitted, as they are not scored."""

PATH = Path(__file__).with_name("linear.json")

F32 = NDArray[np.float32]


@dataclasses.dataclass
class Sums:
    """Normal equations of one subject, growing slice by slice.

    Attributes
    ----------
    square : ndarray of float64
        ``[25, 25]``.
    mixed : ndarray of float64
        ``[25, s*s]``.
    pixels : int
    """

    square: NDArray[np.float64]
    mixed: NDArray[np.float64]
    pixels: int = 0

    @classmethod
    def empty(cls, scale: int) -> Sums:
        return cls(np.zeros((SIDE**2, SIDE**2)), np.zeros((SIDE**2, scale**2)))

    def add(self, picture: Array, truth: Array, data_range: float) -> None:
        """Take in one slice: ``picture`` ``[rows, cols]``, ``truth`` ``[rows * s, cols * s]``."""
        scale = truth.shape[0] // picture.shape[0]
        x = np.asarray(picture, dtype=np.float32) / np.float32(data_range)
        y = np.asarray(truth, dtype=np.float32) / np.float32(data_range)
        inner = (slice(MARGIN, -MARGIN), slice(MARGIN, -MARGIN))
        centre = x[inner].ravel()
        windows = np.lib.stride_tricks.sliding_window_view(x, (SIDE, SIDE)).reshape(-1, SIDE**2) - centre[:, None]
        blocks = y.reshape(x.shape[0], scale, x.shape[1], scale).transpose(0, 2, 1, 3)[inner]
        wanted = blocks.reshape(-1, scale**2) - centre[:, None]
        self.square += windows.T @ windows
        self.mixed += windows.T @ wanted
        self.pixels += centre.size


def solve(subjects: Iterable[Sums]) -> F32:
    """Return weights ``[s*s, 25]`` from the subjects' sums, in which each subject counts the same.

    The weights of a phase sum to 1, so that a shift of all values is kept: what is fitted is the difference from the
    centre pixel.
    """
    usable = [s for s in subjects if s.pixels]
    square = sum(s.square / s.pixels for s in usable)
    mixed = sum(s.mixed / s.pixels for s in usable)
    others = np.arange(SIDE**2) != SIDE**2 // 2
    weights = np.zeros((SIDE**2, np.shape(mixed)[1]))
    weights[others] = np.linalg.solve(np.asarray(square)[np.ix_(others, others)], np.asarray(mixed)[others])
    return _closed(weights.T)


def apply(weights: F32, picture: Array) -> F32:
    """Filter a picture ``[rows, cols]``, mirrored at the border, to ``[rows * s, cols * s]``."""
    rows, cols = picture.shape
    scale = round(len(weights) ** 0.5)
    x = np.pad(np.asarray(picture, dtype=np.float32), SIDE // 2, mode="symmetric")
    windows = np.lib.stride_tricks.sliding_window_view(x, (SIDE, SIDE)).reshape(rows * cols, SIDE**2)
    blocks = (windows @ weights.T).reshape(rows, cols, scale, scale)
    return np.ascontiguousarray(blocks.transpose(0, 2, 1, 3)).reshape(rows * scale, cols * scale)


def available(modality: str, scale: int) -> bool:
    """Say whether a filter was fitted for a modality and scale."""
    return str(scale) in _kept()["filters"].get(modality, {})


@functools.lru_cache(maxsize=32)
def load(modality: str, scale: int) -> F32:
    """Return the weights ``[s*s, 25]`` fitted for a modality and scale; KeyError when there are none."""
    return _closed(np.array(_kept()["filters"][modality][str(scale)]["weights"]))


def _closed(weights: Array) -> F32:
    """Set the centre weight so that each phase sums to 1 in float32."""
    out = np.asarray(weights, dtype=np.float64).copy()
    out[:, SIDE**2 // 2] = 0
    out[:, SIDE**2 // 2] = 1 - out.sum(axis=1)
    return out.astype(np.float32)


@functools.lru_cache(maxsize=1)
def _kept() -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(PATH.read_text(encoding="utf-8")) if PATH.is_file() else {"filters": {}}
    return found
