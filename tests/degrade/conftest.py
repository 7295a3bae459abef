"""A blob and where it is."""

from __future__ import annotations

import types

import numpy as np
import pytest
from numpy.typing import NDArray


def blob(side: int, row: float, col: float, sigma: float) -> NDArray[np.float64]:
    """A Gaussian of height 1 around ``(row, col)``."""
    i = np.arange(side)
    return np.outer(np.exp(-0.5 * ((i - row) / sigma) ** 2), np.exp(-0.5 * ((i - col) / sigma) ** 2))


def centroid(picture: NDArray[np.float32]) -> NDArray[np.float64]:
    """Row and column of the mean of ``picture``."""
    weights = picture.astype(np.float64)
    at = np.indices(picture.shape)
    return (at * weights).sum(axis=(1, 2)) / weights.sum()


@pytest.fixture(scope="session")
def blobs() -> types.SimpleNamespace:
    """``make`` and ``centroid``."""
    return types.SimpleNamespace(make=blob, centroid=centroid)
