"""A model file for people who run it elsewhere: the whole way from small to large picture in one graph."""

from __future__ import annotations

import os

import numpy as np
import onnx
from onnx import helper, numpy_helper

from .. import model
from ..beside import beside
from ..errors import ModelError

KEY = "acutance-standalone"
"""Key of the metadata; another one than the runtime's, which takes files that give a residual."""


def standalone(source: str | os.PathLike[str], path: str | os.PathLike[str]) -> None:
    """Add base and pixel shuffle to a model: input ``lr`` ``[N, 1, h, w]``, output ``hr`` ``[N, 1, h*s, w*s]``.

    Both are in mapped units (``mapping`` of the model). The base is ONNX Resize, which repeats the edge where the core
    mirrors about it: the two outermost rows and columns of input pixels differ a little. There is no guard. Both are
    float32 whatever the network computes in.

    Raises
    ------
    ModelError
        The source is no model, or its base is one that Resize does not have.
    OutputError
        The file cannot be written.
    """
    found = model.load(source)
    meta = found.meta
    if meta.base != "cubic" or len(meta.inputs) != 1:
        raise ModelError(f"has base {meta.base} and {len(meta.inputs)} inputs; wanted cubic and one", found.path)
    graph = onnx.load_model_from_string(found.data)
    lr, residual = meta.inputs[0].name, meta.outputs[0].name
    sizes = np.array([1, 1, meta.scale, meta.scale], dtype=np.float32)
    graph.graph.initializer.append(numpy_helper.from_array(sizes, "scales"))
    if graph.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT16:
        residual = _between_casts(graph.graph, lr, residual)
    graph.graph.node.extend(
        [
            helper.make_node(
                "Resize",
                [lr, "", "scales"],
                ["base"],
                mode="cubic",
                cubic_coeff_a=-0.5,
                coordinate_transformation_mode="half_pixel",
            ),
            helper.make_node("DepthToSpace", [residual], ["detail"], blocksize=meta.scale, mode="CRD"),
            helper.make_node("Add", ["base", "detail"], ["hr"]),
        ]
    )
    del graph.graph.output[:]
    shape: list[str | int | None] = ["n", 1, "h_out", "w_out"]
    graph.graph.output.append(helper.make_tensor_value_info("hr", onnx.TensorProto.FLOAT, shape))
    del graph.metadata_props[:]
    graph.metadata_props.add(key=KEY, value=meta.model_dump_json())
    onnx.checker.check_model(graph, full_check=True)
    with beside(path) as file:
        file.write(graph.SerializeToString(deterministic=True))


def _between_casts(graph: onnx.GraphProto, lr: str, residual: str) -> str:
    """Let a half network take and give float32; return the name of its residual in float32."""
    for node in graph.node:
        node.input[:] = [f"{lr}_half" if name == lr else name for name in node.input]
    graph.node.insert(0, helper.make_node("Cast", [lr], [f"{lr}_half"], to=onnx.TensorProto.FLOAT16))
    graph.node.append(helper.make_node("Cast", [residual], [f"{residual}_single"], to=onnx.TensorProto.FLOAT))
    graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    return f"{residual}_single"
