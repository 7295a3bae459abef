"""CT: both ways to add noise are as strong as told, have the same power spectrum, and know the body."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from acutance import degrade
from acutance.degrade import ct
from acutance.errors import UsageError

SIDE, SPACING, NOISE = 96, 4.0, 20.0
Y, X = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
DISTANCE = np.hypot(Y, X) * SPACING
CYLINDER = np.where(DISTANCE < ct.BODY / 2, 0.0, -1000.0).astype(np.float32)
"""300 mm of water."""

MIDDLE = np.s_[SIDE // 2 - 16 : SIDE // 2 + 16, SIDE // 2 - 16 : SIDE // 2 + 16]


def fast(picture: NDArray[np.float32], noise: float, seed: int) -> NDArray[np.float32]:
    return degrade.ct_noise(picture, noise, SPACING, np.random.default_rng(seed)) - picture


@pytest.fixture(scope="module")
def projected() -> list[NDArray[np.float32]]:
    """Noise of the slow way, of several seeds."""
    pytest.importorskip("skimage")
    found = (degrade.projection_noise(CYLINDER, NOISE, SPACING, np.random.default_rng(i), views=120) for i in range(6))
    return [x - CYLINDER for x in found]


def spectrum(noises: list[NDArray[np.float32]]) -> NDArray[np.float64]:
    """Radial power spectrum of the middle, of unit sum, in 8 bands up to the Nyquist frequency."""
    taper = np.hanning(32)[:, None] * np.hanning(32)
    power = np.mean([np.abs(np.fft.fft2(n[MIDDLE] * taper)) ** 2 for n in noises], axis=0)
    f = np.hypot(*np.meshgrid(np.fft.fftfreq(32), np.fft.fftfreq(32)))
    bands = np.digitize(f, np.linspace(0, 0.5, 9)) - 1
    found = np.array([power[bands == k].mean() for k in range(8)])
    return found / found.sum()


def test_noise_is_as_strong_as_told(projected: list[NDArray[np.float32]]) -> None:
    assert np.std([n[MIDDLE] for n in projected]) == pytest.approx(NOISE, rel=0.1)
    assert np.std([fast(CYLINDER, NOISE, seed)[MIDDLE] for seed in range(40)]) == pytest.approx(NOISE, rel=0.1)


def test_both_ways_have_the_same_power_spectrum(projected: list[NDArray[np.float32]]) -> None:
    slow, quick = spectrum(projected), spectrum([fast(CYLINDER, NOISE, seed) for seed in range(40)])
    assert 0.5 * np.abs(slow - quick).sum() < 0.08
    white = spectrum([np.random.default_rng(seed).normal(size=(SIDE, SIDE)).astype(np.float32) for seed in range(40)])
    assert 0.5 * np.abs(slow - white).sum() > 0.25
    assert slow.argmax() in (2, 3) and quick.argmax() in (2, 3)


def test_both_ways_know_the_body(projected: list[NDArray[np.float32]]) -> None:
    quick = [fast(CYLINDER, NOISE, seed) for seed in range(40)]
    for low, high in ((110, 145), (155, 185)):
        ring = (low < DISTANCE) & (high > DISTANCE)
        a, b = (np.std([n[ring] for n in noises]) for noises in (projected, quick))
        assert b == pytest.approx(a, rel=0.12)
        assert b < 0.8 * NOISE


def test_the_variance_goes_with_one_over_the_dose() -> None:
    assert ct.photons(10, 1.0) == pytest.approx(4 * ct.photons(20, 1.0))
    quarter, full = (fast(CYLINDER, noise, 3) for noise in (20.0, 10.0))
    np.testing.assert_allclose(quarter, 2 * full, rtol=1e-3, atol=1e-3)


def test_a_thicker_body_is_noisier() -> None:
    large = np.where(DISTANCE < ct.BODY / 2 + 25, 0.0, -1000.0).astype(np.float32)
    grown, plain = (np.std([fast(x, NOISE, seed)[MIDDLE] for seed in range(8)]) for x in (large, CYLINDER))
    assert grown / plain == pytest.approx(np.exp(ct.WATER * 50 / 2), rel=0.1)


def test_constants_keep_their_mean_and_no_noise_changes_nothing() -> None:
    constant = np.full((40, 56), 50.0, dtype=np.float32)
    noisy = degrade.ct_noise(constant, 10.0, 1.0, np.random.default_rng(0))
    assert noisy.std() > 0.1
    assert noisy.mean() == pytest.approx(50, abs=0.05)
    for way in (degrade.ct_noise, degrade.projection_noise):
        np.testing.assert_array_equal(way(constant, 0.0, 1.0, np.random.default_rng(0)), constant)


def test_the_same_seed_is_the_same_picture() -> None:
    pytest.importorskip("skimage")
    small = CYLINDER[32:64, 32:60]
    for way in (degrade.ct_noise, degrade.projection_noise):
        same, too, other = (way(small, NOISE, SPACING, np.random.default_rng(seed)) for seed in (1, 1, 2))
        np.testing.assert_array_equal(same, too)
        assert same.shape == small.shape and not np.array_equal(same, other)


@pytest.mark.parametrize("kind", ["ramp", "shepp-logan", "cosine", "hamming", "hann"])
def test_windows_are_scikit_images(kind: ct.Window) -> None:
    filters = pytest.importorskip("skimage.transform.radon_transform")
    whole = filters._get_fourier_filter(256, kind)[:, 0] / filters._get_fourier_filter(256, "ramp")[:, 0]
    np.testing.assert_allclose(whole, ct.window(np.fft.fftfreq(256), kind), atol=0.02)


def test_a_noise_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(UsageError, match="noise of -1 HU"):
        ct.photons(-1, 1.0)
