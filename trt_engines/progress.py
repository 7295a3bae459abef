"""How far a build is: TensorRT's progress monitor, drawn by Rich."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from ..errors import BackendError


class Progress(Protocol):
    """What is told of a build. Phases lie within phases; all may come from another thread than the caller's."""

    def start(self, phase: str, parent: str | None, steps: int) -> None:
        """Begin ``phase`` of so many steps within ``parent``."""

    def step(self, phase: str, done: int) -> bool:
        """Tell that step ``done`` (from 0) ended; return False to stop the build."""

    def finish(self, phase: str) -> None:
        """End ``phase``, complete or not."""


class Bar:
    """Draws a bar for each phase that is going on, on stderr and only on a terminal."""

    def __init__(self, what: str) -> None:
        console = Console(file=sys.stderr, highlight=False, markup=False)
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        self._bars = Bars(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._what = what
        self._tasks: dict[str, tuple[TaskID, int]] = {}

    def __enter__(self) -> Bar:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def start(self, phase: str, parent: str | None, steps: int) -> None:
        depth = self._tasks[parent][1] + 1 if parent in self._tasks else 0
        text = "  " * depth + (phase if depth else f"{self._what}: {phase}")
        self._tasks[phase] = self._bars.add_task(text, total=steps), depth

    def step(self, phase: str, done: int) -> bool:
        if phase in self._tasks:
            self._bars.update(self._tasks[phase][0], completed=done + 1)
        return True

    def finish(self, phase: str) -> None:
        task = self._tasks.pop(phase, None)
        if task is not None:
            self._bars.remove_task(task[0])


def monitor(trt: Any, progress: Progress | None) -> Any:
    """Return a progress monitor for the builder, or None when nobody listens or TensorRT has none.

    It has an attribute ``stopped``: None, or the exception that a build which was stopped must end with. Exceptions
    cannot pass through the builder, which is C++.
    """
    if progress is None or not hasattr(trt, "IProgressMonitor"):
        return None
    told = progress

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.stopped: BaseException | None = None

        def phase_start(self, phase: str, parent: str | None, steps: int) -> None:
            self._tell(told.start, phase, parent, steps)

        def step_complete(self, phase: str, done: int) -> bool:
            if self._tell(told.step, phase, done) is False and self.stopped is None:
                self.stopped = BackendError("the build was stopped")
            return self.stopped is None

        def phase_finish(self, phase: str) -> None:
            self._tell(told.finish, phase)

        def _tell(self, call: Any, *args: Any) -> Any:
            try:
                return call(*args)
            except BaseException as e:  # also Ctrl-C, which Python raises in whatever it runs just then
                self.stopped = self.stopped or e

    return Monitor()
