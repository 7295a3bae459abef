"""The model file: what it says, that it computes what PyTorch computes, and that it tells nothing of the machine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")

import acutance.export as exports  # noqa: E402
import onnxruntime as ort  # noqa: E402

from acutance import model, networks, oracle  # noqa: E402
from acutance.errors import ModelError  # noqa: E402
from acutance.model import Input, Metadata, Output, Percentile, Scores  # noqa: E402


def metadata(**changes: object) -> Metadata:
    fields = {
        "name": "tiny-x2",
        "version": "1.0",
        "scale": 2,
        "network": "rt",
        "inputs": (Input(name="lr", role="lr", channels=1),),
        "outputs": (Output(name="residual", role="residual", channels=4),),
        "halo": 4,
        "modalities": ("MR",),
        "base": "cubic",
        "guard": "none",
        "precision": "fp32",
        "mapping": Percentile(),
    }
    return Metadata(**{**fields, **changes})


@pytest.fixture(scope="module")
def network() -> networks.Rt:
    torch.manual_seed(1)
    made = networks.build("rt", width=8, depth=2, expand=2)
    with torch.no_grad():
        made.layers[-1].weight.mul_(100)
        for layer in made.layers:
            getattr(layer, "plain", layer).bias.normal_(std=0.1)
    return made.eval()


@pytest.fixture(scope="module")
def file(network: networks.Rt, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export") / "tiny-x2.onnx"
    exports.write(network, metadata(), path)
    return path


def test_the_file_computes_what_the_trained_network_does(network: networks.Rt, file: Path) -> None:
    assert exports.check(network, file).most <= exports.TOLERANCE["fp32"]
    with torch.no_grad():
        assert network(torch.rand(1, 1, 16, 16)).std() > 0.1


def test_another_network_is_found_out(file: Path) -> None:
    with pytest.raises(ModelError, match="differs from PyTorch by"):
        exports.check(networks.build("rt", width=8, depth=2), file)


def test_batch_and_size_are_free_and_names_are_the_roles(file: Path) -> None:
    graph = onnx.load(file).graph
    for value, name in ((graph.input[0], "lr"), (graph.output[0], "residual")):
        assert value.name == name
        n, c, h, w = value.type.tensor_type.shape.dim
        assert all(d.dim_param for d in (n, h, w)) and c.dim_value in (1, 4)
    assert [n.op_type for n in graph.node] == ["Conv", "Relu"] * 3 + ["Conv"]


def test_the_file_loads_with_its_metadata_and_tells_nothing_of_the_machine(file: Path) -> None:
    found = model.load(file)
    assert found.meta == metadata()
    said = file.read_bytes()
    for word in (b"site-packages", b"/python/", str(Path(__file__).parent).encode(), b".py"):
        assert word not in said


def test_writing_twice_gives_the_same_bytes(network: networks.Rt, file: Path, tmp_path: Path) -> None:
    exports.write(network, metadata(), tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == file.read_bytes()


def test_annotate_changes_the_metadata_alone(network: networks.Rt, file: Path, tmp_path: Path) -> None:
    path = tmp_path / "copy.onnx"
    path.write_bytes(file.read_bytes())
    scores = Scores(split="val", rows=({"row": "psf 0", "gain": 1.0},))
    exports.annotate(path, metadata(scores=scores))
    assert model.load(path).meta.scores == scores
    assert onnx.load(path).graph == onnx.load(file).graph
    exports.check(network, path)


def test_metadata_that_do_not_fit_are_refused(network: networks.Rt, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="metadata say halo 3 and scale 2; the network has 4 and 2"):
        exports.write(network, metadata(halo=3), tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())


def test_a_file_without_metadata_is_refused(network: networks.Rt, file: Path, tmp_path: Path) -> None:
    bare = onnx.load(file)
    del bare.metadata_props[:]
    path = tmp_path / "bare.onnx"
    onnx.save(bare, path)
    with pytest.raises(ModelError, match=r"has no 'acutance' metadata.*acutance export"):
        exports.difference(network, path)
    with pytest.raises(ModelError, match="has no 'acutance' metadata"):
        exports.standalone(path, tmp_path / "out.onnx")


def test_annotate_refuses_what_is_no_onnx(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    path.write_bytes(b"none")
    with pytest.raises(ModelError, match="is not an ONNX file"):
        exports.annotate(path, metadata())


def test_standalone_gives_base_and_residual_in_one(network: networks.Rt, file: Path, tmp_path: Path) -> None:
    path = tmp_path / "alone.onnx"
    exports.standalone(file, path)
    x = np.random.default_rng(2).random((2, 1, 24, 30), dtype=np.float32)
    (got,) = ort.InferenceSession(path, providers=["CPUExecutionProvider"]).run(["hr"], {"lr": x})
    with torch.no_grad():
        residual = torch.nn.functional.pixel_shuffle(network(torch.from_numpy(x)), 2).numpy()
    assert got.shape == (2, 1, 48, 60)
    for one, more, small in zip(got[:, 0], residual[:, 0], x[:, 0], strict=True):
        wanted = oracle.base(small, 2) + more
        np.testing.assert_allclose(one[4:-4, 4:-4], wanted[4:-4, 4:-4], atol=2e-5)
    with pytest.raises(ModelError):
        model.load(path)


def test_standalone_needs_a_base_that_resize_has(network: networks.Rt, tmp_path: Path) -> None:
    path = tmp_path / "lanczos.onnx"
    exports.write(network, metadata(base="lanczos4"), path)
    with pytest.raises(ModelError, match="has base lanczos4 and 1 inputs; wanted cubic and one"):
        exports.standalone(path, tmp_path / "out.onnx")
