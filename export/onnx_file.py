"""Writes one self-describing ONNX file."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import onnx
import torch

from ..beside import beside
from ..errors import ModelError, OutputError
from ..model import KEY, Metadata
from ..networks import Network

OPSET = 18
"""What TensorRT 10.3 and ONNX Runtime 1.18 both read."""


def write(network: Network, meta: Metadata, path: str | os.PathLike[str]) -> None:
    """Export a network with its metadata; re-parameterised convolutions are fused first.

    Parameters
    ----------
    network : Network
        On the CPU.
    meta : Metadata
        Must fit the network: its inputs and outputs, its scale, and its radius as the halo.
    path : path
        Written beside and renamed.

    Raises
    ------
    ModelError
        The metadata do not fit the network.
    OutputError
        The file cannot be written.
    """
    if meta.halo != network.radius or meta.scale != network.scale:
        wanted = f"{network.radius} and {network.scale}"
        raise ModelError(f"metadata say halo {meta.halo} and scale {meta.scale}; the network has {wanted}")
    if (meta.inputs, meta.outputs) != (network.inputs, network.outputs):
        said, has = ([i.role for i in y.inputs] + [o.role for o in y.outputs] for y in (meta, network))
        raise ModelError(f"metadata say inputs and outputs {said}; the network has {has}, or other channels")
    save(_graph(network.fused().eval(), meta), meta, path)


def annotate(path: str | os.PathLike[str], meta: Metadata) -> None:
    """Write a model file's metadata anew: scores, as a rule. The graph stays as it is.

    Raises
    ------
    ModelError
        The file cannot be read as ONNX.
    OutputError
        It cannot be written.
    """
    try:
        model = onnx.load(path)
    except Exception as e:
        raise ModelError(f"is not an ONNX file ({type(e).__name__})", path) from None
    save(model, meta, path)


def _graph(network: Network, meta: Metadata) -> onnx.ModelProto:
    """Trace the network with dynamic batch, height and width, the same for all inputs."""
    side = 2 * (network.radius or 0) + 9
    examples = tuple(torch.zeros(2, i.channels * i.unshuffle**2, side, side + 4) for i in meta.inputs)
    dynamic = {0: torch.export.Dim("n"), 2: torch.export.Dim("h"), 3: torch.export.Dim("w")}
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network,
            examples,
            dynamo=True,
            input_names=[i.name for i in meta.inputs],
            output_names=[o.name for o in meta.outputs],
            dynamic_shapes=(dynamic,) * len(examples),
            opset_version=OPSET,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    bare(model)
    return model


def bare(model: onnx.ModelProto) -> None:
    """Take away what tells of the machine: source lines and stack traces that the exporter notes at each node."""
    model.producer_name, model.producer_version, model.doc_string = "acutance", "", ""
    model.graph.doc_string = ""
    del model.metadata_props[:]
    for part in (
        model.graph, *model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output,
        *model.graph.initializer,
    ):  # fmt: skip
        part.doc_string = ""
        if hasattr(part, "metadata_props"):
            del part.metadata_props[:]


def save(model: onnx.ModelProto, meta: Metadata, path: str | os.PathLike[str]) -> None:
    """Check a graph and write it with its metadata, beside and renamed.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    path = Path(path)
    kept = [p for p in model.metadata_props if p.key != KEY]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    model.metadata_props.add(key=KEY, value=meta.model_dump_json())
    model.graph.name = meta.name
    onnx.checker.check_model(model, full_check=True)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise OutputError(f"cannot be written ({e.strerror})", path) from None
    with beside(path) as file:
        file.write(model.SerializeToString(deterministic=True))
