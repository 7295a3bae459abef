"""A recipe's options do to a truth what they say, and those that it leaves out draw nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from acutance import degrade
from acutance.errors import InputError, UsageError
from acutance.evaluate import scans
from acutance.train import degrading, examples
from acutance.train import recipe as recipes

CT = (-1024.0, 3071.0)
BYTES = (0.0, 255.0)


def smooth(rows: int, cols: int) -> NDArray[np.float32]:
    """A blob of 0 to 200."""
    y, x = np.ogrid[:rows, :cols]
    return (200 * np.exp(-((y - rows / 2) ** 2 + (x - cols / 2) ** 2) / 400)).astype(np.float32)


def start(
    value_range: tuple[float, float] = BYTES, spacing: tuple[float, float] | None = (1.0, 1.0)
) -> degrading.Slice:
    return degrading.Slice(smooth(96, 80), value_range, spacing)


def small(seed: int = 0, truth: degrading.Slice | None = None, **options: Any) -> NDArray[np.float32]:
    wanted = recipes.Degradation(**options)
    return degrading.small(truth or start(), wanted, 2, np.random.default_rng(seed))[0]


SHIPPED = {
    "ct-rt-x2": [(0.144625, 0.215704), (0.143728, 0.215899), (0.144394, 0.215826), (0.072363, 0.10325)],
    "mr-rt-x2": [(0.111761, 0.02953), (0.136031, 0.075475), (0.164637, 0.248595), (0.08164, 0.123273)],
    "gray-rt-x2": [(0.223281, 0.333017), (0.127769, 0.194228), (0.165888, 0.247953), (0.131609, 0.196717)],
}
"""Deviation of the picture and mean of the residual that the recipes of shipped weights make, by seed."""


@pytest.mark.parametrize("name", SHIPPED)
def test_recipes_of_shipped_weights_make_the_same_examples_as_ever(name: str) -> None:
    recipe = recipes.load(name)
    modality = recipe.data.modalities[0]
    pixels = np.random.default_rng(1).integers(0, 255, (260, 280)).astype(np.int16)
    truth = examples.Truth(pixels, modality, CT if modality == "CT" else BYTES, BYTES)
    for seed, wanted in enumerate(SHIPPED[name]):
        found = examples.make(truth, recipe, 0, np.random.default_rng(seed))
        assert (found.picture.std(), np.abs(found.residual).mean()) == pytest.approx(wanted, rel=1e-4)


NOISES = [("stored", 0.05, 12.75), ("rician", 0.05, 12.75), ("x-ray", 0.02, None), ("ct", 100.0, None)]


@pytest.mark.parametrize(("kind", "level", "wanted"), NOISES)
def test_noise_comes_in_stored_values(kind: str, level: float, wanted: float | None) -> None:
    shape = "k-space" if kind == "rician" else "area"
    clean, again = (small(seed, kind=shape) for seed in (0, 1))
    np.testing.assert_array_equal(clean, again)
    options = {"kind": shape, "noise_kind": kind, "noise": (level, level), "noisy": 1.0}
    noisy, same, other = (small(seed, **options) for seed in (0, 0, 1))
    np.testing.assert_array_equal(noisy, same)
    assert not np.array_equal(noisy, other)
    error = noisy - clean
    bright = clean > 100
    assert 1 < error[bright].std() < 50
    if wanted is not None:
        assert error[bright].std() == pytest.approx(wanted, rel=0.1)
    if kind == "x-ray":
        dark = small(truth=degrading.Slice(np.zeros((96, 80), np.float32), BYTES, None), **options)
        assert dark.std() == pytest.approx(255 * level, rel=0.05)
        assert error[bright].std() > 1.5 * 255 * level
    if kind == "stored":
        np.testing.assert_array_equal(noisy, np.clip(np.rint(noisy), 0, 255))
        assert (noisy == 0).mean() > 0.1
    np.testing.assert_array_equal(small(0, **{**options, "noisy": 0.0}), clean)


def test_emission_counts_and_is_in_mm() -> None:
    options: dict[str, Any] = {"kind": "emission", "sigma": (2.0, 2.0)}
    clean = small(**options)
    np.testing.assert_allclose(clean, degrade.area_mean(smooth(96, 80), 2, 2.0), rtol=1e-5)
    wide = small(truth=start(spacing=(0.5, 0.5)), **options)
    assert wide.max() < clean.max()
    noisy = small(**options, noise_kind="counts", noise=(0.1, 0.1), noisy=1.0)
    steps = noisy / clean.max() * 100  # counts of 1 / 0.1**2 in the brightest pixel
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-3)
    with pytest.raises(UsageError, match="in mm, but a scan does not say its spacing"):
        small(truth=start(spacing=None), **options)


def test_ultrasound_is_wider_across_the_beam() -> None:
    options: dict[str, Any] = {"kind": "ultrasound", "sigma": (1.0, 1.0), "lateral": (2.0, 2.0)}
    found = small(**options)
    np.testing.assert_array_equal(found, degrade.ultrasound(smooth(96, 80), 2, (1.0, 2.0)))


def test_an_endoscopes_picture_is_a_jpeg_at_its_strength() -> None:
    weak, strong = (small(3, kind="endoscope", strength=(s, s)) for s in (0.05, 1.0))
    clean = small()
    assert weak.shape == clean.shape
    assert np.abs(weak - clean).mean() < 0.3 * np.abs(strong - clean).mean()
    np.testing.assert_array_equal(strong, np.rint(strong))


def test_lines_of_k_space_are_lost() -> None:
    options: dict[str, Any] = {"kind": "k-space", "lossy": 1.0, "lost": (0.4, 0.4)}
    lost = np.abs(np.fft.fft(small(**options), axis=0))
    assert np.abs(lost - np.abs(np.fft.fft(small(kind="k-space"), axis=0))).max() > 1


def test_speckle_stands_in_truth_and_small_picture() -> None:
    wanted = recipes.Degradation(kind="ultrasound", speckled=1.0)
    rng = np.random.default_rng(0)
    varied = degrading.vary(start(), recipes.Data(modalities=("US",)), wanted, 2, rng)
    plain = degrade.crop(smooth(96, 80), 2)
    assert np.abs(varied.pixels[:90, :70] - plain[:90, :70]).mean() > 5
    _, truth = degrading.small(varied, wanted, 2, rng)
    np.testing.assert_array_equal(truth, varied.pixels)


def test_halving_doubles_the_spacing() -> None:
    truth = degrading.Slice(smooth(256, 256), CT, (0.7, 0.8))
    data = recipes.Data(modalities=("CT",), halve=1.0)
    found = degrading.vary(truth, data, recipes.Degradation(), 2, np.random.default_rng(0))
    assert found.spacing == (1.4, 1.6) and max(found.pixels.shape) <= 128


def test_what_is_missing_is_filled_and_only_a_field_of_view_changes_the_truth() -> None:
    picture, truth = smooth(40, 48) + 1, smooth(80, 96) + 1
    kinds = set()
    for seed in range(12):
        found, kept, outside = degrading.lose(picture, truth, 2, np.random.default_rng(seed))
        assert found.min() >= 1 and not np.array_equal(found, picture)
        np.testing.assert_array_equal(found[~outside] != picture[~outside], (found != picture)[~outside])
        inside = ~outside.repeat(2, axis=0).repeat(2, axis=1)
        np.testing.assert_array_equal(kept[inside], truth[inside])
        if outside.any():
            np.testing.assert_array_equal(found[~outside], picture[~outside])
            assert not np.array_equal(kept, truth)
        kinds.add(bool(outside.any()))
    assert kinds == {True, False}


def test_patches_are_cut_inside_of_the_field_of_view(
    small_data: Path, recipe_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipes.load(recipe_file, degradation={"missing": 1.0})
    truth = examples.Truths(small_data, recipe).by_modality[0][0][0]
    assert truth.spacing == pytest.approx((0.7, 0.7))
    lost = []

    lose = degrading.lose

    def watched(*given: Any) -> Any:
        lost.append(lose(*given))
        return lost[-1]

    monkeypatch.setattr(degrading, "lose", watched)
    for seed in range(8):
        found = examples.make(truth, recipe, 0, np.random.default_rng(seed))
        assert not lost[-1][2][tuple(found.places.T)].any()
        np.testing.assert_array_equal(found.picture, lost[-1][0])
    assert any(outside.any() for _, _, outside in lost)


def test_counts_belong_to_emission(recipe_file: Path) -> None:
    with pytest.raises(InputError, match=r"recipe is wrong at degradation: .*'counts' belongs to the kind 'emission'"):
        recipes.load(recipe_file, degradation={"noise_kind": "counts"})


def test_a_recipe_that_denoises_has_no_guard(recipe_file: Path) -> None:
    with pytest.raises(InputError, match=r"recipe is wrong at model: .*must have guard 'none'"):
        recipes.load(recipe_file, model={"denoises": True})


def test_the_real_scans_say_their_spacing(data_dir: Path) -> None:
    for modality in recipes.load("ct-rt-x2-dn").data.modalities:
        scan = scans.find(data_dir, "train", modality)[0]
        series = scans.load(scan)
        assert series is not None and series.spacing is not None
