"""``gan``: a trained network learns to make detail that a discriminator takes for a scanner's."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ... import model, ops, tiling
from ...errors import UsageError
from ...networks import Network
from ...networks.discriminator import Discriminator, cross_entropy, fooled, hinge
from ...networks.weights import weights_of
from ..recipe import GanTask, Recipe
from . import perceptual as losses
from .picture import Picture, error_of
from .task import Batch, Learner


def base_kernel(base: str, scale: int) -> Tensor:
    """Return the base as one convolution: ``[s*s, 1, k, k]``, in the order of the network's output.

    It is read from what :func:`acutance.ops.assemble` makes of a single bright pixel.
    """
    side, middle = 17, 8
    picture = np.zeros((side, side), dtype=np.float32)
    picture[middle, middle] = 1
    plan = tiling.plan(side, side, side, 0, scale)
    made, _ = ops.assemble(None, picture, plan, base=base)
    parts = np.asarray(made, dtype=np.float32).reshape(side, scale, side, scale).transpose(1, 3, 0, 2)
    kernels = parts.reshape(scale**2, side, side)[:, ::-1, ::-1]
    radius = max(abs(int(x) - middle) for found in np.nonzero(kernels)[1:] for x in (found.min(), found.max()))
    inner = slice(middle - radius, middle + radius + 1)
    return torch.from_numpy(np.ascontiguousarray(kernels[:, None, inner, inner]))


class Gan(Picture):
    """A generator that starts from weights trained on errors alone, and a U-Net as its discriminator.

    The discriminator sees two channels: the base, and what is added to it times ``detail``, so that what it judges is
    not lost in a range that is a hundred times as wide. With the guard it sees what the guard makes of the result.
    """

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        assert isinstance(recipe.task, GanTask)
        self.settings = recipe.task
        self.base = base_kernel(recipe.model.base, recipe.model.scale)
        self._seen: tuple[Tensor, Tensor] | None = None

    def begin(self) -> list[Learner]:
        """As :meth:`Task.begin`: the network, then its discriminator."""
        learners = super().begin()
        if self.fresh:
            raise UsageError(f"recipe '{self.recipe.name}' must start from a trained network of the same layers")
        if self.halo < self.base.shape[-1] // 2:
            raise UsageError(f"context {self.halo} is less than the base needs, {self.base.shape[-1] // 2}")
        judge = Discriminator(2, self.settings.width)
        return [*learners, self.learner("discriminator", judge, self.settings.rate, betas=(0.5, 0.99))]

    def loss(self, learner: str, models: Mapping[str, nn.Module], batch: Batch) -> Tensor:
        """As :meth:`Task.loss`; the network's turn comes first and leaves what it made for the discriminator's."""
        judge = models["discriminator"]
        if learner == "discriminator":
            assert self._seen is not None
            (real, made), self._seen = self._seen, None
            logits, *_ = judge(torch.cat([real, made]))
            judged = hinge if self.settings.adversary == "hinge" else cross_entropy
            return judged(*logits.chunk(2))
        (residual,) = self.outputs(models["network"], batch["picture"])
        error = error_of(residual, batch, self.recipe) * self.settings.detail
        wanted = batch["residual"] / batch["jitter"] * self.settings.detail
        base = self._base(batch["picture"])
        real, made = (self._shown(base, x) for x in (wanted, wanted + error))
        self._seen = real, made.detach()
        logits, *features = judge(torch.cat([real, made]))
        return self._weighed(error, logits.chunk(2)[1], [x.chunk(2) for x in features])

    def _weighed(self, error: Tensor, logits: Tensor, features: list[tuple[Tensor, ...]]) -> Tensor:
        """Return the sum of the generator's losses by their weights."""
        picture, s = nn.functional.pixel_shuffle(error, self.recipe.model.scale), self.settings
        loss = s.pixels * error.abs().mean()
        loss = loss + s.adversarial * fooled(logits, s.adversary)
        loss = loss + s.features * losses.distance(features)
        loss = loss + s.frequency * losses.focal_frequency(picture)
        small = losses.degraded(picture, self.recipe.degradation, self.recipe.model.scale)
        return loss + s.consistency * small.abs().mean()

    def _base(self, picture: Tensor) -> Tensor:
        """Return the base of patches without their rim, ``[N, s*s, h, w]``."""
        found = nn.functional.conv2d(picture, self.base.to(picture.device))
        rim = self.halo - self.base.shape[-1] // 2
        return found[:, :, rim : found.shape[2] - rim, rim : found.shape[3] - rim]

    def _shown(self, base: Tensor, detail: Tensor) -> Tensor:
        """Return what the discriminator sees, ``[N, 2, h * s, w * s]``."""
        return torch.cat([nn.functional.pixel_shuffle(x, self.recipe.model.scale) for x in (base, detail)], dim=1)

    def finish(
        self, network: Network, data: str | os.PathLike[str] | None, perceptual: float | None = None
    ) -> tuple[Network, dict[str, Any]]:
        """As :meth:`Task.finish`: between the weights that the training started from and those it ended with."""
        amount = self.settings.perceptual if perceptual is None else perceptual
        found, before = network.fused(), weights_of(model.load(self.recipe.training.start))
        state = {name: torch.lerp(before[name], weight, amount) for name, weight in found.state_dict().items()}
        found.load_state_dict(state)
        return found.eval(), {"perceptual": amount}
