"""An engine is found again when nothing that shapes it changed, and built anew with the reason when something did."""

from __future__ import annotations

import importlib.util
import json
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from acutance.trt_engines import device, store, trusted
from acutance.trt_engines.device import Device
from acutance.trt_engines.flavour import Flavour
from acutance.trt_engines.options import Options
from acutance.trt_engines.store import Parts, Record, Store

from acutance import beside
from acutance.errors import BackendError, OutputError
from acutance.model import Model

OPTIONS = Options(tile=64, batches=(1, 2))


@pytest.fixture
def kept(tmp_path: Path) -> Store:
    """An empty store."""
    return Store(tmp_path / "engines")


def test_found_again(kept: Store, fake: ModuleType, small: Any, gpu: Device) -> None:
    flavour, model = fake.load(), small("fp16")
    first = kept.get(model, OPTIONS, gpu, flavour=flavour)
    assert (first.built, first.reason) == (True, "")
    assert first.path.name == "small-x2.fp16.64.b2.tensorrt.nvidia-rtx-a6000.engine"
    second = kept.get(model, OPTIONS, gpu, flavour=flavour)
    assert (second.built, second.reason, second.plan) == (False, "", first.plan)
    assert second.plan == first.path.read_bytes()
    assert len(flavour.trt.log.configs) == 1
    record = second.record
    assert record.size == len(first.plan)
    assert record.parts.model.sha256 == model.sha256
    assert [t.name for t in record.parts.io] == ["lr", "state", "residual", "next_state"]
    assert record.parts.flavour.version == "10.3.0"
    assert record.parts.device == gpu


def test_the_flavour_asked_for_does_not_count_but_the_one_that_builds(
    kept: Store, fake: ModuleType, small: Any, gpu: Device
) -> None:
    flavour, model = fake.load(), small("fp16")
    kept.get(model, OPTIONS, gpu, flavour=flavour)
    asked = OPTIONS.model_copy(update={"flavour": "tensorrt"})
    assert not kept.get(model, asked, gpu, flavour=flavour).built


def _leaves(value: Any, where: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the places of all values that are no containers."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    return [where] if items is None else [leaf for k, v in items for leaf in _leaves(v, (*where, k))]


def test_the_key_is_over_every_part(fake: ModuleType, small: Any, gpu: Device) -> None:
    parts = store.parts_of(small("fp16"), OPTIONS, gpu, fake.load())
    said = parts.model_dump(mode="json")
    others = {"str": lambda v: f"{v}x", "int": lambda v: v + 1, "bool": lambda v: not v, "NoneType": lambda _: 7}
    allowed = {"mode": "output", "dtype": "float", "format": "HWC", "name": "rtx"}
    keys = {parts.key}
    places = _leaves(said)
    for place in places:
        changed = json.loads(json.dumps(said))
        at = changed
        for step in place[:-1]:
            at = at[step]
        old = at[place[-1]]
        at[place[-1]] = others[type(old).__name__](old)
        if place[0] in ("io", "flavour") and place[-1] in allowed and isinstance(old, str):
            at[place[-1]] = next(v for v in (allowed[place[-1]], "input", "half", "LINEAR") if v != old)
        keys.add(Parts.model_validate_json(json.dumps(changed)).key)
    assert len(keys) == 1 + len(places)
    assert set(said) == {"model", "options", "io", "flavour", "device"}
    assert set(said["options"]) == set(Options.model_fields) - {"flavour"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"options": {"level": 5}}, "stale: options.level was 3, now 5"),
        ({"options": {"batches": (2,)}}, "stale: options.batches was [1, 2], now [2]"),
        ({"options": {"persistent_cache": 1 << 20}}, "stale: options.persistent_cache was 0, now 1048576"),
        ({"model": {"version": "1.1"}}, "stale: model.version was 1.0, now 1.1"),
        ({"version": "11.4.0.106"}, "stale: flavour.version was 10.3.0, now 11.4.0.106"),
        ({"gpu": {"sm_count": 82}}, "stale: device.sm_count was 84, now 82"),
        ({"gpu": {"compute_capability": (8, 9)}}, "stale: device.compute_capability was [8, 6], now [8, 9]"),
        ({"gpu": {"name": "nVidia RTX-A6000"}}, "stale: device.name was NVIDIA RTX A6000, now nVidia RTX-A6000"),
    ],
)
def test_stale(kept: Store, fake: ModuleType, small: Any, gpu: Device, change: dict[str, Any], reason: str) -> None:
    kept.get(small("fp16"), OPTIONS, gpu, flavour=fake.load())
    model = small("fp16", **change.get("model", {}))
    chosen = OPTIONS.model_copy(update=change.get("options", {}))
    other = gpu.model_copy(update=change.get("gpu", {}))
    flavour = fake.load(change.get("version", "10.3.0"))
    found = kept.get(model, chosen, other, flavour=flavour)
    assert found.built
    assert found.reason == reason
    assert not kept.get(model, chosen, other, flavour=flavour).built


def _rewrite(path: Path, **changes: Any) -> None:
    """Change fields of a sidecar and leave its SHA-256 right."""
    place = trusted.sidecar(path)
    place.write_text(json.dumps({**json.loads(place.read_text()), **changes}))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda p: p.write_bytes(b"evil"), "tampered: its SHA-256 is not the one in its sidecar"),
        (lambda p: p.chmod(0o660), "foreign: it can be written by others (mode 660)"),
        (lambda p: trusted.sidecar(p).chmod(0o606), "foreign: its sidecar can be written by others (mode 606)"),
        (lambda p: trusted.sidecar(p).unlink(), "foreign: it has no sidecar"),
        (lambda p: _rewrite(p, key="0" * 64), "tampered: the key in its sidecar is not that of its parts"),
        (lambda p: _rewrite(p, format=2), "stale: its sidecar is not of this version, at format"),
        (lambda p: (p.rename(p.with_name("x")), p.symlink_to("x")), "foreign: it is a link"),
    ],
)
def test_refused_and_rebuilt(
    kept: Store, fake: ModuleType, small: Any, gpu: Device, spoil: Callable[[Path], object], reason: str
) -> None:
    flavour, model = fake.load(), small("fp16")
    first = kept.get(model, OPTIONS, gpu, flavour=flavour)
    spoil(first.path)
    again = kept.get(model, OPTIONS, gpu, flavour=flavour)
    assert (again.built, again.reason, again.plan) == (True, reason, first.plan)
    assert not again.path.is_symlink()
    assert not kept.get(model, OPTIONS, gpu, flavour=flavour).built


def test_a_folder_of_others_is_refused(kept: Store, fake: ModuleType, small: Any, gpu: Device) -> None:
    flavour = fake.load()
    kept.get(small("fp16"), OPTIONS, gpu, flavour=flavour)
    kept.folder.chmod(0o777)
    with pytest.raises(BackendError, match="engines are code"):
        kept.get(small("fp16"), OPTIONS, gpu, flavour=flavour)
    with pytest.raises(BackendError, match="engines are code"):
        list(kept.engines())
    assert len(flavour.trt.log.configs) == 1


def test_a_failed_build_leaves_nothing_and_what_was_there(
    kept: Store, fake: ModuleType, small: Any, gpu: Device
) -> None:
    flavour = fake.load(error="no memory")
    with pytest.raises(BackendError, match="no memory"):
        kept.get(small("fp16"), OPTIONS, gpu, flavour=flavour)
    assert not [p for p in kept.folder.iterdir() if p.suffix in (".engine", ".tmp")]
    flavour.trt.log.error = ""
    good = kept.get(small("fp16"), OPTIONS, gpu, flavour=flavour)
    flavour.trt.log.error = "no memory"
    with pytest.raises(BackendError):
        kept.get(small("fp16"), OPTIONS.model_copy(update={"level": 1}), gpu, flavour=flavour)
    assert good.path.read_bytes() == good.plan
    assert not kept.get(small("fp16"), OPTIONS, gpu, flavour=flavour).built


def test_a_full_disk(kept: Store, fake: ModuleType, small: Any, gpu: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="the disk is full"):
        kept.get(small("fp16"), OPTIONS, gpu, flavour=fake.load())
    assert [p.suffix for p in kept.folder.iterdir() if p.suffix != ".lock"] == []


def test_two_threads_build_once(kept: Store, fake: ModuleType, small: Any, gpu: Device) -> None:
    flavour, model = fake.load(before_build=lambda: time.sleep(0.2)), small("fp16")
    found: list[store.Stored] = []
    threads = [
        threading.Thread(target=lambda: found.append(kept.get(model, OPTIONS, gpu, flavour=flavour))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(f.built for f in found) == [False, False, True]
    assert len({f.plan for f in found}) == len(flavour.trt.log.configs) == 1


def _child(folder: Path, fake_path: str, model: Model, gpu: Device, pause: float, results: Any) -> None:
    spec = importlib.util.spec_from_file_location("fake_in_child", fake_path)
    assert spec is not None and spec.loader is not None
    fake = sys.modules["fake_in_child"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fake)

    def build_slowly() -> None:
        results.put("building")
        time.sleep(pause)

    found = Store(folder).get(model, OPTIONS, gpu, flavour=fake.load(before_build=build_slowly))
    results.put((found.built, found.plan))


def _start(kept: Store, fake: ModuleType, model: Model, gpu: Device, pause: float) -> tuple[Any, Any]:
    context = multiprocessing.get_context(
        "fork"
    )  # a new interpreter could not import this file, which no path leads to
    results = context.Queue()
    arguments = (kept.folder, fake.__file__, model, gpu, pause, results)
    process = context.Process(target=_child, args=arguments)
    process.start()
    return process, results


def test_another_process_is_waited_for(kept: Store, fake: ModuleType, small: Any, gpu: Device) -> None:
    model = small("fp16")
    process, results = _start(kept, fake, model, gpu, 0.5)
    assert results.get(timeout=60) == "building"
    assert [str(f) for _, f in kept.engines()] == []
    mine = kept.get(model, OPTIONS, gpu, flavour=fake.load())
    assert results.get(timeout=60) == (True, mine.plan)
    assert not mine.built
    process.join()


def test_a_killed_builder_holds_nobody_up(kept: Store, fake: ModuleType, small: Any, gpu: Device) -> None:
    model = small("fp16")
    process, results = _start(kept, fake, model, gpu, 60)
    assert results.get(timeout=60) == "building"
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert kept.get(model, OPTIONS, gpu, flavour=fake.load()).built


def test_built_from_afar_with_rtx(kept: Store, rtx: Flavour, small: Any, gpu: Device) -> None:
    model = small("fp16")
    afar = kept.get(model, OPTIONS, device.target("sm86"), flavour=rtx)
    assert afar.built and afar.path.name == "small-x2.fp16.64.b2.rtx.sm86.engine"
    here = kept.get(model, OPTIONS, gpu, flavour=rtx)
    assert (here.built, here.path, here.plan, here.device) == (False, afar.path, afar.plan, gpu)
    other = gpu.model_copy(update={"compute_capability": (8, 9)})
    assert kept.get(model, OPTIONS, other, flavour=rtx).path.name == "small-x2.fp16.64.b2.rtx.nvidia-rtx-a6000.engine"
    afar.path.write_bytes(b"evil")
    assert kept.get(model, OPTIONS, gpu, flavour=rtx).plan != b"evil"


def test_the_runtime_cache_belongs_to_its_engine(kept: Store, rtx: Flavour, small: Any, gpu: Device) -> None:
    model = small("fp16")
    first = kept.get(model, OPTIONS, gpu, flavour=rtx)
    assert first.runtime_cache() == b""
    first.keep_runtime_cache(b"kernels")
    again = kept.get(model, OPTIONS, gpu, flavour=rtx)
    assert again.runtime_cache() == b"kernels"
    cache = kept.folder / "small-x2.fp16.64.b2.rtx.nvidia-rtx-a6000.nvidia-rtx-a6000.runtime"
    cache.chmod(0o666)
    assert again.runtime_cache() == b""
    first.keep_runtime_cache(b"kernels")
    assert again.runtime_cache() == b"kernels"
    changed = kept.get(model, OPTIONS.model_copy(update={"batches": (1,)}), gpu, flavour=rtx)
    assert changed.built and changed.runtime_cache() == b""


def test_prune(kept: Store, fake: ModuleType, rtx: Flavour, small: Any, gpu: Device) -> None:
    kept.get(small("fp32"), Options(precision="fp32"), gpu, flavour=fake.load())
    good = kept.get(small("fp16"), OPTIONS, gpu, flavour=rtx)
    good.keep_runtime_cache(b"kernels")
    bad = kept.get(small("int8-trt"), Options(precision="int8"), gpu, flavour=rtx)
    bad.keep_runtime_cache(b"kernels")
    bad.path.write_bytes(b"evil")
    (kept.folder / f"{beside.PREFIX}dead{beside.SUFFIX}").touch()
    gone = {path.name: why for path, why in kept.prune()}
    assert gone == {
        bad.path.name: "tampered: its SHA-256 is not the one in its sidecar",
        "small-x2.int8.128.b16.rtx.nvidia-rtx-a6000.nvidia-rtx-a6000.runtime": "its engine is gone",
    }
    assert good.path.exists() and good.runtime_cache() == b"kernels"
    assert not list(kept.folder.glob(".acutance-*"))
    assert len(kept.prune(everything=True)) == 4  # two engines, a runtime cache, a timing cache
    assert [p.name for p in kept.folder.iterdir() if p.suffix != ".lock"] == []


def test_an_engine_of_another_version_is_pruned(kept: Store, rtx: Flavour, small: Any, gpu: Device) -> None:
    older = Flavour("rtx", rtx.trt, "1.6.0.1")
    path = kept.get(small("fp16"), OPTIONS, gpu, flavour=older).path
    assert kept.prune() == [(path, f"stale: built by TensorRT-RTX 1.6.0.1; installed is {rtx.version}")]


def test_an_engine_being_built_is_left_alone(kept: Store, fake: ModuleType, small: Any, gpu: Device) -> None:
    found = kept.get(small("fp16"), OPTIONS, gpu, flavour=fake.load())
    with trusted.lock(found.path):
        assert [str(f) for _, f in kept.engines()] == ["busy: it is being built"]
        assert kept.prune(everything=True) == [(found.path.with_name(n), "asked for") for n in _timings(kept)]
    assert isinstance(next(kept.engines())[1], Record)


def _timings(kept: Store) -> list[str]:
    return ["nvidia-rtx-a6000-sm86x84-10.3.0.timing"]


def test_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ACUTANCE_ENGINES", str(tmp_path / "a"))
    assert Store().folder == tmp_path / "a"
    monkeypatch.delenv("ACUTANCE_ENGINES")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "b"))
    assert Store().folder == tmp_path / "b" / "acutance" / "engines"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "c"))
    assert Store().folder == tmp_path / "c" / ".cache" / "acutance" / "engines"
    assert not list(Store().engines())
    assert Store().prune() == []
