"""``bal-q``: ``bal`` that also says how sure it is: between which bounds the truth lies nine times of ten."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ..model import Output
from .bal import Bal
from .network import convolve, start

WIDTH = 0.01
"""Half width of fresh bounds, in mapped units."""


class BalQ(Bal):
    """:class:`Bal` with a second end, conv3x3(width -> width) SiLU conv1x1(width -> 3 * s*s), on the same features.

    The second end gives, for each output pixel, how far the middle lies from the residual (with the guard the mean of a
    block of the residual is not trained and says nothing), and the logarithms of how far the bounds lie below and above
    that middle. A constant added to one of these multiplies a distance, which is how bounds are calibrated.

    Parameters
    ----------
    channels, scale, width, blocks, expand : int
        As of :class:`Bal`.
    """

    def __init__(self, channels: int = 1, scale: int = 2, width: int = 48, blocks: int = 6, expand: int = 0) -> None:
        super().__init__(channels, scale, width, blocks, expand)
        self.look = nn.Conv2d(width, width, 3)
        self.bounds = nn.Conv2d(width, 3 * scale**2, 1)
        start(self.look)
        start(self.bounds, 0.01)
        assert self.bounds.bias is not None
        with torch.no_grad():
            self.bounds.bias[scale**2 :] = math.log(WIDTH)

    @property
    def outputs(self) -> tuple[Output, ...]:
        """As :attr:`Network.outputs`: ``residual``, ``q05``, ``q95``."""
        count = self.scale**2
        bounds = (Output(name="q05", role="q05", channels=count), Output(name="q95", role="q95", channels=count))
        return (*super().outputs, *bounds)

    def parts(self, x: Tensor, padding: int = 1) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return residual, middle, and the distances of the lower and the upper bound from the middle."""
        features = self.features(x, padding)
        residual = convolve(self.tail, features, padding)
        seen = nn.functional.silu(convolve(self.look, features, padding))
        moved, below, above = convolve(self.bounds, seen, padding).chunk(3, dim=1)
        # Nothing lies further than the whole range from its middle; exp of more would overflow in half.
        return residual, residual + moved, below.clamp(max=0.0).exp(), above.clamp(max=0.0).exp()

    def forward(self, x: Tensor, padding: int = 1) -> tuple[Tensor, Tensor, Tensor]:  # type: ignore[override]
        """Return the residual and its 5 % and 95 % quantiles; otherwise as :meth:`Network.forward`."""
        residual, middle, below, above = self.parts(x, padding)
        return residual, middle - below, middle + above

    @torch.no_grad()
    def calibrate(self, below: float, above: float) -> None:
        """Multiply the distances from the middle to the lower and to the upper bound."""
        count = self.scale**2
        assert self.bounds.bias is not None
        self.bounds.bias[count : 2 * count] += math.log(below)
        self.bounds.bias[2 * count :] += math.log(above)
