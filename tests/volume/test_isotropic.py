"""Thin slices of thick ones: by the shipped network, and without."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from acutance import Enhancer, degrade, volume
from acutance.geometry import Frame
from acutance.volume import along


def body(slices: int = 24, side: int = 32) -> along.F32:
    """Return a ball and a tilted bar in HU, with soft edges."""
    z, y, x = np.mgrid[:slices, :side, :side].astype(np.float64)
    ball = 12 - np.sqrt((z - 11) ** 2 + (y - 16) ** 2 + (x - 16) ** 2)
    bar = 3 - np.abs(y - 8 - 0.4 * z)
    soft = (np.clip(v + 0.5, 0, 1) for v in (ball, bar))
    first, second = soft
    return (-1000 + 1050 * first + 600 * second).astype(np.float32)


def stack_of(truth: along.F32, ratio: float, width: float) -> volume.Stack:
    thick = degrade.thick_slices(truth, ratio, width)
    places = (np.arange(len(thick)) + 0.5) * ratio - 0.5
    return volume.Stack(thick, places, width, (1.0, 1.0), "CT", (-1000.0, 1000.0))


def rms(a: along.F32, b: along.F32) -> float:
    return float(np.sqrt(np.mean((a[4:-4] - b[4:-4]) ** 2)))


@pytest.fixture(scope="module")
def enhancers() -> dict[int, Enhancer]:
    return {2: Enhancer("ct-rt-x2", "onnxruntime", threads=1)}


@pytest.mark.parametrize(("ratio", "width"), [(2.0, 2.0), (3.0, 3.0), (3.0, 2.0), (2.0, 3.0)])
def test_networks_beat_interpolation(enhancers: dict[int, Enhancer], ratio: float, width: float) -> None:
    truth = body()
    stack = stack_of(truth, ratio, width)
    grid = volume.plan(stack.places, width, 1.0)
    assert grid.count == len(truth) and grid.first == pytest.approx(0, abs=1e-9)
    made = volume.isotropic(stack, grid, enhancers)
    cubic = along.apply(along.cubic(stack.places, grid.targets), stack.voxels)
    assert rms(made.voxels, truth) < 0.92 * rms(cubic, truth)
    if width <= ratio:
        assert made.deviation[0] < 0.01
    means = along.profile(stack.places, width, 0.0, 1.0, len(truth))
    off = along.apply(means, made.voxels) - stack.voxels
    assert np.abs(off).max() == pytest.approx(made.deviation[0], rel=1e-3, abs=1e-3)


def test_without_the_guard_means_differ(enhancers: dict[int, Enhancer]) -> None:
    stack = stack_of(body(), 3.0, 3.0)
    grid = volume.plan(stack.places, 3.0, 1.0)
    free = {2: Enhancer("ct-rt-x2", "onnxruntime", threads=1, guard="none")}
    made = volume.isotropic(stack, grid, free)
    assert made.deviation[0] > 5
    assert volume.derivation(stack, grid, free).guard == "none"
    assert volume.derivation(stack, grid, enhancers).guard == "box"


def test_a_modality_without_a_network_is_interpolated_and_says_so() -> None:
    stack = dataclasses.replace(stack_of(body(), 2.0, 2.0), modality="OT")
    grid = volume.plan(stack.places, 2.0, 1.0)
    enhancers = {2: Enhancer("auto", "onnxruntime", threads=1)}
    made = volume.isotropic(stack, grid, enhancers)
    said = volume.derivation(stack, grid, enhancers)
    assert said.model == "base" and said.fell_back and "passes none" in (said.through_plane or "")
    assert made.deviation[0] < 0.01


def test_constants_stay_and_missing_slices_are_bridged(enhancers: dict[int, Enhancer]) -> None:
    places = np.delete(2.5 * np.arange(9), [4])
    voxels = np.full((8, 20, 23), 40.0, np.float32)
    stack = volume.Stack(voxels, places, 2.5, (0.8, 0.9), "CT", (0.0, 100.0))
    grid = volume.plan(places, 2.5, 0.8)
    made = volume.isotropic(stack, grid, enhancers)
    assert made.voxels.shape == (grid.count, 20, 23) == (round(9 * 2.5 / 0.8), 20, 23)
    np.testing.assert_allclose(made.voxels, 40.0, atol=0.05)


def test_both_stacks_count_alike(enhancers: dict[int, Enhancer]) -> None:
    stack = stack_of(body(), 3.0, 3.0)
    grid = volume.plan(stack.places, 3.0, 1.0)
    made = volume.isotropic(stack, grid, enhancers)
    turned = dataclasses.replace(stack, voxels=np.ascontiguousarray(stack.voxels.swapaxes(1, 2)))
    other = volume.isotropic(turned, grid, enhancers)
    np.testing.assert_allclose(other.voxels.swapaxes(1, 2), made.voxels, atol=2e-2)


def test_frames_to_a_stack_and_back() -> None:
    rng = np.random.default_rng(0)
    slopes = (1.0, 2.0, 0.5)
    frames = [
        Frame(
            rng.integers(0, 1000, (6, 7)).astype(np.uint16), "PT", (2.0, 2.0), slope=s, padding=(0, 0), bits_stored=12
        )
        for s in slopes
    ]
    frames[1].pixels[2, 3] = 0
    places = np.array([0.0, 4.0, 8.0])
    stack = volume.gathered(frames, places, 4.0)
    assert stack.missing is not None and stack.missing[1, 2, 3]
    valid = ~stack.missing[1]
    np.testing.assert_array_equal(stack.voxels[1][valid], 2.0 * frames[1].pixels[valid])
    grid = volume.plan(places, 4.0, 2.0)
    near = volume.nearest(grid, places)
    np.testing.assert_array_equal(near, [0, 0, 1, 1, 2, 2])
    said = volume.derivation(stack, grid, {2: Enhancer("base")})
    made = volume.derivations(said, grid, places, frames)
    out = volume.stored(stack.voxels[near], stack.missing[near], frames, made, near)
    assert [f.slope for f in out] == [2.0] * 6 and out[2].pixels[2, 3] == 0
    valid = ~stack.missing[0]
    np.testing.assert_array_equal(out[0].pixels[valid], np.rint(frames[0].pixels[valid] / 2))
    big = volume.stored(np.full((6, 6, 7), 1e6, np.float32), None, frames, made, near)
    assert big[0].pixels.max() == 4095
