"""Clips move as they are told, from the seed alone, and forget where they are told to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from acutance import degrade
from acutance.errors import UsageError
from acutance.train import recipe as recipes
from acutance.train import sequences
from acutance.train.examples import Truth

STILL: dict[str, Any] = {
    "kind": "sequence", "frames": 5, "unroll": 2, "window": 20, "shift": [0.0, 0.0], "turn": 0.0, "zoom": 0.0,
    "bend": [0.0, 0.0], "occluded": 0.0, "cut": 0.0, "repeated": 0.0, "dropped": 0.0,
}  # fmt: skip


def recipe_of(path: Path, **changes: Any) -> recipes.Recipe:
    return recipes.load(path, network={"kind": "seq", "state": 4}, task={**STILL, **changes})


def still(seed: int = 0) -> Truth:
    """Return a smooth picture with a pattern everywhere, between -1000 and 1000 HU or so."""
    y, x = np.mgrid[:90, :110].astype(np.float32)
    rng = np.random.default_rng(seed)
    pixels = sum(400 * np.sin(a * x + b * y + c) for a, b, c in rng.uniform(0.1, 0.5, (4, 3)))
    return Truth(np.asarray(pixels, np.float32), "CT", (-1024.0, 3071.0), (-1024.0, 3071.0))


def clip(recipe: recipes.Recipe, seed: int = 1, draw: Any = still) -> sequences.Clip:
    return sequences.make(draw, recipe, 20, np.random.default_rng(seed))


def test_a_still_stands_and_its_frames_are_its_area_means(recipe_file: Path) -> None:
    recipe = recipe_of(recipe_file)
    found = clip(recipe)
    assert found.truth.shape == found.base.shape == (5, 40, 40) and found.frames.shape == (5, 20, 20)
    np.testing.assert_allclose(found.truth, np.broadcast_to(found.truth[:1], found.truth.shape), atol=1e-5)
    quiet = recipe.model_copy(update={"degradation": recipes.Degradation()})
    found = clip(quiet)
    for frame, truth in zip(found.frames, found.truth, strict=True):
        np.testing.assert_allclose(degrade.area_mean(truth, 2), frame, atol=1e-5)
    assert found.starts.tolist() == [True, False, False, False, False]


def test_a_shift_moves_the_picture_by_so_many_pixels(recipe_file: Path) -> None:
    found = clip(recipe_of(recipe_file, shift=[3.0, 3.0]))
    spectra = np.fft.rfft2(found.truth * np.hanning(40)[:, None] * np.hanning(40))
    peak = np.unravel_index(np.abs(np.fft.irfft2(spectra[1] * spectra[0].conj())).argmax(), (40, 40))
    moved = [min(p, 40 - p) for p in peak]
    assert 2 <= np.hypot(*moved) <= 4


@pytest.mark.parametrize("how", [{"turn": 3.0}, {"zoom": 0.05}, {"bend": [2.0, 2.0]}, {"occluded": 1.0}])
def test_each_motion_moves(recipe_file: Path, how: dict[str, Any]) -> None:
    found = clip(recipe_of(recipe_file, **how)).truth
    assert np.abs(np.diff(found, axis=0)).max(axis=(1, 2)).min() > 1e-3


def test_frames_are_repeated_and_lost(recipe_file: Path) -> None:
    rng = np.random.default_rng(0)
    task = recipe_of(recipe_file, frames=200, repeated=0.3, dropped=0.2).task
    assert isinstance(task, recipes.SequenceTask)
    steps = np.diff(sequences.times(task, rng))
    assert set(steps) == {0, 1, 2, 3, 4}
    assert 0.2 < np.mean(steps == 0) < 0.4 and 0.1 < np.mean(steps > 1) < 0.3


def test_a_cut_shows_another_still_and_is_told_half_of_the_times(recipe_file: Path) -> None:
    recipe, told = recipe_of(recipe_file, cut=1.0), []
    for seed in range(12):
        drawn = iter(range(9))
        found = clip(recipe, seed, lambda drawn=drawn: still(next(drawn)))
        jumps = np.abs(np.diff(found.truth, axis=0)).mean(axis=(1, 2))
        assert np.sum(jumps > 1e-2) == 1
        told.append(bool(found.starts[1:].any()))
        if told[-1]:
            assert found.starts.tolist() == [True, *(jumps > 1e-2)]
    assert 2 < sum(told) < 10


def test_batches_follow_from_seed_and_step(small_data: Path, recipe_file: Path) -> None:
    from acutance.train.examples import Truths

    recipe = recipe_of(recipe_file, shift=[0.0, 3.0])
    truths = Truths(small_data, recipe)
    clips = sequences.Clips(truths, recipe, 2)
    batches = [clips.batch(step, 4) for step in range(9)]
    later = sequences.Clips(truths, recipe, 2, step=7)
    for step in (7, 8):
        for name, found in later.batch(step, 4).items():
            np.testing.assert_array_equal(found, batches[step][name])
    shapes = {name: x.shape for name, x in batches[0].items()}
    assert shapes["frames"] == (4, 5, 1, 16, 16) and shapes["base"] == shapes["truth"] == (4, 5, 4, 16, 16)
    assert shapes["keep"] == (4, 5, 1, 1, 1) and shapes["jitter"] == (4, 1, 1, 1)
    means = batches[0]["truth"].mean(axis=2, keepdims=True) - batches[0]["frames"]
    assert np.abs(means).max() < 0.2 * np.abs(batches[0]["truth"]).max()


def test_a_recipe_of_another_task_is_refused(recipe_file: Path) -> None:
    with pytest.raises(UsageError, match="has the task `picture`; wanted `sequence`"):
        sequences.task_of(recipes.load(recipe_file))


def test_another_degradation_is_refused(recipe_file: Path) -> None:
    recipe = recipe_of(recipe_file)
    other = recipe.model_copy(update={"degradation": recipes.Degradation(kind="endoscope")})
    with pytest.raises(UsageError, match="'tiny-x2' says endoscope and mapped"):
        clip(other)
