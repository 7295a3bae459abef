"""Builds tell how far they are, and can be stopped from there."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
from acutance.trt_engines import progress
from acutance.trt_engines.build import build
from acutance.trt_engines.device import Device
from acutance.trt_engines.options import Options
from rich.console import Console

from acutance.errors import BackendError


class Watch:
    """Keeps what it is told; answers or raises in the step it is told to."""

    def __init__(self, answer: Any = True) -> None:
        self.seen: list[tuple[Any, ...]] = []
        self.answer = answer

    def start(self, phase: str, parent: str | None, steps: int) -> None:
        self.seen.append(("start", phase, parent, steps))

    def step(self, phase: str, done: int) -> bool:
        self.seen.append(("step", phase, done))
        if isinstance(self.answer, BaseException):
            raise self.answer
        return bool(self.answer)

    def finish(self, phase: str) -> None:
        self.seen.append(("finish", phase))


def test_phases_in_phases(fake: ModuleType, small: Any, gpu: Device) -> None:
    watch = Watch()
    build(small("fp16"), Options(batches=(1, 2)), gpu, flavour=fake.load(), progress=watch)
    assert watch.seen == [
        ("start", "Building engine", None, 1),
        ("start", "Timing", "Building engine", 2),
        ("step", "Timing", 0),
        ("step", "Timing", 1),
        ("finish", "Timing"),
        ("finish", "Building engine"),
    ]


@pytest.mark.parametrize("answer", [False, KeyboardInterrupt(), ValueError("broken bar")])
def test_a_build_is_stopped(fake: ModuleType, small: Any, gpu: Device, answer: Any) -> None:
    wanted = BackendError if answer is False else type(answer)
    watch = Watch(answer)
    with pytest.raises(wanted):
        build(small("fp16"), Options(batches=(1, 2)), gpu, flavour=fake.load(), progress=watch)
    assert [s for s in watch.seen if s[0] == "step"] == [("step", "Timing", 0)]


def test_bars_are_drawn_and_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Console] = []

    def terminal(**settings: Any) -> Console:
        settings["file"] = None
        made.append(Console(force_terminal=True, record=True, width=100, **settings))
        return made[0]

    monkeypatch.setattr(progress, "Console", terminal)
    with progress.Bar("ct-rt-x2") as bar:
        bar.start("Building", None, 4)
        bar.start("Timing", "Building", 10)
        assert bar.step("Timing", 6)
        bar._bars.refresh()
        drawn = made[0].export_text(clear=False)
        bar.finish("Timing")
        bar.step("Timing", 9)  # a step that comes late is no error
        assert len(bar._bars.tasks) == 1
        bar.finish("Building")
    assert "ct-rt-x2: Building" in drawn
    assert "  Timing" in drawn and "7/10" in drawn


def test_no_terminal_no_bar(capfd: pytest.CaptureFixture[str]) -> None:
    with progress.Bar("ct-rt-x2") as bar:
        bar.start("Building", None, 4)
        bar.step("Building", 1)
        bar.finish("Building")
    assert capfd.readouterr() == ("", "")
