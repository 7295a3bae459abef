"""The weights of a model file, to train on from them or to export them in another precision."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import ModelError
from ..model import Model
from . import from_weights
from .network import Network


def weights_of(model: Model) -> dict[str, Tensor]:
    """Return the weights of a model file by the names that its network has for them, once fused.

    Needs the package `onnx`.
    """
    import onnx
    from onnx import numpy_helper

    graph = onnx.load_model_from_string(model.data).graph
    # The exporter keeps constants of the graph among the weights.
    found = [w for w in graph.initializer if w.name.endswith((".weight", ".bias"))]
    return {w.name: torch.from_numpy(numpy_helper.to_array(w).copy()) for w in found}


def network_of(model: Model) -> Network:
    """Return the network of an fp32 file, with its weights.

    Raises
    ------
    ModelError
        It does not hold the weights of the network that it names.
    """
    try:
        return from_weights(model.meta.network, weights_of(model), model.meta.scale).eval()
    except (KeyError, RuntimeError):
        wanted = f"network `{model.meta.network}` in fp32, as `acutance export` writes it"
        raise ModelError(f"does not hold the weights of {wanted}", model.path) from None
