"""``rt``, the real-time network: plain 3x3 convolutions at input resolution."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from .reparam import ReparamConv


class Rt(nn.Module):
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
        self.scale = scale
        inner = [ReparamConv(width, width, expand) if expand else nn.Conv2d(width, width, 3) for _ in range(depth)]
        self.layers = nn.ModuleList([nn.Conv2d(channels, width, 3), *inner, nn.Conv2d(width, scale**2, 3)])
        self._start()

    def _start(self) -> None:
        """Kaiming start; the last layer is small but not zero, as an exactly zero one kills the ReLUs before it."""
        for layer in self.layers:
            conv = layer.plain if isinstance(layer, ReparamConv) else layer
            assert isinstance(conv, nn.Conv2d) and conv.bias is not None
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
            if isinstance(layer, ReparamConv) and layer.skip:
                with torch.no_grad():
                    conv.weight.mul_(0.5)
            nn.init.zeros_(conv.bias)
        with torch.no_grad():
            tail = self.layers[-1]
            assert isinstance(tail, nn.Conv2d)
            tail.weight.mul_(0.01)

    @property
    def radius(self) -> int:
        """Radius of the receptive field in input pixels, from the kernels of the layers."""
        total = 0
        for layer in self.layers:
            conv = layer.plain if isinstance(layer, ReparamConv) else layer
            assert isinstance(conv, nn.Conv2d)
            total += conv.dilation[0] * (conv.kernel_size[0] - 1) // 2
        return total

    def forward(self, x: Tensor, padding: int = 1) -> Tensor:
        """Return the residual of ``[N, C, h, w]``.

        Parameters
        ----------
        padding : int
            1: zeros around every layer's input, ``[N, s*s, h, w]`` out. 0: only what no padding has touched,
            ``[N, s*s, h - 2 * radius, w - 2 * radius]``; training uses this.
        """
        last = len(self.layers) - 1
        for i, layer in enumerate(self.layers):
            if isinstance(layer, ReparamConv):
                x = layer(x, padding)
            else:
                assert isinstance(layer, nn.Conv2d)
                x = nn.functional.conv2d(x, layer.weight, layer.bias, padding=padding)
            if i < last:
                x = torch.relu(x)
        return x

    def fused(self) -> Rt:
        """Return a copy of plain convolutions with the same result, for export."""
        plain = copy.deepcopy(self)
        plain.layers = nn.ModuleList(
            [layer.fused() if isinstance(layer, ReparamConv) else layer for layer in plain.layers]
        )
        return plain
