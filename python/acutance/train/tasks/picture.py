"""``picture``: one small picture to its residual, patch by patch."""

from __future__ import annotations

import os
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ...errors import UsageError
from ...networks import several
from .. import describe
from ..examples import Batch as Patches
from ..examples import Pool, Truths
from ..recipe import Recipe
from ..validate import Validator, cases
from .task import Batch, Task

CHARBONNIER = 1e-3
"""Where Charbonnier's loss turns from square to absolute, in mapped units."""


def error_of(residual: Tensor, batch: Batch, recipe: Recipe) -> Tensor:
    """Return a residual ``[N, s*s, h, w]`` less the batch's, over ``jitter``.

    With the guard the result is first put where each block averages to its input pixel, without the bounds, which no
    mapped value reaches but padding: the error loses its mean over the block and keeps the input's own.
    """
    error = residual.float() - batch["residual"]
    if recipe.model.guard == "box" and recipe.training.project:
        error = error - error.mean(dim=1, keepdim=True) + batch["drift"]
    return error / batch["jitter"]


def loss_of(residual: Tensor, batch: Batch, recipe: Recipe) -> Tensor:
    """Return the mean of :func:`error_of` by the recipe's ``loss``."""
    error = error_of(residual, batch, recipe)
    if recipe.training.loss == "l2":
        return error.square().mean()
    if recipe.training.loss == "charbonnier":
        return (error.square() + CHARBONNIER**2).sqrt().mean()
    return error.abs().mean()


class Picture(Task):
    """Patches of degraded truths; the batch holds what :class:`acutance.train.examples.Batch` does."""

    @property
    def halo(self) -> int:
        """Rim of input pixels around a patch."""
        context, radius = self.recipe.training.context, self.network.radius
        if radius is None:
            raise UsageError(f"network `{self.recipe.network.kind}` sees without bound; it is no network for pictures")
        return radius if context is None else min(context, radius)

    def load(self, data: str | os.PathLike[str], step: int) -> None:
        """As :meth:`Task.load`."""
        truths = Truths(data, self.recipe)
        self.sources = describe.sources(truths.scans)
        self.pool = Pool(truths, self.recipe, self.halo, step)

    def batch(self, step: int, count: int) -> Batch:
        """As :meth:`Task.batch`."""
        return self.tensors(self.pool.batch(step, count))

    @staticmethod
    def tensors(found: Patches) -> dict[str, Tensor]:
        """Return patches as tensors by name."""
        return {
            "picture": torch.from_numpy(found.picture).contiguous(memory_format=torch.channels_last),
            "residual": torch.from_numpy(found.residual),
            "drift": torch.from_numpy(found.drift),
            "jitter": torch.from_numpy(found.jitter),
        }

    def outputs(self, network: nn.Module, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return what the network gives for patches, without their rim."""
        context, rim = self.recipe.training.context, self.halo
        parts = several(network(*inputs, padding=0 if context is None else 1))
        if context is None:
            return parts
        return tuple(x[:, :, rim : x.shape[2] - rim, rim : x.shape[3] - rim] for x in parts)

    def loss(self, learner: str, models: Mapping[str, nn.Module], batch: Batch) -> Tensor:
        """As :meth:`Task.loss`."""
        (residual,) = self.outputs(models[learner], batch["picture"])
        return loss_of(residual, batch, self.recipe)

    def validator(self, data: str | os.PathLike[str], per_scan: int = 0) -> Validator:
        """As :meth:`Task.validator`."""
        return Validator(cases(data, self.recipe, "val", per_scan), self.recipe)
