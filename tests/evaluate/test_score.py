"""The protocol's pieces: what is a truth, what is foreground, and what a score is."""

from __future__ import annotations

import math

import numpy as np
import pytest

from acutance.errors import UsageError
from acutance.evaluate import score


def test_rows_of_each_modality() -> None:
    assert [r.sigma for r in score.degradations_of("CT")] == [0, 0.4, 0.8, 1.2]
    assert [r.kind for r in score.degradations_of("MR")] == ["k-space"]
    assert [r.sigma for r in score.degradations_of("US")] == [0, 0.8]
    assert score.degradations_of("PET")[0].sigma * 2.3548 == pytest.approx(5.0, rel=1e-4)
    with pytest.raises(UsageError, match="no protocol for modality EEG"):
        score.degradations_of("EEG")


def test_a_degraded_picture_keeps_the_stored_type() -> None:
    truth = np.random.default_rng(0).integers(-1000, 1000, (16, 12)).astype(np.int16)
    small = score.degradations_of("CT")[0].apply(truth, 2)
    assert small.dtype == np.int16 and small.shape == (8, 6)
    assert np.abs(small - truth.reshape(8, 2, 6, 2).mean(axis=(1, 3))).max() <= 0.5
    assert score.degradations_of("MR")[0].apply(truth, 2).dtype == np.float32


def test_a_point_spread_in_mm_needs_the_spacing() -> None:
    truth = np.zeros((32, 32), dtype=np.float32)
    truth[16, 16] = 1
    row = score.degradations_of("PET")[0]
    near, far = (row.apply(truth, 2, (s, s)).max() for s in (4.0, 2.0))
    assert near > far > 0
    with pytest.raises(UsageError, match="wanted the spacing"):
        row.apply(truth, 2)


@pytest.mark.parametrize(
    ("shape", "spacing", "axis"),
    [
        ((512, 512, 56), (0.78, 0.78, 1.0), 2),
        ((160, 232, 160), (1.0, 0.9, 0.9), 0),
        ((180, 20, 180), (1.0, 3.0, 1.0), 1),
        ((192, 192, 114), (1.146, 1.146, 1.0), 2),
        ((181, 217, 181), (1.0, 1.0, 1.0), 2),
        ((64, 1, 64), (1.0, 1.0, 1.0), 1),
    ],
)
def test_slices_lie_along_the_axis_unlike_the_others(
    shape: tuple[int, ...], spacing: tuple[float, ...], axis: int
) -> None:
    assert score.acquisition_axis(shape, spacing) == axis


def test_data_ranges() -> None:
    series = [np.arange(1001).reshape(7, 143)]
    low, high = score.data_range("CT", series)
    assert high - low == 4095
    assert score.data_range("XR", series) == (0, 255)
    assert score.data_range("MR", series) == pytest.approx((1, 999))


def test_foreground_is_grown_by_two() -> None:
    truth = np.full((20, 20), -1000, dtype=np.int16)
    truth[10, 10] = 0
    found = score.foreground("CT", truth, (-1024, 3071))
    assert found.sum() == 25 and found[8:13, 8:13].all()
    assert score.foreground("ENDO", truth, (0, 255)).all()
    mr = np.zeros((20, 20), dtype=np.uint8)
    mr[3, 3], mr[15, 15] = 7, 9
    found = score.foreground("MR", mr, (0, 100))
    assert found[15, 15] and not found[3, 3]


def test_empty_and_constant_slices_are_no_truths() -> None:
    air = np.full((64, 64), -1000, dtype=np.int16)
    body = air.copy()
    body[10:50, 10:50] = 30
    speck = air.copy()
    speck[3:8, 3:8] = 30
    span = (-1024.0, 3071.0)
    assert [score.is_truth("CT", x, span) for x in (air, body, speck, np.zeros_like(air))] == [
        False,
        True,
        False,
        False,
    ]


def test_psnr() -> None:
    truth = np.random.default_rng(0).random((8, 8))
    assert score.psnr(truth, truth, 1.0) == math.inf
    assert score.psnr(truth, truth + 0.1, 1.0) == pytest.approx(20)
    assert score.psnr(truth, truth + 0.1, 255.0) == pytest.approx(20 + 20 * math.log10(255))
    half = np.zeros((8, 8), dtype=bool)
    half[:4] = True
    worse = np.where(half, truth, truth + 0.1)
    assert score.psnr(truth, worse, 1.0, half) == math.inf
    assert score.psnr(truth, worse, 1.0, ~half) == pytest.approx(20)
    assert math.isnan(score.psnr(truth, worse, 1.0, np.zeros((8, 8), dtype=bool)))


def test_borders_are_not_scored() -> None:
    assert score.inner(np.zeros((40, 30)), 3).shape == (28, 18)


NOISY = [(m, row) for m in ("CT", "MR", "XR", "US", "ENDO") for row in score.noise_rows_of(m)]


def test_noise_rows_stand_apart() -> None:
    assert [r.name for r in score.noise_rows_of("CT")] == ["noise 25 HU", "noise 50 HU"]
    assert [r.name for r in score.noise_rows_of("MR")] == ["rician 3 %", "rician 6 %"]
    assert [r.name for r in score.noise_rows_of("XR")] == ["noise 3 %", "noise 6 %"]
    assert score.noise_rows_of("PET") == ()
    assert not any(row.noise for m in score.MODALITIES for row in score.degradations_of(m))
    with pytest.raises(UsageError, match="no protocol for modality EEG"):
        score.noise_rows_of("EEG")


@pytest.mark.parametrize(("modality", "row"), NOISY, ids=lambda x: getattr(x, "name", x))
def test_noise_is_as_strong_as_its_row_says(modality: str, row: score.Degradation) -> None:
    dtype = {"CT": np.int16, "MR": np.float32}.get(modality, np.uint8)
    truth = np.full((256, 256), 120, dtype=dtype)
    span = {"CT": (-1024.0, 3071.0), "MR": (0.0, 200.0)}.get(modality, (0.0, 255.0))
    if modality == "CT":  # 300 mm of water
        y, x = np.mgrid[:256, :256] - 127.5
        truth = np.where(np.hypot(y, x) * 1.17 < 150, 0, -1000).astype(dtype)
    small = row.apply(truth, 2, (1.17, 1.17), span)
    assert small.dtype == dtype and small.shape == (128, 128)
    wanted = row.noise if modality == "CT" else row.noise * (span[1] - span[0])
    middle = small[48:80, 48:80] if modality == "CT" else small
    assert middle.astype(float).std() == pytest.approx(wanted, rel=0.12 if modality == "CT" else 0.03)


def test_a_slices_noise_is_always_the_same_and_anothers_is_not() -> None:
    row = score.noise_rows_of("XR")[0]
    truth = np.random.default_rng(0).integers(0, 255, (32, 32)).astype(np.uint8)
    first, again = (row.apply(truth, 2, value_range=(0.0, 255.0)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    clean = score.degradations_of("XR")[0]
    noise = [row.apply(t, 2, value_range=(0.0, 255.0)) - clean.apply(t, 2).astype(float) for t in (truth, truth.T)]
    assert np.abs(noise[0] - noise[1].T).max() > 5


def test_noise_says_what_it_needs() -> None:
    truth = np.zeros((8, 8), dtype=np.float32)
    with pytest.raises(UsageError, match="'noise 25 HU' is in mm; wanted the spacing"):
        score.noise_rows_of("CT")[0].apply(truth, 2)
    with pytest.raises(UsageError, match="noise of 'rician 3 %' is a part of the data range"):
        score.noise_rows_of("MR")[0].apply(truth, 2)
