"""A slice from pixels to pixels, beside what a user would take instead: ``python -m acutance.bench slice``."""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from .. import model as models
from ..enhancer import Enhancer
from ..errors import BackendError
from ..geometry import Frame
from . import record

SIZES = (512, 2048)
FLOOR = "onnxruntime, whole picture"
OURS = "acutance"
MONAI = "MONAI sliding window"
COMMAND = "command to file"

OVER_FLOOR, OVER_OURS, PEAK_MB, START_MS = 1.15, 1.8, 700.0, 1500.0
"""What is wanted: our time over the floor's at most, MONAI's over ours at least, peak memory, command to file."""


def picture(size: int, modality: str) -> Frame:
    """Return a noisy phantom of discs, ``[size, size]`` uint16, with the value range a scanner gives."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size] / size
    values = np.zeros((size, size))
    for _ in range(40):
        cy, cx, r = (*rng.uniform(0.1, 0.9, 2), rng.uniform(0.02, 0.2))
        values[(y - cy) ** 2 + (x - cx) ** 2 < r * r] += rng.uniform(100, 700)
    values += rng.normal(1000, 12, values.shape)
    pixels = values.clip(0, 4095).astype(np.uint16)
    return Frame(pixels, modality=modality, spacing=(0.7, 0.7), intercept=-1024.0, value_range=(-1024.0, 3071.0))


def _floor(model: models.Model, seen: NDArray[np.float32], threads: int) -> Callable[[], object]:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(model.data, options, providers=["CPUExecutionProvider"])
    name = model.meta.inputs[0].name
    return lambda: session.run(None, {name: seen})


def as_torch(model: models.Model) -> Any:
    """Return a chain of 3x3 convolutions and ReLUs (all that `rt` is) with the weights of an ONNX model.

    Returns
    -------
    torch.nn.Sequential
    """
    import onnx
    import torch

    graph = onnx.load_from_string(model.data).graph
    weights = {w.name: torch.from_numpy(onnx.numpy_helper.to_array(w).copy()) for w in graph.initializer}
    layers: list[torch.nn.Module] = []
    for node in graph.node:
        if node.op_type == "Conv":
            kernel, *bias = (weights[name] for name in node.input[1:])
            conv = torch.nn.Conv2d(kernel.shape[1], kernel.shape[0], kernel.shape[2], padding="same", bias=bool(bias))
            conv.load_state_dict({"weight": kernel, **({"bias": bias[0]} if bias else {})})
            layers.append(conv)
        elif node.op_type == "Relu":
            layers.append(torch.nn.ReLU())
        else:
            raise SystemExit(
                f"bench slice: {model.meta.name} has a {node.op_type}, which this comparison does not know"
            )
    return torch.nn.Sequential(*layers).eval()


def _torch(model: models.Model, seen: NDArray[np.float32], threads: int) -> dict[str, Callable[[], object]]:
    """Return the same weights in torch: the whole picture, and MONAI's sliding window where it is installed."""
    try:
        import torch

        network = as_torch(model)
    except ImportError:
        return {}
    torch.set_num_threads(threads)
    shuffle = torch.nn.PixelShuffle(model.meta.scale)
    x = torch.from_numpy(seen)

    @torch.inference_mode()
    def whole() -> object:
        return shuffle(network(x))

    calls: dict[str, Callable[[], object]] = {"torch, whole picture": whole}
    try:
        from monai.inferers.utils import sliding_window_inference
    except ImportError:
        return calls

    @torch.inference_mode()
    def windows() -> object:
        # What a user of MONAI writes: tiles of 128 with the default overlap of a quarter, Gaussian weights.
        return sliding_window_inference(
            x, (128, 128), 4, lambda tile: shuffle(network(tile)), overlap=0.25, mode="gaussian"
        )

    calls[MONAI] = windows
    return calls


def _opencv(pixels: NDArray[np.uint16], scale: int, threads: int) -> dict[str, Callable[[], object]]:
    try:
        import cv2
    except ImportError:
        return {}
    cv2.setNumThreads(threads)
    size = (pixels.shape[1] * scale, pixels.shape[0] * scale)
    return {"OpenCV cubic (no network)": lambda: cv2.resize(pixels, size, interpolation=cv2.INTER_CUBIC)}


def compare(name: str, size: int, repeats: int, threads: int) -> list[dict[str, Any]]:
    """Time one model on one square picture, ours and the rivals in turn.

    Returns
    -------
    list of dict
        One row for each way: ``model``, ``size``, ``way``, ``ms`` (see :func:`record.summary`) and ``ratio`` (median
        over rounds of its time over our time in the same round).
    """
    model = models.load(name)
    frame = picture(size, model.meta.modalities[0])
    low, high, _ = model.range_of(frame)
    gain, bias = models.affine(frame, low, high)
    seen = (frame.pixels.astype(np.float32) * np.float32(gain) + np.float32(bias))[None, None]
    enhancer = Enhancer(model, threads=threads)
    if (fell_back := enhancer.run(frame).fell_back) is not None:
        raise SystemExit(f"bench slice: {name} fell back: {fell_back}")
    calls: dict[str, Callable[[], object]] = {
        FLOOR: _floor(model, seen, threads),
        OURS: lambda: enhancer.run(frame),
        **_torch(model, seen, threads),
        **_opencv(frame.pixels, model.meta.scale, threads),
    }
    times = record.interleaved(calls, repeats)
    ours = np.array(times[OURS])
    return [
        {
            "model": name,
            "size": size,
            "way": way,
            "ms": record.summary(samples),
            "ratio": float(np.median(np.array(samples) / ours)),
        }
        for way, samples in times.items()
    ]


PEAK = """
import re, sys
import numpy as np
from acutance import Enhancer
size, name = int(sys.argv[1]), sys.argv[2]
pixels = np.full((size, size), 1000, np.uint16)
pixels[::3, ::5] = 1300
result = Enhancer(name, threads=2).run(pixels, modality=sys.argv[3])
assert result.fell_back is None, result.fell_back
# Not getrusage: its peak also counts the process that this one was forked from.
print(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
"""


def peak_memory(name: str, size: int) -> float:
    """Return the peak memory in MB of a fresh process that enhances one ``[size, size]`` uint16 picture."""
    modality = models.load(name).meta.modalities[0]
    command = [sys.executable, "-c", PEAK, str(size), name, modality]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout) / 1000


COMMAND_LINE = "from acutance.cli import main; main()"
"""What the installed script ``acutance`` runs."""


def command_to_file(example: Path, repeats: int) -> dict[str, Any]:
    """Time ``acutance enhance`` on one file, each time in a fresh process, from its start to its end.

    The first call, which reads the programs from the disk, does not count.

    Returns
    -------
    dict
        ``way``, ``input``, and ``ms`` and ``cpu_ms`` (see :func:`record.summary`): wall time, and processor time of all
        threads, which other processes on the machine do not lengthen.

    Raises
    ------
    BackendError
        The command failed.
    """
    wall, cpu = [], []
    with tempfile.TemporaryDirectory() as folder:
        for i in range(repeats + 1):
            target = Path(folder, f"{i}{example.suffix}")
            command = [sys.executable, "-c", COMMAND_LINE, "enhance", str(example), "-o", str(target)]
            before, started = resource.getrusage(resource.RUSAGE_CHILDREN), perf_counter()
            done = subprocess.run(command, capture_output=True, text=True)
            wall.append(1000 * (perf_counter() - started))
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu.append(1000 * (after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime))
            if done.returncode or not target.is_file():
                last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
                raise BackendError(f"`acutance enhance` failed: {last}", example)
    return {
        "way": COMMAND,
        "input": example.name,
        "ms": record.summary(wall[1:]),
        "cpu_ms": record.summary(cpu[1:]),
    }


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m acutance.bench slice", description=__doc__)
    parser.add_argument("--models", default=",".join(models.names()), help="comma-separated names")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="sides of the square pictures")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--memory", type=int, default=4096, help="side of the picture whose peak memory is measured")
    parser.add_argument("--example", type=Path, default=Path("examples/ct-abdomen.dcm"), help="file for `enhance`")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args(arguments)
    about, rows = record.machine(), []
    table = Table("model", "size", "way", "ms (median)", "time over ours", title="A slice, pixels to pixels")
    for name in filter(None, asked.models.split(",")):
        for size in map(int, asked.sizes.split(",")):
            found = compare(name, size, asked.repeats, asked.threads)
            for row in found:
                table.add_row(name, str(size), row["way"], f"{row['ms']['p50']:.1f}", f"{row['ratio']:.2f}")
            rows += found
        megabytes = peak_memory(name, asked.memory)
        rows.append({"model": name, "size": asked.memory, "way": OURS, "peak_mb": megabytes})
        table.add_row(name, str(asked.memory), f"{OURS}, peak memory {megabytes:.0f} MB", "", "")
    row = command_to_file(asked.example, asked.repeats)
    rows.append(row)
    cpu = f"{row['cpu_ms']['p50']:.0f} ms of processor time"
    table.add_row("auto", row["input"], f"{COMMAND}, {cpu}", f"{row['ms']['p50']:.0f}", "")
    Console().print(table)
    if asked.json:
        record.write(asked.json, "slice", rows, about)
