"""PNG files are written so that others read the same pixels."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from acutance.files import png


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(1, 40),
    cols=st.integers(1, 40),
    colour=st.booleans(),
    seed=st.integers(0, 99),
    smooth=st.booleans(),
)
def test_pillow_reads_the_same_8_bit_pixels(rows: int, cols: int, colour: bool, seed: int, smooth: bool) -> None:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (rows, cols, 3) if colour else (rows, cols)).astype(np.uint8)
    if smooth:
        pixels = np.cumsum(pixels // 60, axis=1).astype(np.uint8)
    file = io.BytesIO()
    png.write(file, pixels)
    with Image.open(io.BytesIO(file.getvalue())) as image:
        assert image.mode == ("RGB" if colour else "L")
        np.testing.assert_array_equal(np.asarray(image), pixels)


def test_pillow_reads_the_same_16_bit_gray_across_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(png, "_BAND_BYTES", 1000)
    pixels = np.random.default_rng(0).integers(0, 65536, (90, 70)).astype(np.uint16)
    file = io.BytesIO()
    png.write(file, pixels)
    with Image.open(io.BytesIO(file.getvalue())) as image:
        np.testing.assert_array_equal(np.asarray(image), pixels)


def test_text_spacing_and_profile_stand_before_the_pixels(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    with path.open("wb") as file:
        texts = {"Title": "x" * 10, "acutance": '{"a": 1}'}
        png.write(file, np.zeros((4, 6), np.uint8), text=texts, spacing=(0.5, 0.25), icc=b"profile")
    with Image.open(path) as image:
        assert image.text == texts
        assert image.info["dpi"] == (101.6, 50.8)
        assert image.info["icc_profile"] == b"profile"
        image.load()
    assert png.read_text(path, "acutance") == '{"a": 1}'
    assert png.read_text(path, "acut") is None


def test_reading_text_of_damaged_or_other_files_gives_none(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    with path.open("wb") as file:
        png.write(file, np.zeros((4, 6), np.uint8), text={"acutance": "text"})
    whole = path.read_bytes()
    for data in (b"", b"GIF89a", whole[:20], whole[:40]):
        path.write_bytes(data)
        assert png.read_text(path, "acutance") is None


def test_a_spacing_that_phys_cannot_hold_is_left_out() -> None:
    file = io.BytesIO()
    png.write(file, np.zeros((2, 2), np.uint8), spacing=(1e9, 1.0))
    with Image.open(io.BytesIO(file.getvalue())) as image:
        assert "dpi" not in image.info
