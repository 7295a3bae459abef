"""The adversary of ``gan``: tells pixel by pixel whether detail is a scanner's or a network's. Never exported."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

DEPTH = 3
"""How often the picture is halved."""


class Discriminator(nn.Module):
    """U-Net with spectral norm (Schonfeld et al., CVPR 2020; Miyato et al., ICLR 2018).

    conv3x3(channels -> width), three halvings by conv4x4 that double the channels, three bilinear doublings with a
    conv3x3 that halves them and adds the feature of that size, conv3x3(width -> width), conv3x3(width -> 1). All but
    the first and the last convolution have spectral norm.

    Parameters
    ----------
    channels : int
        Of what it sees.
    width : int
        Channels of the first convolution.
    """

    def __init__(self, channels: int = 2, width: int = 32) -> None:
        super().__init__()
        widths = [width << i for i in range(DEPTH + 1)]
        self.first = nn.Conv2d(channels, width, 3, padding=1)
        self.down = nn.ModuleList(
            [_normed(nn.Conv2d(widths[i], widths[i + 1], 4, stride=2, padding=1)) for i in range(DEPTH)]
        )
        self.up = nn.ModuleList(
            [_normed(nn.Conv2d(widths[i + 1], widths[i], 3, padding=1)) for i in reversed(range(DEPTH))]
        )
        self.after = _normed(nn.Conv2d(width, width, 3, padding=1))
        self.last = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Judge ``[N, channels, H, W]`` of at least eight pixels a side.

        Returns
        -------
        tuple of Tensor
            Logits ``[N, 1, H, W]``, positive for what comes from a scanner, and the feature after each halving.
        """
        found = [_leaky(self.first(x))]
        for layer in self.down:
            found.append(_leaky(layer(found[-1])))
        x = found[-1]
        for layer, skip in zip(self.up, reversed(found[:-1]), strict=True):
            x = nn.functional.interpolate(x, size=skip.shape[2:], mode="bilinear", align_corners=False)
            x = _leaky(layer(x)) + skip
        return (self.last(_leaky(self.after(x))), *found[1:])


def _normed(layer: nn.Conv2d) -> nn.Module:
    nn.init.orthogonal_(layer.weight)
    normed: nn.Module = spectral_norm(layer)
    return normed


def _leaky(x: Tensor) -> Tensor:
    return nn.functional.leaky_relu(x, 0.2)


def hinge(real: Tensor, made: Tensor) -> Tensor:
    """Return the discriminator's hinge loss of its logits."""
    return torch.relu(1 - real).mean() + torch.relu(1 + made).mean()


def cross_entropy(real: Tensor, made: Tensor) -> Tensor:
    """Return the discriminator's binary cross-entropy of its logits."""
    return nn.functional.softplus(-real).mean() + nn.functional.softplus(made).mean()


def fooled(made: Tensor, adversary: str) -> Tensor:
    """Return the generator's loss of the discriminator's logits, by ``"hinge"`` or ``"bce"``."""
    return -made.mean() if adversary == "hinge" else nn.functional.softplus(-made).mean()
