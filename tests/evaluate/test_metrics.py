"""What is measured beside PSNR."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("skimage")

from acutance import degrade
from acutance.evaluate import metrics, score


def _picture() -> np.ndarray:
    return np.random.default_rng(1).normal(100, 20, (64, 70)).astype(np.float32)


def test_ssim_of_the_mask_leaves_the_rest_out() -> None:
    truth = _picture()
    result = truth.copy()
    result[:, 40:] += np.random.default_rng(2).normal(0, 20, (64, 30))
    mask = np.zeros(truth.shape, bool)
    mask[:, :34] = True
    mean, left = metrics.ssim(truth, result, 255, mask)
    assert left == pytest.approx(1, abs=1e-6)
    assert mean < 0.9
    assert np.isnan(metrics.ssim(truth, result, 255)[1])
    assert np.isnan(metrics.ssim(truth, result, 255, np.zeros(truth.shape, bool))[1])


def test_ssim_of_a_changed_contrast_follows_its_formula() -> None:
    """Far from flat areas, x and a * x have 2a / (1 + a^2) for means and for spreads alike."""
    truth = 1000 + 300 * np.random.default_rng(3).normal(size=(80, 80)).astype(np.float32)
    half = metrics.ssim(truth, truth / 2, 1.0)[0]
    assert half == pytest.approx((2 * 0.5 / 1.25) ** 2, abs=1e-3)


def test_block_error_shows_a_constant_offset() -> None:
    picture = np.random.default_rng(4).integers(0, 200, (20, 30)).astype(np.uint8)
    result = picture.repeat(2, 0).repeat(2, 1)
    assert metrics.block_error(result, picture, 2) == 0
    assert metrics.block_error(result + np.uint8(3), picture, 2) == 3
    result[7, 11] += 2
    assert metrics.block_error(result, picture, 2) == 0.5


def test_fine_energy_counts_only_what_the_input_cannot_hold() -> None:
    y, x = np.mgrid[:96, :80]
    coarse = np.cos(2 * np.pi * 0.15 * x).astype(np.float32)
    fine = np.cos(2 * np.pi * (0.3 * x + 0.2 * y)).astype(np.float32)
    alone = metrics.fine_energy(fine, 2)
    assert metrics.fine_energy(coarse, 2) < 1e-4 * alone
    assert metrics.fine_energy(coarse + 7, 2) < 1e-4 * alone
    assert metrics.fine_energy(coarse + 2 * fine, 2) == pytest.approx(4 * alone, rel=1e-3)
    assert metrics.fine_energy(coarse, 4) > 0.9 * alone  # above the Nyquist frequency of a 4 times smaller picture


def test_fine_energy_is_the_whole_spectrums() -> None:
    picture = _picture()
    rows, cols = picture.shape
    window = np.outer(np.hanning(rows), np.hanning(cols))
    power = np.abs(np.fft.fft2((picture - picture.mean()) * window)) ** 2
    radius = np.hypot(np.fft.fftfreq(rows)[:, None], np.fft.fftfreq(cols)[None])
    assert metrics.fine_energy(picture, 2) == pytest.approx(power[radius > 0.25].sum(), rel=1e-4)


@pytest.mark.parametrize(
    "degradation", [*score.degradations_of("CT"), *score.degradations_of("MR")], ids=lambda d: d.name
)
def test_the_truth_is_consistent_with_its_input_and_a_change_is_not(degradation: score.Degradation) -> None:
    truth = _picture()[:, :68]
    small = degradation.apply(truth, 2)
    assert metrics.consistency(truth, small, degradation, 2) == pytest.approx(0, abs=1e-3)
    assert metrics.consistency(truth + 5, small, degradation, 2) == pytest.approx(5, abs=1e-2)


def test_consistency_degrades_as_the_truth_was() -> None:
    truth = _picture()[:, :68]
    row = score.degradations_of("CT")[3]
    wanted = np.abs(degrade.area_mean(truth, 2, 1.2) - degrade.area_mean(truth, 2)).max()
    assert metrics.consistency(truth, degrade.area_mean(truth, 2), row, 2) == pytest.approx(wanted, abs=1e-3)


def test_power_is_the_variance_of_what_is_asked_for() -> None:
    noise = np.random.default_rng(0).normal(3, 2, (200, 200)).astype(np.float32)
    mask = np.zeros(noise.shape, bool)
    mask[:100] = True
    noise[100:] *= 5
    assert metrics.power(noise, mask) == pytest.approx(4, rel=0.05)
    assert metrics.power(noise) > 20
