"""What is rounded to 8 bits and what is not, in chains and in networks with gates and sums."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("torch")
pytest.importorskip("onnxscript")
pytest.importorskip("skimage")

import onnxruntime as ort  # noqa: E402
import torch  # noqa: E402
from acutance.export import onnx_file, quantise, write  # noqa: E402
from acutance.export.finetune import finetune  # noqa: E402
from acutance.export.half import half  # noqa: E402
from acutance.export.quantise import METHODS, Scheme  # noqa: E402
from acutance.trt_engines import device, flavour, options  # noqa: E402
from acutance.trt_engines.build import build  # noqa: E402
from onnx import numpy_helper  # noqa: E402

from acutance import model, networks  # noqa: E402
from acutance.errors import BackendError  # noqa: E402
from acutance.model import Fixed, Input, Metadata, Output  # noqa: E402
from acutance.networks.weights import network_of  # noqa: E402

LARGEST = METHODS[0]

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def make(folder: Path, kind: str, **settings: int) -> Path:
    """Write a model with random weights and biases, and return its path."""
    torch.manual_seed(1)
    network = networks.build(kind, **settings).eval()
    with torch.no_grad():
        for _, layer in networks.convolutions(network):
            layer.bias.normal_(std=0.05)
    path = folder / f"tiny-{kind}-x2.onnx"
    meta = Metadata(
        name=f"tiny-{kind}-x2",
        version="1.0",
        scale=2,
        network=kind,
        inputs=(Input(name="lr", role="lr", channels=1),),
        outputs=(Output(name="residual", role="residual", channels=4),),
        halo=network.radius,
        modalities=("CT",),
        base="cubic",
        guard="box",
        precision="fp32",
        mapping=Fixed(unit="HU", low=-1024.0, high=3071.0),
    )
    write(network, meta, path)
    return path


@pytest.fixture(scope="module", params=["rt", "bal"])
def tiny(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = {"rt": {"width": 8, "depth": 2}, "bal": {"width": 8, "blocks": 3}}[request.param]
    return make(tmp_path_factory.mktemp("tiny"), request.param, **settings)


def pictures(side: int = 64) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [(rng.random((1, 1, side, side)) * 0.4 + 0.2 * i).astype(np.float32) for i in range(2)]


def graph_of(path: Path) -> Any:
    graph = onnx.load(path)
    del graph.metadata_props[:]
    return graph


def run(graph: Any, x: np.ndarray) -> np.ndarray:
    graph.ir_version = min(graph.ir_version, 10)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
    half = session.get_inputs()[0].type == "tensor(float16)"
    (out,) = session.run(None, {"lr": x.astype(np.float16) if half else x})
    return np.asarray(out, np.float32)


def error(path: Path, scheme: Scheme) -> float:
    """Return the rms of what 8 bits change, within the halo, as a part of the residual's."""
    graph, seen = graph_of(path), pictures()
    halo = model.load(path).meta.halo
    wanted = run(graph, seen[0])
    made = quantise.quantise(graph, scheme, quantise.calibrate(graph, seen, LARGEST))
    inner = (..., slice(halo, -halo), slice(halo, -halo))
    return float(np.std((run(made, seen[0]) - wanted)[inner]) / wanted[inner].std())


@pytest.fixture
def single(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave graphs in float32: what half rounds would hide what 8 bits do to networks as small as these."""
    monkeypatch.setattr(quantise, "half", lambda graph: graph)


def test_to_use_all_levels_is_nearer_to_fp32(tiny: Path, single: None) -> None:
    first = quantise.convolutions(graph_of(tiny))[:1]
    plain, centred = (error(tiny, Scheme("int8-trt", tuple(first), c)) for c in (False, True))
    assert 0 < centred < 0.9 * plain < 0.1
    assert error(tiny, Scheme("int8-cpu", tuple(first))) < 1.3 * centred


@pytest.mark.parametrize("scheme", [Scheme("int8-trt"), Scheme("int8-trt", centred=True), Scheme("int8-cpu")])
def test_convolutions_alone_see_8_bits(tiny: Path, scheme: Scheme) -> None:
    graph = graph_of(tiny)
    made = quantise.quantise(graph, scheme, quantise.calibrate(graph, pictures(), LARGEST)).graph
    maker = {name: node for node in made.node for name in node.output}
    weights = {w.name: numpy_helper.to_array(w) for w in made.initializer}
    convs = [node for node in made.node if node.op_type == "Conv"]
    assert len(convs) == len(quantise.convolutions(graph))
    for conv in convs:
        assert [maker[name].op_type for name in conv.input[:2]] == ["DequantizeLinear"] * 2
    for node in made.node:
        if node.op_type not in ("Conv", "QuantizeLinear", "DequantizeLinear"):
            assert not any(name in maker and maker[name].op_type == "DequantizeLinear" for name in node.input)
    floats = {w.dtype for w in weights.values() if w.dtype.kind == "f"}
    assert floats == {np.dtype(np.float16 if scheme.precision == "int8-trt" else np.float32)}
    if scheme.precision == "int8-trt":
        zeros = [weights[n.input[2]] for n in made.node if n.op_type == "QuantizeLinear"]
        assert zeros and all(zero.dtype == np.int8 and zero == 0 for zero in zeros)
        sources = [n.input[0] for n in made.node if n.op_type == "QuantizeLinear"]
        shifted = [name in maker and maker[name].op_type == "Sub" for name in sources]
        assert shifted.count(False) == 1 if scheme.centred else not any(shifted)  # the input is never shifted


@pytest.mark.parametrize("scheme", [Scheme("int8-trt", centred=True), Scheme("int8-cpu")], ids=["trt", "cpu"])
def test_the_mean_is_put_back(tiny: Path, single: None, scheme: Scheme) -> None:
    graph, seen = graph_of(tiny), pictures()
    made = quantise.quantise(graph, scheme, quantise.calibrate(graph, seen, LARGEST))

    def moved() -> float:
        lit = [x[0, 0] > quantise.DARK for x in seen]
        both = [(run(graph, x)[0][:, at], run(made, x)[0][:, at]) for x, at in zip(seen, lit, strict=True)]
        return max(abs(float(np.mean([(b - a)[k].mean() for a, b in both]))) for k in range(4))

    before = moved()
    quantise.correct(graph, made, seen)
    assert moved() < 0.2 * before


def test_levels_hold_the_range_and_zero() -> None:
    for low, high in ((0.0, 2.55), (-0.28, 5.0), (-1.0, 1.0), (0.5, 1.0), (-3.0, -1.0)):
        step, zero = quantise.grid(low, high)
        assert 0 <= zero <= 255
        assert -zero * step <= min(low, 0) + step and (255 - zero) * step >= max(high, 0) - step
    assert quantise.grid(0.0, 2.55) == (pytest.approx(0.01), 0)


@pytest.mark.parametrize(
    "scheme", [Scheme("int8-trt"), Scheme("int8-trt", centred=True), Scheme("int8-cpu")], ids=["trt", "centred", "cpu"]
)
def test_what_is_tuned_is_what_the_graph_computes(tiny: Path, single: None, scheme: Scheme) -> None:
    """The simulation rounds as the quantised graph does, and tuning leaves a network of the same shape."""
    from acutance.export.finetune import _simulated

    graph, seen, network = graph_of(tiny), pictures(), network_of(model.load(tiny))
    ranges = quantise.calibrate(graph, seen, LARGEST)
    simulated, levels = _simulated(network, graph, scheme, ranges)
    assert len(levels) == len(quantise.convolutions(graph))
    with torch.no_grad():
        got = simulated(torch.from_numpy(seen[1]), padding=0).numpy()
        exact = network(torch.from_numpy(seen[1]), padding=0).numpy()
    halo = network.radius
    wanted = run(quantise.quantise(graph, scheme, ranges), seen[1])[..., halo:-halo, halo:-halo]
    assert np.std(got - wanted) < 0.5 * np.std(got - exact)
    tuned, found = finetune(network, graph, scheme, ranges, seen, [1.0, 0.5], 2)
    before, after = ({w.name: numpy_helper.to_array(w) for w in g.graph.initializer} for g in (graph, tuned))
    assert before.keys() == after.keys()
    changed = [name for name in before if (before[name] != after[name]).any()]
    assert len(changed) == 2 * len(levels)
    quantise.quantise(tuned, scheme, found)


@pytest.mark.parametrize("sm", ["sm86", "sm89", "sm120"])
@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_tensorrt_rtx_builds_a_gate_in_half(tmp_path: Path, precision: str, sm: str) -> None:
    try:
        rtx = flavour.load("rtx")
    except BackendError as e:
        pytest.skip(f"no TensorRT-RTX: {e}")
    path = make(tmp_path, "bal", width=16, blocks=3)
    graph = graph_of(path)
    ranges = quantise.calibrate(graph, pictures(), LARGEST)
    made = half(graph) if precision == "fp16" else quantise.quantise(graph, Scheme("int8-trt", centred=True), ranges)
    onnx_file.bare(made)
    meta = model.load(path).meta.model_copy(update={"precision": options.MODEL_PRECISION[precision]})
    onnx_file.save(made, meta, tmp_path / "made.onnx")
    chosen = options.make(precision=precision, batches=(1, 2), tile=64)
    built = build(model.load(tmp_path / "made.onnx"), chosen, device.target(sm), flavour=rtx)
    assert [(t.dtype, t.shapes) for t in built.io] == [
        ("half", ((1, 1, 64, 64), (2, 1, 64, 64))),
        ("half", ((1, 4, 64, 64), (2, 4, 64, 64))),
    ]
    assert len(built.plan) > 10_000
    assert ("INT8" in built.description.upper()) == (precision == "int8")
