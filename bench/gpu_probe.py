"""Whether TensorRT builds and runs an engine on this GPU at all.

Builds a model for the GPU that is here and, where TensorRT-RTX refuses that, for SM80; runs what was built on random
tiles, and compares with ONNX Runtime. The exit status is 0 when an engine for this GPU gave the right answer.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from .. import model
from ..errors import AcutanceError
from ..trt_engines import build, device, flavour
from ..trt_engines.options import Options

TOLERANCE = 1e-3
"""Largest difference to ONNX Runtime that counts as the same answer; residuals are some hundredths."""


def main(arguments: list[str] | None = None) -> int:
    """Print one line for each attempt; write them as JSON, too."""
    parser = argparse.ArgumentParser(prog="python -m acutance.bench.gpu_probe", description=__doc__)
    parser.add_argument("--model", default="ct-rt-x2")
    parser.add_argument("--json", type=Path, required=True)
    options = parser.parse_args(arguments)
    here = device.current()
    trt = flavour.load()
    found = model.load(options.model)
    attempts = [attempt(found, here, trt)]
    if not attempts[0]["right"] and trt.name == "rtx":
        attempts.append(attempt(found, device.target("sm80"), trt))
    where = f"{flavour.title(trt.name)} {trt.version} on {here.name} ({here.sm})"
    for each in attempts:
        print(f"{where}, engine for {each['for']}: {each['said']}")
    about = {"flavour": trt.name, "version": trt.version, "device": here.model_dump(), "rows": attempts}
    options.json.write_text(json.dumps({"bench": "engine", **about}, indent=1) + "\n", encoding="utf-8")
    return 0 if attempts[0]["right"] else 3


def attempt(found: model.Model, target: device.Device, trt: flavour.Flavour) -> dict[str, Any]:
    """Build for ``target`` and run on the GPU that is here; what goes wrong is said, not raised."""
    row: dict[str, Any] = {"for": target.sm, "built": False, "ran": False, "right": False}
    tile, batch = 128, 4
    try:
        made = build.build(found, Options(precision="fp32", tile=tile, batches=(batch,)), target, flavour=trt)
        row |= {"built": True, "build_seconds": round(made.seconds, 2)}
        tiles = np.random.default_rng(0).random((batch, 1, tile, tile), dtype=np.float32)
        session = onnxruntime.InferenceSession(found.data, providers=["CPUExecutionProvider"])
        (wanted,) = session.run(None, {found.meta.inputs[0].name: tiles})
        got = run(made, tiles, np.empty_like(wanted), trt)
    except AcutanceError as e:
        return {**row, "said": e.message}
    difference = float(np.abs(got - wanted).max())
    right = difference <= TOLERANCE
    said = f"{'right' if right else 'wrong'}, largest difference to ONNX Runtime {difference:.1e}"
    return {**row, "ran": True, "right": right, "largest_difference": difference, "said": said}


def run(made: build.Built, tiles: np.ndarray, out: np.ndarray, trt: flavour.Flavour) -> np.ndarray:
    """Run an engine of linear float tensors once.

    Raises
    ------
    BackendError
        The engine does not load or does not run.
    """
    import pycuda.driver as cuda

    from ..errors import BackendError

    context = cuda.Device(0).retain_primary_context()
    context.push()
    try:
        with trt.listen() as messages:
            runtime = trt.trt.Runtime(trt.logger)
            engine = runtime.deserialize_cuda_engine(made.plan)
            if engine is None:
                raise BackendError(f"the engine does not load ({messages.reason()})")
            execution = engine.create_execution_context()
            if execution is None:
                raise BackendError(f"the engine makes no context ({messages.reason()})")
            stream, memory = cuda.Stream(), []
            for tensor, array in zip(made.io, (tiles, out), strict=True):
                memory.append(cuda.to_device(array))
                execution.set_tensor_address(tensor.name, int(memory[-1]))
            execution.set_input_shape(made.io[0].name, tiles.shape)
            if not execution.execute_async_v3(stream.handle):
                raise BackendError(f"the engine does not run ({messages.reason()})")
            stream.synchronize()
            cuda.memcpy_dtoh(out, memory[1])
            return out
    except cuda.Error as e:
        raise BackendError(f"CUDA refuses ({e})") from None
    finally:
        context.pop()


if __name__ == "__main__":
    raise SystemExit(main())
