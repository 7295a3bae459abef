"""8 bits on a CPU: only where the user allows it and it was measured to be faster."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from acutance import Enhancer, model
from acutance.backends import int8


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "acutance" / "int8.json"


def precision(enhancer: Enhancer) -> str:
    picture = np.arange(48 * 48, dtype=np.int16).reshape(48, 48)
    with enhancer:
        result = enhancer.run(picture, modality="MR")
    assert result.fell_back is None and result.frame.derivation is not None
    return result.frame.derivation.precision


def test_it_is_taken_only_where_it_is_allowed_and_faster(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def measured(*_: object) -> float:
        calls.append(1)
        return 2.0

    monkeypatch.setattr(int8, "measure", measured)
    assert precision(Enhancer()) == "fp32" and not calls
    assert precision(Enhancer(int8=True)) == "int8-cpu" and len(calls) == 1
    assert precision(Enhancer("mr-rt-x2", int8=True)) == "fp32"
    kept = json.loads(cache.read_text())
    assert list(kept.values()) == [2.0]
    assert precision(Enhancer(int8=True)) == "int8-cpu" and len(calls) == 1  # read back from the cache
    cache.write_text(json.dumps(dict.fromkeys(kept, 1.05)))
    assert precision(Enhancer(int8=True)) == "fp32" and len(calls) == 1
    cache.write_text("none")
    assert precision(Enhancer(int8=True)) == "int8-cpu" and len(calls) == 2


def test_another_machine_file_or_number_of_threads_is_measured_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = model.load("mr-rt-x2"), model.load("mr-rt-x2", "int8-cpu")
    keys = {int8._key(a, b, 0), int8._key(a, b, 1), int8._key(b, a, 0)}
    monkeypatch.setattr("platform.node", lambda: "elsewhere")
    assert len(keys | {int8._key(a, b, 0)}) == 4


def test_a_measurement_is_a_ratio_of_times() -> None:
    a = model.load("mr-rt-x2")
    assert 0.2 < int8.measure(a, a, 1) < 5
    assert int8.measure(a, model.load("mr-rt-x2", "int8-cpu"), 1) > 0


def test_a_cache_that_cannot_be_written_is_no_obstacle(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.parent.parent.joinpath("acutance").write_text("a file where the folder should be")
    monkeypatch.setattr(int8, "measure", lambda *_: 2.0)
    assert precision(Enhancer(int8=True)) == "int8-cpu"


def test_a_model_without_int8_stays_as_it_is(make_model: object) -> None:
    mine = model.load(make_model())  # type: ignore[operator]
    assert int8.quicker(mine) is mine
