"""PSNR on the validation split by the protocol, for the training's log and for the choice of weights."""

from __future__ import annotations

import dataclasses
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .. import ops, tiling
from ..evaluate import rivals, scans, score
from ..geometry import Array
from ..model import Fixed, Percentile
from ..networks import Network, several
from .recipe import Recipe

F32 = NDArray[np.float32]


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """One degraded slice with its truth, in stored values.

    Attributes
    ----------
    modality, subject, row : str
    truth, picture : ndarray
        ``[rows * s, cols * s]`` and ``[rows, cols]``.
    value_range : (float, float)
        Width is PSNR's peak.
    span : (float, float)
        Values that the network sees as 0 and 1.
    mask : ndarray of bool
        The foreground.
    """

    modality: str
    subject: str
    row: str
    truth: Array
    picture: Array
    value_range: tuple[float, float]
    span: tuple[float, float]
    mask: NDArray[np.bool_]


def cases(folder: str | os.PathLike[str], recipe: Recipe, split: str = "val", per_scan: int = 0) -> list[Case]:
    """Return every slice of a split in every row of the tables of a recipe's modalities; see :func:`degraded`.

    A recipe that denoises is seen in the rows with noise, too.
    """
    target = recipe.model
    return degraded(folder, recipe.data.modalities, target.scale, target.mapping, split, per_scan, target.denoises)


def degraded(
    folder: str | os.PathLike[str],
    modalities: Iterable[str],
    scale: int,
    mapping: Fixed | Percentile,
    split: str = "val",
    per_scan: int = 0,
    noise: bool = False,
) -> list[Case]:
    """Return every slice of a split in every row of its modality's table.

    Parameters
    ----------
    modalities : iterable of str
        Of the protocol.
    per_scan : int
        At most so many slices of a scan, evenly spread; 0 for all.
    noise : bool
        Whether the rows with noise are wanted, too.
    """
    out = []
    for modality in modalities:
        rows = score.degradations_of(modality) + (score.noise_rows_of(modality) if noise else ())
        for scan in scans.find(folder, split, modality):
            series = scans.load(scan)
            if series is None:
                continue
            truths = [pixels for _, pixels in series.truths(scale)]
            if per_scan and len(truths) > per_scan:
                truths = [truths[i] for i in np.linspace(0, len(truths) - 1, per_scan).astype(int)]
            span = series.span(mapping)
            for truth in truths:
                mask = score.foreground(modality, truth, series.value_range)
                for row in rows:
                    picture = row.apply(truth, scale, series.spacing, series.value_range)
                    out.append(Case(modality, scan.subject, row.name, truth, picture, series.value_range, span, mask))
    return out


def tiles(network: Network, case: Case, recipe: Recipe) -> tuple[F32, tiling.Plan]:
    """Return what a network sees of a case: the whole picture as one tile, with the halo it needs."""
    halo, (low, high) = network.radius or 0, case.span
    rows, cols = case.picture.shape
    plan = tiling.plan(rows, cols, (rows + 2 * halo, cols + 2 * halo), halo, recipe.model.scale)
    return ops.gather(case.picture, plan, gain=1 / (high - low), bias=-low / (high - low)), plan


def predict(network: Network, case: Case, recipe: Recipe, *more: Tensor) -> list[F32]:
    """Return the outputs of a network for a case, each ``[1, C, h, w]`` with the halo.

    Parameters
    ----------
    more : Tensor
        What the network takes beside the picture, its halo included.
    """
    seen, _ = tiles(network, case, recipe)
    with torch.inference_mode():
        return [x.contiguous().numpy() for x in several(network(torch.from_numpy(seen), *more))]


def assemble(residual: F32 | None, case: Case, recipe: Recipe, guard: bool) -> Array:
    """Return the enlarged picture of a case in its stored dtype, of a residual with its halo; the base with none."""
    rows, cols = case.picture.shape
    low, high = case.span
    halo = 0 if residual is None else (residual.shape[2] - rows) // 2
    plan = tiling.plan(rows, cols, (rows + 2 * halo, cols + 2 * halo), halo, recipe.model.scale)
    return ops.assemble(residual, case.picture, plan, gain=1 / (high - low), base=recipe.model.base, guard=guard)[0]


def enlarge(network: Network | None, case: Case, recipe: Recipe, *more: Tensor) -> Array:
    """Return the enlarged picture of a case in its stored dtype; the base with no network."""
    if network is None:
        return assemble(None, case, recipe, guard=False)
    return assemble(predict(network, case, recipe, *more)[0], case, recipe, guard=recipe.model.guard == "box")


@dataclasses.dataclass(frozen=True)
class Line:
    """PSNR in dB of one row of the table, mean over subjects, and of the subject or slice that comes off worst.

    ``full`` and ``foreground`` are the model's; the others what it has over the rival, which is zero-filled k-space for
    MR and the base for others; the worst ones over the full frame.
    """

    modality: str
    row: str
    full: float
    foreground: float
    gain: float
    gain_foreground: float
    worst_subject: float
    worst_slice: float


class Scorer(Protocol):
    """What scores networks during a training."""

    def run(self, network: Network) -> list[Line]:
        """Return the lines of a network."""


class Validator:
    """Scores networks on the same cases; the rival is scored once."""

    def __init__(self, found: Sequence[Case], recipe: Recipe) -> None:
        self.cases, self.recipe = list(found), recipe
        self.rival = [self._psnr(c, self._rival(c)) for c in self.cases]

    def _rival(self, case: Case) -> Array:
        if case.modality == "MR":
            return rivals.zero_filled(case.picture, self.recipe.model.scale)
        return enlarge(None, case, self.recipe)

    def _psnr(self, case: Case, result: Array) -> tuple[float, float]:
        scale = self.recipe.model.scale
        peak = case.value_range[1] - case.value_range[0]
        truth, got, mask = (score.inner(x, scale) for x in (case.truth, result, case.mask))
        return score.psnr(truth, got, peak), score.psnr(truth, got, peak, mask)

    def result(self, network: Network, case: Case) -> Array:
        """Return the picture that a network makes of a case."""
        return enlarge(network, case, self.recipe)

    def run(self, network: Network) -> list[Line]:
        """Return one line for each modality and row, over the mean of each subject's slices."""
        found: dict[tuple[str, str], dict[str, list[tuple[float, ...]]]] = defaultdict(lambda: defaultdict(list))
        was_training = network.training
        network.eval()
        for case, rival in zip(self.cases, self.rival, strict=True):
            ours = self._psnr(case, self.result(network, case))
            found[case.modality, case.row][case.subject].append((*ours, ours[0] - rival[0], ours[1] - rival[1]))
        network.train(was_training)
        lines = []
        for (modality, row), subjects in found.items():
            means = np.array([np.mean(values, axis=0) for values in subjects.values()])
            least = min(v[2] for values in subjects.values() for v in values)
            full, foreground, gain, gain_foreground = (float(x) for x in means.mean(axis=0))
            worst = float(means[:, 2].min())
            lines.append(Line(modality, row, full, foreground, gain, gain_foreground, worst, float(least)))
        return lines
