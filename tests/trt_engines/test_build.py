"""Engines are what was asked for: built by TensorRT-RTX without a GPU, and by doubles of full TensorRT."""

from __future__ import annotations

import re
from types import ModuleType
from typing import Any

import pytest
from acutance.trt_engines import device, options
from acutance.trt_engines.build import Built, build
from acutance.trt_engines.device import Device
from acutance.trt_engines.flavour import Flavour
from acutance.trt_engines.options import MODEL_PRECISION, Options

from acutance import model as models
from acutance.errors import BackendError, ModelError, UsageError

SHIPPED = [
    (name, precision)
    for name in models.names()
    for precision, file in MODEL_PRECISION.items()
    if file in models.precisions(name)
]
FULL = ["10.3.0", "11.0.0.114", "11.4.0.106"]

FORMATS = {"LINEAR": "Row major linear", "HWC8": "kHWC8", "HWC": "Non-vectorized channel-last"}
"""How the builder's report calls them."""


def reported(built: Built) -> dict[str, dict[str, Any]]:
    """Return tensors by name as the builder reports the finished engine, which nothing else can without a GPU."""
    lines = built.description.partition("I/O Tensors:")[2].splitlines()
    found = {}
    for line in lines:
        if match := re.match(r" Name: (.+?), IOMode: (\w+), DataType: (\w+), .*ProfileInfo: \[(.*)\]", line):
            name, mode, dtype, profiles = match.groups()
            shapes = {
                which: [tuple(map(int, s.split(","))) for s in re.findall(rf"{which}Shape: \[([\d,]+)\]", profiles)]
                for which in ("Min", "Opt", "Max")
            }
            formats = re.findall(r"Format: (.*?) \}", profiles)
            found[name] = {"mode": mode.lower(), "dtype": dtype.lower(), "shapes": shapes, "formats": formats}
    return found


def assert_as_described(built: Built) -> None:
    """Hold the engine that the builder reports against what we say it is."""
    found = reported(built)
    assert found.keys() == {t.name for t in built.io}
    for tensor in built.io:
        said = found[tensor.name]
        assert (said["mode"], said["dtype"]) == (tensor.mode, tensor.dtype)
        assert len(said["formats"]) == len(tensor.shapes)
        assert all(FORMATS[tensor.format] in text for text in said["formats"]), (tensor, said["formats"])
        if tensor.mode == "input":
            assert said["shapes"] == {key: list(tensor.shapes) for key in ("Min", "Opt", "Max")}


@pytest.mark.parametrize("sm", ["sm86", "sm89", "sm120"])
@pytest.mark.parametrize(("name", "precision"), SHIPPED)
def test_every_shipped_model_builds(rtx: Flavour, name: str, precision: str, sm: str) -> None:
    model, chosen = options.resolve(name, Options(precision=precision, batches=(1, 4)))
    built = build(model, chosen, device.target(sm), flavour=rtx)
    assert_as_described(built)
    channels = {x.name: x.channels * x.unshuffle**2 for x in model.meta.inputs}
    channels |= {x.name: x.channels for x in model.meta.outputs}
    assert {t.name: t.shapes for t in built.io} == {
        n: ((1, c, 128, 128), (4, c, 128, 128)) for n, c in channels.items()
    }
    assert {t.dtype for t in built.io} == {"float" if precision == "fp32" else "half"}
    # Weights and, for each profile, code: more than the network's weights in 8 bits, less than a few MB.
    assert 40_000 < len(built.plan) < 8_000_000
    assert "INT8" in built.description.upper() if precision == "int8" else "Int8" not in built.description


@pytest.mark.parametrize("precision", MODEL_PRECISION)
def test_state_of_16_channels_is_nhwc8_in_half(rtx: Flavour, small: Any, precision: str) -> None:
    model = small(MODEL_PRECISION[precision])
    built = build(
        model, Options(precision=precision, tile=(48, 64), batches=(1, 2)), device.target("sm86"), flavour=rtx
    )
    assert_as_described(built)
    formats = {t.name: t.format for t in built.io}
    wide = "LINEAR" if precision == "fp32" else "HWC8"
    assert formats == {"lr": "LINEAR", "state": wide, "residual": "LINEAR", "next_state": wide}
    assert {t.name: t.shapes[1] for t in built.io}["state"] == (2, 16, 48, 64)


def test_outputs_leave_as_the_last_convolution_writes_them(rtx: Flavour, small: Any) -> None:
    """The NHWC8 state has no kernel that transposes it; the linear residual has, unless channels come last."""

    def transposing(channels_last: bool) -> list[str]:
        chosen = Options(tile=64, batches=(4,), channels_last=channels_last)
        built = build(small("fp16"), chosen, device.target("sm86"), flavour=rtx)
        assert_as_described(built)
        assert {t.name: t.format for t in built.io}["residual"] == ("HWC" if channels_last else "LINEAR")
        kernels = re.findall(r"^Name: (.+?), LayerType", built.description, re.MULTILINE)
        assert len(kernels) > 4
        return [k for k in kernels if "Tran" in k]

    assert len(transposing(False)) == 1
    assert transposing(True) == []


def test_a_plan_is_what_tensorrt_knows_as_one(rtx: Flavour, small: Any) -> None:
    # Deserialising needs a driver; the header is looked at before the driver is.
    plan = build(small("fp16"), Options(batches=(1,)), device.target("sm86"), flavour=rtx).plan
    if not hasattr(rtx.trt, "EngineInvalidityDiagnostics"):
        pytest.fail(f"TensorRT-RTX {rtx.version} cannot look at headers; the tests want 1.7 or newer")
    malformed = int(rtx.trt.EngineInvalidityDiagnostics.MALFORMED_ENGINE)
    runtime = rtx.trt.Runtime(rtx.logger)
    assert not int(runtime.get_engine_validity(plan)[1]) & malformed
    assert int(runtime.get_engine_validity(b"\0" * 8 + plan[8:])[1]) & malformed


def test_more_profiles_make_a_larger_engine(rtx: Flavour, small: Any) -> None:
    sizes = [
        len(build(small("fp16"), Options(tile=64, batches=b), device.target("sm86"), flavour=rtx).plan)
        for b in ((1,), (1, 2), (1, 2, 4, 8))
    ]
    assert sizes[0] < sizes[1] < sizes[2]


def test_progress_of_a_real_build(rtx: Flavour, small: Any) -> None:
    seen: list[tuple[Any, ...]] = []

    class Watch:
        def start(self, phase: str, parent: str | None, steps: int) -> None:
            seen.append(("start", phase, parent))

        def step(self, phase: str, done: int) -> bool:
            seen.append(("step", phase, done))
            return True

        def finish(self, phase: str) -> None:
            seen.append(("finish", phase))

    build(small("fp16"), Options(batches=(1,)), device.target("sm86"), flavour=rtx, progress=Watch())
    assert seen[0][0] == "start" and seen[0][2] is None
    assert seen[-1] == ("finish", seen[0][1])
    assert [s[1] for s in seen if s[0] == "start"].count(seen[0][1]) == 1
    assert sum(s[0] == "step" for s in seen) > 3


def test_a_real_build_can_be_stopped(rtx: Flavour, small: Any) -> None:
    class Impatient:
        def start(self, phase: str, parent: str | None, steps: int) -> None: ...

        def step(self, phase: str, done: int) -> bool:
            raise KeyboardInterrupt

        def finish(self, phase: str) -> None: ...

    with pytest.raises(KeyboardInterrupt):
        build(small("fp16"), Options(), device.target("sm86"), flavour=rtx, progress=Impatient())


def test_rtx_names_the_gpus_it_builds_for(rtx: Flavour, small: Any) -> None:
    with pytest.raises(BackendError, match=r"does not build for sm90 \(SM90\); it builds for .*SM86.*full TensorRT"):
        build(small("fp16"), Options(), device.target("sm90"), flavour=rtx)


def test_a_model_that_tensorrt_cannot_read(rtx: Flavour, small: Any) -> None:
    model = small("fp16")
    broken = models.Model(model.path, model.meta, model.sha256, model.data[:200])
    with pytest.raises(ModelError, match="cannot read it"):
        build(broken, Options(), device.target("sm86"), flavour=rtx)


def test_rtx_refuses_what_is_not_in_the_metadata(rtx: Flavour, small: Any) -> None:
    model = small("fp32")
    lying = models.Model(model.path, model.meta.model_copy(update={"precision": "fp16"}), model.sha256, model.data)
    with pytest.raises(ModelError, match="'lr' is FLOAT; a fp16 model wants HALF"):
        build(lying, Options(), device.target("sm86"), flavour=rtx)


@pytest.mark.parametrize("version", FULL)
def test_full_tensorrt_gets_what_was_asked(fake: ModuleType, small: Any, gpu: Device, version: str) -> None:
    flavour = fake.load(version)
    chosen = Options(tile=64, batches=(1, 2), level=5, aux_streams=2, workspace_mib=256)
    built = build(small("fp16"), chosen, gpu, flavour=flavour)
    (asked,) = flavour.trt.log.configs
    assert (asked["level"], asked["aux"], asked["pool WORKSPACE"]) == (5, 2, 256 << 20)
    assert asked["cleared"] == ["TF32"]
    shapes = [{n: [[b, c, 64, 64]] * 3 for n, c in (("lr", 1), ("state", 16))} for b in (1, 2)]
    assert asked["profiles"] == shapes
    bit = {f.name: 1 << int(f) for f in flavour.trt.TensorFormat}
    assert asked["formats"] == {
        "lr": bit["LINEAR"],
        "state": bit["HWC8"],
        "residual": bit["LINEAR"],
        "next_state": bit["HWC8"],
    }
    assert flavour.trt.log.network_flags == [1 << int(flavour.trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)]
    assert built.plan and len(built.io) == 4


def test_a_tensorrt_that_dropped_the_flag_is_strongly_typed_anyway(fake: ModuleType, small: Any, gpu: Device) -> None:
    flavour = fake.load("11.4.0.106", without=("NetworkDefinitionCreationFlag.STRONGLY_TYPED",))
    build(small("fp16"), Options(), gpu, flavour=flavour)
    assert flavour.trt.log.network_flags == [0]


def test_tiling_where_it_exists(fake: ModuleType, small: Any, gpu: Device) -> None:
    chosen = Options(tiling="moderate", tiling_l2=1 << 20)
    flavour = fake.load("11.4.0.106")
    build(small("fp16"), chosen, gpu, flavour=flavour)
    assert flavour.trt.log.configs[0]["tiling"] == "MODERATE"
    with pytest.raises(BackendError, match=r"knows no tiling; wanted 10.8 or newer"):
        build(small("fp16"), chosen, gpu, flavour=fake.load("10.3.0"))


def test_a_build_without_progress_monitor(fake: ModuleType, small: Any, gpu: Device) -> None:
    class Never:
        def start(self, *_: Any) -> None:
            raise AssertionError

        step = finish = start

    assert build(small("fp16"), Options(), gpu, flavour=fake.load(without=("IProgressMonitor",)), progress=Never()).plan


def test_the_builders_own_reason_is_told(fake: ModuleType, small: Any, gpu: Device) -> None:
    flavour = fake.load(error="Error Code 10: Could not find any implementation for node conv")
    with pytest.raises(BackendError, match=r"small-x2.*TensorRT cannot build it: Error Code 10: Could not find any"):
        build(small("fp16"), Options(), gpu, flavour=flavour)


def test_full_tensorrt_builds_nothing_from_afar(fake: ModuleType, small: Any) -> None:
    with pytest.raises(BackendError, match="does not build for sm86 from afar"):
        build(small("fp16"), Options(), device.target("sm86"), flavour=fake.load())


def test_options_that_do_not_fit_the_model(fake: ModuleType, small: Any, gpu: Device) -> None:
    with pytest.raises(UsageError, match="the model is fp16; the options want int8-trt"):
        build(small("fp16"), Options(precision="int8"), gpu, flavour=fake.load())
    with pytest.raises(ModelError, match=r"is int8-cpu, which TensorRT does not take"):
        build(small("int8-cpu"), Options(precision="int8"), gpu, flavour=fake.load())
    with pytest.raises(UsageError, match="a tile of 14 is all halo"):
        build(models.load("ct-rt-x2", "fp16"), Options(tile=14), gpu, flavour=fake.load())
    with pytest.raises(UsageError, match="a tile of 100 is no multiple of 8"):
        build(small("fp16", multiple_of=8), Options(tile=100), gpu, flavour=fake.load())
