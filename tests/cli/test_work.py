"""One file at a time: stopped between two pictures, it leaves nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import acutance
from acutance.cli.work import Settings, Stopped, Task, Worker


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.png"])
def test_work_ends_at_the_next_picture(tmp_path: Path, make_picture: Callable[..., Path], name: str) -> None:
    source, stop = make_picture(tmp_path / name), threading.Event()
    task = Task(source, tmp_path / "out" / name, "nifti" if "nii" in name else "png", name)
    with acutance.Enhancer("base") as enhancer:
        worker = Worker(enhancer, Settings(), stop)
        seen: list[str] = []

        def tell(text: str) -> None:
            seen.append(text)
            if len(seen) == 2:
                stop.set()

        worker.tell = tell
        if name == "a.png":
            stop.set()
        with pytest.raises(Stopped):
            worker.enhance(task, None)
        assert len(seen) == (0 if name == "a.png" else 2)
        assert list((tmp_path / "out").iterdir()) == []
        with pytest.raises(Stopped):
            worker.count(source)
        stop.clear()
        worker.tell = lambda text: None
        assert worker.enhance(task, None).state == "enhanced"


def test_a_range_is_counted_from_what_can_be_read(tmp_path: Path, make_picture: Callable[..., Any]) -> None:
    with acutance.Enhancer("base") as enhancer:
        worker = Worker(enhancer, Settings(), threading.Event())
        source = make_picture(tmp_path / "a.tif")
        counter = worker.count(source)
        (frame,) = acutance.read(source)
        assert counter is not None and counter.range(0, 100) == (frame.pixels.min(), frame.pixels.max())
        assert worker.count(tmp_path / "none.tif") is None
