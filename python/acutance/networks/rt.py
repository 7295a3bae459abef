"""``rt``, the real-time network: plain 3x3 convolutions at input resolution."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .network import Fuse, Network, convolve, start
from .reparam import ReparamConv


def layers(channels: int, scale: int, width: int, depth: int, expand: int) -> nn.ModuleList:
    """Return the convolutions of :class:`Rt` with fresh weights."""
    inner = [ReparamConv(width, width, expand) if expand else nn.Conv2d(width, width, 3) for _ in range(depth)]
    found = [nn.Conv2d(channels, width, 3), *inner, nn.Conv2d(width, scale**2, 3)]
    for layer in found:
        # The last layer is small but not zero, as an exactly zero one kills the ReLUs before it.
        start(layer, 0.01 if layer is found[-1] else 1.0)
    return nn.ModuleList(found)


class Rt(Network):
    """conv3x3(C -> width) ReLU, ``depth`` x [conv3x3(width -> width) ReLU], conv3x3(width -> s*s).

    47,716 parameters for one channel at scale 2 with the defaults.

    Parameters
    ----------
    channels : int
        Of the input.
    scale : int
        2, 3 or 4.
    width, depth : int
        Channels and number of the inner convolutions.
    expand : int
        Width of the re-parameterised chains of the inner convolutions, in multiples of ``width``; 0 trains plain ones.
    """

    def __init__(self, channels: int = 1, scale: int = 2, width: int = 32, depth: int = 5, expand: int = 0) -> None:
        super().__init__()
        self.scale, self.width = scale, width
        self.layers = layers(channels, scale, width, depth, expand)

    @classmethod
    def settings_of(cls, weights: dict[str, Tensor]) -> dict[str, int]:
        """As :meth:`Network.settings_of`."""
        width, channels = weights["layers.0.weight"].shape[:2]
        depth = sum(name.endswith(".weight") for name in weights) - 2
        return {"channels": channels, "width": width, "depth": depth}

    @property
    def radius(self) -> int:
        """As :attr:`Network.radius`."""
        return len(self.layers)

    @property
    def stages(self) -> int:
        """How many of its features :meth:`forward` can change: those after each ReLU."""
        return len(self.layers) - 1

    def forward(self, x: Tensor, padding: int = 1, fuse: Fuse | None = None) -> Tensor:
        """As :meth:`Network.forward`; ``fuse`` changes the features after a stage."""
        for i, layer in enumerate(self.layers[:-1]):
            x = torch.relu(convolve(layer, x, padding))
            x = x if fuse is None else fuse(i, x)
        return convolve(self.layers[-1], x, padding)
