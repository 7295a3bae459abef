"""Dead lines, dropped frames and undeclared padding: found where they are, not where they are not, and filled."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from acutance import Enhancer, mend
from acutance.errors import InputError
from acutance.geometry import Array, Frame


def smooth(rows: int = 64, cols: int = 80, dtype: str = "int16") -> Array:
    """Return slowly varying values from 0 to 1000."""
    y, x = np.mgrid[:rows, :cols]
    return np.rint(500 + 300 * np.sin(x / 20) + 200 * np.cos(y / 16)).astype(dtype)


@pytest.mark.parametrize("value", [-200, 1400, 32767])
@pytest.mark.parametrize("lines", [(20,), (20, 21), (5, 40), (9, 10, 11, 12)])
def test_dead_rows_and_columns_are_found_and_filled(value: int, lines: tuple[int, ...]) -> None:
    truth = smooth()
    rows, cols = truth.copy(), truth.copy()
    rows[list(lines)], cols[:, list(lines)] = value, value
    assert mend.find(Frame(rows)) == mend.Faults(rows=lines)
    assert mend.find(Frame(cols)) == mend.Faults(cols=lines)
    for broken, name in ((rows, "row"), (cols, "column")):
        mended = mend.mend(Frame(broken))
        assert np.abs(mended.pixels.astype(int) - truth).max() <= 10
        assert mended.pixels.dtype == truth.dtype and mended.mask is None
        listed = ", ".join(str(x + 1) for x in lines)
        assert mended.mended == f"dead {name}{'s' if len(lines) > 1 else ''} {listed} mended"


def test_a_line_of_noise_is_dead() -> None:
    broken = smooth()
    broken[30] = np.random.default_rng(0).integers(-2000, 3000, broken.shape[1])
    assert mend.find(Frame(broken)).rows == (30,)


def test_a_crossing_row_and_column_are_filled() -> None:
    broken = smooth()
    broken[20], broken[:, 30] = 0, 4000
    mended = mend.mend(Frame(broken))
    assert mended.mended == "dead row 21; dead column 31 mended"
    assert np.abs(mended.pixels.astype(int) - smooth()).max() <= 10


def test_what_is_meant_is_left_alone() -> None:
    edge = smooth()
    edge[30:] += 2000  # a horizontal edge
    bar = smooth()
    bar[10:20] = 0  # more lines than are taken for dead
    rim = smooth()
    rim[:2], rim[-1:] = 0, 0  # a border
    empty = np.zeros((64, 64), np.int16)
    few = smooth(8, 8)
    for pixels in (smooth(), edge, bar, rim, empty, few):
        frame = Frame(pixels)
        assert mend.find(frame) == mend.Faults()
        assert mend.mend(frame).mended is None and mend.mend(frame).pixels is pixels


def test_lines_within_padding_are_left_alone() -> None:
    pixels = smooth()
    pixels[:, :30] = -2000
    pixels[20, 30:] = 0
    frame = Frame(pixels, padding=(-2000, -2000))
    assert mend.find(frame).rows == (20,)
    filled = mend.mend(frame)
    assert (filled.pixels[:, :30] == -2000).all()
    assert np.abs(filled.pixels[20, 30:].astype(int) - smooth()[20, 30:]).max() <= 10


def test_colour_lines_are_filled_in_all_channels() -> None:
    truth = np.stack([smooth(dtype="float32") / 4, smooth()[::-1] / 5, 255 - smooth() / 4], 2).astype(np.uint8)
    broken = truth.copy()
    broken[25] = 0
    mended = mend.mend(Frame(broken))
    assert mended.mended == "dead row 26 mended"
    assert np.abs(mended.pixels.astype(int) - truth).max() <= 3


def test_undeclared_padding_of_ct_is_declared() -> None:
    pixels = smooth() - 1000
    y, x = np.mgrid[: pixels.shape[0], : pixels.shape[1]]
    outside = (y - 32) ** 2 + (x - 40) ** 2 > 30**2
    pixels[outside] = -2000
    mended = mend.mend(Frame(pixels, modality="CT"))
    assert mended.padding == (-2000, -2000) and mended.mended == "undeclared padding of -2000 mended"
    np.testing.assert_array_equal(mended.pixels, pixels)
    result = Enhancer("base").run(mended)
    np.testing.assert_array_equal(result.pixels == -2000, outside.repeat(2, 0).repeat(2, 1))
    assert result.frame.derivation is not None and result.frame.derivation.mended == mended.mended
    assert mend.find(Frame(pixels, modality="MR")) == mend.Faults()
    air = np.maximum(pixels, -1024)
    assert mend.find(Frame(air, modality="CT")).padding is None


def test_a_mask_is_filled_along_the_shorter_way() -> None:
    truth = smooth()
    mask = np.zeros(truth.shape, bool)
    mask[10:40, 20:23] = True
    broken = np.where(mask, 30000, truth).astype(np.int16)
    mended = mend.mend(Frame(broken), mask)
    assert np.abs(mended.pixels.astype(int) - truth).max() <= 5
    assert mended.mended == "90 masked samples filled"
    corner = np.zeros(truth.shape, bool)
    corner[:3, :3] = True
    assert (mend.mend(Frame(truth), corner).pixels[:3, :3] > 0).all()


def test_a_wrong_mask_is_refused() -> None:
    with pytest.raises(InputError, match="is 64 x 80, its mask 3 x 3"):
        mend.mend(Frame(smooth()), np.zeros((3, 3), bool))
    with pytest.raises(InputError, match="no sample that is not masked"):
        mend.mend(Frame(smooth()), np.ones((64, 80), bool))


def test_dropped_frames_are_interpolated() -> None:
    frames = [Frame(smooth() + 10 * i) for i in range(8)]
    blank = np.zeros_like(smooth())
    for i in (2, 5, 6):
        frames[i] = Frame(blank)
    assert mend.dropped(frames) == [2, 5, 6]
    mended = mend.sequence(frames)
    for i, frame in enumerate(mended):
        np.testing.assert_array_equal(frame.pixels, smooth() + 10 * i if i < 7 else frames[7].pixels)
    assert [bool(f.mended) for f in mended] == [i in (2, 5, 6) for i in range(8)]


def test_blank_frames_at_the_ends_are_meant() -> None:
    blank, faint = np.zeros_like(smooth()), np.zeros_like(smooth())
    faint[0, 0] = 1
    frames = [Frame(x) for x in (blank, smooth(), smooth(), smooth(), faint, blank, faint, blank)]
    assert mend.dropped(frames) == []
    assert mend.dropped([Frame(blank)] * 5) == []


def test_mended_is_kept_by_the_enhancer() -> None:
    broken = smooth()
    broken[20] = 0
    frame = mend.mend(Frame(broken))
    planned = Enhancer("base").derivation(frame)
    assert planned.mended == "dead row 21 mended"
    assert dataclasses.replace(planned, mended=None) == Enhancer("base").derivation(Frame(broken))
