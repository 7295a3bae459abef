"""The rivals that learn from examples: their parts against what is known, and the whole on scans of their own."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

pytest.importorskip("scipy")
pytest.importorskip("sklearn")

from sklearn import decomposition

from acutance.errors import InputError
from acutance.evaluate import command, methods, rivals, sparse, sparse_fit
from acutance.evaluate.methods import Input


def _unit(rng: np.random.Generator, rows: int, cols: int) -> np.ndarray:
    x = rng.normal(0, 1, (rows, cols)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_the_code_is_that_of_orthogonal_matching_pursuit() -> None:
    rng = np.random.default_rng(0)
    atoms, samples = _unit(rng, 40, 12), rng.normal(0, 1, (50, 12)).astype(np.float32)
    chosen, weights = sparse.code(samples, atoms)
    found = np.zeros((50, 40), dtype=np.float32)
    np.put_along_axis(found, chosen, weights, axis=1)
    wanted = decomposition.sparse_encode(samples, atoms, algorithm="omp", n_nonzero_coefs=sparse.ATOMS)
    assert np.abs(found - wanted).max() < 1e-3


def test_a_sample_made_of_few_atoms_is_found_again() -> None:
    rng = np.random.default_rng(1)
    atoms = np.linalg.qr(rng.normal(0, 1, (16, 16)))[0].astype(np.float32)
    chosen, weights = sparse.code(2 * atoms[[3]] - atoms[[7]] + 0.5 * atoms[[11]], atoms)
    assert chosen.tolist() == [[3, 7, 11]]
    assert weights[0] == pytest.approx([2, -1, 0.5], abs=1e-4)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_patches_that_agree_give_the_picture_they_were_cut_from(scale: int) -> None:
    rows, cols, side = 5, 7, 3 * scale
    picture = np.random.default_rng(2).normal(0, 1, (rows * scale, cols * scale)).astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(picture, scale), (side, side))[::scale, ::scale]
    assert np.allclose(sparse.overlapped(windows.reshape(rows * cols, -1), rows, cols, scale), picture, atol=1e-6)


def test_features_see_differences_alone() -> None:
    _, cols = np.mgrid[:12, :14].astype(np.float32)
    assert np.abs(sparse.features(np.full((12, 14), 7, np.float32))).max() == 0
    found = sparse.features(2 * cols).reshape(12, 14, 4, 9)[4:-4, 4:-4]
    assert np.allclose(found[:, :, 1], 4)  # first difference along the columns, over two pixels
    assert np.abs(found[:, :, [0, 2, 3]]).max() < 1e-5


def _edges(rng: np.random.Generator, side: int = 96) -> np.ndarray:
    """Random straight edges, which a cubic filter blurs and examples teach to keep."""
    y, x = np.mgrid[:side, :side]
    out = np.zeros((side, side))
    for _ in range(12):
        angle, offset = rng.uniform(0, np.pi), rng.uniform(-side / 2, side / 2)
        beyond = (x - side / 2) * np.cos(angle) + (y - side / 2) * np.sin(angle) > offset
        out += rng.uniform(-150, 150) * beyond
    return out.astype(np.int16)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, rng = tmp_path_factory.mktemp("edges"), np.random.default_rng(3)
    lines = ["path,split,modality,subject_id,source,licence"]
    for subject, split in (("a", "train"), ("b", "train"), ("c", "val")):
        voxels = np.stack([_edges(rng) for _ in range(6)], -1)
        nibabel.save(nibabel.Nifti1Image(voxels, np.diag([0.8, 0.8, 3.0, 1.0])), folder / f"{subject}.nii.gz")
        lines.append(f"{subject}.nii.gz,{split},CT,{subject},x,y")
    (folder / "MANIFEST.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name, value in {"SAMPLES": 12_000, "DICTIONARY": 48, "LEARNT_FROM": 1500, "NEIGHBOURS": 400}.items():
        monkeypatch.setattr(sparse_fit, name, value)
    return tmp_path / "cache"


def test_both_learn_to_beat_cubic_and_are_learnt_once(data: Path, cache: Path) -> None:
    found = command.make_report(data, "val", ["base"], ["cubic", *sparse.NAMES], ["CT"], jobs=1, limit=2)
    psnr = {r["method"]: r["scores"]["psnr"]["mean"] for r in found["rows"] if r["degradation"] == "psf 0"}
    assert list(psnr) == ["cubic", *sparse.NAMES, "base"]
    assert psnr["sparse coding"] > psnr["cubic"] + 0.5
    assert psnr["A+"] > psnr["cubic"] + 1

    (file,) = cache.rglob("*.npz")
    assert file.name == "CT-x2.npz"
    stamp = file.stat().st_mtime_ns
    assert sparse_fit.prepare(data, "CT", 2) == file
    assert file.stat().st_mtime_ns == stamp
    assert sparse_fit.prepare(data, "MR", 2) is None


def test_values_far_from_the_trained_ones_come_through(data: Path, cache: Path) -> None:
    """What is learnt depends on differences alone and is linear in their size."""
    file = sparse_fit.prepare(data, "CT", 2)
    assert file is not None
    picture = np.random.default_rng(4).normal(0, 50, (24, 24)).astype(np.float32)
    learnt = sparse.load(file)
    for name in sparse.NAMES:
        one = sparse.apply(learnt, picture, name)
        assert np.allclose(sparse.apply(learnt, 4 * picture + 1000, name), 4 * one + 1000, atol=0.02)
        assert np.abs(one - rivals.cubic(picture, 2)).max() > 1


def test_a_modality_without_training_scans_has_none_of_them(data: Path, cache: Path) -> None:
    chosen = methods.choose(["base"], [], 2, sparse_fit.folder(data))
    assert set(sparse.NAMES) <= {m.name for m in chosen}
    assert not set(sparse.NAMES) & {m.name for m in methods.usable(chosen, "MR", 2)}


def test_other_training_scans_have_another_folder(data: Path, tmp_path: Path, cache: Path) -> None:
    text = (data / "MANIFEST.csv").read_text(encoding="utf-8")
    for name, changed in (("val", text.replace(",val,CT,c", ",val,CT,d")), ("train", text.replace("CT,b", "CT,e"))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "MANIFEST.csv").write_text(changed, encoding="utf-8")
    assert sparse_fit.folder(tmp_path / "val") == sparse_fit.folder(data)
    assert sparse_fit.folder(tmp_path / "train") != sparse_fit.folder(data)


def test_a_broken_file_says_what_helps(tmp_path: Path) -> None:
    file = sparse.path(tmp_path, "CT", 2)
    file.write_bytes(b"no numbers")
    picture = Input(np.zeros((16, 16), np.int16), "CT", 2)
    with pytest.raises(InputError, match=r"CT-x2.npz: cannot be read .* remove it, and it is made anew"):
        methods.enlarge(methods.Method("A+", "rival", str(tmp_path)), picture)


def test_the_command_says_what_it_learnt(data: Path, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sparse_fit.main([str(data), "--modality", "CT", "--modality", "PET", "--scale", "2"])
    ct, pet = capsys.readouterr().out.splitlines()
    assert ct.endswith("CT-x2.npz")
    assert pet == "PET x2: no scans to learn from"
