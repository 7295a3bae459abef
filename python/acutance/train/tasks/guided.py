"""``guided``: as ``picture``, with a second contrast of the same place beside it."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from ...geometry import Array
from ...networks import Network
from .. import describe, pairs
from ..examples import Truths, unshuffled
from ..validate import Case, Line, Validator, cases, enlarge
from .picture import Picture, loss_of
from .task import Batch

VALIDATION_SEED = 0
"""Of the guides that are made for val."""


class WithGuide(Picture):
    """Patches with guides; the batch also holds ``guide``."""

    pool: pairs.GuidedPool

    def load(self, data: str | os.PathLike[str], step: int) -> None:
        """As :meth:`Task.load`."""
        truths = Truths(data, self.recipe)
        self.sources = describe.sources(truths.scans)
        real = pairs.coregistered(data, self.recipe) if pairs.task_of(self.recipe).real else []
        self.pool = pairs.GuidedPool(truths, real, self.recipe, self.halo, step)

    def batch(self, step: int, count: int) -> Batch:
        """As :meth:`Task.batch`."""
        found, guide = self.pool.guided(step, count)
        return {**self.tensors(found), "guide": torch.from_numpy(guide)}

    def loss(self, learner: str, models: Mapping[str, nn.Module], batch: Batch) -> Tensor:
        """As :meth:`Task.loss`."""
        (residual,) = self.outputs(models[learner], batch["picture"], batch["guide"])
        return loss_of(residual, batch, self.recipe)

    def validator(self, data: str | os.PathLike[str], per_scan: int = 0) -> GuideValidator:
        """As :meth:`Task.validator`."""
        return GuideValidator(cases(data, self.recipe, "val", per_scan), self.recipe)


class GuideValidator(Validator):
    """Scores a network with guides made of the truths, the same every time, and without."""

    def run(self, network: Network) -> list[Line]:
        """As :meth:`Validator.run`; two lines for each row."""
        lines = []
        for said, given in (("guide made of the truth", True), ("no guide", False)):
            self.given = given
            lines += [dataclasses.replace(x, row=f"{x.row}, {said}") for x in super().run(network)]
        return lines

    def result(self, network: Network, case: Case) -> Array:
        """As :meth:`Validator.result`."""
        assert network.radius is not None
        rows, cols = case.truth.shape
        guide = np.zeros((rows, cols), dtype=np.float32)
        if self.given:
            low, high = case.span
            seen = ((np.asarray(case.truth, dtype=np.float32) - low) / (high - low)).astype(np.float32)
            guide = pairs.made(seen, pairs.task_of(self.recipe), np.random.default_rng([VALIDATION_SEED, rows, cols]))
        scale = self.recipe.model.scale
        padded = np.pad(guide, network.radius * scale, mode="symmetric")
        return enlarge(network, case, self.recipe, torch.from_numpy(unshuffled(padded, scale))[None])
