"""Build and time a graph with TensorRT 8.6: ``python engine.py GRAPH.onnx fp16|int8 TILES.json RESULT.json``.

Python 3.10, TensorRT 8.6, NumPy and PyCUDA; nothing of acutance.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pycuda.autoprimaryctx  # noqa: F401  (makes the context current)
import pycuda.driver as cuda
import tensorrt as trt

BATCH, WARM_UP, FRAMES = 16, 20, 200


def main(graph: Path, precision: str, tiles: Path, result: Path) -> None:
    """Write the time of the network alone for each size."""
    about = json.loads(tiles.read_text(encoding="utf-8"))
    engine = build(graph.read_bytes(), precision, about["tile"])
    rows = [
        {
            "by": f"TensorRT {trt.__version__}, network alone",
            "model": about["model"],
            "precision": precision,
            "size": int(size),
            "tiles": count,
            "ms": summary(time(engine, -(-count // BATCH))),
        }
        for size, count in about["counts"].items()
    ]
    gpu = {"name": cuda.Device(0).name()}
    result.write_text(json.dumps({"bench": "TensorRT 8.6", "machine": {"gpu": gpu}, "rows": rows}, indent=1) + "\n")


def build(data: bytes, precision: str, tile: int) -> Any:
    """Return the engine for one batch, half inputs and outputs as the package's engines have."""
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(data):
        raise SystemExit(f"TensorRT {trt.__version__} cannot read the graph: {parser.get_error(0).desc()}")
    config = builder.create_builder_config()
    config.set_flag(trt.BuilderFlag.FP16)
    if precision == "int8":
        config.set_flag(trt.BuilderFlag.INT8)
    profile = builder.create_optimization_profile()
    source = network.get_input(0)
    shape = (BATCH, source.shape[1], tile, tile)
    profile.set_shape(source.name, shape, shape, shape)
    config.add_optimization_profile(profile)
    for tensor in (source, network.get_output(0)):
        tensor.dtype = trt.float16
        tensor.allowed_formats = 1 << int(trt.TensorFormat.LINEAR)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise SystemExit(f"TensorRT {trt.__version__} builds no engine for this GPU")
    return trt.Runtime(logger).deserialize_cuda_engine(plan)


def time(engine: Any, batches: int) -> list[float]:
    """Return the milliseconds of each frame's batches, by events on one stream."""
    context = engine.create_execution_context()
    stream, start, end = cuda.Stream(), cuda.Event(), cuda.Event()
    memory = []
    for k in range(engine.num_io_tensors):
        name = engine.get_tensor_name(k)
        if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT:
            context.set_input_shape(name, engine.get_tensor_profile_shape(name, 0)[1])
        memory.append(cuda.to_device(np.zeros(tuple(context.get_tensor_shape(name)), np.float16)))
        context.set_tensor_address(name, int(memory[-1]))
    times = []
    for _ in range(WARM_UP + FRAMES):
        start.record(stream)
        for _ in range(batches):
            if not context.execute_async_v3(stream.handle):
                raise SystemExit("the engine does not run")
        end.record(stream)
        end.synchronize()
        times.append(start.time_till(end))
    return times[WARM_UP:]


def summary(times: list[float]) -> dict[str, float]:
    """Return the count and percentiles."""
    percentiles = {f"p{q:g}": float(np.percentile(times, q)) for q in (50, 90, 99, 99.9)}
    return {"n": len(times), "min": min(times), **percentiles, "max": max(times)}


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
