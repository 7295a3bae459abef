"""A picture in, a sharper picture out.

>>> Enhancer(model="base").run(picture).pixels
"""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import functools
import importlib.metadata
import os
import threading
import time
from collections.abc import Callable
from typing import Literal

from .. import backends, tiling
from .. import model as models
from ..backends.settings import GpuSettings
from ..errors import UsageError
from ..geometry import SCALES, Array, Derivation, Frame, refined_spacing
from .picture import as_frame, task_of, whole
from .result import Result
from .routes import Route, Routes

__all__ = ["FEATHER_TILE", "IN_FLIGHT", "Enhancer", "Result"]

IN_FLIGHT = 2
"""Pictures that :meth:`Enhancer.submit` takes before it waits."""

FEATHER_TILE = 256
"""Side of feathered tiles when none is asked for: where they lie changes the picture, so no backend may choose it."""


class Enhancer:
    """Enhances pictures with one setting.

    Parameters
    ----------
    model : str, path or Model
        ``"auto"`` (the shipped default for each picture's modality), a shipped name, a path ending in ``.onnx``, a
        loaded model, or ``"base"`` (no network).
    backend : str
        ``"auto"`` (``tensorrt`` where a GPU and TensorRT are found, else ``onnxruntime``) or one of
        :func:`acutance.backends.available`.
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
    gpu : GpuSettings, optional
        How backend ``tensorrt`` runs.
    int8 : bool
        Let ``model="auto"`` on a CPU take the 8-bit file of a model where that was measured to be faster on this
        machine; see :mod:`acutance.backends.int8`.

    Raises
    ------
    UsageError
        The settings contradict each other.
    ModelError
        The model cannot be loaded.

    Notes
    -----
    :meth:`run` may be called from several threads. A backend that cannot start or fails gives way to ``onnxruntime``,
    and that to the base; so does one whose network gives values that are not finite. Each result says what made it, and
    :attr:`counters` how often that happened.
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
        gpu: GpuSettings | None = None,
        int8: bool = False,
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
            if guard == "box" and self._model.meta.denoises:
                raise UsageError(
                    f"model {self._model.meta.name} takes noise away, which the guard puts back; leave it out"
                )
            scale = own
        self.scale = scale or 2
        self.tile = tile
        self.stitch = stitch
        self.guard = guard
        self.strict = strict
        self.threads = threads
        self.gpu = gpu or GpuSettings()
        if tile is not None:
            self.gpu = self.gpu.model_copy(update={"engine": self.gpu.engine.model_copy(update={"tile": tile})})
        self.int8 = int8
        self._routes = Routes(backend, threads, self.gpu, int8 and self._auto)
        self._stream: concurrent.futures.ThreadPoolExecutor | None = None
        self._pending: collections.deque[concurrent.futures.Future[Callable[[], Result]]] = collections.deque()
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
        return self._begin(picture, modality, spacing)()

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
        self._pending.append(self._stream.submit(self._begin, picture, modality, spacing))

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
            return self._pending.popleft().result()()
        finally:
            self._slots.release()

    @property
    def counters(self) -> collections.Counter[str]:
        """How often something did not go as planned, by what it was; see ``docs/gpu.md``."""
        return self._routes.counters

    def stage_times(self) -> dict[str, float] | None:
        """Return milliseconds of each stage of a network's last picture, as its backend measured them.

        None before the first one, and where a backend measures nothing; see :data:`acutance.backends.STAGES`.
        """
        last = self._routes.last
        return None if last is None else last.stage_times()

    @property
    def engine_key(self) -> str:
        """Key in the engine store of what ran the last network; empty where it was no engine."""
        last = self._routes.last
        return "" if last is None else last.engine_key

    def close(self) -> None:
        """End the stream and give back what the backends hold."""
        if self._stream is not None:
            self._stream.shutdown(cancel_futures=True)
        self._routes.close()

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
            "base",
            software,
            "",
            "fp32",
            "base",
            self.scale,
            "cubic",
            self.guard or "none",
            software=software,
            mended=frame.mended,
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
            self._routes.of(model)[0].named_in(base),
            stitch=self.stitch,
            tile=tile,
            overlap=overlap,
            low=low,
            high=high,
            range_from=origin,
        )
        return model, derivation, tuple(warnings)

    def _begin(
        self, picture: Frame | Array, modality: str | None, spacing: tuple[float, float] | None
    ) -> Callable[[], Result]:
        """Start on a picture; return what waits for its result."""
        started = time.perf_counter()
        frame = as_frame(picture, modality, spacing)
        model, derivation, warnings = self._decide(frame)
        finish = self._enhance(frame, model, derivation)

        def result() -> Result:
            pixels, made, more = finish()
            mask = None if frame.mask is None else frame.mask.repeat(self.scale, 0).repeat(self.scale, 1)
            enlarged = dataclasses.replace(
                frame,
                pixels=pixels,
                mask=mask,
                spacing=None if frame.spacing is None else refined_spacing(frame.spacing, self.scale),
                derivation=made,
            )
            return Result(enlarged, 1000 * (time.perf_counter() - started), (*warnings, *more))

        return result

    def _enhance(
        self, frame: Frame, model: models.Model | None, derivation: Derivation
    ) -> Callable[[], tuple[Array, Derivation, tuple[str, ...]]]:
        """Start on a picture; return what waits for its pixels, how they were made, and what to warn of."""
        task = task_of(frame, derivation, self.threads)
        if model is None:
            pixels = task.assemble(None, self.threads)[0]
            return lambda: (pixels, derivation, ())
        gain, bias = models.affine(frame, derivation.low, derivation.high)
        networked = dataclasses.replace(task, gain=gain, bias=bias)
        first, *others = self._routes.of(model)

        def attempt(route: Route) -> Callable[[], tuple[Array | None, str]]:
            def make(backend: backends.Backend) -> backends.Task:
                plan = self._plan(frame, route.model, backend, derivation)
                return dataclasses.replace(networked, plan=plan)

            return self._routes.attempt(route, make)

        under_way = attempt(first)

        def finish() -> tuple[Array, Derivation, tuple[str, ...]]:
            reasons: list[str] = []
            for route in (first, *others):
                wait = under_way if route is first else attempt(route)
                pixels, reason = wait()
                if pixels is not None:
                    warnings = tuple(f"{r}; it was run by {route.backend}" for r in reasons)
                    return pixels, route.named_in(derivation), warnings
                reasons.append(reason)
            why = "; ".join(dict.fromkeys(reasons))
            self._routes.notes.add("base", f"{why}; the picture is its base")
            fallen = dataclasses.replace(
                derivation,
                model="base",
                backend="base",
                precision="fp32",
                sha256="",
                version=derivation.software,
                fell_back=why,
            )
            return task.assemble(None, self.threads)[0], fallen, ()

        return finish

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
            return whole(frame, self.scale)
        if derivation.overlap:
            halo = -(-radius // 4)
            return tiling.plan(frame.rows, frame.cols, derivation.tile, halo, self.scale, derivation.overlap)
        tile = self.tile or backend.tile_for(frame.rows, frame.cols, radius)
        return tiling.plan(frame.rows, frame.cols, tile, radius, self.scale)


@functools.cache
def _software() -> str:
    """Return the package's version; to look it up takes longer than to plan a picture."""
    return importlib.metadata.version("acutance")
