"""A picture in, a sharper picture out.

>>> Enhancer(model="base").run(picture).pixels
"""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import functools
import importlib.metadata
import logging
import os
import threading
import time
from typing import Literal

import numpy as np

from . import backends, ops, tiling
from . import model as models
from .errors import BackendError, InputError, UsageError
from .geometry import SCALES, Array, Derivation, Frame, refined_spacing

log = logging.getLogger(__name__)

IN_FLIGHT = 2
"""Pictures that :meth:`Enhancer.submit` takes before it waits."""

FEATHER_TILE = 256
"""Side of feathered tiles when none is asked for: where they lie changes the picture, so no backend may choose it."""


@dataclasses.dataclass(frozen=True, eq=False)
class Result:
    """An enhanced picture and how it was made.

    Attributes
    ----------
    frame : Frame
        The enlarged picture, with its new spacing and its ``derivation``.
    milliseconds : float
        From the call to the pixels, reading and writing of files not included.
    warnings : tuple of str
        What the user should know: a picture outside what the model was trained for, a range from this picture alone.
    """

    frame: Frame
    milliseconds: float
    warnings: tuple[str, ...] = ()

    @property
    def pixels(self) -> Array:
        """``[rows * s, cols * s]`` or ``[rows * s, cols * s, 3]`` in the dtype of the input: stored values."""
        return self.frame.pixels

    @property
    def _derivation(self) -> Derivation:
        assert self.frame.derivation is not None
        return self.frame.derivation

    @property
    def model(self) -> str:
        """Name of the model, ``"base"`` without a network."""
        return self._derivation.model

    @property
    def backend(self) -> str:
        """What ran the model, ``"base"`` without a network."""
        return self._derivation.backend

    @property
    def fell_back(self) -> str | None:
        """Why the picture is the base though a network was asked for; None if it is what was asked for."""
        return self._derivation.fell_back


class Enhancer:
    """Enhances pictures with one setting.

    Parameters
    ----------
    model : str, path or Model
        ``"auto"`` (the shipped default for each picture's modality), a shipped name, a path ending in ``.onnx``, a
        loaded model, or ``"base"`` (no network).
    backend : str
        ``"auto"`` or one of :func:`acutance.backends.available`.
    scale : int, optional
        2, 3 or 4; the model's own, or 2, when not given.
    tile : int, optional
        Side in input pixels that the network sees, halo included; chosen by the backend when not given.
    stitch : {"exact", "feather"}
        Whether tiles overlap by the whole receptive field, or by less and are blended.
    guard : {"box", "none"}, optional
        Make every ``s x s`` block of the result average to its input pixel; as the model says when not given.
    strict : bool
        Give a picture outside what the model was trained for its base instead of a warning.
    threads : int
        CPU threads; 0: as many as the process may use.

    Raises
    ------
    UsageError
        The settings contradict each other.
    ModelError
        The model cannot be loaded.

    Notes
    -----
    :meth:`run` may be called from several threads.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | models.Model = "auto",
        backend: str = "auto",
        *,
        scale: int | None = None,
        tile: int | None = None,
        stitch: Literal["exact", "feather"] = "exact",
        guard: Literal["box", "none"] | None = None,
        strict: bool = False,
        threads: int = 0,
    ) -> None:
        if scale is not None and scale not in SCALES:
            raise UsageError(f"scale {scale} is not one of {', '.join(map(str, SCALES))}")
        if stitch not in ("exact", "feather"):
            raise UsageError(f"stitch '{stitch}' is neither exact nor feather")
        if guard not in (None, "box", "none"):
            raise UsageError(f"guard '{guard}' is neither box nor none")
        if backend != "auto" and backend not in backends.available():
            raise UsageError(f"no backend is named '{backend}'; there are: auto, {', '.join(backends.available())}")
        self._auto = model == "auto"
        self._model: models.Model | None = None
        if isinstance(model, models.Model):
            self._model = model
        elif model not in ("auto", "base"):
            self._model = models.load(model)
        if self._model is not None:
            own = self._model.meta.scale
            if scale not in (None, own):
                raise UsageError(f"model {self._model.meta.name} enlarges by {own}, not by {scale}")
            scale = own
        self.scale = scale or 2
        self.tile = tile
        self.stitch = stitch
        self.guard = guard
        self.strict = strict
        self.threads = threads
        self._backend_name = backend
        self._backends: dict[str, backends.Backend] = {}
        self._lock = threading.Lock()
        self._stream: concurrent.futures.ThreadPoolExecutor | None = None
        self._pending: collections.deque[concurrent.futures.Future[Result]] = collections.deque()
        self._slots = threading.BoundedSemaphore(IN_FLIGHT)

    def run(
        self, picture: Frame | Array, modality: str | None = None, spacing: tuple[float, float] | None = None
    ) -> Result:
        """Enhance one picture.

        Parameters
        ----------
        picture : Frame or ndarray
            ``[rows, cols]`` or ``[rows, cols, 3]`` of uint8, int16, uint16 or float32.
        modality : str, optional
            DICOM modality code; in place of the Frame's own. Arrays of CT are taken as HU.
        spacing : (float, float), optional
            Millimetres between rows and between columns; in place of the Frame's own.

        Raises
        ------
        InputError
            The picture has a wrong dtype or shape, or values that its BitsStored do not hold.
        """
        started = time.perf_counter()
        frame = _as_frame(picture, modality, spacing)
        model, derivation, warnings = self._decide(frame)
        pixels, derivation = self._enhance(frame, model, derivation)
        mask = None if frame.mask is None else frame.mask.repeat(self.scale, 0).repeat(self.scale, 1)
        enlarged = dataclasses.replace(
            frame,
            pixels=pixels,
            mask=mask,
            spacing=None if frame.spacing is None else refined_spacing(frame.spacing, self.scale),
            derivation=derivation,
        )
        return Result(enlarged, 1000 * (time.perf_counter() - started), warnings)

    def derivation(self, picture: Frame) -> Derivation:
        """Return how :meth:`run` would make its result, should nothing fail on the way."""
        return self._decide(picture)[1]

    def submit(
        self, picture: Frame | Array, modality: str | None = None, spacing: tuple[float, float] | None = None
    ) -> None:
        """Hand in the next picture of a stream; waits while two are under way. See :meth:`run`."""
        self._slots.acquire()
        if self._stream is None:
            self._stream = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="acutance")
        self._pending.append(self._stream.submit(self.run, picture, modality, spacing))

    def result(self) -> Result:
        """Return the result of the oldest picture handed in, waiting for it.

        Raises
        ------
        UsageError
            Nothing was handed in.
        """
        if not self._pending:
            raise UsageError("result() without a submit() before it")
        try:
            return self._pending.popleft().result()
        finally:
            self._slots.release()

    def close(self) -> None:
        """End the stream and give back what the backends hold."""
        if self._stream is not None:
            self._stream.shutdown(cancel_futures=True)
        for backend in self._backends.values():
            backend.close()
        self._backends.clear()

    def __enter__(self) -> Enhancer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _decide(self, frame: Frame) -> tuple[models.Model | None, Derivation, tuple[str, ...]]:
        """Choose model, range and guard for a picture; no pixel is computed."""
        software = _software()
        model, fell_back, warnings = self._model, None, []
        if self._auto:
            model = models.choose(frame.modality, self.scale)
            if model is None:
                fell_back = f"no model enlarges {frame.modality} by {self.scale}"
        base = Derivation(
            "base", software, "", "fp32", "base", self.scale, "cubic", self.guard or "none", software=software
        )
        if model is None:
            return None, dataclasses.replace(base, fell_back=fell_back), ()
        base = dataclasses.replace(base, base=model.meta.base, guard=self.guard or model.meta.guard)
        unfit = model.unfit(frame)
        if unfit and self.strict:
            return None, dataclasses.replace(base, fell_back=unfit), ()
        if unfit:
            warnings.append(unfit)
        low, high, origin = model.range_of(frame)
        if models.affine(frame, low, high)[0] == 0:
            return None, dataclasses.replace(base, fell_back="its values have no range"), tuple(warnings)
        if origin == "picture":
            warnings.append("value range from this picture alone")
        tile, overlap = self._feather(model)
        derivation = dataclasses.replace(
            base,
            model=model.meta.name,
            version=model.meta.version,
            sha256=model.sha256,
            precision=model.meta.precision,
            backend="onnxruntime" if self._backend_name == "auto" else self._backend_name,
            stitch=self.stitch,
            tile=tile,
            overlap=overlap,
            low=low,
            high=high,
            range_from=origin,
        )
        return model, derivation, tuple(warnings)

    def _enhance(self, frame: Frame, model: models.Model | None, derivation: Derivation) -> tuple[Array, Derivation]:
        task = self._task(frame, derivation)
        if model is None:
            return task.assemble(None, self.threads)[0], derivation
        try:
            backend = self._open(model)
            gain, bias = models.affine(frame, derivation.low, derivation.high)
            plan = self._plan(frame, model, backend, derivation)
            pixels, nonfinite = backend.enhance(dataclasses.replace(task, plan=plan, gain=gain, bias=bias))
        except BackendError as e:
            reason = str(e)
        else:
            if nonfinite == 0:
                return pixels, derivation
            reason = f"{model.meta.name} gave {nonfinite} values that are not finite"
        log.warning("%s; the picture is its base", reason)
        fallen = dataclasses.replace(
            derivation, model="base", backend="base", sha256="", version=derivation.software, fell_back=reason
        )
        return task.assemble(None, self.threads)[0], fallen

    def _task(self, frame: Frame, derivation: Derivation) -> backends.Task:
        missing = frame.missing()
        # The core takes rows of neighbouring samples in the machine's own byte order.
        pixels = np.ascontiguousarray(frame.pixels, frame.pixels.dtype.newbyteorder("="))
        padding = 0.0
        if missing is not None:
            pixels = ops.fill(pixels, missing, threads=self.threads)
            if missing.all() and pixels.dtype.kind == "f":
                pixels = np.zeros_like(pixels)
            padding = _padding_value(frame, pixels)
        low, high = frame.limits
        return backends.Task(
            pixels=pixels,
            plan=self._whole(frame),
            gain=0.0,
            bias=0.0,
            base=derivation.base,
            guard=derivation.guard == "box",
            low=low,
            high=high,
            mask=missing,
            padding=padding,
        )

    def _whole(self, frame: Frame) -> tiling.Plan:
        return tiling.plan(frame.rows, frame.cols, (frame.rows, frame.cols), 0, self.scale)

    def _feather(self, model: models.Model) -> tuple[int, int]:
        """Return tile and overlap of feathered stitching: half the extra pixels of exact stitching."""
        if self.stitch == "exact" or model.meta.halo is None:
            return 0, 0
        return self.tile or FEATHER_TILE, -(-model.meta.halo // 2)

    def _plan(
        self, frame: Frame, model: models.Model, backend: backends.Backend, derivation: Derivation
    ) -> tiling.Plan:
        radius = model.meta.halo
        asked = derivation.tile or self.tile
        if asked and asked % model.meta.multiple_of:
            raise UsageError(f"tile {asked} is not a multiple of {model.meta.multiple_of}, as {model.meta.name} wants")
        if radius is None:
            if self.tile is not None or self.stitch == "feather":
                raise UsageError(f"{model.meta.name} sees the whole picture at once and cannot be tiled")
            return self._whole(frame)
        if derivation.overlap:
            halo = -(-radius // 4)
            return tiling.plan(frame.rows, frame.cols, derivation.tile, halo, self.scale, derivation.overlap)
        tile = self.tile or backend.tile_for(frame.rows, frame.cols, radius)
        return tiling.plan(frame.rows, frame.cols, tile, radius, self.scale)

    def _open(self, model: models.Model) -> backends.Backend:
        with self._lock:
            if model.sha256 not in self._backends:
                self._backends[model.sha256] = backends.open_backend(self._backend_name, model, self.threads)
            return self._backends[model.sha256]


@functools.cache
def _software() -> str:
    """Return the package's version; to look it up takes longer than to plan a picture."""
    return importlib.metadata.version("acutance")


def _as_frame(picture: Frame | Array, modality: str | None, spacing: tuple[float, float] | None) -> Frame:
    if not isinstance(picture, Frame):
        picture = Frame(np.asarray(picture))
    changes: dict[str, object] = {}
    if modality is not None:
        changes["modality"] = modality
    if spacing is not None:
        changes["spacing"] = (float(spacing[0]), float(spacing[1]))
    frame = dataclasses.replace(picture, **changes) if changes else picture  # type: ignore[arg-type]
    low, high = frame.limits
    if frame.bits_stored is not None and frame.pixels.dtype.kind != "f":
        smallest, largest = int(frame.pixels.min()), int(frame.pixels.max())
        if smallest < low or largest > high:
            path = frame.source.path if frame.source else None
            raise InputError(f"values {smallest} to {largest} do not fit {frame.bits_stored} bits stored", path)
    return frame


def _padding_value(frame: Frame, filled: Array) -> float:
    """Return what stands in the output where a sample is missing: padding, NaN in float pictures, else black."""
    if frame.padding is not None:
        return float(frame.padding[0])
    if frame.pixels.dtype.kind == "f":
        return float("nan")
    return float(filled.max() if frame.inverted else filled.min())
