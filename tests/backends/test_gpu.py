"""Backend tensorrt on a real GPU: its pictures are those of onnxruntime, and a frame takes no memory after warm-up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pytest
from acutance.trt_engines import flavour
from acutance.trt_engines.options import Options

import acutance
from acutance import Enhancer
from acutance.backends.settings import GpuSettings
from acutance.geometry import Frame

pytestmark = pytest.mark.gpu

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "ct-abdomen.dcm"
STAGES = ("copy_in", "gather", "network", "assemble", "copy_out")


@pytest.fixture(scope="module")
def frame() -> Frame:
    (found,) = acutance.read(EXAMPLE)
    return found


@pytest.fixture(scope="module", params=["fp32", "fp16", "int8"])
def enhancer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Enhancer]:
    """Return one with an engine of that precision, built here."""
    try:
        flavour.load()
    except acutance.errors.BackendError as e:
        pytest.skip(f"no full TensorRT, nor TensorRT-RTX: {e}")
    options = Options(precision=request.param, tile=128, batches=(1, 4, 16))
    settings = GpuSettings(engine=options, store=tmp_path_factory.mktemp("engines"))
    with Enhancer("ct-rt-x2", backend="tensorrt", gpu=settings) as made:
        yield made


@pytest.fixture(scope="module")
def wanted(frame: Frame) -> np.ndarray:
    return Enhancer("ct-rt-x2", backend="onnxruntime").run(frame).pixels


def difference(pixels: Any, wanted: np.ndarray) -> np.ndarray:
    return np.abs(pixels.astype(np.int64) - wanted.astype(np.int64))


def test_picture_is_that_of_onnxruntime(enhancer: Enhancer, frame: Frame, wanted: np.ndarray) -> None:
    result = enhancer.run(frame)
    assert result.backend == "tensorrt" and result.fell_back is None and not enhancer.counters
    off = difference(result.pixels, wanted)
    precision = enhancer.gpu.engine.precision
    if precision == "fp32":
        assert off.max() <= 1
    # Stored units, which are HU: half precision carries 11 bits of a residual, 8 bits fewer of what is between.
    assert off.mean() <= {"fp32": 0.01, "fp16": 0.5, "int8": 6.0}[precision]
    assert np.abs((result.pixels - wanted.astype(np.float64)).mean()) <= 0.5


def test_guarded_blocks_sum_to_their_pixel(enhancer: Enhancer, frame: Frame) -> None:
    pixels = enhancer.run(frame).pixels
    blocks = pixels.reshape(frame.rows, 2, frame.cols, 2).sum(axis=(1, 3), dtype=np.int64)
    assert np.array_equal(blocks, 4 * frame.pixels.astype(np.int64))


def test_a_stream_gives_what_single_frames_give(enhancer: Enhancer, frame: Frame) -> None:
    frames = [
        Frame(np.roll(frame.pixels, k, 1), modality="CT", slope=frame.slope, intercept=frame.intercept)
        for k in range(6)
    ]
    single = [enhancer.run(f).pixels for f in frames]
    found = []
    for k, each in enumerate(frames):
        enhancer.submit(each)
        if k:
            found.append(enhancer.result().pixels)
    found.append(enhancer.result().pixels)
    for one, other in zip(single, found, strict=True):
        assert np.array_equal(one, other)


def test_a_frame_takes_no_device_memory_after_warm_up(enhancer: Enhancer, frame: Frame) -> None:
    import pycuda.driver as cuda

    def free() -> int:
        context = cuda.Device(0).retain_primary_context()
        context.push()
        try:
            return int(cuda.mem_get_info()[0])
        finally:
            context.pop()

    for _ in range(4):
        enhancer.run(frame)
    before = free()
    for _ in range(50):
        enhancer.run(frame)
    assert free() == before


def test_stage_times_fit_into_the_frame(enhancer: Enhancer, frame: Frame) -> None:
    for _ in range(4):
        enhancer.run(frame)
    start = perf_counter()
    enhancer.run(frame)
    elapsed = 1000 * (perf_counter() - start)
    times = enhancer.stage_times()
    assert times is not None and set(times) == set(STAGES)
    assert all(t >= 0 for t in times.values()) and times["network"] > 0
    assert 0 < sum(times.values()) <= elapsed


def test_any_tile_gives_the_same_picture_within_one_unit(frame: Frame, wanted: np.ndarray, tmp_path: Path) -> None:
    for tile in (64, 200):
        options = Options(precision="fp32", tile=tile, batches=(1, 8))
        with Enhancer("ct-rt-x2", backend="tensorrt", gpu=GpuSettings(engine=options, store=tmp_path)) as made:
            result = made.run(frame)
            assert result.backend == "tensorrt"
            assert difference(result.pixels, wanted).max() <= 1
