"""Published networks that a user has: loaded, mapped, and scored beside the other rivals."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("skimage")

import onnx

from acutance.errors import ModelError
from acutance.evaluate import methods, published, rivals
from acutance.evaluate.methods import Input


def _nearest(
    path: Path, channels: int = 1, scale: int = 2, metadata: str | None = None, sides: Any = ("h", "w")
) -> Path:
    """An ONNX file that repeats pixels."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    sizes = onnx.numpy_helper.from_array(np.array([1, 1, scale, scale], np.float32), "sizes")
    node = helper.make_node(
        "Resize", ["x", "", "sizes"], ["y"], mode="nearest", nearest_mode="floor",
        coordinate_transformation_mode="asymmetric",
    )  # fmt: skip
    graph = helper.make_graph(
        [node],
        "nearest",
        [helper.make_tensor_value_info("x", kind, [1, channels, *sides])],
        [helper.make_tensor_value_info("y", kind, [1, channels, None, None])],
        [sizes],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if metadata is not None:
        helper.set_model_props(model, {"scale": metadata})
    onnx.save(model, path)
    return path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    published.load.cache_clear()
    monkeypatch.setenv(published.VARIABLE, str(tmp_path))
    return tmp_path


@pytest.fixture
def compact() -> Any:
    """spandrel's smallest network; torchvision, which two networks for faces and holes want, may be missing."""
    pytest.importorskip("torch")
    names = ("torchvision", "torchvision.transforms", "torchvision.transforms.functional")
    absent = [name for name in names if name not in sys.modules]
    try:
        import torchvision  # noqa: F401
    except (ImportError, RuntimeError):
        for name in absent:
            sys.modules[name] = ModuleType(name)
        last: Any = sys.modules[names[-1]]
        last.InterpolationMode = last.rotate = last.normalize = None
    pytest.importorskip("spandrel")
    from spandrel.architectures.Compact import Compact

    return Compact


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("named", [True, False])
def test_an_onnx_file_is_scored_by_its_declared_scale(folder: Path, channels: int, named: bool) -> None:
    _nearest(folder / ("some-x2.onnx" if named else "some.onnx"), channels, metadata=None if named else "2")
    (method,) = published.find(2)
    assert (method.name, method.kind) == ("some-x2" if named else "some", "rival")
    assert published.find(4) == []
    pixels = np.random.default_rng(0).integers(-1024, 3071, (20, 24)).astype(np.int16)
    found, _ = methods.enlarge(method, Input(pixels, "CT", 2))
    assert np.array_equal(found, rivals.nearest(pixels, 2))
    assert found.dtype == np.int16


def test_values_are_mapped_by_the_range_of_the_protocol(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def look(x: np.ndarray) -> np.ndarray:
        seen.append((x.shape, float(x.min()), float(x.max())))
        return x.repeat(2, 2).repeat(2, 3)

    network = published.Published(folder / "a-x2.onnx", 2, 3, look)
    monkeypatch.setattr(published, "load", lambda path: network)
    method = methods.Method("a-x2", "rival", "a-x2.onnx")
    ct = np.array([[-1024, 3071]], np.int16)
    gray = np.array([[0, 255]], np.uint8)
    mr = np.array([[100, 900]], np.int16)
    for picture in (Input(ct, "CT", 2), Input(gray, "US", 2), Input(mr, "MR", 2, value_range=(100.0, 900.0))):
        found, _ = methods.enlarge(method, picture)
        assert np.array_equal(found, picture.pixels.repeat(2, 0).repeat(2, 1))
    assert seen == [((1, 3, 1, 2), 0.0, 1.0)] * 3


def test_published_networks_stand_among_the_rivals(folder: Path) -> None:
    _nearest(folder / "net_2x.onnx")
    (folder / "README.txt").write_text("not a network")
    assert [m.name for m in methods.choose(["base"], [], 2)][-2:] == ["net_2x", "base"]
    assert [m.name for m in methods.choose(["base"], ["cubic", "net_2x"], 2)] == ["cubic", "net_2x", "base"]
    assert "net_2x" not in [m.name for m in methods.choose(["base"], [], 3)]
    chosen = methods.choose(["base"], ["net_2x"], 2)
    assert methods.usable(chosen, "PET", 2) == chosen


def test_what_does_not_fit_is_named(folder: Path) -> None:
    cases = {
        "scale.onnx": ({}, "does not say its scale"),
        "wide-x2.onnx": ({"channels": 4}, "wanted one input"),
        "fixed-x2.onnx": ({"sides": (8, 8)}, "wanted h and w to be free"),
    }
    for name, (settings, message) in cases.items():
        with pytest.raises(ModelError, match=rf"{name}: .*{message}"):
            published.load(str(_nearest(folder / name, **settings)))
    (folder / "text-x2.onnx").write_text("no network")
    with pytest.raises(ModelError, match=r"text-x2.onnx: cannot be loaded"):
        published.load(str(folder / "text-x2.onnx"))
    wrong = published.load(str(_nearest(folder / "wrong-x3.onnx", scale=2)))
    with pytest.raises(ModelError, match=r"wrong-x3.onnx: gives .* wanted \(24, 24\), 3 times"):
        wrong.enlarge(np.zeros((8, 8), np.float32), 0, 1)


def test_a_model_of_ours_is_sent_elsewhere(folder: Path, make_model: Any) -> None:
    with pytest.raises(ModelError, match="give it to --models"):
        published.load(str(make_model()))


def test_the_variable_must_name_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(published.VARIABLE, str(tmp_path / "none"))
    with pytest.raises(ModelError, match="ACUTANCE_RIVALS"):
        published.files()
    monkeypatch.delenv(published.VARIABLE)
    assert published.files() == []


@pytest.mark.parametrize("channels", [1, 3])
def test_weights_that_spandrel_knows_are_run_as_it_runs_them(folder: Path, compact: Any, channels: int) -> None:
    import torch

    torch.manual_seed(0)
    network = compact(num_in_ch=channels, num_out_ch=channels, num_feat=8, num_conv=2, upscale=2).eval()
    torch.save(network.state_dict(), folder / "compact.pth")
    (method,) = published.find(2)
    pixels = np.random.default_rng(1).integers(0, 255, (18, 22)).astype(np.float32)
    found, _ = methods.enlarge(method, Input(pixels, "US", 2))
    with torch.no_grad():
        seen = torch.from_numpy(pixels / 255)[None, None].repeat(1, channels, 1, 1)
        wanted = network(seen).clamp(0, 1).mean(1)[0].numpy() * 255
    assert np.abs(found - wanted).max() < 1e-3
    assert np.abs(found - rivals.nearest(pixels, 2)).max() > 1  # the random weights do something


def test_safetensors_are_read_too_and_others_refused(folder: Path, compact: Any) -> None:
    torch = pytest.importorskip("torch")
    files = pytest.importorskip("safetensors.torch")
    network = compact(num_feat=8, num_conv=1, upscale=4)
    files.save_file(network.state_dict(), folder / "compact.safetensors")
    assert published.load(str(folder / "compact.safetensors")).scale == 4
    torch.save({"a": torch.zeros(3)}, folder / "a.pth")
    with pytest.raises(ModelError, match=r"a.pth: is no network that spandrel knows"):
        published.load(str(folder / "a.pth"))
