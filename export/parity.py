"""Whether the file computes what PyTorch computes."""

from __future__ import annotations

import os
from collections.abc import Iterable

import numpy as np
import onnxruntime as ort
import torch

from .. import model
from ..errors import ModelError
from ..networks import Rt

TOLERANCE = 1e-5
"""Largest difference in mapped units; 0.04 HU for CT."""

SHAPES = ((1, 64, 64), (3, 33, 47), (1, 15, 130), (1, 1, 1))
"""Batch, height and width."""


def difference(network: Rt, path: str | os.PathLike[str], shapes: Iterable[tuple[int, int, int]] = SHAPES) -> float:
    """Return the largest difference between PyTorch and ONNX Runtime, on noise between 0 and 1, in mapped units.

    Raises
    ------
    ModelError
        The file is no model.
    """
    found = model.load(path)
    lr = next(i for i in found.meta.inputs if i.role == "lr")
    session = ort.InferenceSession(found.data, providers=["CPUExecutionProvider"])
    rng, worst = np.random.default_rng(0), 0.0
    for n, h, w in shapes:
        x = rng.random((n, lr.channels * lr.unshuffle**2, h, w), dtype=np.float32)
        with torch.inference_mode():
            wanted = network.eval()(torch.from_numpy(x)).numpy()
        (got,) = session.run([found.meta.outputs[0].name], {lr.name: x})
        worst = max(worst, float(np.abs(got - wanted).max()))
    return worst


def check(network: Rt, path: str | os.PathLike[str]) -> float:
    """Return :func:`difference`.

    Raises
    ------
    ModelError
        It is above :data:`TOLERANCE`.
    """
    found = difference(network, path)
    if not found <= TOLERANCE:
        raise ModelError(f"differs from PyTorch by {found:.2g}; wanted at most {TOLERANCE:g}", path)
    return found
