"""``bal``, the balanced network: more accurate than ``rt`` at several times its cost."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .network import Fuse, Network, centre, convolve, start
from .reparam import ReparamConv


class Block(nn.Module):
    """Three 3x3 convolutions whose result also says where it counts.

    ``(x + out) * (sigmoid(out) - 0.5)`` is the attention without parameters of SPAN (Wan et al., CVPR workshops 2024).

    Parameters
    ----------
    width, expand : int
        As of :class:`Bal`.
    """

    def __init__(self, width: int, expand: int) -> None:
        super().__init__()
        layers = [ReparamConv(width, width, expand) if expand else nn.Conv2d(width, width, 3) for _ in range(3)]
        # The gate is about a quarter of what it lets through where that is small: without these gains the signal of
        # a fresh network dies within six blocks.
        for layer, gain in zip(layers, (1.2, 1.2, 2.5 if expand else 1.7), strict=True):
            start(layer, gain)
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor, padding: int) -> Tensor:
        """Return ``[N, width, h, w]`` of the same, 6 less a side without padding."""
        out = x
        for i, layer in enumerate(self.layers):
            out = convolve(layer, out, padding)
            if i < 2:
                out = nn.functional.silu(out)
        return (centre(x, out) + out) * (torch.sigmoid(out) - 0.5)


class Bal(Network):
    """conv3x3(C -> width), ``blocks`` x :class:`Block`, four features side by side, conv1x1, conv3x3(width -> s*s).

    The features are those of the first convolution, of the first block, of the last but one, and of the last after one
    more convolution. 406,372 parameters for one channel at scale 2 with the defaults.

    Parameters
    ----------
    channels : int
        Of the input.
    scale : int
        2, 3 or 4.
    width, blocks : int
        Channels and number of the blocks; at least three.
    expand : int
        Width of the re-parameterised chains within blocks, in multiples of ``width``; 0 trains plain convolutions.
    """

    def __init__(self, channels: int = 1, scale: int = 2, width: int = 48, blocks: int = 6, expand: int = 0) -> None:
        super().__init__()
        self.scale, self.width = scale, width
        self.head = nn.Conv2d(channels, width, 3)
        self.blocks = nn.ModuleList([Block(width, expand) for _ in range(blocks)])
        self.after = nn.Conv2d(width, width, 3)
        self.join = nn.Conv2d(4 * width, width, 1)
        self.tail = nn.Conv2d(width, scale**2, 3)
        for layer in (self.head, self.after, self.join):
            start(layer)
        start(self.tail, 0.01)

    @classmethod
    def settings_of(cls, weights: dict[str, Tensor]) -> dict[str, int]:
        """As :meth:`Network.settings_of`."""
        width, channels = weights["head.weight"].shape[:2]
        blocks = sum(name.endswith(".layers.0.weight") for name in weights)
        return {"channels": channels, "width": width, "blocks": blocks}

    @property
    def radius(self) -> int:
        """As :attr:`Network.radius`: head, three for each block, the convolution after them, tail."""
        return 3 + 3 * len(self.blocks)

    @property
    def stages(self) -> int:
        """How many of its features :meth:`forward` can change: those after the first convolution and each block."""
        return 1 + len(self.blocks)

    def features(self, x: Tensor, padding: int = 1, fuse: Fuse | None = None) -> Tensor:
        """Return what the last convolution sees, ``[N, width, h, w]``; ``fuse`` changes the features after a stage."""
        first = convolve(self.head, x, padding)
        first = first if fuse is None else fuse(0, first)
        found, x = [first], first
        for i, block in enumerate(self.blocks):
            x = block(x, padding)
            x = x if fuse is None else fuse(1 + i, x)
            if i in (0, len(self.blocks) - 2):
                found.append(x)
        x = convolve(self.after, x, padding)
        return convolve(self.join, torch.cat([*(centre(f, x) for f in found), x], dim=1), padding)

    def forward(self, x: Tensor, padding: int = 1, fuse: Fuse | None = None) -> Tensor:
        """As :meth:`Network.forward`; ``fuse`` as of :meth:`features`."""
        return convolve(self.tail, self.features(x, padding, fuse), padding)
