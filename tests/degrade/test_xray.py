"""X-ray: bright parts are noisier, by the formula, and the mean stays."""

from __future__ import annotations

import numpy as np
import pytest

from acutance import degrade
from acutance.errors import UsageError


@pytest.mark.parametrize("value", [0.0, 100.0, 255.0])
def test_noise_is_poissons_behind_a_logarithm(value: float) -> None:
    noisy = degrade.xray_noise(np.full((256, 256), value), 1e5, np.random.default_rng(0))
    wanted = 255 * np.exp(3 * value / 255 / 2) / np.sqrt(1e5) / 3
    assert noisy.std() == pytest.approx(wanted, rel=0.02)
    assert noisy.mean() == pytest.approx(value, abs=0.05)


def test_the_range_may_be_another() -> None:
    plain = degrade.xray_noise(np.full((8, 8), 51.0), 1e4, np.random.default_rng(0))
    other = degrade.xray_noise(np.full((8, 8), 120.0), 1e4, np.random.default_rng(0), (100.0, 200.0))
    np.testing.assert_allclose((other - 100) / 100, plain / 255, rtol=1e-5)


def test_a_blob_stays_and_a_seed_is_a_picture(blobs) -> None:  # type: ignore[no-untyped-def]
    picture = 200 * blobs.make(96, 45.3, 50.6, 6)
    same, too = (degrade.xray_noise(picture, 1e9, np.random.default_rng(1)) for _ in range(2))
    np.testing.assert_array_equal(same, too)
    np.testing.assert_allclose(blobs.centroid(same), [45.3, 50.6], atol=0.01)


def test_no_photons_are_refused() -> None:
    with pytest.raises(UsageError, match="0 photons make no picture"):
        degrade.xray_noise(np.zeros((2, 2)), 0, np.random.default_rng(0))
