"""The same models in half and 8 bits: what their graphs hold, and what they lose."""

from __future__ import annotations

import dataclasses
import functools
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
import typer  # noqa: E402
from acutance.export import all as every  # noqa: E402
from acutance.export import check, command, losses, sensitivity, variants, write  # noqa: E402
from acutance.export.half import half  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from typer.testing import CliRunner  # noqa: E402

from acutance import Enhancer, model, networks  # noqa: E402
from acutance.errors import ModelError, UsageError  # noqa: E402
from acutance.model import Fixed, Input, Metadata, Output  # noqa: E402
from acutance.networks.weights import network_of  # noqa: E402

NAMES = [n for n in model.names() if "-rt-x2" in n]
PRECISIONS = ("fp16", "int8-trt", "int8-cpu")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


class Graph:
    """A graph with its nodes by what they give and its weights by name."""

    def __init__(self, data: bytes) -> None:
        self.proto = onnx.load_model_from_string(data)
        onnx.checker.check_model(self.proto, full_check=True)
        self.nodes = self.proto.graph.node
        self.maker = {name: node for node in self.nodes for name in node.output}
        self.weights = {w.name: numpy_helper.to_array(w) for w in self.proto.graph.initializer}
        self.convs = [n for n in self.nodes if n.op_type == "Conv"]

    def types(self) -> tuple[int, int]:
        graph = self.proto.graph
        return tuple(v.type.tensor_type.elem_type for v in (graph.input[0], graph.output[0]))  # type: ignore[return-value]

    def dequantised(self, name: str) -> tuple[np.ndarray | None, np.ndarray, np.ndarray, int | None]:
        """Return integers (None for an activation), scale, zero point and axis of what a DequantizeLinear gives."""
        node = self.maker[name]
        assert node.op_type == "DequantizeLinear"
        axis = next((a.i for a in node.attribute if a.name == "axis"), None)
        source, scale, zero = node.input
        if source not in self.weights:
            before = self.maker[source]
            assert before.op_type == "QuantizeLinear" and list(before.input[1:]) == [scale, zero]
        return self.weights.get(source), self.weights[scale], self.weights[zero], axis


def kept(meta: Metadata) -> set[int]:
    """Return the convolutions that a file says are not in 8 bits."""
    said = meta.quantisation.rpartition(": ")[2]
    return set() if said == "none" else {int(part.split()[-1]) for part in said.split(", ")}


def shipped(precision: str) -> list[str]:
    """Return the models that are shipped in a precision: one that loses more than its budget is not."""
    return [n for n in NAMES if precision in model.precisions(n)]


PAIRS = [(name, precision) for precision in PRECISIONS for name in shipped(precision)]


def test_models_are_shipped_in_other_precisions() -> None:
    assert shipped("fp16") == NAMES
    for precision in ("int8-trt", "int8-cpu"):
        assert {"ct-rt-x2", "mr-rt-x2"} <= set(shipped(precision))


@pytest.mark.parametrize("name", NAMES)
def test_a_variant_says_what_its_source_does(name: str) -> None:
    source = model.load(name)
    for precision in set(model.precisions(name)) - {"fp32"}:
        found = model.load(name, precision)
        meta = found.meta
        assert meta.precision == precision and len(found.data) < 0.6 * len(source.data)
        same = {"precision": "fp32", "quantisation": "", "scores": source.meta.scores}
        assert meta.model_copy(update=same) == source.meta
        assert b"site-packages" not in found.data and b"/tmp" not in found.data
        losses.check(found, [losses.Loss(**row) for row in meta.scores.rows])
        assert [r["row"] for r in meta.scores.rows] == [r["row"] for r in source.meta.scores.rows]


@pytest.mark.parametrize("name", shipped("fp16"))
def test_all_of_fp16_is_half(name: str) -> None:
    graph = Graph(model.load(name, "fp16").data)
    assert graph.types() == (TensorProto.FLOAT16, TensorProto.FLOAT16)
    assert {w.dtype for w in graph.weights.values()} == {np.dtype(np.float16)}
    assert {n.op_type for n in graph.nodes} == {"Conv", "Relu"}
    inferred = onnx.shape_inference.infer_shapes(graph.proto, strict_mode=True).graph.value_info
    assert inferred and {v.type.tensor_type.elem_type for v in inferred} == {TensorProto.FLOAT16}
    source = Graph(model.load(name).data)
    for key, weight in source.weights.items():
        np.testing.assert_allclose(graph.weights[key].astype(np.float32), weight, rtol=2**-11, atol=2**-24)


@pytest.mark.parametrize("name", shipped("int8-trt"))
def test_int8_trt_is_explicit_symmetric_and_has_no_int32(name: str) -> None:
    found = model.load(name, "int8-trt")
    graph = Graph(found.data)
    assert graph.types() == (TensorProto.FLOAT16, TensorProto.FLOAT16)
    assert {w.dtype for w in graph.weights.values()} == {np.dtype(np.float16), np.dtype(np.int8)}
    source = Graph(model.load(name).data)
    for i, (conv, before) in enumerate(zip(graph.convs, source.convs, strict=True)):
        picture, kernel, bias = conv.input
        assert graph.weights[bias].dtype == np.float16
        if i in kept(found.meta):
            assert graph.weights[kernel].dtype == np.float16
            assert picture == "lr" or graph.maker[picture].op_type == "Relu"
            continue
        _, scale, zero, _ = graph.dequantised(picture)
        assert scale.dtype == np.float16 and scale.shape == zero.shape == () and scale > 0 and zero == 0
        whole, scale, zero, axis = graph.dequantised(kernel)
        wanted = source.weights[before.input[1]]
        assert whole is not None and axis == 0 and scale.shape == (len(wanted),) and not zero.any()
        again = whole * scale.astype(np.float32)[:, None, None, None]
        assert (np.abs(again - wanted).max((1, 2, 3)) < 0.6 * scale + 127 * 2**-11 * scale).all()
    assert kept(found.meta) <= {0, len(graph.convs) - 1}
    assert graph.maker["residual"].op_type == "Conv"


@pytest.mark.parametrize("name", shipped("int8-cpu"))
def test_int8_cpu_has_what_integer_kernels_need(name: str) -> None:
    found = model.load(name, "int8-cpu")
    graph = Graph(found.data)
    assert graph.types() == (TensorProto.FLOAT, TensorProto.FLOAT)
    for i, conv in enumerate(graph.convs):
        if i in kept(found.meta):
            assert all(x in graph.weights for x in conv.input[1:])
            continue
        _, step, zero, _ = graph.dequantised(conv.input[0])
        assert zero.dtype == np.uint8 and (i == 0 or zero == 0)
        whole, scale, zero, axis = graph.dequantised(conv.input[1])
        assert whole is not None and whole.dtype == np.int8 and axis == 0 and not zero.any()
        bias, bias_scale, zero, axis = graph.dequantised(conv.input[2])
        assert bias is not None and bias.dtype == np.int32 and axis == 0 and not zero.any()
        np.testing.assert_allclose(bias_scale, scale * step, rtol=1e-6)
    assert kept(found.meta) <= {0}


@pytest.mark.parametrize("name", shipped("int8-cpu"))
def test_onnx_runtime_makes_integer_kernels_of_int8_cpu(name: str, tmp_path: Path) -> None:
    found = model.load(name, "int8-cpu")
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3
    ort.InferenceSession(found.data, options, providers=["CPUExecutionProvider"])
    operators = [n.op_type for n in onnx.load(tmp_path / "optimised.onnx").graph.node]
    # All but the first, which is not quantised, and the last, whose result is not.
    assert operators.count("QLinearConv") == len(Graph(found.data).convs) - 2 + (0 not in kept(found.meta))


@functools.cache
def judge_of(name: str, data: Path) -> losses.Judge:
    return losses.Judge(model.load(name), data, per_scan=1, limit=8)


def scan(rows: int = 96, cols: int = 80) -> np.ndarray:
    """Discs and a little noise: HU for CT, a value between air and bone for others."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:rows, :cols]
    picture = rng.normal(-900, 10, (rows, cols))
    for _ in range(25):
        at, radius = rng.uniform((0, 0), (rows, cols)), rng.uniform(3, 20)
        picture[(y - at[0]) ** 2 + (x - at[1]) ** 2 < radius**2] += rng.uniform(50, 600)
    return picture.clip(-1024, 2500).astype(np.int16)


@pytest.mark.parametrize(("name", "precision"), PAIRS)
def test_a_variant_gives_almost_the_same_picture(name: str, precision: str) -> None:
    picture, results = scan(), {}
    decibels = 70 if precision == "fp16" else 50
    for which in ("fp32", precision):
        found = model.load(name, which)
        with Enhancer(found, "onnxruntime") as enhancer:
            result = enhancer.run(picture, modality=found.meta.modalities[0])
        assert result.fell_back is None and result.frame.derivation.precision == which
        results[which] = result.pixels.astype(np.float64)
        if found.meta.guard == "box":
            blocks = results[which].reshape(96, 2, 80, 2).sum((1, 3))
            assert (blocks == 4 * picture.astype(np.float64)).all()
    error = np.mean((results["fp32"] - results[precision]) ** 2)
    assert error > 0 and 10 * np.log10(np.ptp(picture.astype(float)) ** 2 / error) > decibels


@pytest.mark.parametrize(("name", "precision"), PAIRS)
def test_a_variant_keeps_the_budget_on_val(name: str, precision: str, data_dir: Path) -> None:
    judge = judge_of(name, data_dir)
    found = model.load(name, precision)
    lines = judge.losses(found)
    assert lines and all(np.isfinite(line.foreground) for line in lines)
    losses.check(found, lines)


@pytest.mark.parametrize("name", NAMES)
def test_parity_names_the_tolerance_of_each_precision(name: str) -> None:
    network = network_of(model.load(name))
    for precision in set(model.precisions(name)) - {"fp32"}:
        found = check(network, model.load(name, precision).path)
        assert 0 < found.rms < found.most
    with torch.no_grad():
        network.layers[0].bias += 0.5
    with pytest.raises(ModelError, match=r"differs from PyTorch by .*; wanted at most 0\.004"):
        check(network, model.load(name, "fp16").path)


def test_budgets_are_held() -> None:
    found = model.load("mr-rt-x2", "int8-trt")
    good = losses.Loss("CT", "psf 0", 40.0, 0.1, -0.5, 0.0, worst_loss=0.1, worst_bias=-0.5)
    losses.check(found, [good])
    for change, message in (
        ({"loss": 0.101}, r"CT psf 0, loses 0\.101 dB; wanted at most 0\.10"),
        ({"bias": -0.51}, r"moves the mean by -0\.51; wanted at most 0\.5"),
        ({"worst_loss": 0.101}, r"CT psf 0, loses 0\.101 dB in a subject; wanted at most 0\.10"),
        ({"worst_bias": -0.51}, r"moves the mean by -0\.51 in a subject; wanted at most 0\.5"),
        ({"block_error": 0.25}, r"breaks the guard by 0\.25; wanted 0"),
    ):
        with pytest.raises(ModelError, match=message):
            losses.check(found, [good, dataclasses.replace(good, **change)])
    with pytest.raises(ModelError, match=r"loses 0\.100 dB; wanted at most 0\.01"):
        losses.check(model.load("ct-rt-x2", "fp16"), [good])


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of four convolutions that adds a few HU."""
    torch.manual_seed(1)
    network = networks.build("rt", width=8, depth=2)
    with torch.no_grad():
        for layer in network.layers:
            layer.bias.normal_(std=0.01)
    path = tmp_path_factory.mktemp("tiny") / "tiny-x2.onnx"
    meta = Metadata(
        name="tiny-x2",
        version="1.0",
        scale=2,
        network="rt",
        inputs=(Input(name="lr", role="lr", channels=1),),
        outputs=(Output(name="residual", role="residual", channels=4),),
        halo=4,
        modalities=("CT",),
        base="cubic",
        guard="box",
        precision="fp32",
        mapping=Fixed(unit="HU", low=-1024.0, high=3071.0),
    )
    write(network.eval(), meta, path)
    return path


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fine-tune for a few steps only."""
    monkeypatch.setattr(variants, "STEPS", 4)


def run(*arguments: Any) -> Any:
    app = typer.Typer()
    app.add_typer(command.app)
    app.command()(lambda: None)
    return CliRunner().invoke(app, ["export", *map(str, arguments)])


@pytest.mark.parametrize("precision", ["fp16", "int8-trt", "int8-cpu"])
def test_the_command_makes_a_variant_of_a_file(precision: str, tiny: Path, small_data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    result = run(tiny, "--precision", precision, "--data", small_data, "-o", out)
    assert result.exit_code == 0, result.output
    assert "differs from PyTorch by at most" in result.output and "CT psf 0.8: loses " in result.output
    found = model.load(out)
    assert found.meta.precision == precision and next(r["row"] for r in found.meta.scores.rows) == "psf 0"
    assert ("slices of train" in found.meta.quantisation) == (precision != "fp16")
    assert [p.name for p in tmp_path.iterdir()] == ["out.onnx"]


def test_a_variant_runs_elsewhere_too(tiny: Path, tmp_path: Path) -> None:
    x = np.random.default_rng(2).random((1, 1, 24, 30), dtype=np.float32)
    results = []
    for arguments in ((), ("--precision", "fp16")):
        out = tmp_path / f"alone{len(arguments)}.onnx"
        result = run(tiny, "--standalone", *arguments, "-o", out)
        assert result.exit_code == 0, result.output
        results.append(ort.InferenceSession(out, providers=["CPUExecutionProvider"]).run(["hr"], {"lr": x})[0])
    assert results[0].dtype == results[1].dtype == np.float32
    np.testing.assert_allclose(results[0], results[1], atol=1e-3)
    assert (results[0] != results[1]).any()


def test_what_cannot_be_made_is_named(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ACUTANCE_DATA", raising=False)
    out = tmp_path / "out.onnx"
    for arguments, kind, message in (
        ((tiny, "--precision", "int8-trt"), UsageError, "int8 is calibrated on scans; name their folder by --data"),
        ((tiny, "--precision", "fp32"), UsageError, "is fp32 already; wanted another --precision, or --standalone"),
        (
            (model.load("ct-rt-x2", "fp16").path, "--precision", "fp16"),
            ModelError,
            "is fp16; wanted fp32, of which the others are made",
        ),
        (("no-such-model", "--precision", "fp16"), ModelError, "no model is named 'no-such-model'"),
    ):
        result = run(*arguments, "-o", out)
        assert isinstance(result.exception, kind) and message in str(result.exception)
        assert "\n" not in str(result.exception)
    with pytest.raises(ModelError, match="is fp16; wanted fp32, of which the others are made"):
        variants.Workshop(model.load("ct-rt-x2", "fp16"))
    assert not list(tmp_path.iterdir())


def test_a_variant_outside_the_budget_is_not_written(
    tiny: Path, small_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(losses.BUDGETS, "int8-cpu", -10.0)
    with variants.Workshop(model.load(tiny), small_data) as workshop, pytest.raises(ModelError, match="wanted at most"):
        workshop.write("int8-cpu", tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())


def test_a_cast_inside_is_found_out(tiny: Path) -> None:
    graph = onnx.load(tiny)
    conv = graph.graph.node[0]
    graph.graph.node.insert(0, helper.make_node("RandomUniform", [], ["noise"], shape=[1], dtype=TensorProto.FLOAT))
    graph.graph.node.insert(1, helper.make_node("CastLike", ["lr", "noise"], ["single"]))
    conv.input[0] = "single"
    converted = half(graph)
    assert {n.op_type for n in converted.graph.node} >= {"Conv", "CastLike"}


def test_the_sweep_finds_the_convolution_that_suffers(tiny: Path, small_data: Path, tmp_path: Path) -> None:
    graph = onnx.load(tiny)
    weights = {w.name: w for w in graph.graph.initializer}
    # One input channel a thousand times larger, undone by the weights after it: 8 bits are too few for the others.
    for key, factor, place in (
        ("layers.1.weight", 1000, np.s_[0]),
        ("layers.1.bias", 1000, np.s_[0]),
        ("layers.2.weight", 0.001, np.s_[:, 0]),
        ("layers.3.weight", 20, np.s_[:]),
    ):
        values = numpy_helper.to_array(weights[key]).copy()
        values[place] *= factor
        weights[key].CopyFrom(numpy_helper.from_array(values, key))
    path = tmp_path / "uneven.onnx"
    onnx.save(graph, path)
    with variants.Workshop(model.load(path), small_data) as workshop:
        found = sensitivity.sweep(workshop)
    assert (
        len(found["layers"]) == 4 and int(np.argmax(np.abs(found["layers"]))) == 2
    )  # what such a network adds is noise: to lose it can gain
    text = sensitivity.markdown(found)
    assert f"| convolution 2 | {found['layers'][2]:.3f} |" in text and found["method"] in text
    assert found["methods"][found["method"]] == min(found["methods"].values())


def test_everything_is_remade_by_one_command(tiny: Path, small_data: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny-x2.onnx").write_bytes(tiny.read_bytes())
    every.main(tmp_path, tmp_path / "cards", small_data)
    made = sorted(p.name for p in tmp_path.glob("*.onnx"))
    assert made == ["tiny-x2.fp16.onnx", "tiny-x2.int8-cpu.onnx", "tiny-x2.int8-trt.onnx", "tiny-x2.onnx"]
    card = (tmp_path / "cards" / "tiny-x2.md").read_text()
    for precision in PRECISIONS:
        row = model.load(tmp_path / f"tiny-x2.{precision}.onnx").meta.scores.rows[0]
        worst = f"{row['loss']:+.3f} ({row['worst_loss']:+.3f}) | {row['bias']:+.3f} ({row['worst_bias']:+.3f})"
        assert f"| CT {row['row']} | {worst} | 0 |" in card
    assert "| convolution 3 (last) |" in card
