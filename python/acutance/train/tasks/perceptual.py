"""The losses of ``gan`` beside the error of each pixel; all are of residuals times ``detail``."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ...degrade import grid
from ..recipe import Degradation


def distance(features: Sequence[tuple[Tensor, ...]]) -> Tensor:
    """Return the mean distance of a discriminator's features of real and of made pictures (Wang et al., CVPR 2018)."""
    return torch.stack([(made - real.detach()).abs().mean() for real, made in features]).mean()


def focal_frequency(error: Tensor) -> Tensor:
    """Return the focal frequency loss (Jiang et al., ICCV 2021) of errors ``[N, 1, H, W]``.

    The squared error of each frequency, weighed by how large it is beside the largest of its picture.
    """
    found = torch.fft.fft2(error.float(), norm="ortho")
    power = found.real.square() + found.imag.square()
    weight = power.detach().sqrt()
    weight = weight / weight.amax(dim=(1, 2, 3), keepdim=True).clamp(min=1e-12)
    loss: Tensor = (weight * power).mean()
    return loss


def degraded(error: Tensor, wanted: Degradation, scale: int) -> Tensor:
    """Return errors ``[N, 1, H, W]`` made small as the recipe's truths are on average.

    Making small is linear, and the input is the truth made small: made small, the error is how far the result would be
    from its input. The point spread is the mean of the recipe's.
    """
    if wanted.kind == "k-space":
        rows, cols = error.shape[2:]
        kept = torch.fft.fft2(error.float(), norm="ortho")
        fine = torch.fft.fftfreq(rows).abs()[:, None].maximum(torch.fft.fftfreq(cols).abs()) >= 0.5 / scale
        coarse: Tensor = torch.fft.ifft2(kept.masked_fill(fine.to(error.device), 0), norm="ortho").real
        return coarse
    sigma = (1 - wanted.sharp) * sum(wanted.sigma) / 2
    if sigma > 0:
        taps = torch.from_numpy(grid.gaussian(sigma)).float().to(error.device)
        rim = len(taps) // 2
        error = nn.functional.pad(error, (rim,) * 4, mode="reflect")
        error = nn.functional.conv2d(error, taps.view(1, 1, -1, 1))
        error = nn.functional.conv2d(error, taps.view(1, 1, 1, -1))
    return nn.functional.avg_pool2d(error, scale)
