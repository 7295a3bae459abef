"""The fitted linear filter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("scipy")

from acutance.evaluate import fit, linear


def _known(scale: int) -> np.ndarray:
    weights = np.random.default_rng(4).normal(0, 0.05, (scale**2, 25))
    weights[:, 12] += 1 - weights.sum(axis=1)
    return weights.astype(np.float32)


@pytest.mark.parametrize("scale", [2, 3])
def test_finds_the_filter_that_made_the_truth(scale: int) -> None:
    known = _known(scale)
    rng = np.random.default_rng(5)
    subjects = []
    for size, offset in ((24, -1000), (40, 300)):
        sums = linear.Sums.empty(scale)
        for _ in range(2):
            picture = rng.normal(offset, 200, (size, size + 6)).astype(np.float32)
            sums.add(picture, linear.apply(known, picture), 4095)
        subjects.append(sums)
    assert np.abs(linear.solve(subjects) - known).max() < 1e-4


def test_subjects_count_the_same_whatever_they_bring() -> None:
    rng = np.random.default_rng(6)
    one, many = linear.Sums.empty(2), linear.Sums.empty(2)
    for sums, slices, gain in ((one, 1, 0.9), (many, 30, 0.5)):
        for _ in range(slices):
            picture = rng.normal(0, 1, (40, 40)).astype(np.float32)
            around = np.pad(picture, 1, mode="edge")
            mean = (around[:-2, 1:-1] + around[2:, 1:-1]) / 2
            sums.add(picture, (gain * picture + (1 - gain) * mean).repeat(2, 0).repeat(2, 1), 1.0)
    assert linear.solve([one, many])[0, 12] == pytest.approx(0.7, abs=0.03)


def test_a_shift_of_values_passes_through() -> None:
    picture = np.random.default_rng(7).normal(0, 1, (16, 16)).astype(np.float32)
    weights = linear.load("CT", 2)
    assert np.abs(weights.sum(axis=1) - 1).max() < 1e-6
    assert np.allclose(linear.apply(weights, picture + 1000), linear.apply(weights, picture) + 1000, atol=2e-3)


def test_kept_filters_are_near_symmetric() -> None:
    """Nothing in the grid prefers a direction: mirrored phases have nearly mirrored weights."""
    for modality in ("CT", "MR", "XR", "US", "ENDO"):
        for scale in (2, 3, 4):
            weights = linear.load(modality, scale).reshape(scale, scale, 5, 5)
            assert np.abs(weights - weights[::-1, ::-1, ::-1, ::-1]).max() < 0.12


def test_kept_filter_is_what_the_train_split_gives(data_dir: Path) -> None:
    found = fit.fit(data_dir, "ENDO", 2)
    assert found is not None
    assert (found["subjects"], found["slices"]) == (60, 60)
    assert np.abs(np.array(found["weights"]) - linear.load("ENDO", 2)).max() < 2e-5


def test_fits_what_it_finds_and_writes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = pytest.importorskip("PIL.Image")
    picture = np.random.default_rng(8).integers(0, 255, (40, 40)).astype(np.uint8)
    image.fromarray(picture).save(tmp_path / "a.png")
    header = "path,split,modality,subject_id,source,licence\n"
    (tmp_path / "MANIFEST.csv").write_text(header + "a.png,train,XR,s,x,y\n", encoding="utf-8")
    fit.main([str(tmp_path), "-o", str(tmp_path / "linear.json"), "--scale", "2"])
    assert capsys.readouterr().out == "XR x2: 1 subjects, 1 slices\n"
    assert '"XR"' in (tmp_path / "linear.json").read_text(encoding="utf-8")
