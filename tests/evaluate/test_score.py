"""The protocol: which slices count, what is done to them, what a score is."""

from __future__ import annotations

import numpy as np
import pytest

from acutance.errors import UsageError
from acutance.evaluate import score


def test_every_modality_has_its_rows() -> None:
    rows = {m: [d.name for d in score.degradations_of(m)] for m in score.MODALITIES}
    assert rows["CT"] == ["psf 0", "psf 0.4", "psf 0.8", "psf 1.2"]
    assert rows["MR"] == ["k-space"]
    assert rows["XR"] == rows["US"] == rows["ENDO"] == ["psf 0", "psf 0.8"]
    assert rows["PET"] == rows["NM"] == ["psf 5 mm"]
    with pytest.raises(UsageError, match="OCT"):
        score.degradations_of("OCT")


def test_slices_lie_along_the_acquisition_axis() -> None:
    assert score.acquisition_axis((40, 50, 20), (0.7, 0.7, 3.0)) == 2
    assert score.acquisition_axis((160, 232, 160), (1.0, 0.9, 0.9)) == 0
    assert score.acquisition_axis((160, 232, 160), (1.0, 1.0, 1.0)) == 2
    assert score.acquisition_axis((512, 1, 512), (0.7, 2.5, 0.7)) == 1


def test_a_slice_needs_five_percent_foreground() -> None:
    air = np.full((100, 100), -1000, dtype=np.int16)
    limits = score.data_range("CT", [air])
    assert limits == (-1024, 3071)
    air[:, :1] = air[:, -1:] = -999  # not constant
    small, large = air.copy(), air.copy()
    small[10:28, 10:28] = 0  # 22 x 22 after dilation
    large[10:29, 10:29] = 0  # 23 x 23
    assert score.foreground("CT", small, limits).sum() == 22 * 22
    assert not score.is_truth("CT", small, limits)
    assert score.is_truth("CT", large, limits)
    assert not score.is_truth("XR", np.full((20, 20), 7, np.uint8), (0, 255))


def test_mr_range_is_that_of_the_whole_series() -> None:
    series = [np.arange(1000, dtype=np.int16).reshape(25, 40) + 1000 * k for k in range(4)]
    low, high = score.data_range("MR", series)
    assert (low, high) == pytest.approx(tuple(np.percentile(np.stack(series), [0.1, 99.9])))
    assert not score.foreground("MR", np.full((9, 9), 300), (low, high)).any()
    assert score.foreground("MR", np.full((9, 9), 330), (low, high)).all()


def test_inputs_are_stored_like_the_truth() -> None:
    truth = np.array([[0, 1, 255, 255], [0, 1, 254, 255]], dtype=np.uint8)
    found = score.degradations_of("XR")[0].apply(truth, 2)
    assert found.dtype == np.uint8
    assert found.tolist() == [[0, 255]]  # 0.5 goes to even, 254.75 up


@pytest.mark.parametrize("modality", ["CT", "MR", "US"])
def test_degradations_keep_to_the_grid(modality: str) -> None:
    """A wave stays in place: sampled at the centres of the small pixels, it is only fainter."""
    n, scale = 96, 2
    at = np.arange(n)
    truth = np.rint(100 + 90 * np.cos(2 * np.pi * 4 * at / n + 0.4))[None, :].repeat(n, 0).astype(np.int16)
    centres = scale * np.arange(n // scale) + (scale - 1) / 2
    wave = np.cos(2 * np.pi * 4 * centres / n + 0.4)
    for degradation in score.degradations_of(modality):
        found = degradation.apply(truth, scale)[20, 6:-6].astype(float) - 100
        gain = (found * wave[6:-6]).sum() / (wave[6:-6] ** 2).sum()
        assert 80 < gain < 91
        assert np.abs(found - gain * wave[6:-6]).max() < 1.5


def test_widths_in_mm_need_the_spacing() -> None:
    pet = score.degradations_of("PET")[0]
    with pytest.raises(UsageError, match="spacing"):
        pet.apply(np.zeros((8, 8), np.float32), 2)
    point = np.zeros((40, 40), np.float32)
    point[20:22, 20:22] = 1
    assert pet.apply(point, 2, (4.0, 4.0)).max() > pet.apply(point, 2, (1.0, 1.0)).max()


def test_two_small_pixels_are_taken_off_each_border() -> None:
    assert score.inner(np.zeros((40, 30)), 2).shape == (32, 22)
    assert score.inner(np.zeros((40, 30)), 3).shape == (28, 18)


def test_psnr_is_scikit_images() -> None:
    metrics = pytest.importorskip("skimage.metrics")
    rng = np.random.default_rng(1)
    a = rng.integers(0, 255, (32, 32)).astype(np.uint8)
    b = np.clip(a + rng.integers(-9, 9, a.shape), 0, 255).astype(np.uint8)
    assert score.psnr(a, b, 255) == pytest.approx(metrics.peak_signal_noise_ratio(a, b, data_range=255))
    mask = np.zeros(a.shape, bool)
    assert np.isnan(score.psnr(a, b, 255, mask))
    mask[3, 4] = True
    assert score.psnr(a, b, 255, mask) == pytest.approx(20 * np.log10(255 / abs(int(a[3, 4]) - int(b[3, 4]))))
