"""Values are taken over without change, or refused by name."""

from __future__ import annotations

import numpy as np
import pytest

from acutance.errors import InputError
from acutance.files import values


@pytest.mark.parametrize(
    ("dtype", "numbers", "wanted"),
    [
        ("uint8", [0, 255], "uint8"),
        ("int16", [-32768, 32767], "int16"),
        (">i2", [-5, 7], "int16"),
        ("uint16", [0, 65535], "uint16"),
        ("float32", [0.1, np.nan], "float32"),
        ("int8", [-128, 127], "int16"),
        ("int32", [-32768, 32767], "int16"),
        (">i4", [0, 65535], "uint16"),
        ("uint32", [0, 100], "uint16"),
        ("uint64", [0, 65535], "uint16"),
        ("int64", [-40000, 40000], "float32"),
        ("int32", [-(2**24), 2**24], "float32"),
        ("float64", [0.5, np.inf, -np.inf, np.nan], "float32"),
        ("float16", [0.1, 3], "float32"),
    ],
)
def test_values_that_fit_stay_as_they_are(dtype: str, numbers: list[float], wanted: str) -> None:
    given = np.array([numbers], dtype)
    taken = values.storable(given)
    assert taken.dtype == np.dtype(wanted)
    np.testing.assert_array_equal(taken.astype(np.float64), given.astype(np.float64))


def test_bilevel_pictures_become_black_and_white() -> None:
    np.testing.assert_array_equal(values.storable(np.array([[True, False]])), np.array([[255, 0]], np.uint8))


@pytest.mark.parametrize(
    ("dtype", "numbers"), [("int32", [0, 2**24 + 1]), ("int64", [-(2**40), 0]), ("float64", [0.1]), ("float64", [1e60])]
)
def test_values_that_do_not_fit_are_refused(dtype: str, numbers: list[float]) -> None:
    with pytest.raises(InputError, match=rf"a\.nii: holds {dtype} values"):
        values.storable(np.array([numbers], dtype), "a.nii")


def test_what_is_no_number_is_refused() -> None:
    with pytest.raises(InputError, match="complex64"):
        values.storable(np.zeros((2, 2), np.complex64))


def test_only_opaque_transparency_is_dropped() -> None:
    gray = np.dstack([np.arange(6, dtype=np.uint8).reshape(2, 3), np.full((2, 3), 255, np.uint8)])
    np.testing.assert_array_equal(values.drop_alpha(gray), gray[..., 0])
    colour = np.full((2, 3, 4), 65535, np.uint16)
    assert values.drop_alpha(colour).shape == (2, 3, 3)
    colour[1, 2, 3] = 65534
    with pytest.raises(InputError, match="transparent"):
        values.drop_alpha(colour)
    assert values.drop_alpha(colour[..., :3]).shape == (2, 3, 3)


def test_limits_are_refused_with_their_numbers() -> None:
    values.check_size(100, 100, "a")
    with pytest.raises(InputError, match="a: has 101 pixels, more than the limit of 100"):
        values.check_size(101, 100, "a")
    with pytest.raises(InputError, match=str(values.MAX_PIXELS)):
        values.check_size(values.MAX_PIXELS + 1, None, "a")
    values.check_promise(80, 10, 8, "a")
    with pytest.raises(InputError, match="promises 81 bytes of pixels, which 10 bytes cannot hold"):
        values.check_promise(81, 10, 8, "a")
