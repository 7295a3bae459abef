"""ONNX Runtime: tiles by size, models it cannot feed."""

from __future__ import annotations

import time

import numpy as np
import pytest

from acutance import backends, model, tiling
from acutance.backends.onnxruntime import TILE_PIXELS
from acutance.enhancer import Enhancer
from acutance.errors import BackendError


@pytest.mark.parametrize("shape", [(1, 1), (512, 512), (2048, 2048), (4096, 4096), (100, 8000), (8000, 100)])
def test_tiles_waste_little_and_stay_small(make_model, shape):
    backend = backends.open_backend("auto", model.load(make_model()))
    tile = backend.tile_for(*shape, 7)
    plan = tiling.plan(*shape, tile, 7, 2)
    assert tile[0] * tile[1] <= TILE_PIXELS
    seen = plan.count * tile[0] * tile[1]
    least = (shape[0] + 14) * (shape[1] + 14)
    assert seen <= 1.06 * least


def test_tiles_are_multiples_of_what_the_network_wants(make_model):
    backend = backends.open_backend("auto", model.load(make_model(multiple_of=8)))
    assert all(side % 8 == 0 for side in backend.tile_for(509, 300, 7))


def test_what_only_onnxruntime_runs_is_named(make_model):
    meta = model.load(make_model()).meta
    backends.check_plain(meta)
    guided = meta.model_copy(update={"inputs": (*meta.inputs, model.Input(name="g", role="guide", channels=1))})
    with pytest.raises(BackendError, match="has guide beside picture and residual; only onnxruntime"):
        backends.check_plain(guided)


def test_stages_are_timed(make_model):
    enhancer = Enhancer(make_model(), "onnxruntime", tile=16)
    assert enhancer.stage_times() is None and enhancer.engine_key == ""
    started = time.perf_counter()
    enhancer.run(np.arange(60 * 60, dtype=np.int16).reshape(60, 60), modality="CT")
    took = 1000 * (time.perf_counter() - started)
    times = enhancer.stage_times()
    assert list(times) == ["gather", "network", "assemble"]
    assert all(ms > 0 for ms in times.values()) and sum(times.values()) < took


def test_a_failing_run_is_a_backend_error_in_one_line(make_model):
    backend = backends.open_backend("onnxruntime", model.load(make_model()))
    with pytest.raises(BackendError, match="failed while running tiny-x2") as caught:
        backend.run({"lr": np.zeros((1, 5, 8, 8), np.float32)})
    assert "\n" not in str(caught.value)
