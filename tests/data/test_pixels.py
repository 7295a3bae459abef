"""Slices are what the protocol takes as truths."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("dicomanonymizer")

from acutance import degrade, geometry
from acutance.data import pixels
from acutance.errors import InputError
from acutance.geometry import Frame, Source


def values(dtype: str = "uint16", top: int = 4000) -> np.ndarray:
    return np.random.default_rng(3).integers(0, top, (6, 8)).astype(dtype)


def test_ct_is_whole_hu_with_air_where_nothing_is() -> None:
    stored = values()
    stored[0, 0], stored[0, 1] = 0, 3
    frame = Frame(stored, "CT", slope=1, intercept=-1500, padding=(3, 3))
    found = pixels.prepare([frame], "CT")
    wanted = np.maximum(stored.astype(int) - 1500, -1024)
    wanted[0, 1] = -1024
    np.testing.assert_array_equal(found.slices[0], wanted)
    assert found.slices.dtype == np.int16 and (found.slope, found.intercept) == (1, 0)
    assert found.prepared == ("missing samples filled",)
    assert pixels.prepare([Frame(stored, "CT", slope=0.5)], "CT").prepared == ("rounded to whole HU",)
    with pytest.raises(InputError, match="wanted at most 32767"):
        pixels.prepare([Frame(stored, "CT", slope=20)], "CT")


def test_other_values_stay_as_they_are_stored() -> None:
    frame = Frame(values(), "MR", spacing=(0.5, 0.7), slope=2.5, intercept=-3)
    found = pixels.prepare([frame, frame], "MR")
    np.testing.assert_array_equal(found.slices, [frame.pixels] * 2)
    assert (found.slope, found.intercept, found.spacing_mm, found.prepared) == (2.5, -3, (None, 0.5, 0.7), ())


def test_slices_with_other_rescaling_become_real_values() -> None:
    frames = [Frame(values(), "PT", slope=s, intercept=1) for s in (0.5, 2.0)]
    found = pixels.prepare(frames, "PET")
    np.testing.assert_allclose(found.slices, [f.pixels * f.slope + 1 for f in frames])
    assert found.slices.dtype == np.float32 and found.prepared == ("real values, as slices differ in rescaling",)


def test_missing_samples_take_the_least_value() -> None:
    stored = values("float32")
    stored[2, 2] = np.nan
    found = pixels.prepare([Frame(stored + 7, "MR")], "MR").slices[0]
    assert found[2, 2] == np.nanmin(stored) + 7 and np.isfinite(found).all()
    with pytest.raises(InputError, match="holds no valid sample"):
        pixels.prepare([Frame(np.full((4, 4), np.nan, np.float32), "MR")], "MR")


def test_colour_is_luma_unless_it_is_gray() -> None:
    colours = np.random.default_rng(0).integers(0, 255, (6, 8, 3)).astype(np.uint8)
    found = pixels.prepare([Frame(colours, "US")], "US")
    np.testing.assert_array_equal(found.slices[0], geometry.luma(colours))
    assert found.eight_bit and found.prepared == ("luma",)
    gray = pixels.prepare([Frame(np.repeat(colours[:, :, :1], 3, axis=2), "US")], "US")
    np.testing.assert_array_equal(gray.slices[0], colours[:, :, 0])
    assert gray.slices.dtype == np.uint8 and gray.prepared == ()
    both = pixels.prepare([Frame(colours, "US"), Frame(colours[:, :, 0], "US")], "US")
    assert both.slices.dtype == np.float32 and both.prepared == ("luma",)
    np.testing.assert_array_equal(both.slices[1], colours[:, :, 0])


def test_inverted_pictures_are_turned() -> None:
    frame = Frame(values(), "DX", bits_stored=12, inverted=True)
    found = pixels.prepare([frame], "XR")
    np.testing.assert_array_equal(found.slices[0], 4095 - frame.pixels)
    assert found.slices.dtype == np.uint16 and not found.eight_bit


def test_what_was_compressed_with_loss_is_area_meaned() -> None:
    frame = Frame(values("uint8", 255), "ES", spacing=(1.0, 1.0), source=Source(None, None, 0, "jpeg"))
    found = pixels.prepare([frame], "ENDO")
    np.testing.assert_allclose(found.slices[0], degrade.area_mean(frame.pixels, 2), rtol=1e-6)
    assert found.spacing_mm == (None, 2, 2) and found.eight_bit


def test_pictures_of_several_sizes_are_refused() -> None:
    with pytest.raises(InputError, match="several sizes"):
        pixels.prepare([Frame(values(), "MR"), Frame(values()[1:], "MR")], "MR")
