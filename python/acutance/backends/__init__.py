"""What runs a model: one protocol, found by name.

``onnxruntime`` is built in. Others (``tensorrt``, ``torch``) announce themselves under the entry point group
``acutance.backends`` as a callable ``(model, threads, gpu) -> Backend``.
"""

from __future__ import annotations

import abc
import collections
import dataclasses
import importlib.metadata
import logging
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import model as models
from .. import ops, tiling
from ..errors import BackendError, UsageError
from ..geometry import Array
from ..model import Metadata, Model
from .settings import GpuSettings

log = logging.getLogger(__name__)

GROUP = "acutance.backends"

MARGIN = 1.1
"""How many times faster int8 must be to be worth what it loses."""

STAGES = ("copy_in", "gather", "network", "assemble", "copy_out")
"""What a frame goes through, in this order; a backend without copies lacks the first and the last."""


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
    """One picture and all that shapes its result.

    Attributes
    ----------
    pixels : ndarray
        ``[rows, cols]`` or ``[rows, cols, 3]``, uint8, int16, uint16 or float32, nothing missing.
    plan : tiling.Plan
    gain, bias : float
        ``gain * stored + bias`` is what the network sees.
    base : str
        ``"cubic"`` or ``"lanczos4"``.
    guard : bool
        Make every ``s x s`` block average to its input pixel.
    low, high : float
        Smallest and largest stored value allowed.
    mask : ndarray of bool or None
        ``[rows, cols]``, True where the output is ``padding``.
    padding : float
    beside : dict of ndarray
        What the network sees beside the picture, by the role of the input; an input that is not there is zeros.
        ``guide``: ``[rows * s, cols * s]`` of float32 as the network sees it. ``lr_previous`` and ``previous``: stored
        values of the picture before, nothing missing, and of its result. ``state``: ``[1, C, h, w]``.
    """

    pixels: Array
    plan: tiling.Plan
    gain: float
    bias: float
    base: str
    guard: bool
    low: float
    high: float
    mask: NDArray[np.bool_] | None = None
    padding: float = 0.0
    beside: Mapping[str, Array] = dataclasses.field(default_factory=dict)

    def assemble(self, residual: Array | None, threads: int, **streaming: Any) -> tuple[Array, int]:
        """Turn residual tiles (None: the base alone) into output pixels; see :func:`acutance.ops.assemble`."""
        return ops.assemble(
            residual,
            self.pixels,
            self.plan,
            gain=self.gain,
            base=self.base,
            guard=self.guard,
            low=self.low,
            high=self.high,
            mask=self.mask,
            padding=self.padding,
            threads=threads,
            **streaming,
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Made:
    """What a backend makes of a picture.

    Attributes
    ----------
    pixels : ndarray
        The output in the dtype of the input.
    nonfinite : int
        Whether, or how many, samples were not finite.
    lower, upper : ndarray or None
        As ``pixels``: between them the true value lies in 90 of 100 cases, and ``pixels`` always. Of models that have
        the quantiles ``q05`` and ``q95``.
    state : ndarray or None
        ``[1, C, h, w]`` for the next picture, of models that have it.
    """

    pixels: Array
    nonfinite: int
    lower: Array | None = None
    upper: Array | None = None
    state: Array | None = None


class Notes:
    """What did not go as planned: each thing counted by its kind, and logged the first time.

    Attributes
    ----------
    counters : Counter of str
    """

    def __init__(self) -> None:
        self.counters: collections.Counter[str] = collections.Counter()
        self._said: set[str] = set()

    def add(self, kind: str, message: str) -> None:
        """Count one, and log a message that was not logged before."""
        self.counters[kind] += 1
        if message not in self._said:
            self._said.add(message)
            log.warning("%s", message)


class Backend(abc.ABC):
    """Runs one model on pictures of any size.

    Attributes
    ----------
    name : str
    threads : int
        0: as many as the process may use.
    notes : Notes
    engine_key : str
        What the engine store calls the engine that ran last; empty where there is none.
    """

    name: str
    threads: int = 0

    def __init__(self) -> None:
        self.notes = Notes()
        self.engine_key = ""

    @abc.abstractmethod
    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run the network once: tensors ``[N, C, h, w]`` by input name to tensors by output name.

        Raises
        ------
        BackendError
        """

    @abc.abstractmethod
    def tile_for(self, rows: int, cols: int, halo: int) -> tuple[int, int]:
        """Choose the tile (rows, columns, halo included) that is fastest for a picture of this size."""

    @abc.abstractmethod
    def enhance(self, task: Task) -> Made:
        """Enhance one picture.

        Raises
        ------
        BackendError
        """

    def begin(self, task: Task) -> Callable[[], Made]:
        """Start on a picture; return what waits for it and gives what :meth:`enhance` gives.

        A backend that works on the calling thread's time does all of it at once.
        """
        done = self.enhance(task)
        return lambda: done

    def stage_times(self) -> dict[str, float] | None:
        """Return milliseconds of the :data:`STAGES` of the last picture that was waited for; None before the first."""
        return None

    def close(self) -> None:  # noqa: B027  (most backends hold nothing)
        """Give back what the backend holds."""


def available() -> list[str]:
    """Return the names of the backends that can be asked for on this machine."""
    return ["onnxruntime", *sorted(e.name for e in importlib.metadata.entry_points(group=GROUP))]


def order(name: str, gpu: GpuSettings) -> list[str]:
    """Return the backends to try, the first one first.

    Parameters
    ----------
    name : str
        One of :func:`available`, or ``"auto"``: ``tensorrt`` where a GPU and TensorRT are found.
    gpu : GpuSettings
    """
    if name == "auto":
        name = "onnxruntime"
        if "tensorrt" in available():
            from . import tensorrt

            if not tensorrt.absent(gpu.engine.flavour):
                name = "tensorrt"
    return list(dict.fromkeys([name, "onnxruntime"]))


def file_for(name: str, model: Model, gpu: GpuSettings) -> Model:
    """Return the file of a model that a backend runs: for ``tensorrt`` in the precision that is set, if it is shipped.

    Raises
    ------
    ModelError
        The model comes with the package, but not in that precision.
    """
    return models.variant(model, gpu.engine.model_precision) if name == "tensorrt" else model


def quicker_on_gpu(model: Model, shape: tuple[int, int], gpu: GpuSettings) -> GpuSettings:
    """Return settings with int8 where `acutance bench engines` found it to be faster for pictures of ``shape``.

    A precision that the user has set stays.
    """
    if "precision" in gpu.engine.model_fields_set:
        return gpu
    from .tensorrt import measured

    usual, eight = (measured(model, shape, precision, gpu) for precision in (gpu.engine.precision, "int8"))
    if usual is None or eight is None or usual < MARGIN * eight:
        return gpu
    return gpu.model_copy(update={"engine": gpu.engine.model_copy(update={"precision": "int8"})})


def open_backend(name: str, model: Model, threads: int = 0, gpu: GpuSettings | None = None) -> Backend:
    """Start a backend for one model.

    Parameters
    ----------
    name : str
        One of :func:`available`, or ``"auto"``; see :func:`order`.
    model : Model
        As :func:`file_for` gives it.
    threads : int
        0: as many as the process may use.
    gpu : GpuSettings, optional

    Raises
    ------
    UsageError
        No backend has that name.
    BackendError
        It cannot start.
    """
    gpu = gpu or GpuSettings()
    name = order(name, gpu)[0]
    if name == "onnxruntime":
        from .onnxruntime import OnnxRuntime

        return OnnxRuntime(model, threads)
    for entry in importlib.metadata.entry_points(group=GROUP):
        if entry.name == name:
            try:
                start = entry.load()
            except ImportError as e:
                raise BackendError(f"backend '{name}' needs a package that is not installed ({e})") from None
            backend: Backend = start(model, threads, gpu)
            return backend
    raise UsageError(f"no backend is named '{name}'; there are: auto, {', '.join(available())}")


def check_plain(meta: Metadata) -> None:
    """Raise BackendError unless a model makes one residual of one picture."""
    more = [i.role for i in meta.inputs if i.role != "lr"] + [o.role for o in meta.outputs if o.role != "residual"]
    if more:
        raise BackendError(
            f"{meta.name} has {', '.join(dict.fromkeys(more))} beside picture and residual; only onnxruntime runs that"
        )
