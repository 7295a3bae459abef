"""Two rivals that learn from examples without a network: sparse coding, and adjusted anchored neighbourhood regression.

Both see what :func:`features` takes from the small picture and give a patch of what the cubic base lacks; patches
overlap and are averaged.

- ``sparse coding``: R. Zeyde, M. Elad, M. Protter: On single image scale-up using sparse-representations. Curves and
  Surfaces, LNCS 6920, 2010. A few atoms of a learnt dictionary stand for the features, and the same atoms of a second
  dictionary for the patch.
- ``A+``: R. Timofte, V. De Smet, L. Van Gool: A+: Adjusted anchored neighborhood regression for fast super-resolution.
  ACCV 2014. The nearest atom says which linear regression gives the patch.

:mod:`.sparse_fit` makes both from a train split; here they are applied.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

from ..beside import beside
from ..errors import InputError
from ..geometry import Array
from ..oracle import base

NAMES = ("sparse coding", "A+")

WINDOW = 3
"""Input pixels a side that a patch covers."""

REACH = 3
"""Input pixels along the border whose features see what is mirrored."""

ATOMS = 3
"""Atoms that stand for one patch (Zeyde et al., section 4)."""

ROWS = 8192
"""Patches that are coded at once, which bounds the memory."""

F32 = NDArray[np.float32]


@dataclasses.dataclass(frozen=True, eq=False)
class Fitted:
    """What was learnt for one modality and scale.

    Attributes
    ----------
    projection : ndarray of float32
        ``[36, d]``: principal components of the features.
    atoms : ndarray of float32
        ``[k, d]``: the dictionary, each atom of length 1.
    patches : ndarray of float32
        ``[k, 9 * s * s]``: what each atom stands for.
    regressions : ndarray of float32
        ``[k, 9 * s * s, d]``: features to patch, near each atom.
    """

    projection: F32
    atoms: F32
    patches: F32
    regressions: F32

    @property
    def scale(self) -> int:
        return math.isqrt(self.patches.shape[1] // WINDOW**2)


def features(picture: F32) -> F32:
    """Return first and second differences along both axes around each pixel, ``[rows * cols, 36]``.

    The filters of Zeyde et al., section 4, on the grid of the small picture, in windows of 3x3; mirrored at the border.
    """
    first, second = np.array([-1.0, 0.0, 1.0]), np.array([0.5, 0.0, -1.0, 0.0, 0.5])
    maps = [correlate1d(picture, f, axis, mode="reflect") for f in (first, second) for axis in (0, 1)]
    padded = np.pad(np.stack(maps, -1), ((1, 1), (1, 1), (0, 0)), mode="symmetric")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (WINDOW, WINDOW), (0, 1))
    return np.ascontiguousarray(windows, dtype=np.float32).reshape(picture.size, -1)


def code(projected: F32, atoms: F32, count: int = ATOMS) -> tuple[NDArray[np.int64], F32]:
    """Return which atoms stand for each sample, and their weights: orthogonal matching pursuit of many samples at once.

    Parameters
    ----------
    projected : ndarray of float32
        ``[n, d]``.
    atoms : ndarray of float32
        ``[k, d]``, of length 1.

    Returns
    -------
    chosen : ndarray of int64
        ``[n, count]``.
    weights : ndarray of float32
        ``[n, count]``.
    """
    gram = atoms @ atoms.T
    seen = projected @ atoms.T
    at = np.arange(len(seen))[:, None]
    left, chosen = seen, np.empty((len(seen), 0), dtype=np.int64)
    weights = np.empty((len(seen), 0), dtype=np.float32)
    for found in range(count):
        if found:
            rest = projected - np.einsum("nc,ncd->nd", weights, atoms[chosen])
            left = rest @ atoms.T
        strength = np.abs(left)
        strength[at, chosen] = -1  # an atom is taken once
        chosen = np.concatenate([chosen, strength.argmax(axis=1)[:, None]], axis=1)
        square = gram[chosen[:, :, None], chosen[:, None, :]] + 1e-6 * np.eye(chosen.shape[1], dtype=np.float32)
        weights = np.linalg.solve(square, seen[at, chosen][:, :, None])[:, :, 0].astype(np.float32)
    return chosen, weights


def patches_by_coding(fitted: Fitted, projected: F32) -> F32:
    """Return the patches ``[n, 9 * s * s]`` of sparse coding."""
    out = np.empty((len(projected), fitted.patches.shape[1]), dtype=np.float32)
    for k in range(0, len(projected), ROWS):
        chosen, weights = code(projected[k : k + ROWS], fitted.atoms)
        out[k : k + ROWS] = np.einsum("nc,ncp->np", weights, fitted.patches[chosen])
    return out


def patches_by_regression(fitted: Fitted, projected: F32) -> F32:
    """Return the patches ``[n, 9 * s * s]`` of the regression of each sample's nearest atom."""
    nearest = np.concatenate(
        [np.abs(projected[k : k + ROWS] @ fitted.atoms.T).argmax(axis=1) for k in range(0, len(projected), ROWS)]
    )
    order = np.argsort(nearest, kind="stable")
    ends = np.searchsorted(nearest[order], np.arange(len(fitted.atoms) + 1))
    out = np.empty((len(projected), fitted.patches.shape[1]), dtype=np.float32)
    for atom, (start, end) in enumerate(itertools.pairwise(ends)):
        these = order[start:end]
        out[these] = projected[these] @ fitted.regressions[atom].T
    return out


def overlapped(patches: F32, rows: int, cols: int, scale: int) -> F32:
    """Average patches ``[rows * cols, 9 * s * s]`` where they overlap to ``[rows * s, cols * s]``."""
    blocks = patches.reshape(rows, cols, WINDOW, scale, WINDOW, scale)
    total = np.zeros((rows + 2, cols + 2, scale, scale), dtype=np.float32)
    count = np.zeros((rows + 2, cols + 2, 1, 1), dtype=np.float32)
    for i in range(WINDOW):
        for j in range(WINDOW):
            total[i : i + rows, j : j + cols] += blocks[:, :, i, :, j, :]
            count[i : i + rows, j : j + cols] += 1
    mean = (total / np.maximum(count, 1))[1:-1, 1:-1]
    return np.asarray(mean.transpose(0, 2, 1, 3), dtype=np.float32).reshape(rows * scale, cols * scale)


def apply(fitted: Fitted, picture: Array, name: str) -> F32:
    """Enlarge a picture ``[rows, cols]`` to ``[rows * s, cols * s]`` by one of :data:`NAMES`."""
    x = np.asarray(picture, dtype=np.float32)
    projected = features(x) @ fitted.projection
    made = (patches_by_coding if name == NAMES[0] else patches_by_regression)(fitted, projected)
    rows, cols = x.shape
    return np.asarray(base(x, fitted.scale, "cubic") + overlapped(made, rows, cols, fitted.scale))


def path(folder: str | Path, modality: str, scale: int) -> Path:
    """Return where what was learnt for a modality and scale lies."""
    return Path(folder) / f"{modality}-x{scale}.npz"


def save(fitted: Fitted, file: Path) -> None:
    """Write what was learnt."""
    with beside(file) as f:
        np.savez(f, **{k.name: getattr(fitted, k.name) for k in dataclasses.fields(fitted)})


@functools.lru_cache(maxsize=8)
def load(file: Path) -> Fitted:
    """Read what was learnt.

    Raises
    ------
    InputError
        The file cannot be read or is another.
    """
    try:
        with np.load(file, allow_pickle=False) as found:
            return Fitted(**{k.name: found[k.name] for k in dataclasses.fields(Fitted)})
    except (OSError, ValueError, KeyError) as e:
        raise InputError(f"cannot be read ({type(e).__name__}); remove it, and it is made anew", file) from None
