"""The slanted edge against edges whose response is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from acutance.evaluate import edge

_erf = np.vectorize(math.erf)


def _gaussian_edge(sigma: float, side: int = 160, angle: float = 5.0, shift: float = 0.0) -> np.ndarray:
    at = np.arange(side) - (side - 1) / 2
    distance = at[None, :] * np.cos(np.deg2rad(angle)) + at[:, None] * np.sin(np.deg2rad(angle)) - shift
    return 100 + 50 * _erf(distance / (sigma * np.sqrt(2)))


@pytest.mark.parametrize("sigma", [0.6, 0.8, 1.0, 1.5, 2.0, 3.0])
def test_mtf50_of_a_gaussian_blur(sigma: float) -> None:
    wanted = np.sqrt(np.log(2) / 2) / (np.pi * sigma)  # exp(-2 (pi sigma f)^2) = 1/2
    assert edge.mtf50(_gaussian_edge(sigma)) == pytest.approx(wanted, rel=0.005)


@pytest.mark.parametrize(("angle", "shift"), [(3.0, 0.0), (5.0, 4.3), (-7.0, -2.6), (9.0, 0.5)])
def test_angle_and_place_do_not_matter(angle: float, shift: float) -> None:
    wanted = np.sqrt(np.log(2) / 2) / np.pi
    assert edge.mtf50(_gaussian_edge(1.0, angle=angle, shift=shift)) == pytest.approx(wanted, rel=0.01)


def test_contrast_and_sign_do_not_matter() -> None:
    picture = _gaussian_edge(1.2)
    assert edge.mtf50(7 - 3 * picture) == pytest.approx(edge.mtf50(picture), rel=1e-9)


def test_phantom_has_the_response_of_a_square_pixel() -> None:
    frequency, mtf = edge.response(edge.phantom(128, -100, 300))
    normal = np.cos(np.deg2rad(edge.ANGLE)), np.sin(np.deg2rad(edge.ANGLE))
    wanted = np.sinc(frequency * normal[0]) * np.sinc(frequency * normal[1])
    assert np.abs(mtf - wanted)[frequency < 0.9].max() < 0.006


def test_phantom_is_the_mean_over_each_pixel() -> None:
    fine = edge.phantom(64 * 9, angle=5.0, shift=1.7 * 9)
    coarse = edge.phantom(64, angle=5.0, shift=1.7)
    assert np.abs(fine.reshape(64, 9, 64, 9).mean(axis=(1, 3)) - coarse).max() < 1e-10


def test_no_frequency_where_half_the_contrast_is_never_lost() -> None:
    sampled = _gaussian_edge(1e-3)  # points instead of areas: nothing is lost at any frequency
    assert np.isnan(edge.mtf50(sampled))


def test_a_blurred_edge_does_not_overshoot() -> None:
    assert edge.overshoot(_gaussian_edge(1.2)) < 1e-3
    assert edge.overshoot(edge.phantom(128, -100, 300)) < 1e-6


@pytest.mark.parametrize("sign", [1, -1])
def test_overshoot_of_a_sharpened_edge_is_its_own(sign: int) -> None:
    """A blurred edge plus half of what a wider blur takes from it: its highest point is known."""
    distance = np.linspace(-10, 10, 4001)
    across = 1.5 * _erf(distance / (1.0 * np.sqrt(2))) - 0.5 * _erf(distance / (2.5 * np.sqrt(2)))
    wanted = (across.max() - 1) / 2
    picture = sign * (1.5 * _gaussian_edge(1.0) - 0.5 * _gaussian_edge(2.5))
    assert edge.overshoot(picture) == pytest.approx(wanted, abs=0.002)
