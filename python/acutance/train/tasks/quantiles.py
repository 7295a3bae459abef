"""``quantiles``: a trained network learns between which bounds the truth lies nine times of ten."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from ...errors import UsageError
from ...networks import BalQ, Network
from .. import coverage
from ..validate import cases
from .picture import Picture
from .task import Batch, Learner


def pinball(error: Tensor, level: float) -> Tensor:
    """Return the mean pinball loss of truth less quantile (Koenker and Bassett, Econometrica 1978)."""
    return (level * error).maximum((level - 1) * error).mean()


class Quantiles(Picture):
    """The layers of :class:`acutance.networks.BalQ` that ``bal`` has keep the weights they start from.

    So the picture is ``bal``'s own, and only the bounds are learnt, over its features. Of the guard they know nothing:
    they say where the truth lies, not the result.
    """

    def begin(self) -> list[Learner]:
        """As :meth:`Task.begin`."""
        super().begin()
        network = self.network
        if not isinstance(network, BalQ) or self.fresh != ["look", "bounds"]:
            wanted = 'network.kind = "bal-q" and training.start = a `bal` of the same size'
            raise UsageError(f"recipe '{self.recipe.name}' learns bounds over what is learnt already; wanted {wanted}")
        network.requires_grad_(False)
        for layer in (network.look, network.bounds):
            layer.requires_grad_(True)
        return [self.learner("network", network)]

    def loss(self, learner: str, models: Mapping[str, nn.Module], batch: Batch) -> Tensor:
        """As :meth:`Task.loss`."""
        _, low, high = self.outputs(models[learner], batch["picture"])
        below, above = ((batch["residual"] - q.float()) / batch["jitter"] for q in (low, high))
        return pinball(below, coverage.LEVELS[0]) + pinball(above, coverage.LEVELS[1])

    def finish(
        self, network: Network, data: str | os.PathLike[str] | None, perceptual: float | None = None
    ) -> tuple[Network, dict[str, Any]]:
        """As :meth:`Task.finish`: calibrated on the val split."""
        network, said = super().finish(network, data, perceptual)
        if data is None:
            raise UsageError("bounds are calibrated on scans; name their folder by --data or ACUTANCE_DATA")
        found = copy.deepcopy(network)
        assert isinstance(found, BalQ)
        found.calibrate(*coverage.factors(found, cases(data, self.recipe, "val", coverage.SLICES), self.recipe))
        return found, said

    def validator(self, data: str | os.PathLike[str], per_scan: int = 0) -> coverage.Validator:
        """As :meth:`Task.validator`."""
        return coverage.Validator(cases(data, self.recipe, "val", per_scan), self.recipe)
