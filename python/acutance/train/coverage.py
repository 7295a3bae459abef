"""How often the truth lies within the bounds that a network gives, and what makes that nine times of ten.

The bounds are calibrated after training as in conformalised quantile regression (Romano, Patterson, Candes, NeurIPS
2019), with a factor on the distance to each bound in place of a constant: errors grow with what is in a picture. Its
promise needs exchangeable examples, which pixels of one subject are not. So each subject of the split counts the same,
however many slices it has, and what a new subject gets is measured on the test split, not promised.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from .. import ops, tiling
from ..evaluate import score
from ..geometry import Array
from ..networks import BalQ, Network
from . import validate
from .recipe import Recipe
from .validate import Case, Line

F32 = NDArray[np.float32]

LEVELS = (0.05, 0.95)
"""Quantiles of the bounds."""

SLICES = 8
"""Slices of a scan that bounds are calibrated on."""

PIXELS = 20_000
"""Pixels of a slice that bounds are calibrated on, drawn at random."""

LEAST = 0.01
"""Smallest factor of a distance."""


def quantile(values: NDArray[np.floating], weights: NDArray[np.floating], level: float) -> float:
    """Return the smallest value below or at which lies at least ``level`` of the weight."""
    order = np.argsort(values, kind="stable")
    part = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(part, level * part[-1])])


def factors(network: BalQ, found: Sequence[Case], recipe: Recipe) -> tuple[float, float]:
    """Return what the distances to the lower and upper bound are to be multiplied by.

    With them 5 % of the foreground lies below and 5 % above, counting every subject, and within it every slice in every
    degradation of the protocol, the same.
    """
    rng = np.random.default_rng(0)
    ratios: dict[str, list[Array]] = defaultdict(list)
    for case in found:
        below, above = _ratios(network, case, recipe)
        inside = np.flatnonzero(score.inner(case.mask, recipe.model.scale))
        chosen = rng.choice(inside, min(PIXELS, len(inside)), replace=False)
        ratios[case.subject].append(np.stack([x.ravel()[chosen] for x in (below, above)]))
    parts = [np.concatenate(x, axis=1) for x in ratios.values()]
    weights = np.concatenate([np.full(x.shape[1], 1 / x.shape[1]) for x in parts])
    below, above = np.concatenate(parts, axis=1)
    return max(quantile(below, weights, LEVELS[1]), LEAST), max(quantile(above, weights, LEVELS[1]), LEAST)


def _ratios(network: BalQ, case: Case, recipe: Recipe) -> tuple[Array, Array]:
    """Return how far the truth lies below and above the middle, in distances of the bounds, without the border."""
    low, high = case.span
    tiles, plan = validate.tiles(network, case, recipe)
    with torch.inference_mode():
        parts = [x.contiguous().numpy() for x in network.parts(torch.from_numpy(tiles))]
    small = (np.asarray(case.picture, dtype=np.float32) - low) / (high - low)
    truth = (np.asarray(case.truth, dtype=np.float32) - low) / (high - low)
    _, middle, below, above = (_whole(x, small.astype(np.float32), plan, recipe) for x in parts)
    base = _whole(None, small.astype(np.float32), plan, recipe)
    scale = recipe.model.scale
    error, below, above = (score.inner(x, scale) for x in (truth - middle, below - base, above - base))
    return -error / below, error / above


def _whole(residual: F32 | None, small: F32, plan: tiling.Plan, recipe: Recipe) -> F32:
    """Return base and residual as one picture in mapped units."""
    return np.asarray(ops.assemble(residual, small, plan, base=recipe.model.base)[0], dtype=np.float32)


@dataclasses.dataclass(frozen=True)
class CoverageLine(Line):
    """A line with the part of the foreground that lies within the bounds, in percent, mean over subjects.

    ``least_covered`` and ``most_covered`` are those of the subjects at either end; ``width`` is the mean distance of
    the bounds in percent of the data range.
    """

    covered: float
    least_covered: float
    most_covered: float
    width: float


class Validator(validate.Validator):
    """Scores the picture as others do, and its bounds."""

    def __init__(self, found: Sequence[Case], recipe: Recipe) -> None:
        super().__init__(found, recipe)
        self._bounds: dict[tuple[str, str], dict[str, list[tuple[float, float]]]] = {}

    def result(self, network: Network, case: Case) -> Array:
        """As :meth:`validate.Validator.result`."""
        outputs = validate.predict(network, case, self.recipe)
        lower, upper = (validate.assemble(x, case, self.recipe, guard=False) for x in outputs[1:])
        rows = self._bounds.setdefault((case.modality, case.row), defaultdict(list))
        rows[case.subject].append(measure(case, lower, upper, self.recipe.model.scale))
        return validate.assemble(outputs[0], case, self.recipe, guard=self.recipe.model.guard == "box")

    def run(self, network: Network) -> list[Line]:
        """As :meth:`validate.Validator.run`; the lines are :class:`CoverageLine`."""
        self._bounds = {}
        lines: list[Line] = []
        for line in super().run(network):
            subjects = self._bounds[line.modality, line.row].values()
            covered, width = np.array([np.mean(x, axis=0) for x in subjects]).T
            found = (covered.mean(), covered.min(), covered.max(), width.mean())
            lines.append(CoverageLine(*dataclasses.astuple(line), *map(float, found)))
        return lines


def measure(case: Case, lower: Array, upper: Array, scale: int) -> tuple[float, float]:
    """Return which part of a case's foreground lies within bounds, and their mean distance, both in percent."""
    truth, low, high, mask = (score.inner(x, scale) for x in (case.truth, lower, upper, case.mask))
    within = (low <= truth) & (truth <= high)
    distance = np.asarray(high, dtype=np.float64) - low
    peak = case.value_range[1] - case.value_range[0]
    return float(100 * within[mask].mean()), float(100 * distance[mask].mean() / peak)
