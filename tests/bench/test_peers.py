"""The rivals compute what our model computes, and one that fails does not stop the others."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from acutance.bench import ours, peers, record, rivals
from rich.console import Console

from acutance import model as models
from acutance.errors import BackendError, ModelError


def test_torch_and_onnxruntime_give_the_same_residual() -> None:
    torch = pytest.importorskip("torch")
    shown = rivals.Shown.of(models.load("ct-rt-x2"), 48)
    network = rivals.TorchNetwork(shown, 1, "cpu", half=False)
    (residual,) = rivals.onnxruntime(shown, 1)()  # type: ignore[misc]
    wanted = torch.nn.functional.pixel_shuffle(torch.from_numpy(residual), 2)
    assert np.allclose(network.whole().numpy(), wanted.numpy(), atol=1e-4)  # type: ignore[attr-defined]


def test_a_model_that_is_no_chain_is_refused(make_model: Callable[..., Path]) -> None:
    pytest.importorskip("torch")
    onnx = pytest.importorskip("onnx")
    found = models.load("ct-rt-x2")
    graph = onnx.load_from_string(found.data)
    graph.graph.node[1].op_type = "Sigmoid"
    changed = models.Model(found.path, found.meta, found.sha256, graph.SerializeToString())
    with pytest.raises(ModelError, match="has a Sigmoid"):
        rivals.as_torch(changed)


def test_a_rival_that_fails_is_named_and_left_out() -> None:
    said = io.StringIO()

    def broken() -> Callable[[], object]:
        raise RuntimeError("no compiler\nand a long trace")

    def fails_when_run() -> object:
        raise ValueError("no memory")

    made = {"a": broken, "b": lambda: fails_when_run, "c": lambda: lambda: 1}
    assert list(peers.ready(made, Console(file=said, width=200))) == ["c"]
    assert "left out: a: RuntimeError: no compiler\n" in said.getvalue() and "ValueError" in said.getvalue()


def test_ours_must_be_what_it_is_said_to_be() -> None:
    shown = rivals.Shown.of(models.load("ct-rt-x2"), 32)
    with ours.opened(shown, ours.Setting("onnxruntime", 1)) as frame:
        assert frame.about() == {"backend": "onnxruntime", "precision": "fp32"}
        with pytest.raises(BackendError, match="was run by onnxruntime; wanted tensorrt"):
            rivals.ours(frame._enhancer, shown, "tensorrt")


def test_ratios_are_of_the_same_round() -> None:
    rows = rivals.rows({rivals.OURS: [1.0, 2.0, 4.0], "x": [3.0, 6.0, 12.0]})
    assert [(r["way"], r["ratio"]) for r in rows] == [(rivals.OURS, 1.0), ("x", 3.0)]


def test_what_is_installed_runs_side_by_side(
    run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "_torch_devices", list)  # to compile takes long
    said = run("bench", "peers", "--sizes", "32", "--repeats", "2", "--json", tmp_path / "p.json")
    assert said.code == 0, said.err
    rows = record.read(tmp_path / "p.json")["rows"]
    assert [r["way"] for r in rows] == [rivals.OURS, "ONNX Runtime, CPU"]
    assert rows[0]["backend"] == "onnxruntime" and "backend" not in rows[1]
