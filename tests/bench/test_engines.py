"""What is swept, what is kept, and what happens where engines fail; times are made here, for there is no GPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from acutance.bench import engines, ours, record, rivals
from acutance.trt_engines import best
from acutance.trt_engines.device import Device
from acutance.trt_engines.options import Options

from acutance import model as models
from acutance.backends.settings import GpuSettings
from acutance.errors import BackendError, UsageError

GPU = Device(name="Some GPU", compute_capability=(8, 6), sm_count=10)


def test_ladders() -> None:
    assert [engines.ladder(n) for n in (1, 2, 4, 6, 16)] == [(1,), (1, 2), (1, 2, 4), (1, 2, 4, 6), (1, 2, 4, 8, 16)]


def test_tiles_are_smaller_than_the_picture_or_all_of_it() -> None:
    assert engines.tiles_for(300, 7, []) == [128, 192, 256, 314]
    assert engines.tiles_for(300, 7, [14, 100, 400]) == [100, 314]
    assert engines.tiles_for(300, None, [100]) == [300]


def test_every_combination_is_swept() -> None:
    found = engines.sweep(["fp16", "int8"], [128, 256], [1, 4], [False, True])
    assert len(found) == len({o.model_dump_json() for o in found}) == 16


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Engines are faster the larger their tile; fp16 ones of tile 256 cannot be built."""

    def measure(name: str, size: int, options: Options, gpu: GpuSettings, length: Any) -> dict[str, Any]:
        if options.precision == "fp16" and options.tile == 256:
            raise BackendError("out of memory")
        ms = 1000 / float(options.tile_shape[0]) + options.batches[-1] + options.channels_last
        batches = ",".join(map(str, options.batches))
        settings = {"precision": options.precision, "tile": options.tile, "batches": batches}
        last = {"channels_last": options.channels_last}
        return {"model": name, "size": size, **settings, **last, "ms": record.summary([ms, ms, ms])}

    monkeypatch.setattr(engines, "measure", measure)
    monkeypatch.setattr(engines.device, "current", lambda index=0: GPU)
    monkeypatch.setattr(engines.flavour, "load", lambda name: SimpleNamespace(name="rtx", version="1.4.0"))


def test_the_fastest_of_each_precision_is_kept(gpu: None, run: Callable[..., Any], tmp_path: Path) -> None:
    store, out = tmp_path / "store", tmp_path / "e.json"
    command = ("bench", "engines", "--size", "242", "--tiles", "128", "--batches", "1,2", "--store", store)
    said = run(*command, "--json", out)
    assert said.code == 0, said.err
    assert "left out: fp16, tile 256" in said.out and said.out.count("fastest") == 2
    assert len(record.read(out)["rows"]) == 4 + 8
    half = best.find(store, "ct-rt-x2", "fp16", GPU, (242, 242))
    assert half is not None and (half.tile, half.batches, half.channels_last) == (128, (1,), False)
    assert half.p50_ms == pytest.approx(1000 / 128 + 1) and half.flavour == "rtx 1.4.0"
    shown = rivals.Shown.of(models.load("ct-rt-x2"), 242)
    asked = ours.Setting(
        "tensorrt", 0, GpuSettings(engine=Options(precision="int8", level=5), store=store), fastest=True
    )
    engine = asked.settled(shown).engine
    assert (engine.precision, engine.tile, engine.batches, engine.level) == ("int8", 256, (1,), 5)
    with pytest.raises(UsageError, match="holds no measurement of ct-rt-x2 in int8 at 64 x 64 on Some GPU"):
        asked.settled(rivals.Shown.of(models.load("ct-rt-x2"), 64))
    eight = best.find(store, "ct-rt-x2", "int8", GPU, (242, 242))
    assert eight is not None and eight.tile == 256


def test_a_sweep_without_time_keeps_what_it_has(gpu: None, run: Callable[..., Any], tmp_path: Path) -> None:
    said = run("bench", "engines", "--size", "242", "--seconds", "1e-9", "--store", tmp_path / "s")
    assert said.code == 1  # not even the first was begun
    assert "for lack of time" in said.out


def test_when_nothing_can_be_built_it_says_so(gpu: None, run: Callable[..., Any], tmp_path: Path) -> None:
    said = run("bench", "engines", "--size", "242", "--tiles", "256", "--precisions", "fp16", "--store", tmp_path / "s")
    assert said.code == 1 and "no engine of the sweep" in said.err[0]
    assert not (tmp_path / "s" / best.NAME).exists()


def test_without_a_gpu_it_says_so(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> Device:
        raise BackendError("GPU 0 cannot be used")

    monkeypatch.setattr(engines.device, "current", none)
    said = run("bench", "engines")
    assert said.code == 1 and said.err == ["acutance: GPU 0 cannot be used"]
