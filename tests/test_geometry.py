"""Positions in mm, value limits and robust ranges."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acutance import geometry
from acutance.errors import InputError
from acutance.geometry import Derivation, Frame, Source

coordinates = st.floats(-500, 500, allow_nan=False)


@given(
    position=st.tuples(coordinates, coordinates, coordinates),
    angles=st.tuples(st.floats(-3, 3), st.floats(-3, 3)),
    spacing=st.tuples(st.floats(0.05, 5), st.floats(0.05, 5)),
    scale=st.sampled_from(geometry.SCALES),
    pixel=st.tuples(st.integers(0, 511), st.integers(0, 511)),
)
def test_a_pixel_corner_keeps_its_place_in_the_patient(position, angles, spacing, scale, pixel):
    a, b = angles
    row = np.array([np.cos(a), np.sin(a), 0.0])
    column = np.array([-np.sin(a) * np.cos(b), np.cos(a) * np.cos(b), np.sin(b)])
    iop = [*row, *column]

    def corner(position, spacing, r, c):
        return np.asarray(position) + row * spacing[1] * (c - 0.5) + column * spacing[0] * (r - 0.5)

    before = corner(position, spacing, *pixel)
    new_position = geometry.refined_position(position, iop, spacing, scale)
    new_spacing = geometry.refined_spacing(spacing, scale)
    after = corner(new_position, new_spacing, pixel[0] * scale, pixel[1] * scale)
    np.testing.assert_allclose(after, before, atol=1e-9)


def test_an_affine_keeps_voxel_corners():
    affine = np.array([[0.5, 0.1, 0, 10], [0, 0.7, 0.2, -20], [0, 0, 3, 5], [0, 0, 0, 1.0]])
    new = geometry.refined_affine(affine, (0, 1), 3)
    for i, j in ((0, 0), (4, 9)):
        before = affine @ [i - 0.5, j - 0.5, 2, 1]
        after = new @ [3 * i - 0.5, 3 * j - 0.5, 2, 1]
        np.testing.assert_allclose(after, before, atol=1e-12)


def test_output_pixels_lie_at_half_integers():
    np.testing.assert_allclose(geometry.output_to_input(np.arange(4), 2), [-0.25, 0.25, 0.75, 1.25])


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16"])
def test_robust_range_of_integers_is_numpys_percentile(dtype):
    rng = np.random.default_rng(0)
    info = np.iinfo(dtype)
    frames = [Frame(rng.integers(info.min, info.max, (40, 30)).astype(dtype), slope=2.0, intercept=-5.0) for _ in "ab"]
    real = np.concatenate([f.pixels.ravel() for f in frames]).astype(float) * 2 - 5
    np.testing.assert_allclose(geometry.robust_range(frames), np.percentile(real, [0.1, 99.9]))


def test_robust_range_leaves_missing_samples_out_and_applies_each_frames_mapping():
    pixels = np.arange(100, dtype=np.int16).reshape(10, 10)
    pixels[0, 0] = -2000
    plain = Frame(pixels, padding=(-2000, -2000))
    steep = dataclasses.replace(plain, slope=10.0)
    assert geometry.robust_range([plain], 0, 100) == (1.0, 99.0)
    assert geometry.robust_range([plain, steep], 0, 100) == (1.0, 990.0)
    shared = geometry.share_range([plain, steep])
    assert shared[0].value_range == shared[1].value_range is not None


def test_robust_range_of_nothing_valid_is_empty():
    assert geometry.robust_range([Frame(np.full((3, 3), 5, np.uint8), padding=(5, 5))]) == (0.0, 0.0)
    assert geometry.robust_range([Frame(np.full((3, 3), np.nan, np.float32))]) == (0.0, 0.0)


def test_the_range_of_a_series_does_not_depend_on_the_order_or_on_how_it_is_counted():
    rng = np.random.default_rng(1)
    frames = [
        Frame(rng.integers(-500, 900, (30, 20)).astype(np.int16), slope=slope, intercept=3.0)
        for slope in (1.0, 0.7, 2.3)
    ]
    frames.append(Frame(rng.normal(200, 90, (25, 11)).astype(np.float32)))
    frames.append(Frame(rng.integers(0, 255, (9, 8, 3)).astype(np.uint8)))
    real = [(geometry.luma(f.pixels) if f.pixels.ndim == 3 else f.pixels).astype(float) for f in frames]
    joined = np.concatenate([(v * f.slope + f.intercept).ravel() for v, f in zip(real, frames, strict=True)])
    found = geometry.robust_range(iter(frames))
    np.testing.assert_allclose(found, np.percentile(joined, [0.1, 99.9]))
    assert geometry.robust_range(frames[::-1]) == found
    halves = [geometry.RangeCounter(), geometry.RangeCounter()]
    for i, frame in enumerate(frames):
        halves[i % 2].add(frame)
    halves[1].merge(halves[0])
    assert halves[1].range(0.1, 99.9) == found


def test_limits_follow_bits_stored_and_signedness():
    assert Frame(np.zeros((1, 1), np.uint16), bits_stored=12).limits == (0, 4095)
    assert Frame(np.zeros((1, 1), np.int16), bits_stored=12).limits == (-2048, 2047)
    assert Frame(np.zeros((1, 1), np.uint8)).limits == (0, 255)
    assert Frame(np.zeros((1, 1), np.float32)).limits == (-np.inf, np.inf)


def test_missing_joins_padding_mask_and_non_finite():
    pixels = np.array([[1, np.nan], [3, 4]], np.float32)
    frame = Frame(pixels, padding=(4, 5), mask=np.array([[True, False], [False, False]]))
    np.testing.assert_array_equal(frame.missing(), [[True, True], [False, True]])
    assert Frame(np.ones((2, 2), np.uint8), padding=(7, 9)).missing() is None


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((4, 4), np.int32),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4), np.uint8),
        np.zeros(4, np.uint8),
    ],
)
def test_wrong_pixels_are_refused_with_the_path(pixels):
    with pytest.raises(InputError, match=r"^some/file\.dcm: .*wanted"):
        Frame(pixels, source=Source("some/file.dcm", None, 0, "dicom"))


def test_derivations_with_the_same_settings_have_the_same_digest():
    one = Derivation("m", "1", "ab", "fp32", "onnxruntime", 2, "cubic", "box")
    assert one.digest() == dataclasses.replace(one).digest()
    for field, other in (("guard", "none"), ("low", 1.0), ("sha256", "cd"), ("scale", 3), ("guide", "1.2")):
        assert dataclasses.replace(one, **{field: other}).digest() != one.digest()
