"""The float32 graphs for TensorRT 8.6 give what the models give."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from acutance import model

onnx = pytest.importorskip("onnx")

GRAPH = Path(__file__).resolve().parents[2] / "bench" / "trt8" / "graph.py"


@pytest.mark.parametrize(("precision", "source"), [("fp16", "fp32")])
def test_graph_is_float32_and_gives_what_the_model_gives(precision: str, source: str, tmp_path: Path) -> None:
    path, tiles = tmp_path / "graph.onnx", tmp_path / "tiles.json"
    subprocess.run([sys.executable, GRAPH, "ct-rt-x2", precision, path, tiles], check=True)
    assert json.loads(tiles.read_text())["counts"]["512"] == 25
    made = onnx.load(path)
    types = {t.data_type for t in made.graph.initializer}
    assert types <= {onnx.TensorProto.FLOAT, onnx.TensorProto.INT8} and made.opset_import[0].version == 17
    kinds = [n.op_type for n in made.graph.node]
    assert kinds.count("QuantizeLinear") == kinds.count("DequantizeLinear")
    assert (precision == "int8") == ("QuantizeLinear" in kinds)

    found = model.load("ct-rt-x2", source)
    x = np.random.default_rng(0).random((2, 1, 40, 40)).astype(np.float16)
    half = onnxruntime.InferenceSession(found.data, providers=["CPUExecutionProvider"])
    given = x.astype(np.float16 if half.get_inputs()[0].type == "tensor(float16)" else np.float32)
    (wanted,) = half.run(None, {"lr": given})
    (got,) = onnxruntime.InferenceSession(path.read_bytes()).run(None, {"lr": x.astype(np.float32)})
    assert got.dtype == np.float32
    # Halves on the way to a quantiser may round to the other step, which the rest of the network carries on.
    assert np.abs(got - wanted).mean() <= (0 if source == "fp32" else 0.02 * np.abs(wanted).mean())
