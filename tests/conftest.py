"""Shared fixtures."""

from __future__ import annotations

import csv
import importlib.util
import itertools
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import hypothesis
import numpy as np
import pytest

from acutance import _native, ops
from acutance.backends import tensorrt

hypothesis.settings.register_profile("fixed", derandomize=True, deadline=None)
hypothesis.settings.register_profile("few", derandomize=True, deadline=None, max_examples=10)  # for slow tools
hypothesis.settings.load_profile("fixed")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what is marked with ``gpu`` where there is none (``pytest -m gpu`` runs that alone), and what is slow."""
    if item.get_closest_marker("gpu") and _native.cuda_device_count() == 0:
        pytest.skip("no GPU")
    if item.get_closest_marker("slow") and not os.environ.get("ACUTANCE_SLOW"):
        pytest.skip("slow: make test-all runs it")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the larger data set: ``ACUTANCE_DATA``, or ``../shared/data`` beside the checkout."""
    named = os.environ.get("ACUTANCE_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"
    if not (folder / "MANIFEST.csv").is_file():
        pytest.skip("no ACUTANCE_DATA")
    return folder


@pytest.fixture(autouse=True)
def no_gpu_by_itself(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """``auto`` means the CPU in tests, on machines with a GPU too, but where a test is about the GPU."""
    if not {"gpu", "machine"} & {*request.fixturenames, *(m.name for m in request.node.iter_markers())}:
        monkeypatch.setattr(tensorrt, "absent", lambda flavour="auto": "tests run on the CPU")


def texture(rng: np.random.Generator, side: int, slices: int) -> np.ndarray:
    """Random blocks with sharp edges between -700 and 1500."""
    coarse = rng.integers(-700, 1500, (side // 8, side // 8, slices))
    return (coarse.repeat(8, 0).repeat(8, 1) + rng.integers(-20, 20, (side, side, slices))).astype(np.int16)


@pytest.fixture(scope="session")
def small_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with ``MANIFEST.csv``, two CT subjects to train on, one each of val and test, an MR and a picture."""
    nibabel = pytest.importorskip("nibabel")
    image = pytest.importorskip("PIL.Image")
    folder, rng, rows = tmp_path_factory.mktemp("data"), np.random.default_rng(5), []

    def add(path: str, split: str, modality: str, subject: str, licence: str = "MIT") -> Path:
        rows.append([path, split, modality, subject, f"source of {subject}", licence])
        return folder / path

    for split, subject in (("train", "a"), ("train", "b"), ("val", "c"), ("test", "d")):
        volume = nibabel.Nifti1Image(texture(rng, 64, 3), np.diag([0.7, 0.7, 2.0, 1.0]))
        nibabel.save(volume, add(f"{subject}.nii.gz", split, "CT", subject))
    reformat = nibabel.Nifti1Image(texture(rng, 64, 1), np.diag([0.7, 0.7, 2.0, 1.0]))
    nibabel.save(reformat, add("a_sagittal_1.nii.gz", "train", "CT", "a"))
    for split, subject in (("train", "m"), ("val", "n")):
        pixels = np.moveaxis(texture(rng, 64, 2) + 700, 2, 0).astype(np.int16)
        volume = nibabel.Nifti1Image(pixels, np.diag([3.0, 0.9, 0.9, 1.0]))
        nibabel.save(volume, add(f"{subject}.nii.gz", split, "MR", subject))
    pixels = rng.integers(0, 255, (41, 60, 3)).astype(np.uint8)
    image.fromarray(pixels).save(add("e.jpg", "train", "ENDO", "e"))
    image.fromarray(pixels[:, :, 0]).save(add("x.png", "train", "XR", "x"))
    with (folder / "MANIFEST.csv").open("w", newline="") as f:
        out = csv.writer(f)
        out.writerow(["path", "split", "modality", "subject_id", "source", "licence"])
        out.writerows(rows)
    return folder


MakeModel = Callable[..., Path]


@pytest.fixture
def make_model(tmp_path: Path) -> MakeModel:
    """Return a function that writes a small convolutional model with metadata and gives its path.

    ``depth`` convolutions 3x3 (so the receptive radius is ``depth``) of fixed random weights, the last times ``gain``.
    ``changes`` replace fields of the metadata; ``metadata`` replaces its whole text, or leaves it out when None.
    """
    onnx = pytest.importorskip("onnx")
    helper, tensors = onnx.helper, onnx.numpy_helper

    def make(
        name: str = "tiny-x2",
        *,
        scale: int = 2,
        depth: int = 2,
        gain: float = 0.05,
        poison: float | None = None,
        metadata: str | None = "",
        **changes: Any,
    ) -> Path:
        rng = np.random.default_rng(7)
        widths = [1] + [4] * (depth - 1) + [scale * scale]
        nodes, weights, last = [], [], "lr"
        for i, (a, b) in enumerate(itertools.pairwise(widths)):
            kernel = rng.standard_normal((b, a, 3, 3)).astype(np.float32) * (gain if i == depth - 1 else 0.5)
            if poison is not None and i == depth - 1:
                kernel[0, 0, 1, 1] = poison
            weights.append(tensors.from_array(kernel, f"w{i}"))
            weights.append(tensors.from_array(np.full(b, 0.0 if i == depth - 1 else 0.5, np.float32), f"b{i}"))
            out = "residual" if i == depth - 1 else f"c{i}"
            nodes.append(helper.make_node("Conv", [last, f"w{i}", f"b{i}"], [out], kernel_shape=[3, 3], pads=[1] * 4))
            last = out
            if i < depth - 1:
                nodes.append(helper.make_node("Relu", [out], [f"r{i}"]))
                last = f"r{i}"
        kind = onnx.TensorProto.FLOAT
        graph = helper.make_graph(
            nodes,
            name,
            [helper.make_tensor_value_info("lr", kind, ["n", 1, "h", "w"])],
            [helper.make_tensor_value_info("residual", kind, ["n", scale * scale, "h", "w"])],
            weights,
        )
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        said = {
            "format": 1,
            "name": name,
            "version": "1.0",
            "scale": scale,
            "network": "tiny",
            "inputs": [{"name": "lr", "role": "lr", "channels": 1}],
            "outputs": [{"name": "residual", "role": "residual", "channels": scale * scale}],
            "halo": depth,
            "modalities": ["CT"],
            "base": "cubic",
            "guard": "none",
            "precision": "fp32",
            "mapping": {"kind": "fixed", "unit": "HU", "low": -1024.0, "high": 3071.0},
            **changes,
        }
        if metadata is not None:
            made.metadata_props.add(key="acutance", value=metadata or json.dumps(said))
        path = tmp_path / f"{name}.onnx"
        onnx.save(made, path)
        return path

    return make


@pytest.fixture
def make_mixer(tmp_path: Path) -> MakeModel:
    """Return a function that writes a model whose outputs are sums over its inputs, pixel by pixel.

    ``mixes`` gives for the role of each output a matrix ``[channels, sum of the inputs' channels]``, or such a matrix
    and a bias ``[channels]``; the inputs stand in the order of ``roles``. ``changes`` replace fields of the metadata.
    """
    onnx = pytest.importorskip("onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT

    def make(
        roles: Sequence[str], mixes: dict[str, Any], name: str = "mixer-x2", *, scale: int = 2, **changes: Any
    ) -> Path:
        mixed = {role: (m if isinstance(m, tuple) else (m, np.zeros(len(m)))) for role, m in mixes.items()}
        wide = {"previous": scale**2, "guide": scale**2, "state": len(mixed["state"][0]) if "state" in mixed else 0}
        nodes, weights = [helper.make_node("Concat", list(roles), ["all"], axis=1)], []
        for role, (matrix, bias) in mixed.items():
            kernel = np.asarray(matrix, np.float32)[:, :, None, None]
            weights.append(onnx.numpy_helper.from_array(kernel, f"w_{role}"))
            weights.append(onnx.numpy_helper.from_array(np.asarray(bias, np.float32), f"b_{role}"))
            nodes.append(helper.make_node("Conv", ["all", f"w_{role}", f"b_{role}"], [f"{role}_out"]))
        graph = helper.make_graph(
            nodes,
            name,
            [helper.make_tensor_value_info(r, kind, ["n", wide.get(r, 1), "h", "w"]) for r in roles],
            [helper.make_tensor_value_info(f"{r}_out", kind, ["n", len(m), "h", "w"]) for r, (m, _) in mixed.items()],
            weights,
        )
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        sides = {"previous": scale, "guide": scale}
        said = {
            "name": name,
            "version": "1.0",
            "scale": scale,
            "network": "mixer",
            "inputs": [
                {"name": r, "role": r, "channels": wide[r] if r == "state" else 1, "unshuffle": sides.get(r, 1)}
                for r in roles
            ],
            "outputs": [{"name": f"{r}_out", "role": r, "channels": len(m)} for r, (m, _) in mixed.items()],
            "halo": 0 if set(roles) <= {"lr", "guide"} else None,
            "modalities": ["US"],
            "base": "cubic",
            "guard": "none",
            "precision": "fp32",
            "mapping": {"kind": "fixed", "unit": "stored", "low": 0.0, "high": 255.0},
            **changes,
        }
        made.metadata_props.add(key="acutance", value=json.dumps(said))
        path = tmp_path / f"{name}.onnx"
        onnx.save(made, path)
        return path

    return make


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def device_ops() -> ModuleType:
    """The module tests/device_ops.py."""
    return _load(Path(__file__).with_name("device_ops.py"))


@pytest.fixture(scope="session")
def emulated_cuda(device_ops: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """The CUDA module compiled for the host, to which host memory is that of its one device."""
    return cast(ModuleType, device_ops.build_for_host(tmp_path_factory.mktemp("cuda")))


@pytest.fixture(
    scope="module", params=[*_native.core.paths(), pytest.param("cuda", marks=pytest.mark.gpu), "emulated-cuda"]
)
def core(request: pytest.FixtureRequest, device_ops: ModuleType) -> Iterator[Any]:
    """The ops of each implementation that this machine has; NumPy arrays in and out."""
    if request.param == "cuda":
        yield device_ops.DeviceOps(device_ops.cuda_upload())
    elif request.param == "emulated-cuda":
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_native, "cuda", request.getfixturevalue("emulated_cuda"))
            yield device_ops.DeviceOps(device_ops.host_upload)
    else:
        _native.core.use_path(request.param)
        yield ops
        _native.core.use_path(_native.core.paths()[-1])
