"""A 3x3 convolution that is trained as several and becomes one again.

In training the kernel is the sum of a plain 3x3 kernel, of a 1x1 -> 3x3 -> 1x1 chain, of a skip, and of scaled Sobel
and Laplacian kernels behind a 1x1 (the edge-oriented block of ECBSR, Zhang et al., ACM Multimedia 2021). The chain is
collapsed in every step (SESR, Bhardwaj et al., MLSys 2022), so that training costs one convolution and what is trained
is what is exported, at the borders too: pictures are padded with zeros before the first 1x1 and its bias never is,
because the chain's first 1x1 has none.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_SOBEL = [[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]]
_LAPLACE = [[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]]


class ReparamConv(nn.Module):
    """Convolution 3x3 of ``inputs`` to ``outputs`` channels, over-parameterised while it is trained.

    Parameters
    ----------
    inputs, outputs : int
    expand : int
        Width of the 1x1 -> 3x3 -> 1x1 chain, in multiples of ``outputs``.
    """

    edges: Tensor

    def __init__(self, inputs: int, outputs: int, expand: int = 2) -> None:
        super().__init__()
        width = expand * outputs
        self.plain = nn.Conv2d(inputs, outputs, 3)
        self.first = nn.Parameter(torch.empty(width, inputs))
        self.middle = nn.Parameter(torch.empty(width, width, 3, 3))
        self.last = nn.Parameter(torch.zeros(outputs, width))
        self.mix = nn.Parameter(torch.empty(3, outputs, inputs))
        self.edge_gain = nn.Parameter(torch.zeros(3, outputs))
        sobel = torch.tensor(_SOBEL) / 8
        self.register_buffer("edges", torch.stack([sobel, sobel.T, torch.tensor(_LAPLACE) / 8]), persistent=False)
        self.skip = inputs == outputs
        nn.init.kaiming_normal_(self.first, nonlinearity="linear")
        nn.init.kaiming_normal_(self.middle, nonlinearity="linear")
        nn.init.normal_(self.last, std=0.1 / width**0.5)
        nn.init.kaiming_normal_(self.mix.view(3 * outputs, inputs), nonlinearity="linear")

    def kernel(self) -> tuple[Tensor, Tensor]:
        """Return the weight ``[outputs, inputs, 3, 3]`` and bias ``[outputs]`` of the one convolution."""
        chain = torch.einsum("om,mnyx,ni->oiyx", self.last, self.middle, self.first)
        edges = torch.einsum("ko,koi,kyx->oiyx", self.edge_gain, self.mix, self.edges)
        weight = self.plain.weight + chain + edges
        if self.skip:
            identity = torch.eye(len(weight), device=weight.device, dtype=weight.dtype)
            weight = weight + F.pad(identity[:, :, None, None], (1, 1, 1, 1))
        bias = self.plain.bias
        assert bias is not None
        return weight, bias

    @torch.no_grad()
    def set_kernel(self, weight: Tensor, bias: Tensor) -> None:
        """Make the one convolution have this weight and bias; the branches stay and the plain kernel gives way."""
        now, _ = self.kernel()
        assert self.plain.bias is not None
        self.plain.weight.add_(weight - now)
        self.plain.bias.copy_(bias)

    def forward(self, x: Tensor, padding: int = 1) -> Tensor:
        """Convolve ``[N, inputs, h, w]``, padded with ``padding`` zeros on each side."""
        weight, bias = self.kernel()
        return F.conv2d(x, weight.contiguous(memory_format=torch.channels_last), bias, padding=padding)

    def branches(self, x: Tensor) -> Tensor:
        """Convolve branch by branch, with padding 1: what :meth:`forward` must equal."""
        width = len(self.first)
        out: Tensor = F.conv2d(x, self.plain.weight, self.plain.bias, padding=1)
        chain = F.conv2d(x, self.first[:, :, None, None])
        chain = F.conv2d(chain, self.middle, padding=1)
        out = out + F.conv2d(chain, self.last.view(-1, width, 1, 1))
        for gain, mix, edge in zip(self.edge_gain, self.mix, self.edges, strict=True):
            mixed = F.conv2d(x, mix[:, :, None, None])
            depthwise = edge.expand(len(gain), 1, 3, 3)
            out = out + gain[:, None, None] * F.conv2d(mixed, depthwise, padding=1, groups=len(gain))
        return out + x if self.skip else out

    def fused(self) -> nn.Conv2d:
        """Return the plain convolution with the same result."""
        weight, bias = self.kernel()
        conv = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1)
        with torch.no_grad():
            conv.weight.copy_(weight)
            assert conv.bias is not None
            conv.bias.copy_(bias)
        return conv
