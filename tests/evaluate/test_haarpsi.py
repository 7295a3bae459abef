"""HaarPSI against the authors' numbers and its own definition."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("skimage")

import skimage.data
import skimage.filters

from acutance.evaluate import haarpsi


def _pattern() -> np.ndarray:
    y, x = np.mgrid[:96, :120]
    picture = 127.5 + 80 * np.sin(x * x / 700.0) * np.cos(y / 5.0) + 40 * ((x // 16 + y // 16) % 2)
    return np.clip(picture, 0, 255)


def _blurred() -> tuple[np.ndarray, np.ndarray]:
    camera = skimage.data.camera().astype(float)
    return camera, skimage.filters.gaussian(camera, 2, preserve_range=True)


def _faded() -> tuple[np.ndarray, np.ndarray]:
    coins = skimage.data.coins()[:302].astype(float)
    return coins, 128 + 0.5 * (coins - 128)


def _shifted() -> tuple[np.ndarray, np.ndarray]:
    return _pattern(), np.roll(_pattern(), 1, axis=1)


# Computed with the authors' NumPy code (github.com/rgcda/haarpsi, commit 3b9599b) and, the same to 13 digits, with
# piq 0.8.0, which is tested against the authors' MATLAB code (0.71706527 on a pair of TID2013).
@pytest.mark.parametrize(
    ("pair", "halved", "whole"),
    [
        (_blurred, 0.62942667997939, 0.41324034980773),
        (_faded, 0.73109467322491, 0.72239514151581),
        (_shifted, 0.76917488159613, 0.70882647864962),
    ],
)
def test_equals_the_authors_code(pair, halved: float, whole: float) -> None:
    assert haarpsi.haarpsi(*pair(), halve=True) == pytest.approx(halved, abs=2e-6)
    assert haarpsi.haarpsi(*pair()) == pytest.approx(whole, abs=2e-6)


def test_is_one_for_the_same_picture_and_symmetric() -> None:
    a, b = _shifted()
    assert haarpsi.haarpsi(a, a) == pytest.approx(1, abs=1e-6)
    assert haarpsi.haarpsi(a, b) == pytest.approx(haarpsi.haarpsi(b, a), abs=1e-7)


def test_halving_would_not_see_pixels_repeated_from_their_mean() -> None:
    truth = _pattern()
    repeated = truth.reshape(48, 2, 60, 2).mean(axis=(1, 3)).repeat(2, 0).repeat(2, 1)
    assert haarpsi.haarpsi(truth, repeated, halve=True) == pytest.approx(1, abs=1e-6)
    assert haarpsi.haarpsi(truth, repeated) < 0.9


def test_odd_sides_and_flat_pictures() -> None:
    assert haarpsi.decompose(np.zeros((17, 32))).shape == (2, 3, 17, 32)
    assert haarpsi.decompose(np.zeros((17, 32)), halve=True).shape == (2, 3, 9, 16)
    assert haarpsi.haarpsi(np.zeros((17, 33)), np.zeros((17, 33))) == 1


def test_mask_keeps_what_happens_elsewhere_out() -> None:
    a, b = _pattern(), _pattern()
    b[:, 80:] = 0
    left = np.zeros(a.shape, bool)
    left[:, :60] = True
    da, db = haarpsi.decompose(a), haarpsi.decompose(b)
    assert haarpsi.similarity(da, db, left) == pytest.approx(1, abs=1e-6)
    assert haarpsi.similarity(da, db, ~left) < 0.7
    assert np.isnan(haarpsi.similarity(da, db, np.zeros(a.shape, bool)))


def test_refuses_pictures_smaller_than_the_coarsest_filter() -> None:
    with pytest.raises(ValueError, match="7x40"):
        haarpsi.decompose(np.zeros((7, 40)))
