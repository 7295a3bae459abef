"""Backend tensorrt on a fake GPU: its pictures are those of onnxruntime, and what it does for them is counted."""

from __future__ import annotations

import ctypes
import dataclasses
import tracemalloc
from typing import Any

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from acutance.trt_engines.options import Options

from acutance import backends, model, ops
from acutance.backends.settings import GpuSettings
from acutance.backends.tensorrt.program import batches_for
from acutance.enhancer import Enhancer
from acutance.enhancer.picture import task_of
from acutance.geometry import Frame, share_range

TILE = 24
FP32 = GpuSettings(engine=Options(precision="fp32", tile=TILE))


def picture(shape: tuple[int, ...] = (61, 47), dtype: Any = np.int16, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    smooth = rng.normal(120, 40, (shape[0] // 4 + 2, shape[1] // 4 + 2)).repeat(4, 0).repeat(4, 1)
    smooth = smooth[: shape[0], : shape[1]].reshape(shape[:2] + (1,) * (len(shape) - 2))
    return (smooth + rng.normal(0, 9, shape)).clip(0, 255).astype(dtype)


def graphs(machine: Any) -> int:
    return ctypes.c_int.in_dll(ctypes.CDLL(machine.cuda.core.__file__), "emulated_graphs").value


def same(path: Any, frames: list[Frame], **settings: Any) -> Enhancer:
    """Check that both backends give the same pictures, one by one and as a stream; return the one on the GPU."""
    on_cpu = Enhancer(path, "onnxruntime", **settings)
    on_gpu = Enhancer(path, "tensorrt", gpu=FP32, **settings)
    wanted = [on_cpu.run(f).pixels for f in frames]
    for frame, pixels in zip(frames, wanted, strict=True):
        result = on_gpu.run(frame)
        assert (result.backend, result.fell_back, result.frame.derivation.precision) == ("tensorrt", None, "fp32")
        np.testing.assert_array_equal(result.pixels, pixels)
    for k, frame in enumerate(frames):
        on_gpu.submit(frame)
        if k:
            np.testing.assert_array_equal(on_gpu.result().pixels, wanted[k - 1])
    np.testing.assert_array_equal(on_gpu.result().pixels, wanted[-1])
    assert not on_gpu.counters
    return on_gpu


@pytest.mark.parametrize("shape", [(61, 47), (20, 20), (1, 2), (3, 90), (64, 40, 3)])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.float32])
def test_pictures_are_those_of_onnxruntime(make_model, machine, shape, dtype):
    path = make_model(modalities=["MR"], mapping={"kind": "percentile"}, guard="none")
    frames = [Frame(picture(shape, dtype, seed), modality="MR") for seed in range(3)]
    same(path, frames)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("guard", ["box", "none"])
def test_scales_and_the_guard(make_model, machine, scale, guard):
    frames = [Frame(picture(seed=s), modality="CT", bits_stored=12) for s in range(2)]
    same(make_model(scale=scale, depth=3, base="lanczos4"), frames, guard=guard)


def test_missing_samples_padding_and_nan(make_model, machine):
    path = make_model(guard="box")
    padded = picture()
    padded[:20, :10] = -2000
    floats = picture(dtype=np.float32)
    floats[5, 6] = np.nan
    mask = np.zeros(padded.shape, bool)
    mask[40:, :] = True
    same(path, [Frame(padded, modality="CT", padding=(-2000, -2000)), Frame(picture(seed=4), modality="CT", mask=mask)])
    same(path, [Frame(floats, modality="CT")], guard="none")


def test_feathered_tiles(make_model, machine):
    same(make_model(depth=4), [Frame(picture((90, 130)), modality="CT")], stitch="feather", tile=40)


def test_mapped_memory_of_an_integrated_gpu_is_not_copied(make_model, machine, monkeypatch):
    machine.cuda.integrated = True
    for copy in ("memcpy_htod_async", "memcpy_dtoh_async"):
        monkeypatch.setattr(machine.cuda, copy, None)
    same(make_model(), [Frame(picture(seed=s), modality="CT") for s in range(3)])


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("scale", [2, 4])
def test_half_precision_and_the_layouts_of_the_output(make_model, machine, scale, channels_last):
    """Halves go in and come out as the ops of the CPU take and give them, whatever the layout."""
    path = make_model(scale=scale, precision="fp16", gain=0.2)
    machine.trt.channels_last = channels_last
    gpu = GpuSettings(engine=Options(tile=TILE))
    frame = Frame(picture(), modality="CT")
    result = Enhancer(path, "tensorrt", gpu=gpu).run(frame)
    assert (result.backend, result.frame.derivation.precision) == ("tensorrt", "fp16")
    plan = backends.tiling.plan(61, 47, TILE, 2, scale)
    gain, bias = model.affine(frame, -1024, 3071)
    tiles = ops.gather(frame.pixels, plan, gain=gain, bias=bias, dtype=np.float16)
    fp32 = backends.open_backend("onnxruntime", model.load(make_model("other", scale=scale, gain=0.2)))
    residual = fp32.run({"lr": tiles.astype(np.float32)})["residual"].astype(np.float16)
    np.testing.assert_array_equal(result.pixels, ops.assemble(residual, frame.pixels, plan, gain=gain)[0])


def test_a_graph_serves_every_range_and_is_kept_for_every_kind_of_frame(make_model, machine):
    path = make_model(modalities=["MR"], mapping={"kind": "percentile"})
    before = graphs(machine)
    with same(path, [Frame(picture(seed=s) * (s + 1), modality="MR") for s in range(4)]) as enhancer:
        assert graphs(machine) == before + 2, "one for each slot"
        contexts, taken = machine.trt.contexts, machine.cuda.allocations
        for seed in range(2):
            enhancer.run(Frame(picture((30, 70), seed=seed), modality="MR"))
        assert machine.trt.contexts > contexts and machine.cuda.allocations > taken
        contexts, taken = machine.trt.contexts, machine.cuda.allocations
        for seed in range(2, 5):
            enhancer.run(Frame(picture((30, 70), seed=seed), modality="MR"))
            enhancer.run(Frame(picture(seed=seed), modality="MR"))
        assert (machine.trt.contexts, machine.cuda.allocations) == (contexts, taken)
    assert graphs(machine) == before and machine.cuda.used == 0


def test_kinds_of_frames_that_are_not_used_go(make_model, machine):
    with Enhancer(make_model(), "tensorrt", gpu=FP32) as enhancer:
        for cols in range(41, 60):
            enhancer.run(Frame(picture((20, cols)), modality="CT"))
            if cols == 49:
                held = machine.cuda.used
        assert machine.cuda.used < 1.3 * held
    assert machine.cuda.used == 0


def test_a_kind_that_is_used_stays(make_model, machine):
    with Enhancer(make_model(), "tensorrt", gpu=FP32) as enhancer:
        for cols in (30, 31, 32, 33, 30, 34):
            for _ in range(2):  # once in each slot
                enhancer.run(Frame(picture((20, cols)), modality="CT"))
        contexts = machine.trt.contexts
        for _ in range(2):
            enhancer.run(Frame(picture((20, 30)), modality="CT"))
        assert machine.trt.contexts == contexts
        enhancer.run(Frame(picture((20, 31)), modality="CT"))
        assert machine.trt.contexts > contexts


def test_larger_frames_after_smaller_ones(make_model, machine):
    same(make_model(), [Frame(picture(shape), modality="CT") for shape in ((9, 9), (9, 9), (90, 90), (9, 9))])


def test_after_warm_up_a_frame_takes_no_memory_and_waits_once(make_model, machine):
    frame = Frame(picture((96, 96)), modality="CT")
    with Enhancer(make_model(), "tensorrt", gpu=FP32) as enhancer:
        task = warm(enhancer, frame)
        backend = next(iter(enhancer._routes.opened.values()))
        size = backend.enhance(task).pixels.nbytes
        taken, waits = machine.cuda.allocations, machine.cuda.waits
        tracemalloc.start()
        for _ in range(5):
            pixels = backend.enhance(task).pixels
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert pixels.nbytes == size
        assert machine.cuda.allocations == taken
        assert machine.cuda.waits == waits + 5
        assert peak < 3 * size + 40_000, "more than two results, the old and the new, and small objects"


def warm(enhancer: Enhancer, frame: Frame) -> backends.Task:
    """Run a frame through both slots, and return its task."""
    for _ in range(2):
        enhancer.submit(frame)
    for _ in range(2):
        enhancer.result()
    _, derivation, _ = enhancer._decide(frame)
    backend = next(iter(enhancer._routes.opened.values()))
    gain, bias = model.affine(frame, derivation.low, derivation.high)
    plan = enhancer._plan(frame, enhancer._model, backend, derivation)
    return dataclasses.replace(task_of(frame, derivation, 0), plan=plan, gain=gain, bias=bias)


def test_a_frame_is_launched_while_the_one_before_is_not_waited_for(make_model, machine):
    frame = Frame(picture(), modality="CT")
    with Enhancer(make_model(), "tensorrt", gpu=FP32) as enhancer:
        task = warm(enhancer, frame)
        backend = next(iter(enhancer._routes.opened.values()))
        tasks = [dataclasses.replace(task, pixels=picture(seed=s)) for s in range(3)]
        wanted = [backend.enhance(t).pixels for t in tasks]
        waits, runs = machine.cuda.waits, machine.trt.runs
        first, second = backend.begin(tasks[0]), backend.begin(tasks[1])
        assert machine.cuda.waits == waits and machine.trt.runs > runs
        third = backend.begin(tasks[2])
        assert machine.cuda.waits == waits + 1, "the oldest frame is waited for, as there are two slots"
        for wait, pixels in zip((third, first, second), (wanted[2], *wanted), strict=False):
            np.testing.assert_array_equal(wait().pixels, pixels)
            np.testing.assert_array_equal(wait().pixels, pixels)


def test_run_between_submit_and_result_does_not_hang(make_model, machine):
    frames = [Frame(picture(seed=s), modality="CT") for s in range(3)]
    with Enhancer(make_model(), "tensorrt", gpu=FP32) as enhancer:
        wanted = [enhancer.run(f).pixels for f in frames]
        enhancer.submit(frames[0])
        enhancer.submit(frames[1])
        np.testing.assert_array_equal(enhancer.run(frames[2]).pixels, wanted[2])
        for pixels in wanted[:2]:
            np.testing.assert_array_equal(enhancer.result().pixels, pixels)


def test_stages_are_timed_inside_the_graph(make_model, machine):
    with Enhancer(make_model(), "tensorrt", gpu=FP32) as enhancer:
        assert enhancer.stage_times() is None
        frame = Frame(picture(), modality="CT")
        warm(enhancer, frame)
        before = enhancer.stage_times()
        enhancer.run(frame)
        times = enhancer.stage_times()
    assert times is not None and tuple(times) == backends.STAGES
    assert times != before and all(0 <= ms < 1000 for ms in times.values()) and times["network"] > 0


def test_the_last_batch_is_padded_with_repeats(make_model, machine):
    gpu = GpuSettings(engine=Options(precision="fp32", tile=TILE, batches=(4, 16)))
    frame = Frame(picture((58, 58)), modality="CT")  # nine tiles
    path = make_model()
    result = Enhancer(path, "tensorrt", gpu=gpu).run(frame)
    np.testing.assert_array_equal(result.pixels, Enhancer(path, "onnxruntime").run(frame).pixels)
    tiny = Frame(picture((9, 9)), modality="CT")
    result = Enhancer(path, "tensorrt", gpu=gpu).run(tiny)
    np.testing.assert_array_equal(result.pixels, Enhancer(path, "onnxruntime").run(tiny).pixels)


@hypothesis.given(st.integers(1, 5000), st.sets(st.integers(1, 64), min_size=1))
def test_batches_hold_all_tiles_and_waste_less_than_one_batch(count, ladder):
    batches = batches_for(count, sorted(ladder))
    assert count <= sum(batches) < count + max(batches)
    assert set(batches) <= ladder


def test_tensors_can_be_run_alone(make_model, machine):
    path = make_model(scale=4)
    tiles = np.random.default_rng(0).random((5, 1, TILE, TILE), np.float32)
    on_gpu = backends.open_backend("tensorrt", model.load(path), gpu=FP32)
    on_cpu = backends.open_backend("onnxruntime", model.load(path))
    got = on_gpu.run({"lr": tiles})["residual"]
    np.testing.assert_array_equal(got, on_cpu.run({"lr": tiles})["residual"])
    on_gpu.close()
    assert machine.cuda.used == 0


def test_a_network_that_sees_the_whole_picture_gets_an_engine_for_each_size(make_model, machine):
    path = make_model(halo=None)
    frames = [Frame(picture(shape), modality="CT") for shape in ((20, 30), (31, 17), (20, 30))]
    same(path, frames)
    assert machine.trt.built == 2


def test_rtx_keeps_the_kernels_that_it_compiled(make_model, machine):
    machine.trt.as_rtx()
    path, frame = make_model(), Frame(picture(), modality="CT")
    for _ in range(2):
        same(path, [frame]).close()
    assert machine.trt.compiled == 1
    assert len(list(machine.engines.glob("*.runtime"))) == 1
    with Enhancer(path, "tensorrt", gpu=FP32) as enhancer:
        enhancer.run(frame)
        assert len(enhancer.engine_key) == 64


def test_a_series_shares_its_range_and_threads_share_the_slots(make_model, machine):
    from concurrent.futures import ThreadPoolExecutor

    path = make_model(modalities=["MR"], mapping={"kind": "percentile"})
    frames = share_range([Frame(picture(seed=s), modality="MR") for s in range(12)])
    wanted = [Enhancer(path, "onnxruntime").run(f).pixels for f in frames]
    with Enhancer(path, "tensorrt", gpu=FP32) as enhancer, ThreadPoolExecutor(4) as pool:
        for result, pixels in zip(pool.map(enhancer.run, frames), wanted, strict=True):
            np.testing.assert_array_equal(result.pixels, pixels)
