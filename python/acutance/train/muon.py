"""Muon: steps that are orthogonal matrices, for the kernels within a network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic iteration (Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024)."""

ITERATIONS = 5

MOMENTUM = 0.95
"""Nesterov's, of kernels."""

SIZE = 0.2
"""Root mean square of a step as a part of the rate, about that of Adam's (Liu et al., arXiv 2502.16982)."""

ENDS = 16
"""Channels in or out up to which a kernel is taken for one of a network's ends, which Adam trains."""


@torch.no_grad()
def orthogonal(matrix: Tensor) -> Tensor:
    """Return a matrix with the singular vectors of ``[rows, columns]`` and singular values near 1 (0.6 to 1.3).

    Those of less than about a thousandth of the largest stay smaller.
    """
    a, b, c = COEFFICIENTS
    turned = matrix.shape[0] > matrix.shape[1]
    x: Tensor = (matrix.T if turned else matrix).float()
    x = x / (x.norm() + 1e-12)
    for _ in range(ITERATIONS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if turned else x


class Muon(torch.optim.Adam):
    """Muon for kernels between many channels, Adam for all else.

    A kernel's momentum is made :func:`orthogonal` as ``[outputs, inputs * height * width]`` and scaled to the size of
    Adam's steps, so that one rate suits both.

    Parameters
    ----------
    parameters : iterable of Parameter
    lr : float
        Rate.
    betas : (float, float)
        Of Adam.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Move all parameters that have a gradient; as of Adam."""
        slopes = []
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None and weight.dim() == 4 and min(weight.shape[:2]) > ENDS:
                    self._kernel(weight, weight.grad, group["lr"])
                    slopes.append((weight, weight.grad))
                    weight.grad = None  # Adam leaves it alone
        found = super().step(closure)
        for weight, slope in slopes:
            weight.grad = slope
        return found

    def _kernel(self, weight: Tensor, slope: Tensor, rate: float) -> None:
        state = self.state[weight]
        if not state:
            state.update(step=torch.tensor(0.0), mean=torch.zeros_like(weight))  # Adam reads no state without a step
        mean = state["mean"].lerp_(slope, 1 - MOMENTUM)
        matrix = orthogonal(slope.lerp(mean, MOMENTUM).flatten(1))
        weight.add_(matrix.view(weight.shape), alpha=-rate * SIZE * max(matrix.shape) ** 0.5)
