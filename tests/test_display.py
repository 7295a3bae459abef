"""Pictures for the eye."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from acutance import display
from acutance.geometry import Array, Frame

pytest.importorskip("skimage")


def ramp() -> Array:
    """Return a faint pattern on a ramp, -500 to 500."""
    y, x = np.mgrid[:256, :256]
    return (3.9 * x - 500 + 12 * ((x // 6 + y // 6) % 2)).astype(np.int16)


def contrast(picture: Array, columns: slice) -> float:
    part = picture[20:230, columns].astype(float)
    return float(np.abs(part - part.mean(axis=0)).mean())


def test_faint_contrast_is_raised_everywhere() -> None:
    frame = Frame(ramp(), window=(0.0, 1000.0))
    before = frame.pixels.copy()
    made = display.shown(frame, display.Settings())
    plain = np.clip((ramp() + 500) / 1000 * 255, 0, 255)
    assert made.dtype == np.uint8 and made.shape == frame.pixels.shape
    for part in (slice(20, 80), slice(90, 160), slice(170, 230)):
        assert contrast(made, part) > 1.3 * contrast(plain, part)
    np.testing.assert_array_equal(frame.pixels, before)


def test_the_window_is_the_users_then_the_headers_then_the_range() -> None:
    frame = Frame(ramp(), window=(0.0, 1000.0))
    assert display.Settings((40.0, 400.0)).window_of(frame) == (40.0, 400.0)
    assert display.Settings().window_of(frame) == (0.0, 1000.0)
    low, high = display.Settings().window_of(dataclasses.replace(frame, window=None, value_range=(10.0, 30.0)))
    assert (low, high) == (20.0, 20.0)
    centre, width = display.Settings().window_of(dataclasses.replace(frame, window=None))
    assert abs(centre) < 20 and 900 < width < 1010
    assert "window 40, 400" in display.Settings((40.0, 400.0)).describe(frame)


def test_outside_the_window_is_black_and_white() -> None:
    pixels = np.full((64, 64), -1000, np.int16)
    pixels[:, 32:] = 3000
    made = display.shown(Frame(pixels), display.Settings((0.0, 100.0)))
    assert (made[:, :32] <= 3).all() and (made[:, 32:] >= 250).all()
    other = display.shown(Frame(pixels, inverted=True), display.Settings((0.0, 100.0)))
    assert (other[:, :32] >= 250).all() and (other[:, 32:] <= 3).all()


def test_padding_is_black_and_colour_stays_colour() -> None:
    pixels = ramp()
    pixels[:10] = -2000
    made = display.shown(Frame(pixels, padding=(-2000, -2000), inverted=True), display.Settings((0.0, 1000.0)))
    assert (made[:10] == 0).all() and made[10:].any()
    rgb = np.stack([np.full((64, 64), v, np.uint8) for v in (200, 100, 50)], axis=2)
    shown = display.shown(Frame(rgb), display.Settings()).astype(int)
    assert shown.shape == rgb.shape and (shown[..., 0] > shown[..., 1]).all() and (shown[..., 1] > shown[..., 2]).all()


def test_a_constant_picture_is_shown() -> None:
    for value in (0, 40, 80):
        made = display.shown(Frame(np.full((40, 40), value, np.int16)), display.Settings((40.0, 81.0)))
        assert np.ptp(made.astype(int)) <= 8 and abs(int(made[20, 20]) - 255 * value / 80) < 40
