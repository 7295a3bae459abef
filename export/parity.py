"""Whether the file computes what PyTorch computes."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable

import numpy as np
import onnxruntime as ort
import torch

from .. import model
from ..errors import ModelError
from ..networks import Network, several

TOLERANCE = {"fp32": 1e-5, "fp16": 4e-3, "int8-trt": 1.0, "int8-cpu": 1.0}
"""Largest :class:`Difference`; 1e-5 is 0.04 HU for CT. In 8 bits noise, which no scan looks like, tells only
whether a file is of the same weights; what the file loses is in :mod:`losses`."""

SHAPES = ((1, 64, 64), (3, 33, 47), (1, 15, 130), (1, 1, 1))
"""Batch, height and width."""


@dataclasses.dataclass(frozen=True)
class Difference:
    """Of a file from PyTorch in float32: the largest, and the root of the mean square.

    In mapped units, or as a part of the largest output where that is above 1: rounding grows with what is rounded.
    """

    most: float
    rms: float

    def __str__(self) -> str:
        return f"differs from PyTorch by at most {self.most:.1e}, rms {self.rms:.1e}"


def difference(
    network: Network, path: str | os.PathLike[str], shapes: Iterable[tuple[int, int, int]] = SHAPES
) -> Difference:
    """Return how PyTorch and ONNX Runtime differ on noise between 0 and 1.

    Raises
    ------
    ModelError
        The file is no model.
    """
    found = model.load(path)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(found.data, options, providers=["CPUExecutionProvider"])
    given = np.float16 if session.get_inputs()[0].type == "tensor(float16)" else np.float32
    names, outputs = [i.name for i in found.meta.inputs], [o.name for o in found.meta.outputs]
    rng, parts, size = np.random.default_rng(0), [], 1.0
    for n, h, w in shapes:
        xs = [rng.random((n, i.channels * i.unshuffle**2, h, w), dtype=np.float32) for i in found.meta.inputs]
        with torch.inference_mode():
            wanted = several(network.eval()(*(torch.from_numpy(x) for x in xs)))
        got = session.run(outputs, {name: x.astype(given) for name, x in zip(names, xs, strict=True)})
        parts += [(a.astype(np.float64) - b.numpy()).ravel() for a, b in zip(got, wanted, strict=True)]
        size = max(size, *(float(b.abs().max()) for b in wanted))
    all_ = np.concatenate(parts) / size
    return Difference(float(np.abs(all_).max()), float(np.sqrt(np.mean(all_**2))))


def check(network: Network, path: str | os.PathLike[str]) -> Difference:
    """Return :func:`difference`.

    Raises
    ------
    ModelError
        It is above :data:`TOLERANCE`.
    """
    found, most = difference(network, path), TOLERANCE[model.load(path).meta.precision]
    if not found.most <= most:
        raise ModelError(f"differs from PyTorch by {found.most:.2g}; wanted at most {most:g}", path)
    return found
