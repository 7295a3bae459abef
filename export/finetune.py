"""Quantisation-aware fine-tuning: the weights learn to give in 8 bits what they gave in float32."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from onnxruntime.quantization import CalibrationMethod
from onnxruntime.quantization.calibrate import TensorData, TensorsData
from torch import Tensor, nn

from ..networks import Network
from .quantise import F32, Scheme, edges, grid

STEPS, BATCH, SIDE, RATE = 1000, 4, 40, 3e-4
"""Steps, crops in each, side of what a crop gives in input pixels, and peak learning rate of Adam."""

WORK = 2_000_000_000_000
"""Most multiplications of weights and pixels in all steps, forwards: minutes on one CPU, whatever the network."""


class _Grid(nn.Module):
    """The levels of an activation in 8 bits, ``lowest`` to ``highest``, times a step that is learnt.

    Rounding passes gradients as if it were not there, so that weights and steps are learnt together.
    """

    def __init__(self, step: float, lowest: int, highest: int) -> None:
        super().__init__()
        self.log_step = nn.Parameter(torch.tensor(np.log(step), dtype=torch.float32))
        self.lowest, self.highest = lowest, highest

    @classmethod
    def of(cls, low: float, high: float, symmetric: bool) -> _Grid:
        """Return the levels that hold the values from ``low`` to ``high``, as the quantiser takes them."""
        if symmetric:
            return cls(max(-low, high, 1e-8) / 127, -127, 127)
        step, zero = grid(low, high)
        return cls(step, -zero, 255 - zero)

    def forward(self, x: Tensor) -> Tensor:
        return _rounded(x, self.log_step.exp(), self.lowest, self.highest)

    def range(self) -> TensorData:
        step = float(self.log_step.detach().exp())
        return TensorData(lowest=np.float32(self.lowest * step), highest=np.float32(self.highest * step))


class _Rounded(nn.Module):
    """A convolution that sees its input and weights as 8 bits hold them."""

    def __init__(self, conv: nn.Conv2d, levels: _Grid) -> None:
        super().__init__()
        self.conv, self.levels = conv, levels

    def forward(self, x: Tensor, padding: int) -> Tensor:
        weight = self.conv.weight
        step = weight.detach().abs().amax((1, 2, 3), keepdim=True).clamp(min=1e-8) / 127
        weight = _rounded(weight, step, -127, 127)
        pad = padding * (self.conv.kernel_size[0] // 2)
        return nn.functional.conv2d(self.levels(x), weight, self.conv.bias, padding=pad)


def _rounded(x: Tensor, step: Tensor, low: int, high: int) -> Tensor:
    whole = (x / step).clamp(low, high)
    return (whole + (whole.round() - whole).detach()) * step


def _simulated(
    network: Network, graph: onnx.ModelProto, scheme: Scheme, ranges: TensorsData
) -> tuple[Network, dict[str, _Grid]]:
    """Return a copy whose convolutions round, as the scheme says, and the levels by the activation's name."""
    made, levels = copy.deepcopy(network), dict[str, _Grid]()
    entry, relus = graph.graph.input[0].name, {n.output[0] for n in graph.graph.node if n.op_type == "Relu"}
    for node in graph.graph.node:
        if node.op_type != "Conv" or node.name in scheme.kept:
            continue
        value, name = node.input[0], node.input[1].removesuffix(".weight")
        if value not in levels:
            low, high = edges(ranges, value)
            symmetric = scheme.precision == "int8-trt" and (value == entry or not scheme.centred)
            levels[value] = _Grid.of(0.0 if value in relus else low, high, symmetric)
        conv = made.get_submodule(name)
        assert isinstance(conv, nn.Conv2d)
        parent, _, child = name.rpartition(".")
        setattr(made.get_submodule(parent), child, _Rounded(conv, levels[value]))
    return made, levels


def finetune(
    network: Network,
    graph: onnx.ModelProto,
    scheme: Scheme,
    ranges: TensorsData,
    pictures: Sequence[F32],
    weights: Sequence[float],
    most: int = STEPS,
) -> tuple[onnx.ModelProto, TensorsData]:
    """Return the graph with tuned weights, in float32 still, and the ranges that they were tuned for.

    Parameters
    ----------
    network : Network
        Of the graph, fused; it stays as it is and is what the tuned one is compared with.
    graph : onnx.ModelProto
        In float32.
    scheme : Scheme
    ranges : TensorsData
        By calibration, where the tuning starts.
    pictures : sequence of ndarray
        ``[1, C, h, w]`` of the `train` split, what the network sees.
    weights : sequence of float
        Of each picture's square error.
    most : int
        Steps, if no more than :data:`WORK` goes into them.
    """
    assert network.radius is not None
    side = SIDE + 2 * network.radius
    size = sum(p.numel() for p in network.parameters())
    steps = max(1, min(most, WORK // (BATCH * side**2 * size)))
    torch.manual_seed(0)
    made, levels = _simulated(network, graph, scheme, ranges)
    optimizer = torch.optim.Adam(made.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, steps, pct_start=0.1)
    rng = np.random.default_rng(0)
    for _ in range(steps):
        chosen = rng.integers(len(pictures), size=BATCH)
        x = torch.from_numpy(np.stack([_crop(pictures[i][0], side, rng) for i in chosen]))
        factor = torch.tensor([weights[i] for i in chosen], dtype=torch.float32)[:, None, None, None]
        with torch.no_grad():
            wanted = network(x, padding=0)
        loss = (factor * (made(x, padding=0) - wanted) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    tuned = onnx.ModelProto()
    tuned.CopyFrom(graph)
    state = {name.replace(".conv.", "."): value for name, value in made.state_dict().items()}
    for weight in tuned.graph.initializer:
        if weight.name in state:
            weight.CopyFrom(numpy_helper.from_array(state[weight.name].numpy(), weight.name))
    found = {**dict(ranges.items()), **{value: one.range() for value, one in levels.items()}}
    return tuned, TensorsData(CalibrationMethod.MinMax, found)


def _crop(picture: F32, side: int, rng: np.random.Generator) -> F32:
    """Return the liveliest of three crops ``[C, side, side]``: much of a scan is air."""
    rows, cols = (min(side, n) for n in picture.shape[1:])
    found = []
    for _ in range(3):
        top, left = rng.integers(picture.shape[1] - rows + 1), rng.integers(picture.shape[2] - cols + 1)
        found.append(picture[:, top : top + rows, left : left + cols])
    best = max(found, key=lambda crop: float(crop.std()))
    short = [(0, 0), (0, side - rows), (0, side - cols)]
    return np.pad(best, short, mode="symmetric")
