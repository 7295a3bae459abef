"""What the probe says of a GPU, with the builder's and the GPU's answers given."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from acutance.bench import gpu_probe
from acutance.trt_engines.device import Device

from acutance.errors import BackendError

HERE = Device(name="NVIDIA Something", compute_capability=(9, 0), sm_count=132)


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Return a function that probes with a builder for ``known`` and a GPU whose answers are off by ``wrong``."""

    def probe(known: set[str], wrong: float, flavour: str = "rtx") -> tuple[int, list[dict[str, Any]]]:
        def build(model: Any, options: Any, target: Device, **_: Any) -> Any:
            if target.sm not in known:
                raise BackendError(f"does not build for {target.sm}")
            return SimpleNamespace(seconds=1.0, io=())

        def run(made: Any, tiles: np.ndarray, out: np.ndarray, trt: Any) -> np.ndarray:
            session = gpu_probe.onnxruntime.InferenceSession(gpu_probe.model.load("ct-rt-x2").data)
            return session.run(None, {session.get_inputs()[0].name: tiles})[0] + np.float32(wrong)

        trt = SimpleNamespace(name=flavour, version="1.2.3")
        monkeypatch.setattr(gpu_probe.build, "build", build)
        monkeypatch.setattr(gpu_probe, "run", run)
        monkeypatch.setattr(gpu_probe.device, "current", lambda: HERE)
        monkeypatch.setattr(gpu_probe.flavour, "load", lambda: trt)
        status = gpu_probe.main(["--json", str(tmp_path / "engine.json")])
        return status, json.loads((tmp_path / "engine.json").read_text())["rows"]

    return probe


def test_an_engine_for_this_gpu_that_is_right(probe: Any, capsys: pytest.CaptureFixture[str]) -> None:
    status, (row,) = probe({"SM90"}, 0.0)
    assert status == 0 and row["right"] and row["largest_difference"] == 0
    assert "TensorRT-RTX 1.2.3 on NVIDIA Something (SM90), engine for SM90: right" in capsys.readouterr().out


def test_where_it_is_refused_one_for_sm80_is_tried(probe: Any, capsys: pytest.CaptureFixture[str]) -> None:
    status, (own, other) = probe({"SM80"}, 0.0)
    assert status == 3 and not own["built"] and other["right"]
    said = capsys.readouterr().out
    assert "engine for SM90: does not build for SM90" in said and "engine for SM80: right" in said


def test_a_wrong_answer_is_no_success(probe: Any) -> None:
    status, (own, other) = probe({"SM90", "SM80"}, 0.01)
    assert status == 3 and own["ran"] and not own["right"] and not other["right"]


def test_full_tensorrt_is_asked_for_this_gpu_alone(probe: Any) -> None:
    status, rows = probe(set(), 0.0, "tensorrt")
    assert status == 3 and len(rows) == 1
