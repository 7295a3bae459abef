"""MR: constants and places are kept, noise is Rice's, slices are as thick as they say."""

from __future__ import annotations

import math
from types import SimpleNamespace

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from acutance import degrade
from acutance.errors import UsageError
from acutance.evaluate import rivals

SHAPES = st.tuples(st.integers(1, 12), st.integers(1, 12))
TAPERS = st.one_of(st.just(0.0), st.floats(0.01, 1))


@given(shape=SHAPES, scale=st.sampled_from([2, 3, 4]), value=st.floats(-2000, 2000))
def test_truncation_has_unit_gain(shape: tuple[int, int], scale: int, value: float) -> None:
    picture = np.full((shape[0] * scale, shape[1] * scale), value, dtype=np.float32)
    np.testing.assert_allclose(degrade.truncate(picture, scale), np.float32(value), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("side", [8, 9])
def test_zero_filling_brings_back_what_truncation_keeps(side: int) -> None:
    picture = degrade.band_limit(np.random.default_rng(2).normal(size=(2 * side, 2 * side)), (0.4, 0.4))
    np.testing.assert_allclose(rivals.zero_filled(degrade.truncate(picture, 2), 2), picture, atol=1e-5)


def test_a_limit_of_all_frequencies_changes_nothing_and_a_taper_weakens_the_high_ones() -> None:
    picture = np.random.default_rng(3).normal(size=(16, 20))
    np.testing.assert_allclose(degrade.band_limit(picture, (1.0, 1.0)), picture, atol=1e-6)
    power = [np.square(degrade.band_limit(picture, (0.6, 0.6), taper)).sum() for taper in (0.0, 0.5, 1.0)]
    assert power[0] > power[1] > power[2] > 0


@settings(max_examples=25)
@given(
    scale=st.sampled_from([2, 3, 4]),
    row=st.floats(40, 56),
    col=st.floats(40, 56),
    keep=st.floats(0.4, 1),
    taper=TAPERS,
)
def test_a_blob_stays_where_it_is(
    blobs: SimpleNamespace, scale: int, row: float, col: float, keep: float, taper: float
) -> None:
    picture = degrade.band_limit(blobs.make(96, row, col, 2.5 * scale / 2), (keep, 1.0), taper)
    truth_of_small = (blobs.centroid(degrade.truncate(picture, scale)) + 0.5) * scale - 0.5
    np.testing.assert_allclose(truth_of_small, [row, col], atol=0.01)


@given(shape=SHAPES, keep=st.floats(0.05, 1), taper=TAPERS, value=st.floats(-2000, 2000))
def test_a_limit_has_unit_gain(shape: tuple[int, int], keep: float, taper: float, value: float) -> None:
    limited = degrade.band_limit(np.full(shape, value), (keep, keep), taper)
    np.testing.assert_allclose(limited, np.float32(value), rtol=1e-6, atol=1e-6)


def test_a_sharp_cut_rings_and_a_tapered_one_does_not() -> None:
    step = np.zeros((64, 64))
    step[16:48] = 1
    sharp, tapered = (degrade.band_limit(step, (0.5, 1.0), taper).max() for taper in (0.0, 1.0))
    assert 1.06 < sharp < 1.1  # Gibbs: 8.9 % of the step, where a sample hits the peak
    assert tapered < 1.01


@pytest.mark.parametrize("sigma", [0.01, 0.03, 0.09])
def test_noise_is_rices(sigma: float) -> None:
    rng = np.random.default_rng(1)
    air = degrade.rician(np.zeros((256, 256)), sigma, rng)
    assert air.mean() == pytest.approx(sigma * math.sqrt(math.pi / 2), rel=0.02)
    assert air.std() == pytest.approx(sigma * math.sqrt(2 - math.pi / 2), rel=0.02)
    bright = degrade.rician(np.ones((256, 256)), sigma, rng)
    assert bright.std() == pytest.approx(sigma, rel=0.02)
    assert bright.mean() == pytest.approx(1 + sigma**2 / 2, abs=4 * sigma / 256)


def test_without_noise_the_picture_stays_and_a_seed_is_a_picture() -> None:
    picture = np.random.default_rng(0).normal(size=(8, 9)).astype(np.float32)
    np.testing.assert_array_equal(degrade.rician(picture, 0, np.random.default_rng(1)), picture)
    same, too, other = (degrade.rician(picture, 0.1, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(same, too)
    assert not np.array_equal(same, other)


@settings(max_examples=25)
@given(seed=st.integers(0, 99), part=st.floats(0, 0.9), row=st.floats(40, 56), col=st.floats(40, 56))
def test_lost_lines_keep_constants_and_places(
    blobs: SimpleNamespace, seed: int, part: float, row: float, col: float
) -> None:
    rng = np.random.default_rng(seed)
    constant, lost = degrade.lost_lines(np.full((96, 5), 7.0), part, rng)
    np.testing.assert_allclose(constant, 7, rtol=1e-6)
    assert lost.sum() == round(96 * part) or lost.sum() == 96 - 9
    assert not lost[np.abs(np.fft.fftfreq(96)) <= 0.05].any()
    smeared, _ = degrade.lost_lines(blobs.make(96, row, col, 5.0), part, rng)
    # It smears along rows and is even about where it was; folded over the border it has no mean, so its phase is taken.
    phase = np.angle((smeared.sum(axis=1) * np.exp(-2j * np.pi * np.arange(96) / 96)).sum())
    assert (-phase * 96 / (2 * np.pi)) % 96 == pytest.approx(row, abs=0.01)
    assert blobs.centroid(smeared)[1] == pytest.approx(col, abs=0.01)


def test_lost_lines_are_zero_in_k_space_where_nothing_folds() -> None:
    picture = np.random.default_rng(3).random((32, 8)) + 5
    smeared, lost = degrade.lost_lines(picture, 0.25, np.random.default_rng(4))
    assert lost.sum() == 8
    assert np.abs(smeared - picture).max() > 0.1
    even = lost | lost[-np.arange(32) % 32]
    spectrum = np.fft.fft(picture, axis=0)
    spectrum[lost] = 0
    np.testing.assert_allclose(smeared, np.abs(np.fft.ifft(spectrum, axis=0)), rtol=1e-5)
    assert even.sum() >= 8


PROFILES = st.sampled_from(["box", "gauss"])


@given(
    count=st.integers(4, 30), ratio=st.floats(1, 4), width=st.floats(0.3, 6), profile=PROFILES, value=st.floats(-9, 9)
)
def test_slices_have_unit_gain(count: int, ratio: float, width: float, profile: str, value: float) -> None:
    found = degrade.thick_slices(np.full((count, 2, 3), value), ratio, width, profile)  # type: ignore[arg-type]
    assert found.shape == (int(count / ratio + 1e-9), 2, 3)
    np.testing.assert_allclose(found, np.float32(value), rtol=1e-6, atol=1e-6)


@settings(max_examples=25)
@given(ratio=st.floats(1, 4), width=st.floats(1, 6), profile=PROFILES, at=st.floats(50, 70))
def test_slices_lie_where_they_say(ratio: float, width: float, profile: str, at: float) -> None:
    line = np.exp(-0.5 * ((np.arange(120) - at) / 6) ** 2)
    found = degrade.thick_slices(line[:, None, None], ratio, width, profile)[:, 0, 0]  # type: ignore[arg-type]
    places = (np.arange(len(found)) + 0.5) * ratio - 0.5
    assert (places * found).sum() / found.sum() == pytest.approx(at, abs=0.01)


def test_a_box_as_wide_as_the_ratio_is_the_mean_and_a_gap_is_not_seen() -> None:
    volume = np.random.default_rng(0).normal(size=(12, 2, 2))
    np.testing.assert_allclose(
        degrade.thick_slices(volume, 3), volume.reshape(4, 3, 2, 2).mean(axis=1), rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(degrade.thick_slices(volume, 3, 1.0), volume[1::3], rtol=1e-5, atol=1e-6)


def test_a_gaussian_is_half_as_high_at_half_its_width() -> None:
    point = np.zeros((401, 1, 1))
    point[200] = 1
    seen = degrade.thick_slices(point, 1, 40, "gauss")[:, 0, 0]
    assert seen[180] / seen[200] == pytest.approx(0.5, abs=0.01)


def test_errors_say_what_helps() -> None:
    with pytest.raises(UsageError, match="5x6 pixels cannot be divided by 4"):
        degrade.truncate(np.zeros((5, 6)), 4)
    with pytest.raises(UsageError, match="noise of sigma -1"):
        degrade.rician(np.zeros((2, 2)), -1, np.random.default_rng(0))
    with pytest.raises(UsageError, match=r"0\.95 of the lines cannot be lost; wanted 0 to 0\.9"):
        degrade.lost_lines(np.zeros((8, 8)), 0.95, np.random.default_rng(0))
    with pytest.raises(UsageError, match=r"slices 2 wide and 0\.5 apart make no sense"):
        degrade.thick_slices(np.zeros((8, 2, 2)), 0.5, 2)
    with pytest.raises(UsageError, match="a volume of 2 slices holds none"):
        degrade.thick_slices(np.zeros((2, 2, 2)), 3)
