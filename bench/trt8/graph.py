"""The float32 graph that TensorRT 8.6 takes: ``python graph.py MODEL fp16|int8 GRAPH.onnx TILES.json``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from acutance import model, tiling

OPSET, IR = 17, 8
"""Newest versions of operators and of the file's form that TensorRT 8.6 reads."""

NEWER = {"saturate", "output_dtype", "block_size"}
"""Attributes of QuantizeLinear and DequantizeLinear that opset 17 does not have."""

TILE, SIZES = 128, (512, 1024, 2048)


def main(name: str, precision: str, graph: Path, tiles: Path) -> None:
    """Write the graph of a shipped model, and how many tiles pictures of each size have."""
    # The halves of an fp16 model are the builder's choice in TensorRT 8.6: it gets the float32 file.
    found = model.load(name, {"fp16": "fp32", "int8": "int8-trt"}[precision])
    graph.write_bytes(as_float32(found.data))
    halo, scale = found.meta.halo or 0, found.meta.scale
    counts = {size: tiling.plan(size, size, TILE, halo, scale).count for size in SIZES}
    tiles.write_text(json.dumps({"model": name, "tile": TILE, "counts": counts}), encoding="utf-8")


def as_float32(data: bytes) -> bytes:
    """Return the model with float32 in the place of half, and weights quantised in the graph."""
    made = onnx.load_model_from_string(data)
    graph = made.graph
    for k, tensor in enumerate(graph.initializer):
        if tensor.data_type == TensorProto.FLOAT16:
            graph.initializer[k].CopyFrom(
                numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name)
            )
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT16:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    nodes = [new for node in graph.node for new in _nodes(node, graph)]
    del graph.node[:]
    graph.node.extend(nodes)
    del made.opset_import[:]
    made.opset_import.append(helper.make_opsetid("", OPSET))
    made.ir_version = IR
    onnx.checker.check_model(made, full_check=True)
    return made.SerializeToString()


def _nodes(node: Any, graph: Any) -> list[Any]:
    """Return what stands for a node: constants of 8 bits become float32 ones, quantised by a node of their own."""
    if node.op_type == "Cast":
        raise ValueError(f"{node.name} casts; wanted a graph of one floating type")
    if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
        return [node]
    kept = [a for a in node.attribute if a.name not in NEWER]
    del node.attribute[:]
    node.attribute.extend(kept)
    constants = {t.name: t for t in graph.initializer}
    if node.op_type == "QuantizeLinear" or node.input[0] not in constants:
        return [node]
    whole = constants[node.input[0]]
    scale = numpy_helper.to_array(constants[node.input[1]])
    axis = next((a.i for a in kept if a.name == "axis"), 0)
    values = numpy_helper.to_array(whole)
    shape = [-1 if i == axis else 1 for i in range(values.ndim)]
    values = values.astype(np.float32) * (scale.reshape(shape) if scale.ndim else scale)
    name = whole.name + "_float"
    graph.initializer.append(numpy_helper.from_array(values, name))
    graph.initializer.remove(whole)
    quantised = helper.make_node("QuantizeLinear", [name, *node.input[1:]], [name + "_quantised"], axis=axis)
    node.input[0] = quantised.output[0]
    return [quantised, node]


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
