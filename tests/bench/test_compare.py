"""Regressions are found, and noise is not one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from acutance.bench import compare, record

from acutance.errors import InputError

ABOUT = {"cpu": "Some CPU", "gpu": {"name": "Some GPU"}, "governor": "x", "packages": {}, "commit": "a"}


def result(path: Path, scale: float = 1.0, *, size: int = 512, seed: int = 0, bench: str = "latency") -> Path:
    samples = scale * np.random.default_rng(seed).normal(10, 1, 200)
    record.write(path, bench, [{"model": "m", "size": size, "feed": "paced", "ms": record.summary(samples)}], ABOUT)
    return path


def test_the_interval_holds_the_ratio() -> None:
    rng = np.random.default_rng(1)
    low, high = compare.ratio_interval(list(rng.normal(10, 1, 300)), list(rng.normal(12, 1, 300)))
    assert 1.15 < low < 1.2 < high < 1.25
    assert compare.ratio_interval([10.0] * 9, [12.0] * 9) == pytest.approx((1.2, 1.2))


def test_status_tells_slower_from_not(run: Callable[..., Any], tmp_path: Path) -> None:
    a = result(tmp_path / "a.json")
    same, slower = result(tmp_path / "b.json", seed=1), result(tmp_path / "c.json", 1.2, seed=2)
    assert run("bench", "compare", a, same).code == 0
    said = run("bench", "compare", a, slower)
    assert said.code == 1 and "slower" in said.out
    assert run("bench", "compare", slower, a).code == 0  # faster is no regression
    assert run("bench", "compare", a, slower, "--threshold", "30").code == 0


def test_a_little_slower_is_not_beyond_doubt() -> None:
    rng = np.random.default_rng(3)
    rows = [{"case": "x", "ms": record.summary(s * rng.normal(10, 5, 12))} for s in (1.0, 1.06)]
    (change,) = compare.changes(*({"bench": "kernels", "rows": [row]} for row in rows), 0.05)
    assert change.low < 1.05 < change.high and not change.slower


def test_what_another_machine_was(run: Callable[..., Any], tmp_path: Path) -> None:
    a, b = result(tmp_path / "a.json"), tmp_path / "b.json"
    record.write(b, "latency", record.read(a)["rows"], {**ABOUT, "gpu": {"name": "Another"}})
    assert "gpu was Some GPU, now Another" in run("bench", "compare", a, b).out


def test_what_cannot_be_compared_is_named(run: Callable[..., Any], tmp_path: Path) -> None:
    a = result(tmp_path / "a.json")
    assert "share nothing" in run("bench", "compare", a, result(tmp_path / "b.json", size=64)).err[0]
    assert "wanted two of one kind" in run("bench", "compare", a, result(tmp_path / "c.json", bench="peers")).err[0]
    (tmp_path / "d.json").write_text("{}")
    assert "is no result of `acutance bench`" in run("bench", "compare", a, tmp_path / "d.json").err[0]
    old = record.read(a)
    del old["rows"][0]["ms"]["samples"]
    with pytest.raises(InputError, match="no samples"):
        compare.changes(old, record.read(a), 0.05)
