"""What a written file says of its making comes back."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import pytest

from acutance.errors import InputError
from acutance.files import record
from acutance.geometry import Derivation

ONE = Derivation("mr-rt-x2", "1.0", "ab" * 32, "fp32", "onnxruntime", 2, "cubic", "box", low=-1.5, high=1e300)
OTHER = dataclasses.replace(ONE, model="base", fell_back="über alles é")


@pytest.mark.parametrize("derivations", [(ONE,), (ONE,) * 5, (ONE, OTHER, ONE, OTHER), (OTHER,)])
def test_it_comes_back_and_is_ascii_on_one_line(derivations: tuple[Derivation, ...]) -> None:
    made = record.Record("cd" * 32, derivations)
    text = made.text()
    assert record.parse(text) == made
    assert text.isascii() and "\n" not in text
    assert len(text) < 1000 * len(set(derivations))


@pytest.mark.parametrize(
    "text",
    ["", None, "x", "[]", "3", "null", '{"acutance": 2}', '{"acutance": 1}', b"\xff\xfe", '{"shape": [3, 4]}'],
)
def test_anything_else_is_no_record(text: str) -> None:
    assert record.parse(text) is None


def test_a_record_with_unknown_settings_is_none() -> None:
    assert record.parse(record.Record("a", (ONE,)).text().replace('"scale":', '"size":')) is None


def test_the_source_is_known_by_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc" * 500_000)
    assert record.sha256_of(path) == hashlib.sha256(b"abc" * 500_000).hexdigest()
    with pytest.raises(InputError, match="cannot be read"):
        record.sha256_of(tmp_path / "none")


def test_pictures_that_are_not_enhanced_have_no_record() -> None:
    assert record.made([ONE, None], "a") is None
    assert record.made([ONE, OTHER], "a") == record.Record("a", (ONE, OTHER))
