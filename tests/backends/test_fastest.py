"""What `acutance bench engines` found to be fastest is taken where the user left it open, and said."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
from acutance.trt_engines import best, device
from acutance.trt_engines.options import Options

from acutance import backends, model
from acutance.backends.settings import GpuSettings
from acutance.enhancer import Enhancer
from acutance.geometry import Frame

SHAPE = (61, 47)
FRAME = Frame(np.random.default_rng(0).integers(-200, 900, SHAPE, dtype=np.int16), modality="CT")
FP32 = GpuSettings(engine=Options(precision="fp32"))


def keep(machine: Any, name: str, precision: str = "fp32", shape: tuple[int, int] = SHAPE, **changes: Any) -> None:
    settings = {"tile": (40, 32), "batches": (1, 2), "channels_last": False, "p50_ms": 1.0}
    flavour = f"tensorrt {machine.trt.__version__}"
    found = best.Best(**{**settings, "flavour": flavour, **changes})
    best.keep(machine.engines, name, precision, device.current(), shape, found)


def engines(machine: Any) -> set[str]:
    """Return tile and ladder of the engines that were built."""
    return {".".join(p.name.split(".")[2:4]) for p in machine.engines.glob("*.engine")}


def test_what_was_measured_is_taken_for_its_size_alone(make_model, machine, caplog):
    path = make_model()
    keep(machine, model.load(path).meta.name)
    with Enhancer(path, "onnxruntime") as on_cpu, Enhancer(path, "tensorrt", gpu=FP32) as enhancer:
        with caplog.at_level(logging.INFO, "acutance.backends"):
            for _ in range(3):
                np.testing.assert_array_equal(enhancer.run(FRAME).pixels, on_cpu.run(FRAME).pixels)
        said = [r.message for r in caplog.records if "fastest" in r.message]
        assert len(said) == 1 and "at 61 x 47" in said[0] and "tile 40x32, batches up to 2" in said[0]
        assert engines(machine) == {"128.b16", "40x32.b2"}
        other = Frame(FRAME.pixels[:40], modality="CT")
        np.testing.assert_array_equal(enhancer.run(other).pixels, on_cpu.run(other).pixels)
        assert not enhancer.counters and engines(machine) == {"128.b16", "40x32.b2"}


@pytest.mark.parametrize("said", [{"tile": 24}, {"batches": (1, 4)}, {"channels_last": False}])
def test_what_the_user_says_stands(make_model, machine, said):
    path = make_model()
    keep(machine, model.load(path).meta.name)
    gpu = GpuSettings(engine=Options(precision="fp32", **said))
    with Enhancer(path, "tensorrt", gpu=gpu) as enhancer:
        assert enhancer.run(FRAME).backend == "tensorrt"
    assert not any(name.startswith("40x32") for name in engines(machine))


def test_a_tile_for_the_enhancer_stands(make_model, machine):
    path = make_model()
    keep(machine, model.load(path).meta.name)
    with Enhancer(path, "tensorrt", gpu=FP32, tile=24) as enhancer:
        assert enhancer.run(FRAME).backend == "tensorrt"
    assert engines(machine) == {"24.b16"}


@pytest.mark.parametrize(
    ("changes", "why"),
    [({"flavour": "rtx 1.0"}, "measured with rtx 1.0; measure again"), ({"tile": 4}, "a tile of 4 is all halo")],
)
def test_what_no_longer_fits_is_named_and_left(make_model, machine, caplog, changes, why):
    path = make_model()
    keep(machine, model.load(path).meta.name, **changes)
    with Enhancer(path, "tensorrt", gpu=FP32) as enhancer:
        assert enhancer.run(FRAME).backend == "tensorrt"
        assert enhancer.counters == {"fastest settings": 1}
    assert any(why in r.message for r in caplog.records) and engines(machine) == {"128.b16"}


def test_settings_that_cannot_be_built_are_given_up(make_model, machine, monkeypatch):
    path = make_model()
    keep(machine, model.load(path).meta.name)
    build = machine.trt.build

    def refusing(found: Any, options: Options, *more: Any, **others: Any) -> Any:
        if options.tile != 128:
            raise backends.BackendError("no kernel for this tile")
        return build(found, options, *more, **others)

    monkeypatch.setattr("acutance.trt_engines.store.build", refusing)
    with Enhancer(path, "tensorrt", gpu=FP32) as enhancer:
        assert [enhancer.run(FRAME).backend for _ in range(3)] == ["onnxruntime", "tensorrt", "tensorrt"]
        assert enhancer.counters == {"fastest settings": 1, "failed": 1}


def test_int8_only_where_it_is_allowed_and_was_faster(machine):
    keep(machine, "ct-rt-x2", "fp16", p50_ms=1.0)
    keep(machine, "ct-rt-x2", "int8", p50_ms=0.5)
    keep(machine, "ct-rt-x2", "fp16", (64, 64), p50_ms=1.0)
    keep(machine, "ct-rt-x2", "int8", (64, 64), p50_ms=0.95)

    def precision(frame: Frame = FRAME, **settings: Any) -> str:
        with Enhancer("auto", "tensorrt", **settings) as enhancer:
            return enhancer.derivation(frame).precision

    assert precision() == "fp16"
    assert precision(int8=True) == "int8-trt"
    assert precision(int8=True, gpu=GpuSettings(engine=Options(precision="fp16"))) == "fp16"
    assert precision(Frame(np.zeros((64, 64), np.int16) + FRAME.pixels[0, 0], modality="CT"), int8=True) != "int8-trt"
    assert precision(Frame(FRAME.pixels[:40], modality="CT"), int8=True) == "fp16"


def test_engines_for_another_gpu_where_the_user_says_so(make_model, machine):
    machine.cuda.capability = (8, 0)  # runs what was built for sm80 and knows nothing of its name
    gpu = FP32.model_copy(update={"target": "sm80"})
    with Enhancer(make_model(), "tensorrt", gpu=gpu) as enhancer:
        assert enhancer.run(FRAME).backend == "tensorrt"
    (engine,) = machine.engines.glob("*.engine")
    assert engine.name.endswith(".sm80.engine")
