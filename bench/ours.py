"""Our own path as benchmarks call it: one model, one picture, one setting, held open."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

from ..backends.settings import GpuSettings
from ..enhancer import Enhancer
from ..errors import UsageError
from ..trt_engines import best, device
from ..trt_engines.store import Store
from . import rivals


@dataclasses.dataclass(frozen=True)
class Setting:
    """How a model is run.

    Attributes
    ----------
    backend : str
        ``auto``, ``onnxruntime`` or ``tensorrt``.
    threads : int
        CPU threads; 0: as many as the process may use.
    gpu : GpuSettings, optional
        Of backend ``tensorrt``.
    fastest : bool
        Take tile, batches and layout that ``bench engines`` kept for the picture's size and this GPU.
    """

    backend: str = "auto"
    threads: int = 0
    gpu: GpuSettings | None = None
    fastest: bool = False

    def settled(self, shown: rivals.Shown) -> GpuSettings:
        """Return the GPU's settings for one picture.

        Raises
        ------
        UsageError
            The fastest are asked for, and nothing was measured.
        BackendError
            They are asked for, and there is no GPU.
        """
        gpu = self.gpu or GpuSettings()
        if not self.fastest:
            return gpu
        here = device.current(gpu.device)
        folder = Store(gpu.store).folder
        found = best.find(folder, shown.model.meta.name, gpu.engine.precision, here, shown.frame.pixels.shape[:2])
        if found is None:
            size = f"{shown.frame.rows} x {shown.frame.cols}"
            raise UsageError(
                f"{folder} holds no measurement of {shown.model.meta.name} in {gpu.engine.precision} at {size} on"
                f" {here.name}; make one with `acutance bench engines`"
            )
        return gpu.model_copy(update={"engine": found.apply(gpu.engine)})


class Open:
    """An enhancer and the picture that it is given."""

    def __init__(self, enhancer: Enhancer, shown: rivals.Shown) -> None:
        self._enhancer, self._shown = enhancer, shown
        self._derivation = enhancer.derivation(shown.frame)
        rivals.ours(enhancer, shown, self._derivation.backend)

    def run(self) -> dict[str, float] | None:
        """Run one frame; return its stage times, where the backend measures them."""
        self._enhancer.run(self._shown.frame)
        return self._enhancer.stage_times()

    def about(self) -> dict[str, Any]:
        """Return what runs it, for a row of results; with an engine also its key and settings."""
        said: dict[str, Any] = {"backend": self._derivation.backend, "precision": self._derivation.precision}
        if said["backend"] == "tensorrt":
            engine = self._enhancer.gpu.engine
            said |= {
                "precision": engine.precision,
                "tile": engine.tile,
                "batches": ",".join(map(str, engine.batches)),
                "channels_last": engine.channels_last,
                "wait": self._enhancer.gpu.wait,
                "engine_key": self._enhancer.engine_key,
            }
        return said


@contextlib.contextmanager
def opened(shown: rivals.Shown, setting: Setting) -> Iterator[Open]:
    """Hold a model open.

    Raises
    ------
    BackendError
        It falls back to the base or to another backend, whose times would pass for its own.
    """
    with Enhancer(shown.model, setting.backend, threads=setting.threads, gpu=setting.settled(shown)) as enhancer:
        yield Open(enhancer, shown)
