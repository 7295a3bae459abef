"""Endoscopy: half of the published strengths, nothing moves, and the end is the small picture's size."""

from __future__ import annotations

from types import SimpleNamespace

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from acutance import degrade
from acutance.degrade import endoscopy
from acutance.errors import UsageError

CLEAN = {"level": 0.0, "shot": 0.0, "quality": None}


def clean(seed: int) -> tuple[endoscopy.Pass, endoscopy.Pass]:
    """Both passes without noise and JPEG."""
    one, two = degrade.draw_passes(np.random.default_rng(seed))
    return tuple(endoscopy.Pass(p.sigma, p.size, **CLEAN) for p in (one, two))  # type: ignore


@pytest.mark.parametrize(("strength", "sigma", "level", "quality"), [(1.0, 3.0, 30.0, 30), (0.5, 1.5, 15.0, 65)])
def test_draws_keep_to_their_strength(strength: float, sigma: float, level: float, quality: int) -> None:
    rng = np.random.default_rng(0)
    firsts, seconds = zip(*(degrade.draw_passes(rng, strength) for _ in range(400)), strict=True)
    assert 0.9 * sigma < max(max(p.sigma) for p in firsts) <= sigma
    assert max(max(p.sigma) for p in seconds) <= sigma / 2
    assert sum(p.sigma == (0, 0) for p in seconds) == pytest.approx(80, abs=25)
    assert 0.9 * level < max(p.level for p in firsts) <= level
    assert all((p.level > 0) != (p.shot > 0) for p in (*firsts, *seconds))
    assert quality <= min(p.quality for p in firsts if p.quality) < quality + 3
    sizes = [p.size for p in firsts]
    assert min(sizes) >= 0.15**strength and max(sizes) <= 1.5**strength
    assert sum(s < 1 for s in sizes) == pytest.approx(280, abs=35)


@settings(max_examples=15)
@given(seed=st.integers(0, 999), value=st.floats(0, 255), scale=st.sampled_from([2, 3]))
def test_constants_stay(seed: int, value: float, scale: int) -> None:
    flat = np.full((36, 48), value)
    small = degrade.endoscope(flat, scale, clean(seed), np.random.default_rng(0))
    assert small.shape == (36 // scale, 48 // scale)
    np.testing.assert_allclose(small, value, atol=1e-3)
    assert np.abs(endoscopy.jpeg(flat, 65) - value).max() <= 1.5  # a step of the mean is 11 / 8


@settings(max_examples=15)
@given(seed=st.integers(0, 999), row=st.floats(60, 68), col=st.floats(60, 68))
def test_a_blob_stays_where_it_is(blobs: SimpleNamespace, seed: int, row: float, col: float) -> None:
    picture = 200 * blobs.make(128, row, col, 7)
    small = degrade.endoscope(picture, 2, clean(seed), np.random.default_rng(0))
    np.testing.assert_allclose((blobs.centroid(small) + 0.5) * 2 - 0.5, [row, col], atol=0.01)


def test_noise_is_as_strong_as_told() -> None:
    flat = np.full((256, 256), 128.0)
    none = endoscopy.Pass((0, 0), 1, 0, 0, None)
    for one, wanted in ((endoscopy.Pass((0, 0), 1, 8, 0, None), 8.0), (endoscopy.Pass((0, 0), 1, 0, 0.5, None), 5.656)):
        found = degrade.endoscope(flat, 1, (none, one), np.random.default_rng(0))
        assert found.std() == pytest.approx(wanted, rel=0.02)
        assert found.mean() == pytest.approx(128, abs=0.15)


def test_a_seed_is_a_picture_of_whole_numbers() -> None:
    picture = np.random.default_rng(0).uniform(0, 255, (32, 32))
    passes = degrade.draw_passes(np.random.default_rng(5))
    same, too = (degrade.endoscope(picture, 2, passes, np.random.default_rng(1)) for _ in range(2))
    np.testing.assert_array_equal(same, too)
    np.testing.assert_array_equal(same, np.clip(np.rint(same), 0, 255))
    with pytest.raises(UsageError, match="32x32 pixels cannot be divided by 3"):
        degrade.endoscope(picture, 3, passes, np.random.default_rng(0))
