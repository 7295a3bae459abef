"""``python -m acutance.evaluate.sparse_fit DATA``: learn the rivals of :mod:`.sparse` from the train split.

``acutance evaluate`` does so by itself for what it needs; what was learnt is kept in the user's cache folder, by the
contents of the train split. Deterministic on one machine: the same data give the same files, but for the last digits.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..beside import cache_folder
from ..cli.ending import end
from ..errors import InputError
from ..oracle import base
from . import scans, score, sparse
from .fit import fitted_to
from .run import spread
from .sparse import F32, Fitted

VERSION = 1
"""Raised whenever what follows changes what is learnt."""

SAMPLES = 150_000
"""Patches in all, each subject with as many."""

SLICES = 12
"""Of a subject, spread evenly."""

ENERGY = 0.999
"""Part of the features' energy that the principal components keep (Zeyde et al., section 4)."""

DICTIONARY = 512
"""Atoms."""

LEARNT_FROM = 12_000
"""Samples that the dictionary is learnt from: the stronger half, thinned out."""

SPARSITY = 0.2
"""Weight of the absolute values of the code against half the squared error of samples of length 1."""

NEIGHBOURS = 2048
"""Samples around an atom that its regression is fitted to, and ..."""

RIDGE = 0.1
"""... the weight on its size (Timofte et al., section 3.2)."""


def folder(data: Path) -> Path:
    """Return the cache folder of a data set's train split.

    Raises
    ------
    InputError
        There is no manifest.
    """
    manifest = data / "MANIFEST.csv"
    try:
        with manifest.open(encoding="utf-8", newline="") as file:
            train = [row for row in csv.DictReader(file) if row["split"] == "train"]
    except OSError as e:
        raise InputError(f"cannot be read ({e.strerror}); wanted the folder of the data set", manifest) from None
    said = repr([(VERSION, score.PROTOCOL, SAMPLES, DICTIONARY), [sorted(row.items()) for row in train]])
    return cache_folder() / "rivals" / hashlib.sha256(said.encode()).hexdigest()[:16]


def prepare(data: Path, modality: str, scale: int) -> Path | None:
    """Return the file of what was learnt, learning it when it is not there; None without scans to learn from."""
    file = sparse.path(folder(data), modality, scale)
    if not file.is_file():
        found = fit(data, modality, scale)
        if found is None:
            return None
        file.parent.mkdir(parents=True, exist_ok=True)
        sparse.save(found, file)
    return file


def fit(data: Path, modality: str, scale: int) -> Fitted | None:
    """Learn from the train split; None when it has too little of the modality."""
    parts = list(_samples(data, modality, scale))
    if not parts:
        return None
    seen, wanted = (np.concatenate(x) for x in zip(*parts, strict=True))
    return learn(seen, wanted) if len(seen) >= DICTIONARY else None


def _samples(data: Path, modality: str, scale: int) -> Iterator[tuple[F32, F32]]:
    """Yield features ``[n, 36]`` and patches ``[n, 9 * s * s]`` of each slice, in parts of the modality's range."""
    by_subject: dict[str, list[scans.Scan]] = {}
    for scan in scans.find(data, "train", modality):
        by_subject.setdefault(scan.subject, []).append(scan)
    rows = fitted_to(modality)
    each = max(SAMPLES // max(len(by_subject), 1), 1)
    for subject, found in sorted(by_subject.items()):
        series = [s for s in map(scans.load, found) if s is not None]
        truths = [(s, truth) for s in series for _, truth in s.truths(scale)]
        chosen = spread(truths, SLICES)
        rng = np.random.default_rng([len(subject), *subject.encode()])
        for k, (s, truth) in enumerate(chosen):
            width = np.float32(s.value_range[1] - s.value_range[0])
            small = np.asarray(rows[k % len(rows)].apply(truth, scale, s.spacing), dtype=np.float32) / width
            shown = score.foreground(modality, truth, s.value_range)
            yield _of_slice(small, np.asarray(truth, dtype=np.float32) / width, shown, each // len(chosen), rng)


def _of_slice(
    small: F32, truth: F32, shown: NDArray[np.bool_], count: int, rng: np.random.Generator
) -> tuple[F32, F32]:
    scale = truth.shape[0] // small.shape[0]
    lacking = np.pad(truth - base(small, scale, "cubic"), scale)
    side = sparse.WINDOW * scale
    rows, cols = small.shape
    free = shown.reshape(rows, scale, cols, scale).any(axis=(1, 3))
    border = np.zeros_like(free)
    border[sparse.REACH : -sparse.REACH, sparse.REACH : -sparse.REACH] = True
    places = np.flatnonzero(free & border)
    places = np.sort(rng.choice(places, min(count, places.size), replace=False))
    windows = np.lib.stride_tricks.sliding_window_view(lacking, (side, side))[::scale, ::scale]
    at = np.unravel_index(places, small.shape)
    return sparse.features(small)[places], windows[at].reshape(len(places), -1)


def learn(seen: F32, wanted: F32) -> Fitted:
    """Learn dictionary, patches and regressions.

    Parameters
    ----------
    seen : ndarray of float32
        Features ``[n, 36]``.
    wanted : ndarray of float32
        Patches ``[n, 9 * s * s]``.
    """
    from sklearn.decomposition import MiniBatchDictionaryLearning
    from sklearn.exceptions import ConvergenceWarning

    values, vectors = np.linalg.eigh(np.asarray(seen.T @ seen, dtype=np.float64))
    part = np.cumsum(values[::-1]) / values.sum()
    projection = vectors[:, ::-1][:, : int(np.searchsorted(part, ENERGY)) + 1].astype(np.float32)
    projected = seen @ projection
    length = np.linalg.norm(projected, axis=1)
    strong = np.flatnonzero((length >= np.median(length)) & (length > 0))
    unit = projected[strong] / length[strong, None]
    learner = MiniBatchDictionaryLearning(
        DICTIONARY, alpha=SPARSITY, max_iter=1, batch_size=512, fit_algorithm="lars", random_state=0
    )
    with warnings.catch_warnings():
        # Least-angle regression tells of every sample that it codes with fewer atoms than it might.
        warnings.simplefilter("ignore", ConvergenceWarning)
        atoms = learner.fit(unit[spread(range(len(unit)), LEARNT_FROM)]).components_.astype(np.float32)
    atoms = atoms / np.maximum(np.linalg.norm(atoms, axis=1, keepdims=True), np.float32(1e-12))
    return Fitted(
        projection,
        atoms,
        _patches(projected, wanted, atoms),
        _regressions(unit, wanted[strong] / length[strong, None], atoms),
    )


def _patches(projected: F32, wanted: F32, atoms: F32) -> F32:
    """Return the atoms' patches that fit all samples best by their sparse codes."""
    square = np.zeros((len(atoms), len(atoms)))
    mixed = np.zeros((len(atoms), wanted.shape[1]))
    for k in range(0, len(projected), sparse.ROWS):
        chosen, weights = sparse.code(projected[k : k + sparse.ROWS], atoms)
        codes = np.zeros((len(chosen), len(atoms)), dtype=np.float32)
        np.put_along_axis(codes, chosen, weights, axis=1)
        square += codes.T @ codes
        mixed += codes.T @ wanted[k : k + sparse.ROWS]
    little = 1e-3 * np.trace(square) / len(atoms)
    return np.linalg.solve(square + little * np.eye(len(atoms)), mixed).astype(np.float32)


def _regressions(unit: F32, wanted: F32, atoms: F32) -> F32:
    """Return each atom's ridge regression over the samples that point nearest its way."""
    count = min(NEIGHBOURS, len(unit))
    out = np.empty((len(atoms), wanted.shape[1], unit.shape[1]), dtype=np.float32)
    ridge = RIDGE * np.eye(unit.shape[1])
    for k, atom in enumerate(atoms):
        near = np.argpartition(-np.abs(unit @ atom), count - 1)[:count]
        x, y = unit[near], wanted[near]
        out[k] = np.linalg.solve(np.asarray(x.T @ x, dtype=np.float64) + ridge, x.T @ y).T
    return out


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m acutance.evaluate.sparse_fit", description=__doc__)
    parser.add_argument("data", type=Path, metavar="DATA", help="folder with MANIFEST.csv")
    parser.add_argument("--modality", action="append", choices=score.MODALITIES, help="only these")
    parser.add_argument("--scale", type=int, action="append", help="only these (2, 3 and 4)")
    given = parser.parse_args(arguments)
    for modality in given.modality or score.MODALITIES:
        for scale in given.scale or (2, 3, 4):
            print(f"{modality} x{scale}: {prepare(given.data, modality, scale) or 'no scans to learn from'}")


if __name__ == "__main__":
    end(main)
