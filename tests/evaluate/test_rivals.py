"""Rivals lie on the project's grid and do what their names say."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("scipy")

from acutance import degrade
from acutance.enhancer import Enhancer
from acutance.evaluate import linear, rivals, score
from acutance.geometry import output_to_input


def _band_limited(rows: int, cols: int) -> np.ndarray:
    """A periodic picture whose finest wave has 0.2 cycles per pixel."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:rows, :cols]
    out = np.zeros((rows, cols))
    for k in range(1, rows // 5):
        for m in (0, 3, cols // 5):
            out += rng.normal() * np.cos(2 * np.pi * (k * y / rows + m * x / cols) + rng.uniform(0, 6))
    return out * 20 / out.std()


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("name", ["bilinear", "cubic", "lanczos"])
def test_a_ramp_comes_out_on_the_grid(name: str, scale: int) -> None:
    rows, cols = np.mgrid[:20, :24].astype(np.float32)
    found = rivals.rivals_of("CT", scale)[name](2 * rows - 3 * cols + 7, scale)
    at = output_to_input(np.arange(20 * scale), scale)[:, None], output_to_input(np.arange(24 * scale), scale)[None]
    inner = (slice(5 * scale, -5 * scale),) * 2
    tolerance = 0.1 if name == "lanczos" else 1e-4  # a windowed sinc does not keep ramps
    assert np.abs(found - (2 * at[0] - 3 * at[1] + 7))[inner].max() < tolerance


def test_nearest_repeats_pixels() -> None:
    assert rivals.nearest(np.array([[1, 2]], np.uint8), 3).tolist() == [[1, 1, 1, 2, 2, 2]] * 3


def test_cubic_is_the_base_of_the_core() -> None:
    picture = np.random.default_rng(0).integers(0, 255, (30, 40)).astype(np.uint8)
    base = Enhancer("base").run(picture, "US").pixels
    assert np.array_equal(score.rounded(rivals.cubic(picture, 2), picture.dtype), base)


@pytest.mark.parametrize("scale", [2, 3])
@pytest.mark.parametrize("sides", [(48, 60), (54, 42), (90, 78)])
def test_zero_filling_undoes_truncation_of_band_limited_pictures(sides: tuple[int, int], scale: int) -> None:
    small = _band_limited(*(n // scale for n in sides)).astype(np.float32)
    truth = rivals.zero_filled(small, scale)
    cut = degrade.truncate(truth, scale)
    assert np.abs(rivals.zero_filled(cut, scale) - truth).max() < 1e-3


def test_zero_filling_beats_cubic_on_band_limited_truth() -> None:
    truth = rivals.zero_filled(_band_limited(40, 50).astype(np.float32), 2)
    cut = score.degradations_of("MR")[0].apply(truth, 2)
    of = {name: score.psnr(truth, rival(cut, 2), 100) for name, rival in rivals.rivals_of("MR", 2).items()}
    assert of["zero-filled"] > 100
    assert of["cubic"] < 50
    assert of["nearest"] < of["bilinear"] < of["cubic"] < of["lanczos"]


def test_zero_filling_takes_the_nyquist_wave_as_a_cosine() -> None:
    wave = np.tile([1.0, -1.0], 8)[None, :].repeat(6, 0)
    assert np.abs(np.abs(rivals.zero_filled(wave, 2)) - np.sqrt(0.5)).max() < 1e-6


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_rivals_of_a_modality_at_every_scale(scale: int) -> None:
    assert list(rivals.rivals_of("MR", scale)) == list(rivals.NAMES)
    assert "linear 5x5" in rivals.rivals_of("CT", scale)


def test_rivals_of_a_modality() -> None:
    assert list(rivals.rivals_of("MR", 2)) == list(rivals.NAMES)
    assert list(rivals.rivals_of("CT", 2)) == [n for n in rivals.NAMES if n != "zero-filled"]
    assert "linear 5x5" not in rivals.rivals_of("PET", 2)
    assert not linear.available("CT", 7)
