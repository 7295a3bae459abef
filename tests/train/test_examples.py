"""What training sees: only the train split, on the grid, the same for the same seed and step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from acutance import degrade, oracle
from acutance.errors import UsageError
from acutance.evaluate import scans
from acutance.train import examples
from acutance.train import recipe as recipes


def still(recipe_file: Path, **changes: dict[str, object]) -> recipes.Recipe:
    return recipes.load(recipe_file, **{"degradation": {"sigma": [0.0, 0.0]}, **changes})


def test_no_subject_of_val_or_test_is_trained_on(small_data: Path, recipe_file: Path) -> None:
    found = examples.Truths(small_data, recipes.load(recipe_file))
    assert {s.subject for s in found.scans} == {"a", "b"}
    assert all(s.split == "train" for s in found.scans)


@pytest.mark.parametrize("name", ["ct-rt-x2", "mr-rt-x2", "gray-rt-x2"])
def test_no_subject_of_val_or_test_is_in_the_real_train_split(data_dir: Path, name: str) -> None:
    for modality in recipes.load(name).data.modalities:
        trained = {s.subject for s in scans.find(data_dir, "train", modality, reformats=True)}
        held = {s.subject for split in ("val", "test") for m in ("CT", "MR", "PET", "XR", "US", "ENDO")
                for s in scans.find(data_dir, split, m, reformats=True)}  # fmt: skip
        assert trained and held and not trained & held


def test_reformats_are_seen_only_when_wanted(small_data: Path, recipe_file: Path) -> None:
    def slices(reformats: bool) -> int:
        wanted = recipes.load(recipe_file, data={"reformats": reformats})
        return sum(len(s) for s in examples.Truths(small_data, wanted).by_modality[0])

    assert (slices(False), slices(True)) == (6, 7)


def test_an_example_adds_up_to_its_truth(small_data: Path, recipe_file: Path) -> None:
    recipe = still(recipe_file)
    truth = examples.Truths(small_data, recipe).by_modality[0][0][0]
    found = examples.make(truth, recipe, 3, np.random.default_rng(0))
    small = found.picture[3:-3, 3:-3]
    rebuilt = oracle.base(small, 2) + found.residual
    mapped = (truth.pixels.astype(np.float64) + 1024) / 4095
    shifts = [degrade.crop(mapped[i:, j:], 2) for i in (0, 1) for j in (0, 1)]
    same = [s for s in shifts if s.shape == rebuilt.shape and np.abs(s - rebuilt).max() < 1e-5]
    assert len(same) == 1
    np.testing.assert_allclose(small, degrade.area_mean(same[0], 2), atol=1e-5)
    np.testing.assert_allclose(found.drift, 0, atol=1e-5)
    np.testing.assert_array_equal(found.picture, np.pad(small, 3, mode="symmetric"))


def test_patches_are_whole_blocks_in_the_networks_order(small_data: Path, recipe_file: Path) -> None:
    recipe = still(recipe_file)
    batch = examples.Pool(examples.Truths(small_data, recipe), recipe, halo=3).batch(0, 8)
    assert batch.picture.shape == (8, 1, 18, 18)
    assert batch.residual.shape == (8, 4, 12, 12)
    for picture, residual in zip(batch.picture, batch.residual, strict=True):
        base = oracle.base(picture[0], 2)[6:-6, 6:-6]
        blocks = base.reshape(12, 2, 12, 2).transpose(1, 3, 0, 2).reshape(4, 12, 12)
        means = (blocks + residual).mean(axis=0)
        np.testing.assert_allclose(means, picture[0, 3:-3, 3:-3], atol=1e-5)


def test_batches_follow_from_seed_and_step(small_data: Path, recipe_file: Path) -> None:
    recipe = recipes.load(recipe_file)
    truths = examples.Truths(small_data, recipe)
    pool = examples.Pool(truths, recipe, 3)
    batches = [pool.batch(step, 4) for step in range(9)]
    later = examples.Pool(truths, recipe, 3, step=7)
    for step in (7, 8):
        np.testing.assert_array_equal(later.batch(step, 4).picture, batches[step].picture)
    assert not np.array_equal(batches[7].picture, batches[8].picture)


def test_jitter_stretches_the_range_and_is_told(small_data: Path, recipe_file: Path) -> None:
    recipe = still(recipe_file, degradation={"sigma": [0.0, 0.0], "jitter": [0.5, 2.0]})
    truth = examples.Truths(small_data, recipe).by_modality[0][0][0]
    plain = examples.make(truth, still(recipe_file), 0, np.random.default_rng(4))
    found = examples.make(truth, recipe, 0, np.random.default_rng(4))
    assert 0.5 <= found.jitter <= 2 and found.jitter != 1
    np.testing.assert_allclose(found.picture, plain.picture * found.jitter, atol=1e-5)


def test_mr_is_truncated_and_may_be_limited(small_data: Path, recipe_file: Path) -> None:
    changes = {
        "data": {"modalities": ["MR"]},
        "model": {"modalities": ["MR"], "guard": "none", "mapping": {"kind": "percentile"}},
        "degradation": {"kind": "k-space", "sigma": [0.0, 0.0], "limited": 1.0, "limit": [0.45, 0.45]},
    }
    recipe = recipes.load(recipe_file, **changes)
    truth = examples.Truths(small_data, recipe).by_modality[0][0][0]
    found = examples.make(truth, recipe, 0, np.random.default_rng(0))
    whole = oracle.base(found.picture, 2) + found.residual
    np.testing.assert_allclose(degrade.truncate(whole, 2), found.picture, atol=1e-5)
    spectrum = np.abs(np.fft.rfft2(whole))
    assert spectrum[20:-20].max() < 1e-3 * spectrum.max()


def test_a_patch_larger_than_the_truth_is_refused(small_data: Path, recipe_file: Path) -> None:
    recipe = recipes.load(recipe_file, training={"patch": 40})
    with pytest.raises(UsageError, match="smaller than the recipe's patch of 40"):
        examples.Pool(examples.Truths(small_data, recipe), recipe, 3).batch(0, 4)


def test_a_modality_without_scans_is_refused(small_data: Path, recipe_file: Path) -> None:
    with pytest.raises(UsageError, match="the train split has no US scan"):
        examples.Truths(small_data, recipes.load(recipe_file, data={"modalities": ["US"]}))
