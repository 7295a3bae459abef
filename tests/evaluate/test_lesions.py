"""The lesion test finds in a picture what was put there."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("skimage")

from scipy.ndimage import gaussian_filter

from acutance.evaluate import lesions, score
from acutance.evaluate.lesions import Disc
from acutance.evaluate.methods import Input, Method

SIDE = 128
RANGE = (-1024.0, 3071.0)


def _disc(diameter: float = 10.0, contrast: float = 40.0) -> Disc:
    return Disc(60.25, 62.0, diameter, contrast, 0)


def _case(truth: np.ndarray, scale: int = 2) -> lesions.Case:
    row = score.shown("CT")
    return lesions.Case.of(truth, Input(row.apply(truth, scale), "CT", scale), row, None, RANGE)


@pytest.mark.parametrize("diameter", lesions.DIAMETERS)
def test_coverage_has_the_area_of_the_disc(diameter: float) -> None:
    found = lesions.coverage((SIDE, SIDE), _disc(diameter))
    assert found.sum() == pytest.approx(np.pi * diameter**2 / 4, rel=0.01)
    assert found.max() == 1
    rows, cols = np.mgrid[:SIDE, :SIDE]
    assert (rows * found).sum() / found.sum() == pytest.approx(60.25, abs=0.01)
    assert (cols * found).sum() / found.sum() == pytest.approx(62.0, abs=0.01)


@pytest.mark.parametrize("diameter", lesions.DIAMETERS)
def test_a_disc_in_noise_is_seen_as_it_is(diameter: float) -> None:
    disc = _disc(diameter)
    response = disc.contrast * lesions.coverage((SIDE, SIDE), disc)
    noise = np.random.default_rng(0).normal(0, 10, (SIDE, SIDE)).astype(np.float32)
    seen = lesions.look(disc, noise + response, response)
    assert seen.kept == pytest.approx(1, abs=0.03)
    assert seen.size == pytest.approx(1, abs=0.05)
    # The mean over whole pixels within the radius holds some of those that are covered in part.
    assert seen.cnr == pytest.approx(disc.contrast / 10, rel=0.35)


def test_blur_lowers_contrast_and_widens_small_discs() -> None:
    disc = _disc(4.0)
    sharp = disc.contrast * lesions.coverage((SIDE, SIDE), disc)
    soft = gaussian_filter(sharp, 2.0)
    seen = lesions.look(disc, soft, soft)
    # A disc of radius R under a Gaussian keeps 1 - exp(-R^2 / (2 sigma^2)) at its centre.
    assert seen.kept == pytest.approx(1 - np.exp(-(2.0**2) / (2 * 2.0**2)), abs=0.03)
    assert seen.size > 1.2


def test_discs_go_to_quiet_foreground_apart_from_each_other() -> None:
    rng = np.random.default_rng(1)
    truth = np.full((192, 192), 40.0, dtype=np.float32)
    truth[:, 96:] += rng.normal(0, 100, (192, 96)).astype(np.float32)
    mask = np.ones(truth.shape, dtype=bool)
    mask[:20] = False
    found = lesions.place(truth, mask, (40.0, 120.0))
    assert len(found) == 6
    assert {(d.diameter, d.contrast) for d in found} == {(d, c) for d in lesions.DIAMETERS for c in (40.0, 120.0)}
    assert found[0].col < 96
    assert all(d.row > 30 for d in found)
    for i, a in enumerate(found):
        assert all(np.hypot(a.row - b.row, a.col - b.col) >= lesions.APART - 1 for b in found[:i])
    assert lesions.place(truth, np.zeros_like(mask), (40.0, 120.0)) == []


def test_the_detector_gives_a_disc_its_contrast() -> None:
    sigma = lesions.SIGMAS[2]
    disc = _disc(2 * sigma * 2**0.5, 40.0)
    bright, dark = lesions.blobs(40.0 * lesions.coverage((SIDE, SIDE), disc), 40.0)
    assert bright.max() == pytest.approx(1, abs=0.05)
    assert np.unravel_index(bright.argmax(), bright.shape) == (60, 62)
    assert dark.max() < lesions.FOUND


def test_only_what_the_other_picture_lacks_is_counted() -> None:
    mask = np.ones((SIDE, SIDE), dtype=bool)
    one, other = _disc(6.0), Disc(30.0, 90.0, 6.0, -40.0, 0)
    plain = lesions.insert(np.zeros((SIDE, SIDE), np.float32), [one])
    more = lesions.insert(plain, [other])
    a, b = lesions.blobs(plain, 40.0), lesions.blobs(more, 40.0)
    assert lesions.unmatched(a, a, mask) == 0
    assert lesions.unmatched(b, a, mask) == 1  # a dark one that was invented
    assert lesions.unmatched(a, b, mask) == 0
    mask[:60] = False
    assert lesions.unmatched(b, a, mask) == 0


def test_cubic_keeps_less_of_a_disc_than_the_truth() -> None:
    rng = np.random.default_rng(2)
    truth = (gaussian_filter(rng.normal(0, 1, (192, 192)), 1.5) * 300 + 40).astype(np.int16)
    case = _case(truth)
    found = {name: (seen, false, lost) for name, seen, false, lost in lesions.examine(case, [Method("cubic", "rival")])}
    assert found["truth"][1:] == (0, 0)
    assert len(found["truth"][0]) == len(found["cubic"][0]) == 6
    for truth_seen, cubic_seen in zip(found["truth"][0], found["cubic"][0], strict=True):
        assert truth_seen.kept == pytest.approx(1, abs=0.03)
        assert cubic_seen.kept < truth_seen.kept


def test_integer_truths_take_rounded_discs() -> None:
    truth = np.full((SIDE, SIDE), 250, np.uint8)
    found = lesions.insert(truth, [_disc(10.0, 36.0)])
    assert found.dtype == np.uint8
    assert found.max() == 255
    assert found[0, 0] == 250
