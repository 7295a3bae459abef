"""One picture and one model, and every way of running the one on the other: ours, and what a user would take instead.

A way is a call from host memory to host memory. What is not installed is left out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import model as models
from ..enhancer import Enhancer
from ..errors import BackendError, ModelError
from ..geometry import Frame
from . import record

Calls = dict[str, Callable[[], object]]

FLOOR = "onnxruntime, whole picture"
OURS = "acutance"
MONAI = "MONAI sliding window"
WARM_UP = 3
"""Runs on a stream of its own before PyTorch may capture a CUDA graph."""


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


@dataclasses.dataclass(frozen=True, eq=False)
class Shown:
    """A model and a picture for it; ``seen`` is what the network sees of it, ``[1, 1, size, size]`` float32."""

    model: models.Model
    frame: Frame
    seen: NDArray[np.float32]

    @classmethod
    def of(cls, model: models.Model, size: int) -> Shown:
        """Make the picture of a model."""
        frame = picture(size, model.meta.modalities[0])
        low, high, _ = model.range_of(frame)
        gain, bias = models.affine(frame, low, high)
        return cls(model, frame, (frame.pixels.astype(np.float32) * np.float32(gain) + np.float32(bias))[None, None])


def ours(enhancer: Enhancer, shown: Shown, backend: str = "onnxruntime") -> Callable[[], object]:
    """Return our whole path, u16 in and u16 out, after a look at what it gives.

    Raises
    ------
    BackendError
        It falls back to the base or to another backend, whose times would pass for its own.
    """
    result = enhancer.run(shown.frame)
    if result.fell_back is not None:
        raise BackendError(f"{shown.model.meta.name} fell back: {result.fell_back}")
    if result.backend != backend:
        why = "; ".join(result.warnings) or "no reason given"
        raise BackendError(f"{shown.model.meta.name} was run by {result.backend}; wanted {backend}: {why}")
    return lambda: enhancer.run(shown.frame)


def onnxruntime(shown: Shown, threads: int, provider: str = "CPUExecutionProvider") -> Callable[[], object]:
    """Return bare ONNX Runtime on the whole picture: float32 in, residual out."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(shown.model.data, options, providers=[provider])
    name = shown.model.meta.inputs[0].name
    return lambda: session.run(None, {name: shown.seen})


def as_torch(model: models.Model) -> Any:
    """Return a chain of 3x3 convolutions and ReLUs (all that `rt` is) with the weights of an ONNX model.

    Returns
    -------
    torch.nn.Sequential

    Raises
    ------
    ModelError
        There is something else in it.
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
            raise ModelError(f"has a {node.op_type}, which the comparison with torch does not know", model.path)
    return torch.nn.Sequential(*layers).eval()


def torch(shown: Shown, threads: int, device: str = "cpu", half: bool = False) -> Calls:
    """Return the same weights in torch, from host memory to host memory: eager, and MONAI's sliding window.

    Parameters
    ----------
    shown : Shown
    threads : int
        On a CPU.
    device : {"cpu", "cuda"}
    half : bool
        Weights and activations in float16, channels last.
    """
    try:
        run = TorchNetwork(shown, threads, device, half)
    except ImportError:
        return {}
    calls: Calls = {"torch, whole picture": run.whole}
    try:
        from monai.inferers.utils import sliding_window_inference
    except ImportError:
        return calls
    # What a user of MONAI writes: tiles of 128 with the default overlap of a quarter, Gaussian weights.
    calls[MONAI] = run.host_to_host(
        lambda x: sliding_window_inference(x, (128, 128), 4, run.step, overlap=0.25, mode="gaussian")
    )
    return calls


class TorchNetwork:
    """A model's weights in torch with pixel shuffle, on a device, and calls from host memory to host memory."""

    def __init__(self, shown: Shown, threads: int, device: str, half: bool) -> None:
        import torch

        self._torch, self._device = torch, device
        if device == "cpu":
            torch.set_num_threads(threads)
        dtype = torch.float16 if half else torch.float32
        layout = torch.channels_last if half else torch.contiguous_format
        network = as_torch(shown.model).to(device=device, dtype=dtype, memory_format=layout)
        self.step = torch.nn.Sequential(network, torch.nn.PixelShuffle(shown.model.meta.scale))
        self._x = torch.from_numpy(shown.seen).to(dtype)
        if device != "cpu":
            self._x = self._x.pin_memory()
        self.whole = self.host_to_host(self.step)

    def host_to_host(self, call: Callable[[Any], Any]) -> Callable[[], object]:
        """Return ``call`` with the copies to and from the device around it; the copy back waits for the result."""

        @self._torch.inference_mode()  # type: ignore[untyped-decorator,unused-ignore]
        def run() -> object:
            return call(self._x.to(self._device, non_blocking=True)).cpu()

        return run

    def compiled(self) -> Callable[[], object]:
        """Return the whole picture through ``torch.compile``; the first call compiles."""
        return self.host_to_host(self._torch.compile(self.step, dynamic=False))

    def graphed(self) -> Callable[[], object]:
        """Return the whole picture through one CUDA graph with both copies in it."""
        torch = self._torch
        stream = torch.cuda.Stream()
        with torch.inference_mode(), torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                y = self.step(self._x.to("cuda", non_blocking=True))
            out = torch.empty_like(y, device="cpu", pin_memory=True)
            x = self._x.to("cuda")
            stream.synchronize()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, stream=stream):
                x.copy_(self._x, non_blocking=True)
                out.copy_(self.step(x), non_blocking=True)

        def run() -> object:
            with torch.cuda.stream(stream):
                graph.replay()
            stream.synchronize()
            return out

        return run


def opencv(shown: Shown, threads: int) -> Calls:
    """Return OpenCV's cubic resize of the stored values."""
    try:
        import cv2
    except ImportError:
        return {}
    cv2.setNumThreads(threads)
    scale, pixels = shown.model.meta.scale, shown.frame.pixels
    size = (pixels.shape[1] * scale, pixels.shape[0] * scale)
    return {"OpenCV cubic (no network)": lambda: cv2.resize(pixels, size, interpolation=cv2.INTER_CUBIC)}


def rows(times: dict[str, list[float]]) -> list[dict[str, Any]]:
    """Return a row for each way that was timed in turn with ours.

    Returns
    -------
    list of dict
        ``way``, ``ms`` (see :func:`record.summary`) and ``ratio``: median over rounds of its time over our time in the
        same round.
    """
    own = np.array(times[OURS])
    return [
        {"way": way, "ms": record.summary(samples), "ratio": float(np.median(np.array(samples) / own))}
        for way, samples in times.items()
    ]
