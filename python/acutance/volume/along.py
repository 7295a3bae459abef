"""What is done along one axis of a volume, as matrices: interpolation, slice profiles and what puts them right.

A matrix is ``[to, from]`` of float64. Places may be in any unit, the same for all arguments of a call.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..geometry import Array

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

DAMPING = 1e-6
"""Part of the unit matrix in :func:`restoring`, where profiles do not overlap: it changes no stored value."""

OVERLAP_DAMPING = 0.01
"""The same where they do: overlapping profiles cannot be taken apart without raising the noise."""


def cubic(places: Array, targets: Array) -> F64:
    """Return the interpolation from samples at ``places`` to ``targets``.

    Cubic Hermite pieces with the slopes of the neighbours' chords: Keys' kernel with a = -0.5 where places are evenly
    spaced, and exact at every place however they lie. Beyond the ends the last sample goes on.

    Parameters
    ----------
    places : ndarray
        Increasing.
    targets : ndarray
    """
    places, targets = np.asarray(places, np.float64), np.asarray(targets, np.float64)
    n, rows = len(places), np.arange(len(targets))
    matrix = np.zeros((len(targets), n))
    if n == 1:
        matrix[:, 0] = 1.0
        return matrix
    left = np.clip(np.searchsorted(places, targets, side="right") - 1, 0, n - 2)
    width = places[left + 1] - places[left]
    u = np.clip((targets - places[left]) / width, 0.0, 1.0)
    matrix[rows, left] += (1 + 2 * u) * (1 - u) ** 2
    matrix[rows, left + 1] += u * u * (3 - 2 * u)
    for node, weight in ((left, u * (1 - u) ** 2 * width), (left + 1, u * u * (u - 1) * width)):
        before, after = np.maximum(node - 1, 0), np.minimum(node + 1, n - 1)
        slope = weight / (places[after] - places[before])
        np.add.at(matrix, (rows, after), slope)
        np.add.at(matrix, (rows, before), -slope)
    return matrix


def profile(places: Array, width: float, first: float, step: float, count: int) -> F64:
    """Return the means over boxes of ``width`` around ``places`` of ``count`` voxels.

    Parameters
    ----------
    places : ndarray
    width : float
    first, step : float
        Centre of the first voxel, and side of a voxel.

    Returns
    -------
    ndarray
        ``[places, count]``; rows have unit sum, over the part of the box that lies on the voxels. A row is zero where
        no part does.
    """
    places = np.asarray(places, np.float64)[:, None]
    edges = first + (np.arange(count + 1) - 0.5) * step
    low, high = np.maximum(places - width / 2, edges[None, :-1]), np.minimum(places + width / 2, edges[None, 1:])
    part = np.clip(high - low, 0.0, None)
    total = part.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(part, total, out=np.zeros_like(part), where=total > 0), np.float64)


def restoring(means: F64, overlap: bool) -> F64:
    """Return the smallest change of voxels that gives their means back: ``x + restoring(A) (y - A x)``.

    Where the profiles of ``A`` are disjoint the means come out as ``y``; where they overlap, nearer to it.

    Parameters
    ----------
    means : ndarray
        ``A``, as :func:`profile` returns it.
    overlap : bool
        Whether the profiles are wider than they are apart.
    """
    gram = means @ means.T
    damping = (OVERLAP_DAMPING if overlap else DAMPING) * max(float(np.diag(gram).max(initial=0.0)), 1e-12)
    return np.asarray(np.linalg.solve(gram + damping * np.eye(len(gram)), means).T, np.float64)


def apply(matrix: F64, voxels: Array) -> F32:
    """Return ``matrix`` applied along the first axis of ``[from, ...]``, in float32."""
    return np.asarray(np.tensordot(matrix.astype(np.float32), voxels.astype(np.float32, copy=False), 1), np.float32)
