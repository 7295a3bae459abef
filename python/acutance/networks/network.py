"""What all networks share."""

from __future__ import annotations

import abc
import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..model import Input, Output
from .reparam import ReparamConv

Fuse = Callable[[int, Tensor], Tensor]
"""What is made of the features ``[N, width, h, w]`` after a stage of a network, by the stage's number."""


class Network(nn.Module, abc.ABC):
    """A network that gives a residual before pixel shuffle.

    Attributes
    ----------
    scale : int
        2, 3 or 4.
    frames : int
        Input frames that one output is made of.
    """

    scale: int
    frames: int = 1

    @classmethod
    @abc.abstractmethod
    def settings_of(cls, weights: dict[str, Tensor]) -> dict[str, Any]:
        """Return the arguments, but for the scale, of a fused network with these weights."""

    @property
    @abc.abstractmethod
    def radius(self) -> int | None:
        """Radius of the receptive field in input pixels, from the kernels of the layers; None where it has no bound."""

    @property
    def inputs(self) -> tuple[Input, ...]:
        """What :meth:`forward` takes, in its order."""
        return (Input(name="lr", role="lr", channels=1),)

    @property
    def outputs(self) -> tuple[Output, ...]:
        """What :meth:`forward` gives, the residual first; a tuple of tensors where there are several."""
        return (Output(name="residual", role="residual", channels=self.scale**2),)

    @abc.abstractmethod
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return the outputs of the inputs, each ``[N, C, h, w]``.

        Parameters
        ----------
        padding : int
            1: zeros around every layer's input, ``[N, s*s, h, w]`` out. 0, where the radius has a bound: only what no
            padding has touched, ``[N, s*s, h - 2 * radius, w - 2 * radius]``.
        """

    def fused(self) -> Network:
        """Return a copy of plain convolutions with the same result, for export."""
        plain = copy.deepcopy(self)
        for name, layer in list(plain.named_modules()):
            if isinstance(layer, ReparamConv):
                parent, _, child = name.rpartition(".")
                setattr(plain.get_submodule(parent), child, layer.fused())
        return plain

    def start_from(self, weights: Mapping[str, Tensor]) -> list[str]:
        """Take the weights of a fused network wherever name and shape agree.

        Parameters
        ----------
        weights : mapping of str to Tensor
            The state of what :meth:`fused` gives, of this network or of a relative.

        Returns
        -------
        list of str
            Names of the convolutions that were not found and stay as they were.
        """
        missing = []
        for name, layer in convolutions(self):
            weight, bias = weights.get(f"{name}.weight"), weights.get(f"{name}.bias")
            plain = layer.plain if isinstance(layer, ReparamConv) else layer
            if weight is None or (bias is None) != (plain.bias is None) or weight.shape != plain.weight.shape:
                missing.append(name)
            elif isinstance(layer, ReparamConv):
                assert bias is not None
                layer.set_kernel(weight, bias)
            else:
                with torch.no_grad():
                    layer.weight.copy_(weight)
                    if layer.bias is not None and bias is not None:
                        layer.bias.copy_(bias)
        return missing


def several(found: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Return what a network gave as a tuple, also where it is one tensor."""
    return (found,) if isinstance(found, Tensor) else tuple(found)


def convolutions(network: nn.Module) -> list[tuple[str, nn.Conv2d | ReparamConv]]:
    """Return the convolutions by name; a re-parameterised one counts as one."""
    found: list[tuple[str, nn.Conv2d | ReparamConv]] = []

    def walk(module: nn.Module, prefix: str) -> None:
        for name, child in module.named_children():
            if isinstance(child, nn.Conv2d | ReparamConv):
                found.append((prefix + name, child))
            else:
                walk(child, f"{prefix}{name}.")

    walk(network, "")
    return found


def convolve(layer: nn.Module, x: Tensor, padding: int) -> Tensor:
    """Apply a convolution with ``padding`` zeros for a 3x3 kernel and none for a 1x1.

    One that is not plain, such as a re-parameterised one, is called with the padding.
    """
    if not isinstance(layer, nn.Conv2d):
        found: Tensor = layer(x, padding)
        return found
    return nn.functional.conv2d(x, layer.weight, layer.bias, padding=padding * (layer.kernel_size[0] // 2))


def centre(x: Tensor, like: Tensor) -> Tensor:
    """Return the middle of ``[N, C, h, w]`` that has the height and width of another."""
    top, left = ((a - b) // 2 for a, b in zip(x.shape[2:], like.shape[2:], strict=True))
    return x[:, :, top : top + like.shape[2], left : left + like.shape[3]] if top or left else x


def start(conv: nn.Conv2d | ReparamConv, gain: float = 1.0) -> None:
    """Give a convolution a Kaiming start times ``gain`` and no bias; half of it where a skip adds the input."""
    plain = conv.plain if isinstance(conv, ReparamConv) else conv
    assert plain.bias is not None
    nn.init.kaiming_normal_(plain.weight, nonlinearity="relu")
    nn.init.zeros_(plain.bias)
    with torch.no_grad():
        plain.weight.mul_(gain * (0.5 if isinstance(conv, ReparamConv) and conv.skip else 1.0))
