"""What happens to a picture when the GPU, the driver, an engine or its network fails: each by a real cause."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from acutance.trt_engines.options import Options

from acutance import backends, model, ops, tiling
from acutance.backends.settings import GpuSettings
from acutance.backends.tensorrt import gpu as gpus
from acutance.enhancer import Enhancer, Result
from acutance.errors import BackendError
from acutance.geometry import Frame

TILE = 24
FP32 = GpuSettings(engine=Options(precision="fp32", tile=TILE))
RNG = np.random.default_rng(3)
FRAME = Frame(RNG.integers(-900, 900, (61, 47)).astype(np.int16), modality="CT")


@pytest.fixture
def path(make_model) -> Any:
    return make_model()


@pytest.fixture
def wanted(path) -> np.ndarray:
    return Enhancer(path, "onnxruntime").run(FRAME).pixels


def check(result: Result, wanted: np.ndarray, backend: str) -> None:
    assert (result.backend, result.fell_back) == (backend, None)
    np.testing.assert_array_equal(result.pixels, wanted)


def warned(caplog) -> Iterator[str]:
    return (r.message for r in caplog.records if r.levelno >= logging.WARNING)


class NoDriver:
    """What importing PyCUDA meets on a machine without an NVIDIA driver."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name.startswith("pycuda"):
            raise ImportError("libcuda.so.1: cannot open shared object file: No such file or directory")


@pytest.mark.parametrize("backend", ["tensorrt", "auto"])
def test_a_missing_driver_gives_way_to_onnxruntime(path, wanted, machine, monkeypatch, caplog, backend):
    for name in ("pycuda", "pycuda.driver"):
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [NoDriver(), *sys.meta_path])
    enhancer = Enhancer(path, backend, gpu=FP32)
    for _ in range(3):
        result = enhancer.run(FRAME)
        check(result, wanted, "onnxruntime")
    assert enhancer.derivation(FRAME) == result.frame.derivation
    if backend == "tensorrt":
        assert enhancer.counters == {"unavailable": 1}
        (message,) = warned(caplog)
        assert "there is no NVIDIA driver (libcuda.so.1" in message
    else:
        assert not enhancer.counters and not list(warned(caplog))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (
            lambda m: setattr(m.cuda, "fail_init", "no CUDA-capable device is detected"),
            "the NVIDIA driver cannot be used",
        ),
        (lambda m: setattr(m.cuda, "devices", 0), "there is no CUDA device"),
    ],
)
def test_auto_takes_the_gpu_where_there_is_one(path, machine, spoil, says):
    assert Enhancer(path, gpu=FP32).run(FRAME).backend == "tensorrt"
    backends.tensorrt.absent.cache_clear()
    gpus.open_gpu.cache_clear()
    spoil(machine)
    assert says in backends.tensorrt.absent()
    assert Enhancer(path, gpu=FP32).run(FRAME).backend == "onnxruntime"


def test_a_gpu_that_is_not_there_is_named(path, machine):
    with pytest.raises(BackendError, match="there is no CUDA device 3; there are 1"):
        backends.open_backend("tensorrt", model.load(path), gpu=GpuSettings(device=3))


def test_a_corrupt_engine_file_is_built_anew(path, wanted, machine, caplog):
    with Enhancer(path, "tensorrt", gpu=FP32) as enhancer:
        check(enhancer.run(FRAME), wanted, "tensorrt")
    (engine,) = machine.engines.glob("*.engine")
    data = bytearray(engine.read_bytes())
    data[len(data) // 2] ^= 1
    engine.write_bytes(data)
    with Enhancer(path, "tensorrt", gpu=FP32) as enhancer:
        check(enhancer.run(FRAME), wanted, "tensorrt")
        assert enhancer.counters == {"engine rebuilt": 1}
    assert machine.trt.built == 2
    assert any(str(engine) in m and "built anew" in m for m in warned(caplog))


def test_an_engine_that_does_not_load_is_built_anew_once(path, wanted, machine, caplog):
    machine.trt.spoilt = [b"no plan"]
    with Enhancer(path, "tensorrt", gpu=FP32) as enhancer:
        check(enhancer.run(FRAME), wanted, "tensorrt")
        assert enhancer.counters == {"engine rebuilt": 1}
    assert any("magicTag" in m for m in warned(caplog))
    machine.trt.spoilt = [b"no plan", b"no plan either"]
    for engine in machine.engines.glob("*.engine"):
        engine.unlink()
    enhancer = Enhancer(path, "tensorrt", gpu=FP32)
    result = enhancer.run(FRAME)
    check(result, wanted, "onnxruntime")
    assert enhancer.counters == {"unavailable": 1}
    assert machine.trt.built == 4


def test_an_engine_of_another_gpu_is_not_run(path, wanted, machine):
    with Enhancer(path, "tensorrt", gpu=FP32) as enhancer:
        enhancer.run(FRAME)
    machine.cuda.capability = (9, 0)  # the same name, as a later board may have
    gpus.open_gpu.cache_clear()
    with Enhancer(path, "tensorrt", gpu=FP32) as enhancer:
        check(enhancer.run(FRAME), wanted, "tensorrt")
        assert enhancer.counters == {"engine rebuilt": 1}
    assert machine.trt.built == 2


def test_a_plan_for_another_gpu_that_passes_for_ours_is_built_anew(path, wanted, machine, caplog):
    twin = sys.modules["backends_fake_tensorrt"]
    other = twin.plan_of(model.load(path), FP32.engine, gpus_device((7, 5)))
    machine.trt.spoilt = [other]
    with Enhancer(path, "tensorrt", gpu=FP32) as enhancer:
        check(enhancer.run(FRAME), wanted, "tensorrt")
    assert any("incompatible device" in m for m in warned(caplog))


def gpus_device(capability: tuple[int, int]) -> Any:
    from acutance.trt_engines.device import Device

    return Device(name="Other", compute_capability=capability, sm_count=14)


@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_weights_that_give_no_numbers_give_the_base(make_model, machine, caplog, poison):
    enhancer = Enhancer(make_model(poison=poison), "tensorrt", gpu=FP32)
    for _ in range(2):
        result = enhancer.run(FRAME)
        assert (result.model, result.backend) == ("base", "base")
        assert result.fell_back == "tiny-x2 gave values that are not finite"
        whole = tiling.plan(61, 47, (61, 47), 0, 2)
        np.testing.assert_array_equal(result.pixels, ops.assemble(None, FRAME.pixels, whole)[0])
    assert enhancer.counters == {"not finite": 4, "base": 2}
    assert len(list(warned(caplog))) == 3, "each once: on the GPU, on the CPU, and the base"


def test_a_frame_that_overflows_in_half_is_run_in_float(make_model, machine, monkeypatch):
    """The residual is beyond 65504, the largest half, and within a float."""
    files = {}
    for precision in ("fp32", "fp16"):
        made = make_model(gain=2e5, precision=precision)
        files["tiny-x2", precision] = made.rename(made.with_name(f"{precision}.onnx"))
    monkeypatch.setattr(model, "_shipped", lambda: files)
    fp32 = model.load("tiny-x2")
    gpu = GpuSettings(engine=Options(tile=TILE))
    wanted = Enhancer(fp32, "onnxruntime").run(FRAME)
    enhancer = Enhancer("tiny-x2", "tensorrt", gpu=gpu)
    assert enhancer.derivation(FRAME).precision == "fp16"
    result = enhancer.run(FRAME)
    check(result, wanted.pixels, "onnxruntime")
    assert result.frame.derivation == wanted.frame.derivation
    assert "not finite; it was run by onnxruntime" in result.warnings[0]
    assert enhancer.counters == {"not finite": 1}


def test_a_model_without_the_precision_is_run_in_its_own(make_model, machine, monkeypatch):
    monkeypatch.setattr(model, "_shipped", lambda: files)
    files = {("tiny-x2", "fp32"): make_model("tiny-x2")}
    enhancer = Enhancer("tiny-x2", "tensorrt", gpu=GpuSettings(engine=Options(tile=TILE)))
    result = enhancer.run(FRAME)
    assert (result.backend, result.frame.derivation.precision) == ("tensorrt", "fp32")
    assert enhancer.counters == {"precision": 1}


def test_memory_that_runs_out_takes_the_largest_batches_away(path, wanted, machine, caplog):
    with Enhancer(path, "tensorrt", gpu=FP32) as free:
        free.run(FRAME)
        (backend,) = free._routes.opened.values()
        held = backend.memory.held
    limited = FP32.model_copy(update={"memory_limit": held - 1})
    with Enhancer(path, "tensorrt", gpu=limited) as enhancer:
        for _ in range(3):
            check(enhancer.run(FRAME), wanted, "tensorrt")
        (backend,) = enhancer._routes.opened.values()
        assert backend.ladder == [1, 2, 4, 8]
        assert backend.memory.held < held
        assert enhancer.counters == {"out of memory": 2}
    first, second = warned(caplog)
    assert f"allowed are {held - 1}" in first and "batches of 16 are given up" in first
    assert "only one frame is under way at a time" in second


def test_a_full_device_gives_way_to_onnxruntime(path, wanted, machine):
    machine.cuda.capacity = 30_000
    with Enhancer(path, "tensorrt", gpu=FP32) as enhancer:
        result = enhancer.run(FRAME)
        check(result, wanted, "onnxruntime")
        assert enhancer.counters == {"out of memory": 4, "failed": 1}
        assert "out of memory" in result.warnings[0]
        machine.cuda.capacity = 1 << 30
        check(enhancer.run(FRAME), wanted, "tensorrt")
    assert machine.cuda.used == 0


def test_a_second_slot_goes_before_batches_do(path, wanted, machine):
    with Enhancer(path, "tensorrt", gpu=FP32) as enhancer:
        check(enhancer.run(FRAME), wanted, "tensorrt")
        machine.cuda.capacity = machine.cuda.used
        for _ in range(2):
            enhancer.submit(FRAME)
        for _ in range(2):
            check(enhancer.result(), wanted, "tensorrt")
        (backend,) = enhancer._routes.opened.values()
        assert backend.ladder == [1, 2, 4, 8, 16]
        assert enhancer.counters == {"out of memory": 1}
    assert machine.cuda.used == 0


def test_old_kinds_of_frames_go_before_batches_do(path, machine):
    with Enhancer(path, "tensorrt", gpu=FP32) as enhancer:
        for cols in (47, 46, 45):
            enhancer.run(Frame(FRAME.pixels[:, :cols], modality="CT"))
        machine.cuda.capacity = machine.cuda.used
        enhancer.run(Frame(FRAME.pixels[:, :44], modality="CT"))
        assert not enhancer.counters


@pytest.mark.parametrize("says_so", [False, True])
def test_a_refused_capture_leaves_the_calls(path, wanted, machine, caplog, says_so):
    """TensorRT refuses a call inside the capture, or says beforehand that it would."""
    machine.trt.capturable, machine.trt.says_so = False, says_so
    with Enhancer(path, "tensorrt", gpu=FP32) as enhancer:
        for _ in range(3):
            enhancer.submit(FRAME)
            check(enhancer.result(), wanted, "tensorrt")
        assert enhancer.counters["capture refused"] == 2, "once in each slot"
        assert enhancer.stage_times()["network"] > 0
    (message,) = warned(caplog)
    assert ("cannot be captured" if says_so else "not permitted when stream is capturing") in message


def test_a_graph_that_gives_another_picture_is_not_used(path, wanted, machine):
    """A graph whose network reads where it did not when it was run call by call."""
    machine.trt.astray = True
    with Enhancer(path, "tensorrt", gpu=FP32) as enhancer:
        for _ in range(3):
            check(enhancer.run(FRAME), wanted, "tensorrt")
        assert enhancer.counters == {"capture refused": 2}


def test_a_batch_that_fails_gives_way_for_that_frame(path, wanted, machine):
    machine.trt.largest = 8
    with Enhancer(path, "tensorrt", gpu=FP32) as enhancer:
        check(enhancer.run(FRAME), wanted, "onnxruntime")
        machine.trt.largest = None
        check(enhancer.run(FRAME), wanted, "tensorrt")
        assert enhancer.counters == {"failed": 1}


def test_a_device_that_fails_in_the_midst_of_a_stream(path, wanted, machine):
    with Enhancer(path, "tensorrt", gpu=FP32) as enhancer:
        check(enhancer.run(FRAME), wanted, "tensorrt")
        machine.trt.dead = True
        for _ in range(2):
            enhancer.submit(FRAME)
        for _ in range(2):
            check(enhancer.result(), wanted, "onnxruntime")
        assert enhancer.counters == {"failed": 2}
        machine.trt.dead = False


def test_a_folder_of_engines_that_others_can_write_gives_way(path, wanted, machine):
    machine.engines.mkdir()
    machine.engines.chmod(0o777)
    enhancer = Enhancer(path, "tensorrt", gpu=FP32)
    check(enhancer.run(FRAME), wanted, "onnxruntime")
    assert enhancer.counters == {"unavailable": 1}


def test_a_restart_gives_the_device_back_and_takes_it_again(path, wanted, machine):
    with Enhancer(path, "tensorrt", gpu=FP32) as enhancer:
        check(enhancer.run(FRAME), wanted, "tensorrt")
        machine.trt.dead = True
        check(enhancer.run(FRAME), wanted, "onnxruntime")
        machine.trt.dead = False
        enhancer.restart()
        assert machine.cuda.used == 0
        check(enhancer.run(FRAME), wanted, "tensorrt")
        assert enhancer.counters == {"failed": 1}


def test_a_restart_tries_what_could_not_start(path, wanted, machine):
    machine.engines.mkdir()
    machine.engines.chmod(0o777)
    enhancer = Enhancer(path, "tensorrt", gpu=FP32)
    check(enhancer.run(FRAME), wanted, "onnxruntime")
    machine.engines.chmod(0o700)
    check(enhancer.run(FRAME), wanted, "onnxruntime")
    enhancer.restart()
    check(enhancer.run(FRAME), wanted, "tensorrt")
