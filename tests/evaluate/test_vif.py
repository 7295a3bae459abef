"""Visual information fidelity, against another implementation and where its value is known."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("scipy")

from scipy.ndimage import gaussian_filter

from acutance.evaluate import vif


def _picture() -> np.ndarray:
    y, x = np.mgrid[:96, :120].astype(np.float64)
    return 128 + 60 * np.sin(x / 7) * np.cos(y / 5) + 30 * np.sign(np.sin((x + 2 * y) / 11))


# piq.vif_p of piq 0.8.0 (Apache-2.0), in double precision, data_range=255, of these pictures cut to 0 to 255.
BY_PIQ = {"blur": 0.49195978, "noise": 0.46078853, "contrast": 1.09076736}


@pytest.mark.parametrize("name", BY_PIQ)
def test_agrees_with_an_independent_implementation(name: str) -> None:
    truth = _picture()
    result = {
        "blur": lambda: gaussian_filter(truth, 1.5),
        "noise": lambda: truth + np.random.default_rng(0).normal(0, 10, truth.shape),
        "contrast": lambda: 128 + 1.3 * (truth - 128),
    }[name]()
    assert vif.vif(truth, np.clip(result, 0, 255)) == pytest.approx(BY_PIQ[name], abs=2e-5)


def test_a_perfect_result_has_one_and_an_empty_one_nothing() -> None:
    truth = _picture()
    assert vif.vif(truth, truth) == pytest.approx(1, abs=1e-6)
    assert vif.vif(truth, np.full_like(truth, 100)) < 1e-6


def test_a_shift_of_all_values_counts_for_nothing() -> None:
    truth = _picture()
    assert vif.vif(truth, truth + 10) == pytest.approx(1, abs=1e-4)


def test_what_is_turned_to_its_negative_carries_nothing() -> None:
    assert vif.vif(_picture(), 255 - _picture()) < 1e-6


def test_a_picture_too_small_for_the_last_scale_is_refused() -> None:
    with pytest.raises(ValueError, match="VIF of 63x80"):
        vif.decompose(np.zeros((63, 80)))
