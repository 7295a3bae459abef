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
from ..geometry import SCALES, Array, Derivation, Frame
from ..guide import Flat, Guide
from ..sequence import Past, Sequence
from .picture import as_frame, enlarged, fallen, task_of, whole
from .result import Result
from .routes import Route, Routes

__all__ = ["FEATHER_TILE", "IN_FLIGHT", "Enhancer", "Result"]

Finish = Callable[[], tuple[backends.Made, Derivation, tuple[str, ...]]]
"""Waits for a picture; gives what was made of it, how, and what to warn of."""

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
        self._chosen: dict[tuple[str, bool], models.Model] = {}
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
        self._sequence = Sequence()
        self._routes = Routes(backend, threads, self.gpu, int8 and self._auto)
        self._stream: concurrent.futures.ThreadPoolExecutor | None = None
        self._pending: collections.deque[concurrent.futures.Future[Callable[[], Result]]] = collections.deque()
        self._slots = threading.BoundedSemaphore(IN_FLIGHT)

    def run(
        self,
        picture: Frame | Array,
        modality: str | None = None,
        spacing: tuple[float, float] | None = None,
        *,
        guide: Guide | Array | None = None,
        sequence: Sequence | None = None,
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
        guide : Guide or ndarray, optional
            A second, sharper picture of the same subject for networks that take one: a volume that says where it lies
            (:func:`acutance.read_guide`), or ``[rows * s, cols * s]`` on the grid of the result, NaN where there are no
            data.
        sequence : Sequence, optional
            Memory of the sequence whose next picture this is, for networks that see what came before; without it they
            begin anew.

        Raises
        ------
        InputError
            The picture has a wrong dtype or shape, values that its BitsStored do not hold, or does not lie in the space
            of its guide.
        """
        return self._begin(picture, modality, spacing, guide, sequence)()

    def derivation(
        self, picture: Frame, guide: Guide | Array | None = None, sequence: Sequence | None = None
    ) -> Derivation:
        """Return how :meth:`run` would make its result, should nothing fail on the way."""
        return self._decide(picture, _guide(guide), sequence)[1]

    def base(self, picture: Frame, why: str | None = None) -> Result:
        """Return the base of a picture, in the filter, scale and guard of the model, which is not run.

        Parameters
        ----------
        picture : Frame
        why : str, optional
            Why it is not: :attr:`Result.fell_back`. Without a model for the picture, :meth:`run` says why, and so does
            this.

        Raises
        ------
        InputError
            As :meth:`run`.
        """
        started = time.perf_counter()
        frame = as_frame(picture, None, None)
        model = self._choose(frame.modality)
        derivation = self._base(frame, model)
        if model is not None:
            derivation = dataclasses.replace(derivation, fell_back=why)
        pixels, _ = task_of(frame, derivation, self.threads).assemble(None, self.threads)
        return Result(enlarged(frame, pixels, derivation), 1000 * (time.perf_counter() - started))

    def networked(self, modality: str) -> bool:
        """Tell whether there is a network for pictures of a modality."""
        return self._choose(modality) is not None

    def percentiles(self, modality: str) -> tuple[float, float] | None:
        """Return which percentiles of a series its value range should be; None for a model that has a fixed one."""
        model = self._choose(modality)
        found = None if model is None else model.meta.mapping
        return (found.low, found.high) if isinstance(found, models.Percentile) else None

    def restart(self) -> None:
        """Give back what the backends hold; the next picture opens them anew, those too that could not start."""
        self._routes.restart()

    @property
    def sequential(self) -> bool:
        """Whether the model that was asked for sees what came before in time."""
        return self._model is not None and self._model.meta.sequential

    @property
    def guided(self) -> bool:
        """Whether a model that was asked for by name takes a guide, or one may be chosen that does."""
        return self._auto if self._model is None else self._model.meta.guided

    @property
    def bounded(self) -> bool:
        """Whether the model that was asked for gives bounds: :attr:`Result.lower` and :attr:`Result.upper`."""
        return self._model is not None and self._model.meta.bounded

    def submit(
        self,
        picture: Frame | Array,
        modality: str | None = None,
        spacing: tuple[float, float] | None = None,
        *,
        guide: Guide | Array | None = None,
    ) -> None:
        """Hand in the next picture of a stream, which is one sequence; waits while two are under way.

        See :meth:`run`.
        """
        self._slots.acquire()
        if self._stream is None:
            self._stream = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="acutance")
        self._pending.append(self._stream.submit(self._begin, picture, modality, spacing, guide, self._sequence))

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
        found = self._routes.counters
        return found + collections.Counter({f"begun anew: {k}": n for k, n in self._sequence.resets.items()})

    @property
    def denoises(self) -> bool:
        """Whether the model takes noise away, so that no guard may bring it back."""
        return self._model is not None and self._model.meta.denoises

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

    def _decide(
        self, frame: Frame, guide: Guide | None = None, sequence: Sequence | None = None
    ) -> tuple[models.Model | None, Derivation, tuple[str, ...]]:
        """Choose model, range, guard and guide for a picture; no pixel is computed."""
        model, warnings = self._choose(frame.modality, guide is not None), []
        base = self._base(frame, model)
        if model is None:
            return None, base, ()
        unfit = model.unfit(frame)
        if unfit and self.strict:
            return None, dataclasses.replace(base, fell_back=unfit), ()
        if unfit:
            warnings.append(unfit)
        if model.meta.generative:
            warnings.append(f"{model.meta.name} is generative: fine detail may be made up")
        low, high, origin = model.range_of(frame)
        if models.affine(frame, low, high)[0] == 0:
            return None, dataclasses.replace(base, fell_back="its values have no range"), tuple(warnings)
        if origin == "picture":
            warnings.append("value range from this picture alone")
        if guide is not None and not model.meta.guided:
            warnings.append(f"{model.meta.name} takes no guide")
            guide = None
        elif guide is not None and not guide.reaches(frame):
            warnings.append("the guide does not reach it")
            guide = None
        tile, overlap = self._feather(model)
        derivation = dataclasses.replace(
            self._routes.of(model, (frame.rows, frame.cols))[0].named_in(base),
            stitch=self.stitch,
            tile=tile,
            overlap=overlap,
            low=low,
            high=high,
            range_from=origin,
            guide=None if guide is None else guide.name,
            sequence=sequence.name if sequence is not None and model.meta.sequential else None,
        )
        return model, derivation, tuple(warnings)

    def _choose(self, modality: str, guided: bool = False) -> models.Model | None:
        if not self._auto:
            return self._model
        if (modality, guided) in self._chosen:
            return self._chosen[modality, guided]
        model = models.choose(modality, self.scale, guided=guided)
        if model is not None:  # there are few modalities with models, and what a peer calls one is its own affair
            self._chosen[modality, guided] = model
        return model

    def _base(self, frame: Frame, model: models.Model | None) -> Derivation:
        """Return how the base of a picture is made, with the filter and the guard of the model it stands in for."""
        software = _software()
        lacks = f"no model enlarges {frame.modality} by {self.scale}" if self._auto and model is None else None
        return Derivation(
            "base",
            software,
            "",
            "fp32",
            "base",
            self.scale,
            "cubic" if model is None else model.meta.base,
            self.guard or ("none" if model is None else model.meta.guard),
            fell_back=lacks,
            software=software,
            mended=frame.mended,
        )

    def _begin(
        self,
        picture: Frame | Array,
        modality: str | None,
        spacing: tuple[float, float] | None,
        guide: Guide | Array | None,
        sequence: Sequence | None,
    ) -> Callable[[], Result]:
        """Start on a picture; return what waits for its result."""
        started = time.perf_counter()
        try:
            frame = as_frame(picture, modality, spacing)
            found = _guide(guide)
            model, derivation, warnings = self._decide(frame, found, sequence)
            if sequence is not None and model is not None and model.meta.sequential:
                finish = self._follow(frame, model, derivation, found, sequence)
            else:
                if sequence is not None:
                    sequence.forget("no network")
                finish = self._enhance(frame, model, derivation, found)
        except Exception:
            if sequence is not None:
                sequence.forget("failed")
            raise

        def result() -> Result:
            made, how, more = finish()
            larger = enlarged(frame, made.pixels, how)
            milliseconds = 1000 * (time.perf_counter() - started)
            return Result(larger, milliseconds, (*warnings, *more), made.lower, made.upper)

        return result

    def _follow(
        self, frame: Frame, model: models.Model, derivation: Derivation, guide: Guide | None, sequence: Sequence
    ) -> Finish:
        """Enhance the next picture of a sequence: at once, because the one after it needs the result."""
        past = sequence.before(frame)
        planned = self._routes.of(model, (frame.rows, frame.cols))[0].named_in(derivation)
        if past is not None and past.derivation == planned and past.shows(frame):
            sequence.keep(dataclasses.replace(past, frame=frame))
            return lambda: (past.made, past.derivation, ())
        done = self._enhance(frame, model, derivation, guide, past)()
        made, how, _ = done
        if how.fell_back is None:
            sequence.keep(Past(frame, made, how))
        else:
            sequence.forget("failed")
        return lambda: done

    def _enhance(
        self,
        frame: Frame,
        model: models.Model | None,
        derivation: Derivation,
        guide: Guide | None = None,
        past: Past | None = None,
    ) -> Finish:
        """Start on a picture; return what waits for its pixels, how they were made, and what to warn of."""
        task = task_of(frame, derivation, self.threads)
        if model is None:
            base = backends.Made(*task.assemble(None, self.threads))
            return lambda: (base, derivation, ())
        gain, bias = models.affine(frame, derivation.low, derivation.high)
        guiding = {"guide": guide.on(frame, self.scale)} if guide is not None and derivation.guide is not None else {}
        networked = dataclasses.replace(task, gain=gain, bias=bias, beside=guiding)
        first, *others = self._routes.of(model, (frame.rows, frame.cols))

        def attempt(route: Route) -> Callable[[], tuple[backends.Made | None, str]]:
            def make(backend: backends.Backend) -> backends.Task:
                ready = dataclasses.replace(networked, plan=self._plan(frame, route.model, backend, derivation))
                if past is None or route.named_in(past.derivation) != past.derivation:
                    return ready
                return dataclasses.replace(ready, beside={**guiding, **past.beside(self.threads)})

            return self._routes.attempt(route, make)

        under_way = attempt(first)

        def finish() -> tuple[backends.Made, Derivation, tuple[str, ...]]:
            reasons: list[str] = []
            for route in (first, *others):
                wait = under_way if route is first else attempt(route)
                made, reason = wait()
                if made is not None:
                    warnings = tuple(f"{r}; it was run by {route.backend}" for r in reasons)
                    return made, route.named_in(derivation), warnings
                reasons.append(reason)
            why = "; ".join(dict.fromkeys(reasons))
            self._routes.notes.add("base", f"{why}; the picture is its base")
            return backends.Made(*task.assemble(None, self.threads)), fallen(derivation, why), ()

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
            return whole(frame, self.scale, model.meta.multiple_of)
        if derivation.overlap:
            halo = -(-radius // 4)
            return tiling.plan(frame.rows, frame.cols, derivation.tile, halo, self.scale, derivation.overlap)
        tile = self.tile or backend.tile_for(frame.rows, frame.cols, radius)
        return tiling.plan(frame.rows, frame.cols, tile, radius, self.scale)


def _guide(guide: Guide | Array | None) -> Guide | None:
    return guide if guide is None or isinstance(guide, Guide) else Flat(guide)


@functools.cache
def _software() -> str:
    """Return the package's version; to look it up takes longer than to plan a picture."""
    return importlib.metadata.version("acutance")
