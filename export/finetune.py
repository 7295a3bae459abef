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

from ..networks import Rt
from .quantise import F32, Int8, convolutions

STEPS, BATCH, SIDE, RATE = 1000, 4, 40, 3e-4
"""Steps, crops in each, side of what a crop gives in input pixels, and peak learning rate of Adam."""

LEVELS = {"int8-trt": 127, "int8-cpu": 255}
"""Largest integer of an activation, which follows a ReLU."""


class _Simulated(nn.Module):
    """A network whose convolutions see their input and weights as 8 bits hold them.

    Rounding passes gradients as if it were not there, so that weights and step sizes are learnt together.
    """

    def __init__(self, network: Rt, steps: Sequence[float | None], levels: int) -> None:
        super().__init__()
        assert isinstance(network, Rt)
        self.network = network
        self.levels = levels
        self.quantised = [step is not None for step in steps]
        self.log_step = nn.Parameter(torch.tensor([np.log(step or 1.0) for step in steps], dtype=torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        last = len(self.network.layers) - 1
        for i, conv in enumerate(self.network.layers):
            assert isinstance(conv, nn.Conv2d)
            weight = conv.weight
            if self.quantised[i]:
                x = _rounded(x, self.log_step[i].exp(), 0 if i else -self.levels, self.levels)
                step = weight.detach().abs().amax((1, 2, 3), keepdim=True).clamp(min=1e-8) / 127
                weight = _rounded(weight, step, -127, 127)
            x = nn.functional.conv2d(x, weight, conv.bias)
            x = torch.relu(x) if i < last else x
        return x


def _rounded(x: Tensor, step: Tensor, low: int, high: int) -> Tensor:
    whole = (x / step).clamp(low, high)
    return (whole + (whole.round() - whole).detach()) * step


def finetune(
    network: Rt,
    graph: onnx.ModelProto,
    precision: Int8,
    ranges: TensorsData,
    kept: Sequence[str],
    pictures: Sequence[F32],
    weights: Sequence[float],
    steps: int,
) -> tuple[onnx.ModelProto, TensorsData]:
    """Return the graph with tuned weights, in float32 still, and the ranges that they were tuned for.

    Parameters
    ----------
    network : Rt
        Of the graph; it stays as it is and is what the tuned one is compared with.
    graph : onnx.ModelProto
        In float32.
    ranges : TensorsData
        By calibration, where the tuning starts.
    kept : sequence of str
        Convolutions that stay in floating point.
    pictures : sequence of ndarray
        ``[1, C, h, w]`` of the `train` split, what the network sees.
    weights : sequence of float
        Of each picture's square error.
    steps : int
    """
    names = convolutions(graph)
    inputs = [node.input[0] for node in graph.graph.node if node.op_type == "Conv"]
    levels = LEVELS[precision]
    start = [
        None if name in kept else float(np.abs(ranges[value].range_value).max()) / levels
        for name, value in zip(names, inputs, strict=True)
    ]
    torch.manual_seed(0)
    made = _Simulated(copy.deepcopy(network), start, levels)
    optimizer = torch.optim.Adam(made.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, steps, pct_start=0.1)
    rng = np.random.default_rng(0)
    for _ in range(steps):
        chosen = rng.integers(len(pictures), size=BATCH)
        x = torch.from_numpy(np.stack([_crop(pictures[i][0], SIDE + 2 * network.radius, rng) for i in chosen]))
        factor = torch.tensor([weights[i] for i in chosen], dtype=torch.float32)[:, None, None, None]
        with torch.no_grad():
            wanted = network(x, padding=0)
        loss = (factor * (made(x) - wanted) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    tuned = onnx.ModelProto()
    tuned.CopyFrom(graph)
    state = made.network.state_dict()
    for weight in tuned.graph.initializer:
        weight.CopyFrom(numpy_helper.from_array(state[weight.name].numpy(), weight.name))
    found = dict(ranges.items())
    for value, step, before in zip(inputs, made.log_step.detach().exp().numpy(), start, strict=True):
        if before is not None:
            low, high = (np.float32(edge * levels * step) for edge in (0.0 if value != inputs[0] else -1.0, 1.0))
            found[value] = TensorData(lowest=low, highest=high)
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
