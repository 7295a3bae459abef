"""By what a network is run, and by what when that fails."""

from __future__ import annotations

import collections
import dataclasses
import gc
import threading
from collections.abc import Callable

from .. import backends
from .. import model as models
from ..backends.int8 import quicker
from ..backends.settings import GpuSettings
from ..errors import BackendError, ModelError
from ..geometry import Derivation


@dataclasses.dataclass(frozen=True)
class Route:
    """A backend and the file of the model that it runs."""

    backend: str
    model: models.Model

    @property
    def key(self) -> tuple[str, str]:
        return self.backend, self.model.sha256

    def named_in(self, derivation: Derivation) -> Derivation:
        """Return a derivation that says that this made the picture."""
        meta = self.model.meta
        return dataclasses.replace(
            derivation,
            model=meta.name,
            version=meta.version,
            sha256=self.model.sha256,
            precision=meta.precision,
            backend=self.backend,
            generative=meta.generative,
        )


class Routes:
    """The routes of every model that is asked for, and the backends that were opened for them.

    Parameters
    ----------
    backend : str
        As the user asks for it, ``"auto"`` included.
    threads : int
    gpu : GpuSettings
    int8 : bool
        Try the 8-bit file of a model first where that was measured to be faster: on a CPU by itself, on a GPU by
        `acutance bench engines`.

    Attributes
    ----------
    notes : Notes
        What did not go as planned before or beside the backends, which have notes of their own.
    opened : dict of Backend
    last : Backend or None
        What ran the last network.
    """

    def __init__(self, backend: str, threads: int, gpu: GpuSettings, int8: bool) -> None:
        self.notes = backends.Notes()
        self.opened: dict[tuple[str, str], backends.Backend] = {}
        self.last: backends.Backend | None = None
        self._backend, self._threads, self._gpu, self._int8 = backend, threads, gpu, int8
        self._candidates: dict[tuple[str, str], list[Route]] = {}
        self._unusable: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    def of(self, model: models.Model, shape: tuple[int, int]) -> list[Route]:
        """Return by what a network is run on pictures of a size: as asked for, then what takes its place."""
        gpu = self._gpu
        order = backends.order(self._backend, gpu)
        if self._int8 and order[0] == "tensorrt":
            gpu = backends.quicker_on_gpu(model, shape, gpu)
        key = model.sha256, gpu.engine.precision
        if key not in self._candidates:
            routes: list[Route] = []
            for name in order:
                try:
                    file = backends.file_for(name, model, gpu)
                except ModelError as e:
                    self.notes.add("precision", f"{e}; {name} runs it in {model.meta.precision}")
                    file = model
                if name == "onnxruntime" and self._int8 and not routes:
                    routes.append(Route(name, quicker(file, self._threads)))
                routes.append(Route(name, file))
            self._candidates[key] = list({route.key: route for route in routes}.values())
        routes = self._candidates[key]
        return [r for r in routes if r.key not in self._unusable] or routes[-1:]

    def attempt(
        self, route: Route, make: Callable[[backends.Backend], backends.Task]
    ) -> Callable[[], tuple[backends.Made | None, str]]:
        """Start on a picture by one route.

        Parameters
        ----------
        route : Route
        make : callable
            Gives the task for the backend that will do it.

        Returns
        -------
        callable
            Waits, and returns what was made, or None and why there are none.
        """
        try:
            backend = self._open(route)
        except BackendError as e:
            reason = str(e)
            return lambda: (None, reason)

        def failed(e: BackendError) -> tuple[None, str]:
            self.notes.add("failed", f"{route.backend} failed: {e}")
            return None, str(e)

        task = make(backend)
        try:
            wait = backend.begin(task)
        except BackendError as e:
            found = failed(e)
            return lambda: found

        def finish() -> tuple[backends.Made | None, str]:
            try:
                made = wait()
            except BackendError as e:
                return failed(e)
            self.last = backend
            if not made.nonfinite:
                return made, ""
            reason = f"{route.model.meta.name} gave values that are not finite"
            self.notes.add("not finite", f"{reason} on {route.backend} in {route.model.meta.precision}")
            return None, reason

        return finish

    @property
    def counters(self) -> collections.Counter[str]:
        return sum((b.notes.counters for b in self.opened.values()), self.notes.counters.copy())

    def close(self) -> None:
        """Give back what the backends hold."""
        for backend in self.opened.values():
            backend.close()
        self.opened.clear()

    def restart(self) -> None:
        """Give back what the backends hold, and try those that could not start once more."""
        counted = self.counters
        self.last = None
        self.close()
        gc.collect()  # what the traceback of a failure still holds is the device's memory
        with self._lock:
            self.notes.counters = counted
            self._unusable.clear()

    def _open(self, route: Route) -> backends.Backend:
        with self._lock:
            if route.key not in self.opened:
                try:
                    self.opened[route.key] = backends.open_backend(route.backend, route.model, self._threads, self._gpu)
                except BackendError as e:
                    self._unusable.add(route.key)
                    self.notes.add("unavailable", f"{route.backend} cannot start: {e}")
                    raise
            return self.opened[route.key]
