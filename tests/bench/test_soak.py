"""The soak in short: streams run, every picture is accounted for, and what is not flat is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from acutance.bench import soak
from typer.testing import CliRunner

from acutance.errors import UsageError


def row(second: int, memory: float, age: float) -> dict[str, Any]:
    ages = {"p50": age, "p99": age + 1, "max": age + 2}
    return {"stream": "s", "second": second, "resident_mib": memory, "age_ms": ages, "frames": {}}


def test_what_grows_is_not_flat() -> None:
    def flat(memory: float, age: float) -> bool:
        found = soak.judge([row(i, 100 + memory * i, 10 + age * i) for i in range(600)], 33.3)
        return bool(found["flat"])

    assert flat(0, 0) and flat(0.01, 0.01) and flat(-1, 0)
    assert not flat(0.02, 0)
    assert not flat(0, 0.02) and not flat(0, -0.02)


def test_memory_before_the_warm_up_ends_does_not_count() -> None:
    rows = [row(i, 100 + min(i, 100), 10) for i in range(600)]
    assert soak.judge(rows, 33.3)["flat"]


def test_streams_are_run_measured_and_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    app = typer.Typer()
    app.command()(soak.main)
    out, plot = tmp_path / "soak.json", tmp_path / "soak.png"
    words = ["--minutes", "0.12", "--fps", "20", "--deadline-ms", "1000", "--stream", "a=40x30:gray-rt-x2"]
    found = CliRunner().invoke(app, [*words, "--stream", "b=24x16:base", "--json", str(out), "--plot", str(plot)])
    assert found.exit_code in (0, 1), found.output  # whether it is flat depends on the machine, not what is counted
    assert plot.read_bytes().startswith(b"\x89PNG")
    said = json.loads(out.read_text())
    assert said["machine"]["soak"]["streams"] == ["a=40x30:gray-rt-x2", "b=24x16:base"]
    first, second, *series = said["rows"]
    assert [one["stream"] for one in series] == ["a", "b"]
    for one in series:
        lengths = {len(values) for name, values in one.items() if name != "stream"}
        assert len(lengths) == 1 and lengths.pop() >= 4
    for one in (first, second):
        frames = one["frames"]
        assert 60 <= frames["in"] <= 150 and frames["in"] - 3 <= frames["out"] + frames["dropped"] <= frames["in"]
    assert second["frames"]["base"] == second["frames"]["out"] > first["frames"]["base"]


def test_a_wrong_stream_is_named() -> None:
    with pytest.raises(UsageError, match="stream 'a=3:b' is not as"):
        soak.Source.parse("a=3:b")
