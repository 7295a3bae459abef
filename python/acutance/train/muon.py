"""Muon: steps that are orthogonal matrices, for the kernels within a network."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic iteration (Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024)."""

ITERATIONS = 5

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


class Muon(torch.optim.Optimizer):
    """Muon for kernels between many channels, Adam for all else.

    A kernel's momentum is made :func:`orthogonal` as ``[outputs, inputs * height * width]`` and scaled to the size of
    Adam's steps, so that one rate suits both.

    Parameters
    ----------
    parameters : iterable of Parameter
    lr : float
        Rate.
    momentum : float
        Of kernels, Nesterov's.
    betas : (float, float)
        Of Adam.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.999),
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "betas": betas})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Move all parameters that have a gradient."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                if weight.dim() == 4 and min(weight.shape[:2]) > ENDS:
                    self._kernel(weight, weight.grad, group)
                else:
                    self._other(weight, weight.grad, group)

    def _kernel(self, weight: Tensor, slope: Tensor, group: dict[str, Any]) -> None:
        state = self.state[weight]
        if not state:
            state["mean"] = torch.zeros_like(weight)
        mean = state["mean"].lerp_(slope, 1 - group["momentum"])
        matrix = orthogonal(slope.lerp(mean, group["momentum"]).flatten(1))
        weight.add_(matrix.view(weight.shape), alpha=-group["lr"] * SIZE * max(matrix.shape) ** 0.5)

    def _other(self, weight: Tensor, slope: Tensor, group: dict[str, Any]) -> None:
        state = self.state[weight]
        if not state:
            state.update(step=0, mean=torch.zeros_like(weight), square=torch.zeros_like(weight))
        state["step"] += 1
        first, second = group["betas"]
        mean = state["mean"].lerp_(slope, 1 - first) / (1 - first ** state["step"])
        square = state["square"].lerp_(slope.square(), 1 - second) / (1 - second ** state["step"])
        weight.addcdiv_(mean, square.sqrt() + 1e-8, value=-group["lr"])
