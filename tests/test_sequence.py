"""When a picture goes on where the one before ended."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from acutance.backends import Made
from acutance.geometry import Derivation, Frame
from acutance.sequence import Past, Sequence, is_cut, sketch

HOW = Derivation("seq", "1", "00", "fp32", "onnxruntime", 2, "cubic", "none")


def scene(seed: int, rows: int = 240, cols: int = 320, shift: tuple[int, int] = (0, 0), zoom: float = 1.0) -> Any:
    """Return blobs of random places and sizes, float 0 to 255."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:rows, :cols].astype(float)
    y, x = (y - rows / 2) / zoom + rows / 2 - shift[0], (x - cols / 2) / zoom + cols / 2 - shift[1]
    picture = np.zeros((rows, cols))
    for _ in range(25):
        at, size = rng.uniform(0, (rows, cols)), rng.uniform(8, 30)
        picture += rng.uniform(-1, 1) * np.exp(-((y - at[0]) ** 2 + (x - at[1]) ** 2) / (2 * size**2))
    return 128 + 60 * picture


def frame(values: Any, **more: Any) -> Frame:
    return Frame(np.asarray(values).clip(0, 255).astype(np.uint8), modality="US", **more)


def cut(first: Any, second: Any, **more: Any) -> bool:
    return is_cut(sketch(frame(first, **more)), sketch(frame(second, **more)))


@pytest.mark.parametrize("seed", range(8))
def test_motion_brightness_and_noise_are_no_cut(seed: int) -> None:
    rng = np.random.default_rng(seed)
    moved = scene(seed, shift=(int(rng.integers(-20, 21)), int(rng.integers(-20, 21))), zoom=1.05)
    darker = 0.6 * moved + rng.normal(0, 12, moved.shape)
    assert not cut(scene(seed), darker)
    assert not cut(scene(seed), darker, inverted=True)
    assert cut(scene(seed), scene(seed + 100))
    assert cut(scene(seed), 255 - scene(seed))


def test_the_border_of_a_sector_does_not_make_scenes_alike() -> None:
    y, x = np.mgrid[:240, :320]
    inside = (np.hypot(y + 40, x - 160) < 260) & (abs(x - 160) < 0.7 * (y + 40))
    first, second = (np.where(inside, scene(k) * (1.2 - y / 400), 0) for k in (1, 2))
    assert cut(first, second)
    assert not cut(first, np.where(inside, scene(1, shift=(9, -6)) * (1.2 - y / 400), 0))


def test_pictures_without_structure_are_alike_when_equally_bright() -> None:
    rng = np.random.default_rng(0)
    dark, dim, light = (level + rng.normal(0, 3, (100, 140)) for level in (30, 30, 90))
    assert not cut(dark, dim) and cut(dark, light) and cut(dark, scene(3, 100, 140))
    black = np.zeros((100, 140))
    assert not cut(black, black) and cut(black, scene(3, 100, 140)) and cut(scene(3, 100, 140), black)


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (5, 3), (33, 32)])
def test_small_pictures_and_colour(shape: tuple[int, int]) -> None:
    values = np.random.default_rng(1).uniform(0, 255, shape)
    assert sketch(frame(values)).cells.shape == sketch(frame(np.stack([values] * 3, axis=2))).cells.shape
    assert not cut(values, values)
    assert not is_cut(sketch(frame(values)), sketch(frame(np.stack([values] * 3, axis=2))))


def follow(times: list[float | None], sequence: Sequence) -> list[bool]:
    """Hand in one scene at several times; return for each whether it followed."""
    found = []
    for k, time in enumerate(times):
        now = frame(scene(0) + k % 3, timestamp=time)
        found.append(sequence.before(now) is not None)
        sequence.keep(Past(now, Made(np.zeros((480, 640), np.uint8), 0), HOW))
    return found


def test_gaps_are_measured_by_the_usual_interval() -> None:
    assert follow([None] * 3, Sequence()) == [False, True, True]
    steady = [k / 25 for k in range(6)]
    assert follow([*steady, 8 / 25], Sequence()) == [False] + [True] * 6
    sequence = Sequence()
    assert follow([*steady, 8.5 / 25, 9.5 / 25], sequence) == [False] + [True] * 5 + [False, True]
    assert sequence.resets == {"gap in time": 1}
    assert follow([*steady, 9.5 / 25], Sequence(gap=5)) == [False] + [True] * 6
    assert follow([0.0, 0.0, 1.0, 2.0, 1.5], Sequence()) == [False, True, True, True, False]


def test_it_forgets_when_told_and_counts_only_what_it_had() -> None:
    sequence = Sequence()
    sequence.forget("failed")
    assert not sequence.resets
    follow([None], sequence)
    sequence.forget("failed")
    assert sequence.before(frame(scene(0))) is None and sequence.resets == {"failed": 1}


def test_what_the_next_picture_sees_has_nothing_missing() -> None:
    pixels = scene(0, 20, 30).clip(0, 250).astype(np.uint8)
    pixels[:4, :4] = 255
    output = pixels.repeat(2, 0).repeat(2, 1)
    padded = frame(pixels, padding=(255, 255))
    beside = Past(padded, Made(output, 0, state=np.ones((1, 3, 20, 30), np.float32)), HOW).beside(1)
    assert beside["lr_previous"].max() < 255 and beside["previous"].max() < 255 and beside["state"].shape[1] == 3
    np.testing.assert_array_equal(beside["previous"][8:], output[8:])
    assert set(Past(padded, Made(output, 0), HOW).beside(1)) == {"lr_previous", "previous"}


def test_the_same_picture_is_known_again() -> None:
    first = frame(scene(0))
    past = Past(first, Made(np.zeros((480, 640), np.uint8), 0), HOW)
    assert past.shows(dataclasses.replace(first, pixels=first.pixels.copy(), timestamp=3.0))
    mask = np.zeros((240, 320), bool)
    for changes in ({"pixels": first.pixels + np.uint8(1)}, {"mask": mask}, {"padding": (0.0, 0.0)}):
        assert not past.shows(dataclasses.replace(first, **changes))
