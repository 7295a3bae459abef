"""The float32 graphs for TensorRT 8.6 give what the models give."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from acutance import model

onnx = pytest.importorskip("onnx")

GRAPH = Path(__file__).resolve().parents[2] / "bench" / "trt8" / "graph.py"


def test_graph_of_a_model_is_float32_and_gives_the_same(tmp_path: Path) -> None:
    path, tiles = tmp_path / "graph.onnx", tmp_path / "tiles.json"
    subprocess.run([sys.executable, GRAPH, "ct-rt-x2", "fp16", path, tiles], check=True)
    about = json.loads(tiles.read_text())
    assert about["tile"] == 128 and about["counts"]["2048"] > about["counts"]["512"] >= 16
    assert onnx.load(path).opset_import[0].version == 17
    x = {"lr": np.random.default_rng(0).random((2, 1, 40, 40), dtype=np.float32)}
    (wanted,) = onnxruntime.InferenceSession(model.load("ct-rt-x2").data).run(None, x)
    (got,) = onnxruntime.InferenceSession(path.read_bytes()).run(None, x)
    np.testing.assert_array_equal(got, wanted)


def quantised(scales: np.ndarray, weights: np.ndarray) -> Any:
    """Return a half-precision model of one convolution with quantised input and weights, as export makes them."""
    helper, tensors = onnx.helper, onnx.numpy_helper
    values = {
        "step": np.float16(1 / 64),
        "zero": np.int8(0),
        "weights": weights,
        "scales": scales,
        "zeros": np.zeros(len(scales), np.int8),
        "bias": np.linspace(-1, 1, len(scales)).astype(np.float16),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["lr", "step", "zero"], ["q"], saturate=1),
        helper.make_node("DequantizeLinear", ["q", "step", "zero"], ["x"]),
        helper.make_node("DequantizeLinear", ["weights", "scales", "zeros"], ["w"], axis=0),
        helper.make_node("Conv", ["x", "w", "bias"], ["residual"], pads=[1, 1, 1, 1]),
    ]
    half = onnx.TensorProto.FLOAT16
    graph = helper.make_graph(
        nodes,
        "quantised",
        [helper.make_tensor_value_info("lr", half, ["n", 1, "h", "w"])],
        [helper.make_tensor_value_info("residual", half, ["n", len(scales), "h", "w"])],
        [tensors.from_array(np.asarray(v), k) for k, v in values.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=10)


def test_quantised_graph_is_float32_with_a_quantiser_before_each_constant() -> None:
    rng = np.random.default_rng(1)
    scales = np.array([0.01, 0.5, 0.003], np.float16)
    weights = rng.integers(-127, 128, (3, 1, 3, 3)).astype(np.int8)
    made = quantised(scales, weights)
    data = runpy.run_path(str(GRAPH))["as_float32"](made.SerializeToString())
    found = onnx.load_model_from_string(data)
    assert [n.op_type for n in found.graph.node].count("QuantizeLinear") == 2
    assert {t.data_type for t in found.graph.initializer} == {onnx.TensorProto.FLOAT, onnx.TensorProto.INT8}
    constants = {t.name for t in found.graph.initializer}
    feeds = {n.input[0] for n in found.graph.node if n.op_type == "DequantizeLinear"}
    assert not feeds & constants
    x = (rng.integers(-64, 64, (1, 1, 20, 20)) / 64).astype(np.float16)
    (got,) = onnxruntime.InferenceSession(data).run(None, {"lr": x.astype(np.float32)})
    weighted = weights.astype(np.float32) * scales.astype(np.float32)[:, None, None, None]
    padded = np.pad(x[0, 0].astype(np.float32), 1)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))
    wanted = (
        np.einsum("ijkl,ckl->cij", windows, weighted[:, 0]) + np.linspace(-1, 1, 3).astype(np.float16)[:, None, None]
    )
    assert got.dtype == np.float32
    np.testing.assert_allclose(got[0], wanted, rtol=1e-5, atol=1e-4)
