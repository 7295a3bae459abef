"""A graph in half precision, inputs and outputs included."""

from __future__ import annotations

import onnx
from onnxruntime.transformers.float16 import convert_float_to_float16

from ..errors import ModelError

QDQ_OPSET = 19
"""First in which QuantizeLinear and DequantizeLinear take half; TensorRT 10.3 and ONNX Runtime 1.18 read it."""


def half(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of a float32 model in which every float is half, without metadata.

    8-bit weights stay as they are, their scales become half.

    Raises
    ------
    ModelError
        Something stays float32.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(graph)
    if any(node.op_type == "QuantizeLinear" for node in copy.graph.node):
        copy = onnx.version_converter.convert_version(copy, QDQ_OPSET)
    made: onnx.ModelProto = convert_float_to_float16(copy, op_block_list=[], force_fp16_initializers=True)
    del made.graph.value_info[:]
    inferred = onnx.shape_inference.infer_shapes(made, check_type=True, strict_mode=True).graph
    values = [*inferred.input, *inferred.output, *inferred.value_info]
    single = [v.name for v in values if v.type.tensor_type.elem_type == onnx.TensorProto.FLOAT]
    single += [w.name for w in inferred.initializer if w.data_type == onnx.TensorProto.FLOAT]
    if single:
        raise ModelError(f"cannot be made half: {', '.join(single)} stay float32; wanted a graph without casts")
    return made
