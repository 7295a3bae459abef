"""Guides lie where their truths lie, hold other values and other noise, and are missing as often as asked."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

pytest.importorskip("torch")

from acutance import oracle
from acutance.errors import UsageError
from acutance.train import pairs
from acutance.train import recipe as recipes
from acutance.train.examples import Truth, Truths

PLAIN: dict[str, Any] = {"kind": "guided", "missing": 0.0, "shift": 0.0, "blur": [0.0, 0.0], "noise": [0.0, 0.0]}


def recipe_of(path: Path, **changes: Any) -> recipes.Recipe:
    text = path.read_text()
    start, end = text.index("[network]"), text.index("[data]")
    network = '[network]\nkind = "guided"\nwidth = 4\ntrunk = { kind = "rt", width = 8, depth = 2 }\n\n'
    path.write_text(text[:start] + network + text[end:])
    return recipes.load(
        path,
        model={"modalities": ["MR"], "guard": "none", "mapping": {"kind": "percentile"}},
        data={"modalities": ["MR"]},
        degradation={"kind": "k-space", "sigma": [0.0, 0.0]},
        task={**PLAIN, **changes},
    )


def picture(seed: int = 0, side: int = 60) -> np.ndarray:
    y, x = np.mgrid[:side, :side].astype(np.float32)
    found = sum(0.1 * np.sin(a * x + b * y + c) for a, b, c in np.random.default_rng(seed).uniform(0.1, 0.4, (4, 3)))
    return np.asarray(0.5 + found, np.float32)


def truth_of(pixels: np.ndarray) -> Truth:
    return Truth(pixels * 1000, "MR", (0.0, 1000.0), (0.0, 1000.0))


@pytest.mark.parametrize("limited", [0.0, 1.0])
def test_a_real_guide_is_cut_as_its_truth(recipe_file: Path, limited: float) -> None:
    recipe = recipe_of(recipe_file)
    recipe = recipe.model_copy(
        update={"degradation": recipe.degradation.model_copy(update={"limited": limited, "limit": (0.5, 0.9)})}
    )
    pair = pairs.Pair(truth_of(picture(side=61)), picture(side=61))
    for seed in range(8):
        found = pairs.make(pair, recipe, 3, np.random.default_rng(seed))
        whole = oracle.base(found.picture[3:-3, 3:-3], 2) + found.residual
        np.testing.assert_allclose(found.guide[6:-6, 6:-6], whole / found.jitter, atol=1e-4)


def test_a_made_guide_has_edges_where_the_truth_has_and_other_values(recipe_file: Path) -> None:
    y, x = np.mgrid[:240, :240]
    disc = (0.2 + 0.5 * ((y - 120) ** 2 + (x - 120) ** 2 < 3600)).astype(np.float32)
    different = []
    for seed in range(6):
        guide = pairs.made(disc, pairs.task_of(recipe_of(recipe_file)), np.random.default_rng(seed))
        steps = [np.hypot(*np.gradient(v)) > 0.03 for v in (disc, guide)]
        # Smooth shading makes no edges, and the median filter moves none by more than a pixel.
        assert np.mean(steps[1] & ~steps[0]) < 0.05
        different.append(float(np.abs(guide - disc).mean()))
    assert min(different) > 0.02 and len(set(np.round(different, 4))) == 6


def test_a_made_guide_does_not_show_the_truths_noise() -> None:
    flat = np.full((64, 64), 0.5, np.float32)
    rng = np.random.default_rng(0)
    noise = 0.02 * rng.standard_normal(flat.shape, dtype=np.float32)
    seen = pairs.contrast(flat + noise, np.random.default_rng(1)) - pairs.contrast(flat, np.random.default_rng(1))
    assert abs(np.corrcoef(seen.ravel(), noise.ravel())[0, 1]) < 0.5


def test_air_stays_dark() -> None:
    found = pairs.contrast(np.zeros((16, 16), np.float32), np.random.default_rng(0))
    assert np.abs(found).max() == 0


def test_a_guide_is_displaced_by_no_more_than_asked() -> None:
    spot = np.zeros((33, 33), np.float32)
    spot[16, 16] = 1
    for seed in range(10):
        moved = pairs.displaced(spot, 2.0, np.random.default_rng(seed))
        at = np.unravel_index(moved.argmax(), moved.shape)
        assert max(abs(a - 16) for a in at) <= 2
    np.testing.assert_allclose(pairs.displaced(spot, 0.0, np.random.default_rng(0)), spot, atol=1e-6)


def test_batches_follow_from_seed_and_step_and_guides_are_missing(small_data: Path, recipe_file: Path) -> None:
    recipe = recipe_of(recipe_file, missing=0.5)
    truths = Truths(small_data, recipe)
    pool = pairs.GuidedPool(truths, [], recipe, 3)
    batches = [pool.guided(step, 8) for step in range(9)]
    later = pairs.GuidedPool(truths, [], recipe, 3, step=7)
    for step in (7, 8):
        batch, guide = later.guided(step, 8)
        np.testing.assert_array_equal(batch.picture, batches[step][0].picture)
        np.testing.assert_array_equal(guide, batches[step][1])
    assert batches[0][1].shape == (8, 4, 18, 18)
    missing = np.mean([[not g.any() for g in guide] for _, guide in batches])
    assert 0.3 < missing < 0.7


def grouped(folder: Path) -> Path:
    """Write two scans of one subject on grids of their own, which show the same places."""
    names = ["path", "split", "modality", "subject_id", "source", "licence", "coregistered_group"]
    z, y, x = np.mgrid[:12, :48, :48] / 1.0
    fine = np.rint(500 + 300 * np.sin(0.25 * x) * np.cos(0.2 * y) + 10 * z).astype(np.int16)
    (folder / "MR").mkdir()
    affine = np.diag([0.8, 0.8, 2.0, 1.0])
    nibabel.save(nibabel.Nifti1Image(fine.transpose(2, 1, 0), affine), folder / "MR" / "a.nii.gz")
    # The other begins four pixels and two slices later.
    shifted = affine.copy()
    shifted[:3, 3] = affine[:3, :3] @ [4, 4, 2]
    nibabel.save(nibabel.Nifti1Image(fine.transpose(2, 1, 0)[4:, 4:, 2:], shifted), folder / "MR" / "b.nii.gz")
    with (folder / "MANIFEST.csv").open("w", newline="") as f:
        rows = csv.writer(f)
        rows.writerow(names)
        rows.writerows([f"MR/{n}.nii.gz", "train", "MR", "one", "source", "licence", "group"] for n in "ab")
    return folder


def test_scans_of_a_group_become_pairs_by_their_geometry(tmp_path: Path, recipe_file: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    found = pairs.coregistered(grouped(folder), recipe_of(recipe_file, real=0.5))
    assert len(found) == 12 + 10
    close = []
    for pair in found:
        low, high = pair.truth.span
        wanted = (np.asarray(pair.truth.pixels, float) - low) / (high - low)
        inner = (slice(6, -2), slice(6, -2))
        if pair.guide[inner].std() > 0.1:
            # Both see the same, each in its own range.
            assert np.corrcoef(pair.guide[inner].ravel(), wanted[inner].ravel())[0, 1] > 0.999
            close.append(np.abs(pair.guide[inner] - wanted[inner]).mean() < 0.05)
        else:
            np.testing.assert_allclose(pair.guide, 0, atol=1e-6)
    # The first and last slice of the smaller one lie half outside.
    assert len(close) == 10 + 10 and sum(close) >= 16


def test_a_recipe_of_another_task_is_refused(recipe_file: Path) -> None:
    with pytest.raises(UsageError, match="has the task `picture`; wanted `guided`"):
        pairs.task_of(recipes.load(recipe_file))
