"""What comes with the package: small files that old runtimes read, of the stated network."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from acutance import model  # noqa: E402

MODELS = model.names()
RT = [n for n in MODELS if "-rt-x" in n]


def test_the_models_of_the_plan_are_there() -> None:
    assert {"ct-rt-x2", "ct-rt-x2-sharp", "mr-rt-x2", "gray-rt-x2"} <= set(MODELS)


@pytest.mark.parametrize("name", RT)
def test_an_rt_model_is_small_and_of_the_stated_size(name: str) -> None:
    found = model.load(name)
    assert len(found.data) < 400_000
    graph = onnx.load_model_from_string(found.data)
    assert graph.ir_version <= 10 and [o.version for o in graph.opset_import if o.domain == ""] == [18]
    depth = found.meta.halo - 2
    assert sum(int(np.prod(w.dims)) for w in graph.graph.initializer) == 320 + 9_248 * depth + 289 * found.meta.scale**2
    assert depth in (5, 7)
    assert b"site-packages" not in found.data


@pytest.mark.parametrize("name", RT)
def test_an_rt_model_beat_its_rival_in_every_row_of_val(name: str) -> None:
    meta = model.load(name).meta
    assert meta.scores.split == "val" and meta.scores.rows
    for row in meta.scores.rows:
        noisy = "noise" in row["row"] or "rician" in row["row"]
        if meta.denoises:
            assert row["gain"] > (0 if noisy else -0.5)
        else:
            assert row["gain"] > 0 and row["worst_subject"] > -0.05
