"""Training and evaluation take a built data set as they take any other."""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("dicomanonymizer")

from acutance.data import profile
from acutance.errors import InputError, UsageError
from acutance.evaluate import scans, score, shards
from acutance.model import Fixed, Percentile

Build = Callable[..., Any]


def only(folder: Path, modality: str, split: str = "train") -> scans.Series:
    (scan,) = scans.find(folder, split, modality)
    found = scans.load(scan)
    assert found is not None
    return found


@pytest.fixture
def table(small_data: Path, tmp_path: Path) -> Path:
    """Splits of the scans of ``small_data`` that are volumes."""
    splits = {"a": "train", "b": "train", "c": "val", "d": "test"}
    lines = [f"{name}.nii.gz,{name},{split}" for name, split in splits.items()]
    (tmp_path / "splits.csv").write_text("\n".join(["path,patient,split", *lines]) + "\n")
    return tmp_path / "splits.csv"


@pytest.fixture
def built(build: Build, small_data: Path, table: Path, tmp_path: Path) -> Path:
    """The CT of ``small_data``, built."""
    files = [small_data / f"{x}.nii.gz" for x in "abcd"]
    said = build(*files, "-o", tmp_path / "set", "--split", table, "--modality", "CT", "--key", tmp_path / "key")
    assert said.code == 0, said.err
    return tmp_path / "set"


def test_evaluate_gives_the_scores_of_the_sources(run: Build, small_data: Path, built: Path, tmp_path: Path) -> None:
    import json

    pytest.importorskip("skimage")
    rows = {}
    for name, folder in (("source", small_data), ("built", built)):
        out = tmp_path / name
        options = ["--models", "base", "--against", "nearest", "--modality", "CT", "--jobs", "1"]
        assert run("evaluate", folder, *options, "-o", out).code == 0
        rows[name] = json.loads((out / "quality.json").read_text())["rows"]
    assert len(rows["built"]) == len(rows["source"]) > 0
    for a, b in zip(rows["built"], rows["source"], strict=True):
        assert (a["method"], a["degradation"], a["slices"]) == (b["method"], b["degradation"], b["slices"])
        noisy = a["degradation"].startswith(
            "noise"
        )  # drawn by the order of samples: rows and columns have changed places
        assert a["scores"]["psnr"]["mean"] == pytest.approx(b["scores"]["psnr"]["mean"], abs=0.2 if noisy else 1e-6)


def test_train_runs_on_it(run: Build, built: Path, tmp_path: Path) -> None:
    pytest.importorskip("lightning")
    from acutance.train import checkpoint

    recipe = tmp_path / "tiny-x2.toml"
    recipe.write_text(RECIPE)
    said = run("train", recipe, "--data", built, "-o", tmp_path / "run", "--accelerator", "cpu", "--devices", "1")
    assert said.code == 0 and "CT psf 0:" in said.out
    trained = checkpoint.restore(tmp_path / "run" / "last.pt")
    assert trained.data == [{"source": "ward 7", "licence": "study agreement 12", "subjects": 2}]


RECIPE = """
name = "tiny-x2"
[network]
kind = "rt"
width = 8
depth = 1
[model]
modalities = ["CT"]
mapping = { kind = "fixed", unit = "HU", low = -1024.0, high = 3071.0 }
[data]
modalities = ["CT"]
[training]
steps = 2
batch = 2
patch = 12
pool = 2
validate_every = 2
"""


def test_ranges_are_known_without_reading(build: Build, make_slice: Build, tmp_path: Path) -> None:
    for i in range(3):
        make_slice(tmp_path / "in" / f"{i}", "P", "MR", index=i)
    build(tmp_path / "in", "-o", tmp_path / "set", "--split", "train=1")
    found = only(tmp_path / "set", "MR")
    robust = np.percentile(np.stack(found.slices), score.ROBUST)
    np.testing.assert_allclose(found.value_range, robust)
    np.testing.assert_allclose(found.span(Percentile()), robust)
    np.testing.assert_allclose(found.span(Percentile(low=5, high=95)), np.percentile(np.stack(found.slices), (5, 95)))


def test_more_than_8_bits_do_not_go_through_an_8_bit_mapping(build: Build, make_slice: Build, tmp_path: Path) -> None:
    deep = {"BitsAllocated": 16, "BitsStored": 12, "HighBit": 11}
    pixels12 = np.random.default_rng(0).integers(0, 4095, (64, 72)).astype(np.uint16)
    make_slice(tmp_path / "in" / "a", "P", "CR", PixelData=pixels12.tobytes(), **deep)
    build(tmp_path / "in", "-o", tmp_path / "set", "--split", "train=1")
    found = only(tmp_path / "set", "XR")
    assert found.value_range == pytest.approx(tuple(np.percentile(pixels12, score.ROBUST)), abs=1)
    with pytest.raises(UsageError, match="holds more than 8 bits; wanted a recipe"):
        found.span(Fixed(unit="stored", low=0, high=255))


def test_damage_is_named(built: Path) -> None:
    (scan,) = scans.find(built, "val", "CT")
    whole = scan.path.read_bytes()
    for content, why in ((whole[:200], "is damaged or cut short"), (b"none", "is damaged or cut short")):
        scan.path.write_bytes(content)
        with pytest.raises(InputError, match=why):
            scans.load(scan)
    np.save(scan.path, np.zeros((2, 4, 4), np.uint8))
    with pytest.raises(InputError, match=r"holds uint8 of shape \(2, 4, 4\); wanted int16"):
        scans.load(scan)
    scan.path.with_suffix(".json").write_text("{}")
    with pytest.raises(InputError, match=r"does not describe a series \(wrong at modality\)"):
        scans.load(scan)
    scan.path.with_suffix(".json").unlink()
    with pytest.raises(InputError, match="cannot be read"):
        scans.load(scan)


def test_more_series_than_open_files_are_allowed(tmp_path: Path) -> None:
    for i in range(40):
        np.save(tmp_path / f"{i}.npy", np.zeros((1, 2, 2), np.uint8))
    said = shards.Shard.model_construct(shape=(1, 2, 2), dtype="uint8")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(list(Path("/proc/self/fd").iterdir()))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 20, hard))
    try:
        found = [shards.slices(tmp_path / f"{i}.npy", said) for i in range(40)]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(found) == 40


def test_only_what_the_profile_leaves_alone_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    from pydicom.dataset import Dataset

    header = Dataset()
    header.SliceThickness, header.EchoTime, header.PatientName = "2.5", "14", "Mustermann^Erika"
    assert profile.numbers_of(header) == {"SliceThickness": 2.5, "EchoTime": 14}
    header.DateOfLastCalibration, header.PatientWeight = "20200101", "81"
    monkeypatch.setitem(profile.KEPT, "PatientWeight", "")
    assert profile.numbers_of(header) == {"SliceThickness": 2.5, "EchoTime": 14}
