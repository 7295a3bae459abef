"""A small model with a state, in every precision that engines are built from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

STATE = 16


def write(folder: Path, precision: str = "fp16", **changes: Any) -> Path:
    """Write a model of two 3x3 convolutions and return its path.

    ``int8-trt`` has pairs of QuantizeLinear and DequantizeLinear on a half graph, with weights scaled by channel.
    ``changes`` replace fields of the metadata.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    half = precision != "fp32"
    dtype, kind = (np.float16, TensorProto.FLOAT16) if half else (np.float32, TensorProto.FLOAT)
    rng = np.random.default_rng(3)
    nodes: list[Any] = [helper.make_node("Concat", ["lr", "state"], ["joined"], axis=1)]
    weights: list[Any] = []

    def add(name: str, values: np.ndarray) -> str:
        weights.append(numpy_helper.from_array(values, name))
        return name

    def quantised(name: str, scale: str, axis: int | None) -> str:
        extra = {} if axis is None else {"axis": axis}
        count = 1 if axis is None else STATE + 1
        zero = add(f"{name}_zero", np.zeros([] if axis is None else [count], np.int8))
        nodes.append(helper.make_node("QuantizeLinear", [name, scale, zero], [f"{name}_q"], **extra))
        nodes.append(helper.make_node("DequantizeLinear", [f"{name}_q", scale, zero], [f"{name}_dq"], **extra))
        return f"{name}_dq"

    def convolve(x: str, out: str, name: str, channels: tuple[int, int]) -> None:
        kernel = add(name, (rng.standard_normal((channels[1], channels[0], 3, 3)) * 0.1).astype(dtype))
        if precision == "int8-trt" and channels[1] == STATE + 1:
            x = quantised(x, add(f"{x}_scale", np.asarray(0.05, dtype)), None)
            kernel = quantised(kernel, add(f"{name}_scale", np.full(STATE + 1, 0.01, dtype)), 0)
        bias = add(f"{name}_bias", np.zeros(channels[1], dtype))
        nodes.append(helper.make_node("Conv", [x, kernel, bias], [out], kernel_shape=[3, 3], pads=[1] * 4))

    convolve("joined", "mixed", "w0", (STATE + 1, STATE + 1))
    nodes.append(helper.make_node("Relu", ["mixed"], ["active"]))
    convolve("active", "next_state", "w1", (STATE + 1, STATE))
    convolve("active", "residual", "w2", (STATE + 1, 4))
    graph = helper.make_graph(
        nodes,
        "small",
        [_value(helper, n, kind, c) for n, c in (("lr", 1), ("state", STATE))],
        [_value(helper, n, kind, c) for n, c in (("residual", 4), ("next_state", STATE))],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    said = {
        "format": 1,
        "name": "small-x2",
        "version": "1.0",
        "scale": 2,
        "network": "small",
        "inputs": [
            {"name": "lr", "role": "lr", "channels": 1},
            {"name": "state", "role": "state", "channels": STATE},
        ],
        "outputs": [
            {"name": "residual", "role": "residual", "channels": 4},
            {"name": "next_state", "role": "state", "channels": STATE},
        ],
        "modalities": ["US"],
        "base": "cubic",
        "guard": "none",
        "precision": precision,
        "mapping": {"kind": "fixed", "unit": "stored", "low": 0.0, "high": 255.0},
        **changes,
    }
    model.metadata_props.add(key="acutance", value=json.dumps(said))
    path = folder / f"small-x2.{precision}.onnx"
    onnx.save(model, path)
    return path


def _value(helper: Any, name: str, kind: int, channels: int) -> Any:
    return helper.make_tensor_value_info(name, kind, ["n", channels, "h", "w"])
