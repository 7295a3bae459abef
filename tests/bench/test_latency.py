"""Feeds on a clock made here, where every time is known."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from acutance.bench import latency, power, record


class Clock(latency.Clock):
    """Stands still but for waits and for what :meth:`takes` returns."""

    def __init__(self) -> None:
        self.moment = 100.0

    def now(self) -> float:
        return self.moment

    def wait_until(self, moment: float) -> None:
        assert moment >= self.moment - 1e-9
        self.moment = max(self.moment, moment)

    def takes(self, *ms: float) -> Callable[[], latency.Stages]:
        """Return a frame that takes these times in turn, again and again."""
        times: Iterator[float] = itertools.cycle(ms)

        def run() -> latency.Stages:
            took = next(times)
            self.moment += took / 1000
            return {"network": took / 2}

        return run


LENGTH = latency.Length(frames=10, warm_up=0, seconds=1000)


def test_warm_up_is_counted_and_does_not_count() -> None:
    clock = Clock()
    times = itertools.chain([500.0, 90.0], itertools.repeat(10.0))

    def run() -> None:
        clock.moment += next(times) / 1000

    row = latency.row(latency.back_to_back(run, latency.Length(10, 2, 1000), clock), "back to back", None)
    assert row["ms"]["max"] == pytest.approx(10) and row["ms"]["n"] == 10
    assert row["warm_up"] == 2 and row["first_ms"] == pytest.approx(500)
    assert "age_ms" not in row and "stages" not in row


def test_a_feed_that_is_held_misses_nothing() -> None:
    clock = Clock()
    started = clock.moment
    row = latency.row(latency.fed(clock.takes(10, 20), 40.0, LENGTH, clock), "paced", 40.0)
    assert (row["misses"], row["dropped"]) == (0, 0)
    assert row["jitter_ms"] == pytest.approx(10)
    assert row["age_ms"]["max"] == pytest.approx(20)  # nobody waits: a frame is as old as it takes
    assert clock.moment - started == pytest.approx(9 / 40 + 0.020)
    assert row["stages"]["network"]["p50"] == pytest.approx(7.5)


def test_one_slow_frame_is_late_and_the_next_is_the_newest() -> None:
    clock = Clock()
    timed = latency.fed(clock.takes(10, 70, 10, 10, 10), 40.0, latency.Length(5, 0, 1000), clock)
    # Frames are there at 0, 25, 50, 75, 100 ms: the second is done at 95 ms, when that of 75 ms is the newest.
    assert timed.ages == pytest.approx([10, 70, 30, 15, 10], abs=6)
    assert timed.ages[:3] == pytest.approx([10, 70, 30])
    row = latency.row(timed, "paced", 40.0)
    assert row["dropped"] == 1 and row["misses"] == 2


def test_fed_faster_than_it_runs_the_latest_wins() -> None:
    clock = Clock()
    timed = latency.fed(clock.takes(50), 100.0, LENGTH, clock)
    assert timed.dropped == 4 * 9  # four of five are overtaken
    assert timed.ages == pytest.approx([50] * 10)  # never older than the frame itself takes, for none is queued
    assert latency.row(timed, "overfed", 100.0)["misses"] == 10


def test_a_feed_ends_when_its_time_is_over() -> None:
    clock = Clock()
    assert len(latency.back_to_back(clock.takes(100), latency.Length(1000, 0, 0.95), clock).milliseconds) == 10
    assert len(latency.fed(clock.takes(100), 5.0, latency.Length(1000, 0, 0.85), clock).milliseconds) == 5
    assert len(latency.fed(clock.takes(9000), 5.0, latency.Length(1000, 0, 1.0), clock).milliseconds) == 2


def test_the_feeds_of_a_run() -> None:
    class Source:
        def describe(self) -> dict[str, Any]:
            return {}

        def sample(self) -> dict[str, float]:
            return {"gpu_w": 7.0}

    clock = Clock()
    rows = list(latency.measure(clock.takes(10), [60, 30], LENGTH, Source(), clock))
    assert [r["feed"] for r in rows] == ["back to back", "paced 60 Hz", "paced 30 Hz", "overfed"]
    assert rows[3]["rate_hz"] == pytest.approx(200)
    assert rows[0]["power"]["gpu_w"] == {"mean": 7.0, "max": 7.0}


def test_the_load_runs_beside_and_ends() -> None:
    import os

    before = os.times()
    with latency.competing("cpu"):
        latency.Clock().wait_until(latency.Clock().now() + 0.3)
    after = os.times()
    assert after.children_user - before.children_user > 0.01


def test_the_machine_s_clock_waits() -> None:
    clock = latency.Clock()
    until = clock.now() + 0.01
    clock.wait_until(until)
    assert until <= clock.now()
    clock.wait_until(until)  # past: at once


def test_a_small_picture_on_this_machine(run: Callable[..., Any], tmp_path: Path) -> None:
    out = tmp_path / "l.json"
    said = run(
        *("bench", "latency", "--sizes", "32", "--frames", "5", "--warm-up", "1", "--rates", "50", "--loads", "none"),
        *("--backend", "onnxruntime", "--json", out),
    )
    assert said.code == 0, said.err
    result = record.read(out)
    assert [r["feed"] for r in result["rows"]] == ["back to back", "paced 50 Hz", "overfed"]
    first = result["rows"][0]
    assert (first["backend"], first["precision"], first["size"], first["load"]) == ("onnxruntime", "fp32", 32, "none")
    assert first["ms"]["n"] == 5 and 0 < first["ms"]["min"] <= first["ms"]["p99.9"] <= first["ms"]["max"]
    assert list(first["stages"]) == ["gather", "network", "assemble"]
    assert 0 < sum(s["p50"] for s in first["stages"].values()) < first["ms"]["max"]
    assert result["machine"]["load_before"] >= 0


def test_unknown_loads_are_named(run: Callable[..., Any]) -> None:
    said = run("bench", "latency", "--loads", "none,disk")
    assert said.code == 2 and "load 'disk' is none of none, cpu, gpu" in said.err[0]


def test_power_is_left_out_where_nothing_tells_it() -> None:
    clock = Clock()
    assert "power" not in next(iter(latency.measure(clock.takes(1), [], LENGTH, None, clock)))
    assert power.Sampler(None).summary() == {}
