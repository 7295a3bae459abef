"""`acutance build` and `acutance engines`."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from acutance.trt_engines import device, flavour
from acutance.trt_engines.device import Device
from acutance.trt_engines.flavour import Flavour

from acutance import cli

Run = Any


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs ``acutance`` and gives exit status, stdout and stderr."""
    monkeypatch.setenv("ACUTANCE_ENGINES", str(tmp_path / "engines"))

    def call(*args: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main([str(a) for a in args])
        code = ended.value.code
        return (int(code or 0), *capsys.readouterr())

    return call


@pytest.fixture
def installed(fake: ModuleType, gpu: Device, monkeypatch: pytest.MonkeyPatch) -> Flavour:
    """A machine with full TensorRT 10.3 and a GPU."""
    found: Flavour = fake.load()
    monkeypatch.setattr(flavour, "load", lambda name="auto": found)
    monkeypatch.setattr(device, "current", lambda index=0: gpu)
    return found


def test_build_for_a_gpu_that_is_not_here(run: Run, rtx: Flavour, tmp_path: Path) -> None:
    args = ("build", "ct-rt-x2", "--precision", "fp32", "--batches", "1,2", "--tile", "64", "--target", "sm89")
    status, out, err = run(*args)
    assert (status, err) == (0, "")
    assert out.startswith(f"{tmp_path}/engines/ct-rt-x2.fp32.64.b2.rtx.sm89.engine: built in ")
    assert f"by TensorRT-RTX {rtx.version} for sm89 (SM89)" in out
    assert "is there since" in run(*args)[1]
    status, out, err = run(*args, "--level", "1")
    assert status == 0 and "built in" in out
    assert "was refused (stale: options.level was 3, now 1)" in err


def test_build_for_the_gpu_that_is_here(run: Run, installed: Flavour, small: Any, tmp_path: Path) -> None:
    model = small("int8-trt").path
    folder = tmp_path / "other"
    status, out, _ = run("build", model, "--recipe", "orin", "--tile", "48x64", "--store", folder)
    assert status == 0
    assert out.startswith(f"{folder}/small-x2.int8.48x64.b8.tensorrt.nvidia-rtx-a6000.engine: built in")
    assert "by TensorRT 10.3.0 for NVIDIA RTX A6000 (SM86)" in out
    (asked,) = installed.trt.log.configs
    assert (asked["level"], asked["aux"], asked["pool WORKSPACE"]) == (4, 0, 512 << 20)
    assert len(asked["profiles"]) == 4


def test_list_verify_and_prune(run: Run, installed: Flavour, small: Any) -> None:
    for precision in ("fp16", "fp32"):
        assert run("build", small(precision).path, "--batches", "1,2", "--channels-last")[0] == 0
    status, out, _ = run("engines", "list")
    assert status == 0
    line = next(x for x in out.splitlines() if "small-x2.fp16.128.b2.nhwc.tensorrt.nvidia-rtx-a6000.engine" in x)
    assert line.split()[1:6] == ["128", "1,2", "tensorrt", "10.3.0", "NVIDIA"]
    assert line.endswith("ok  ") or line.rstrip().endswith("ok")
    status, out, _ = run("engines", "verify")
    assert (status, out.count(": ok")) == (0, 2)
    bad = next(Path(x.rpartition(": ")[0]) for x in out.splitlines() if "fp32" in x)
    bad.write_bytes(b"evil")
    status, out, _ = run("engines", "verify")
    assert status == 1
    assert f"{bad}: tampered: its SHA-256 is not the one in its sidecar" in out
    assert "tampered" in run("engines", "list")[1]
    assert run("engines", "prune")[1] == f"{bad}: removed (tampered: its SHA-256 is not the one in its sidecar)\n"
    assert run("engines", "verify")[0] == 0
    assert run("engines", "prune", "--all")[1].count("removed (asked for)") == 2  # the engine and the timing cache
    assert run("engines", "verify") == (0, "", "")


def test_what_is_wrong_is_said_in_one_line(run: Run, installed: Flavour, small: Any) -> None:
    for args, status, text in (
        (("ct-rt-x9",), 1, "no model is named 'ct-rt-x9'"),
        (("ct-rt-x2", "--precision", "fp8"), 2, "'precision' is wrong"),
        (("ct-rt-x2", "--batches", "4,2"), 2, "batches must rise"),
        (("ct-rt-x2", "--batches", "one"), 2, "--batches 'one' is no list of whole numbers"),
        (("ct-rt-x2", "--tile", "12x"), 2, "--tile '12,' is no list"),
        (("ct-rt-x2", "--precision", "fp32", "--tile", "12"), 2, "a tile of 12 is all halo"),
        (("ct-rt-x2", "--precision", "fp32", "--target", "ampere"), 2, "'ampere' is no compute capability"),
        (("ct-rt-x2", "--recipe", "laptop"), 1, "laptop.toml: cannot be read"),
        ((small("fp16").path, "--precision", "fp32"), 2, "is fp16; --precision wants fp32"),
    ):
        found, out, err = run("build", *args)
        assert (found, out) == (status, ""), args
        assert text in err and err.count("\n") == 1, err


def test_without_tensorrt_the_remedy_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setattr(flavour, "_load", flavour._load.__wrapped__)
    for module in ("tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings"):
        monkeypatch.setitem(sys.modules, module, None)
    status, out, err = run("build", "ct-rt-x2", "--precision", "fp32", "--target", "sm86")
    assert (status, out) == (1, "")
    assert "pip install 'acutance[tensorrt]'" in err and err.count("\n") == 1
