"""Work captured from a stream and launched again, on the CUDA module compiled for the host."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from acutance import _native, ops, oracle, tiling
from acutance.errors import BackendError, UsageError

STREAM = 77
PLAN = tiling.plan(20, 30, 16, 2, 2)
RNG = np.random.default_rng(4)
FRAMES = [RNG.integers(0, 4096, (20, 30)).astype(np.uint16) for _ in range(3)]
Up = Callable[[np.ndarray], Any]


@pytest.fixture
def up(monkeypatch: pytest.MonkeyPatch, device_ops: ModuleType, emulated_cuda: ModuleType) -> Up:
    """Return what makes an array one of the emulated device."""
    monkeypatch.setattr(_native, "cuda", emulated_cuda)
    return lambda x: device_ops.OnDevice(x, device_ops.host_upload)


@pytest.fixture
def graph(emulated_cuda: ModuleType) -> Any:
    made = emulated_cuda.Graph()
    yield made
    made.abort(STREAM)


def graphs(module: ModuleType) -> int:
    assert module.__file__
    return ctypes.c_int.in_dll(ctypes.CDLL(module.__file__), "emulated_graphs").value


def overwrite(array: Any, values: np.ndarray) -> None:
    """Put other values into the memory of an array of the emulated device."""
    ctypes.memmove(array.__cuda_array_interface__["data"][0], values.ctypes.data, values.nbytes)


def test_one_capture_serves_every_frame_and_every_range(up: Up, graph: Any) -> None:
    slice_, params, flag = up(FRAMES[0]), up(ops.parameters()), up(np.zeros(1, np.int32))
    tiles = up(np.zeros((PLAN.count, 4, 16, 16), np.float32))
    out = up(np.zeros((40, 60), np.uint16))
    wide = tiling.plan(10, 15, (16, 20), 2, 2)
    seen = up(np.zeros((1, 4, 16, 20), np.float32))
    graph.begin(STREAM)
    ops.gather(slice_, wide, unshuffle=2, out=seen, params=params, stream=STREAM)
    ops.assemble(tiles, slice_, PLAN, out=out, guard=True, nonfinite=flag, params=params, stream=STREAM)
    graph.end(STREAM)
    assert not seen.fetch().any() and not out.fetch().any()
    for i, frame in enumerate(FRAMES):
        numbers = ops.parameters(0.5**i, i, 10 * i, 4000 - i)
        residual = RNG.normal(0, 20, (PLAN.count, 4, 16, 16)).astype(np.float32)
        for array, values in ((slice_, frame), (params, numbers), (tiles, residual)):
            overwrite(array, values)
        graph.launch(STREAM)
        assert np.array_equal(seen.fetch(), oracle.gather(frame, wide, unshuffle=2, params=numbers))
        wanted = oracle.assemble(residual, frame, PLAN, guard=True, params=numbers)[0]
        assert np.array_equal(out.fetch(), wanted)
    assert flag.fetch()[0] == 0


def test_a_new_capture_takes_the_place_of_the_old(up: Up, emulated_cuda: ModuleType) -> None:
    before = graphs(emulated_cuda)
    graph = emulated_cuda.Graph()
    one, two = up(np.zeros((1, 1, 24, 34), np.float32)), up(np.zeros((1, 1, 24, 34), np.float32))
    whole = tiling.plan(20, 30, (24, 34), 2, 2)
    for out in (one, two):
        graph.begin(STREAM)
        ops.gather(up(FRAMES[1]), whole, out=out, stream=STREAM)
        graph.end(STREAM)
        assert graphs(emulated_cuda) == before + 1
    graph.launch(STREAM)
    assert two.fetch().any() and not one.fetch().any()
    del graph
    assert graphs(emulated_cuda) == before


def test_errors_name_the_call(graph: Any) -> None:
    with pytest.raises(UsageError, match="the graph is empty; wanted one that was captured"):
        graph.launch(STREAM)
    with pytest.raises(BackendError, match=r"^cudaStreamBeginCapture failed: "):
        graph.begin(0)
    with pytest.raises(BackendError, match=r"^cudaStreamEndCapture failed: "):
        graph.end(STREAM)
    graph.begin(STREAM)
    with pytest.raises(BackendError, match=r"^cudaStreamBeginCapture failed: "):
        graph.begin(STREAM)


@pytest.mark.parametrize("finish", ["end", "abort"])
def test_a_broken_capture_leaves_the_stream_usable(up: Up, graph: Any, emulated_cuda: ModuleType, finish: str) -> None:
    """An array that names another stream makes the capture depend on work outside it."""
    before = graphs(emulated_cuda)
    slice_, out = up(FRAMES[2]), up(np.zeros((PLAN.count, 1, 16, 16), np.float32))
    slice_.__cuda_array_interface__["stream"] = 5
    graph.begin(STREAM)
    with pytest.raises(BackendError, match=r"^cudaStreamWaitEvent failed: "):
        ops.gather(slice_, PLAN, out=out, stream=STREAM)
    if finish == "end":
        with pytest.raises(BackendError, match=r"^cudaStreamEndCapture failed: "):
            graph.end(STREAM)
    else:
        graph.abort(STREAM)
        graph.abort(STREAM)
    assert graphs(emulated_cuda) == before
    ops.gather(slice_, PLAN, out=out, stream=STREAM)
    assert np.array_equal(out.fetch(), oracle.gather(FRAMES[2], PLAN))
