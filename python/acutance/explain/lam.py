"""Which input pixels the detail at one place of the output comes from: the local attribution map (LAM).

Gu and Dong, Interpreting Super-Resolution Networks with Local Attribution Maps, CVPR 2021: integrated gradients of a
detector of detail along a path that starts at a blurred input and ends at the input itself.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from ..errors import ModelError, UsageError
from ..networks import Network
from ..oracle import base_weights

F64 = NDArray[np.float64]

BLUR = 1.2
"""Sigma in input pixels of the Gaussian that the path starts at, as in the paper."""

STEPS = 50
"""Points of the path, as in the paper."""

WINDOW = 4.0
"""Sigma in output pixels of the detector's window: about the 16 pixels a side of the paper."""

SMALL = 1e-4
"""Slope in mapped units below which the detector's root is smooth: 0.4 HU for CT."""

SIDE = 64
"""Side in input pixels of the square over which the diffusion index is taken, the same for every network."""

BATCH = 10
"""Points of the path that go through the network at once."""


@dataclasses.dataclass(frozen=True, eq=False)
class Attribution:
    """What the input gave to the detail at one place.

    Attributes
    ----------
    values : ndarray of float64
        ``[2 r + 1, 2 r + 1]``, of the input pixels around the place; their sum is ``gained`` but for the error of the
        integral.
    detail, gained : float
        What the detector gives for the input, and how much less it gives for the blurred one; mean slope in mapped
        units for each output pixel.
    """

    values: F64
    detail: float
    gained: float

    @property
    def error(self) -> float:
        """How far the sum of the values lies from ``gained``, as a part of it."""
        return float(abs(self.values.sum() - self.gained) / max(abs(self.gained), 1e-12))

    @property
    def shares(self) -> F64:
        """Part of all attribution within squares of radius 0, 1, 2, ... input pixels."""
        radius = len(self.values) // 2
        away = np.maximum(*np.abs(np.indices(self.values.shape) - radius))
        found = np.bincount(away.ravel(), np.abs(self.values).ravel()).cumsum()
        return np.asarray(found / max(found[-1], 1e-300))

    def reach(self, part: float = 0.95) -> int:
        """Return the smallest radius in input pixels within which that part of the attribution lies."""
        return int(np.argmax(self.shares >= part - 1e-12))

    @property
    def diffusion(self) -> float:
        """The paper's diffusion index, 0 to 100: 100 less 100 times the Gini coefficient of the absolute values.

        It is larger the more pixels take part. It is taken over :data:`SIDE` x :data:`SIDE` pixels, or more where the
        network sees more.
        """
        found = np.sort(np.abs(self.values), axis=None)
        full = np.concatenate([np.zeros(max(SIDE**2 - found.size, 0)), found])
        n, total = full.size, max(float(full.sum()), 1e-300)
        gini = 2 * float(np.arange(1, n + 1) @ full) / (n * total) - (n + 1) / n
        return 100 * (1 - gini)


def attribute(network: Network, picture: NDArray[np.float32], at: tuple[int, int], base: str = "cubic") -> Attribution:
    """Return the attribution of the detail at one place of an enlarged picture: base and residual, no guard.

    Parameters
    ----------
    network : Network
        Fused, of one input.
    picture : ndarray of float32
        ``[rows, cols]``, what the network sees of the whole picture.
    at : (int, int)
        Row and column of the input pixel in whose middle the detector's window has its own.
    base : str
        ``cubic`` or ``lanczos4``.

    Raises
    ------
    UsageError
        The place is not within the picture.
    ModelError
        The network sees the whole picture, wherever it looks.
    """
    rows, cols = picture.shape
    if not (0 <= at[0] < rows and 0 <= at[1] < cols):
        raise UsageError(f"--at {at[0]},{at[1]} is not within the picture, which has {rows} rows and {cols} columns")
    if network.radius is None:
        raise ModelError(
            "sees the whole picture at once, so that its attribution has no bounds; wanted a tiled network"
        )
    detector = _Detector(network, base)
    path = _path(picture, at, detector.radius)
    values = np.zeros(path.shape[1:])
    middles, moves = (path[1:] + path[:-1]) / 2, np.diff(path, axis=0)
    for first in range(0, len(middles), BATCH):
        x = torch.tensor(middles[first : first + BATCH, None], dtype=torch.float32, requires_grad=True)
        (gradient,) = torch.autograd.grad(detector(x).sum(), x)
        values += np.einsum("nyx,nyx->yx", gradient[:, 0].double().numpy(), moves[first : first + BATCH])
    with torch.inference_mode():
        start, end = detector(torch.tensor(path[[0, -1]][:, None], dtype=torch.float32)).tolist()
    return Attribution(values, end, end - start)


def _path(picture: NDArray[np.float32], at: tuple[int, int], radius: int) -> F64:
    """Return the square around a place, ``[STEPS + 1, side, side]``, from blurred to as it is; mirrored at edges."""
    margin = math.ceil(4 * BLUR)
    wide = radius + margin
    index = [np.arange(c - wide, c + wide + 1) for c in at]
    mirrored = [np.where((i // n) % 2 == 0, i % n, n - 1 - i % n) for i, n in zip(index, picture.shape, strict=True)]
    square = picture[np.ix_(*mirrored)].astype(np.float64)
    inner = slice(margin, -margin)
    sigmas = BLUR * (1 - np.arange(STEPS + 1) / STEPS)
    return np.stack([ndimage.gaussian_filter(square, sigma)[inner, inner] for sigma in sigmas])


class _Detector:
    """How much detail the enlarged middle of a square has: its slope under a Gaussian window."""

    def __init__(self, network: Network, base: str) -> None:
        assert network.radius is not None
        self.network, self.scale = network.eval(), network.scale
        start, weights = base_weights(self.scale, base)
        taps = weights.shape[1] // 2
        self.core = math.ceil(3 * WINDOW / self.scale) + 1
        self.radius = self.core + max(network.radius, taps)
        side = 2 * self.core + 1
        rows = np.zeros((side * self.scale, 2 * self.radius + 1), np.float32)
        for pixel in range(side):
            for phase in range(self.scale):
                first = pixel + self.radius - self.core + start[phase]
                rows[pixel * self.scale + phase, first : first + 2 * taps] = weights[phase]
        self.base = torch.from_numpy(rows)
        place = np.arange(side * self.scale - 1) - (side * self.scale - 2) / 2
        falling = np.exp(-(place**2) / (2 * WINDOW**2)) * (np.abs(place) <= 3 * WINDOW)
        window = np.outer(falling, falling)
        self.window = torch.from_numpy((window / window.sum()).astype(np.float32))

    def enlarged(self, x: Tensor) -> Tensor:
        """Return base and residual of the core of ``[N, 1, 2 radius + 1, 2 radius + 1]``."""
        made = self.network(x, padding=0)
        residual: Tensor = made[0] if isinstance(made, tuple) else made
        spare = (residual.shape[-1] - 2 * self.core - 1) // 2
        residual = residual[:, :, spare : spare + 2 * self.core + 1, spare : spare + 2 * self.core + 1]
        return self.base @ x @ self.base.T + functional.pixel_shuffle(residual, self.scale)

    def __call__(self, x: Tensor) -> Tensor:
        y = self.enlarged(x)[:, 0]
        down, right = y[:, 1:, :-1] - y[:, :-1, :-1], y[:, :-1, 1:] - y[:, :-1, :-1]
        return ((down**2 + right**2 + SMALL**2).sqrt() * self.window).sum((1, 2))
