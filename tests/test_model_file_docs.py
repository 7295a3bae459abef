"""docs/model-file.md describes every field that model.Metadata has, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pydantic
import pytest

from acutance import model

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "model-file.md").read_text(encoding="utf-8")


def section(heading: str) -> str:
    found = re.search(rf"^##+ {heading}$(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, f"docs/model-file.md has no section {heading}"
    return found.group(1)


@pytest.mark.parametrize(
    "described",
    [
        model.Metadata,
        model.Input,
        model.Output,
        model.Fixed,
        model.Percentile,
        model.Training,
        model.DataSource,
        model.Scores,
    ],
    ids=lambda c: c.__name__,
)
def test_fields(described: type[pydantic.BaseModel]) -> None:
    rows = re.findall(r"^\| `(\w+)` \|", section(described.__name__), re.MULTILINE)
    assert rows == list(described.model_fields)


def test_values_of_fields_with_few_are_named() -> None:
    schema = model.Metadata.model_json_schema()
    named = {name: d for name, d in schema["properties"].items() if "enum" in d}
    assert {"scale", "base", "guard", "precision"} <= set(named)
    for name, values in named.items():
        row = re.search(rf"^\| `{name}` \|(.*?)\|", section("Metadata"), re.MULTILINE)
        assert row
        for value in values["enum"]:
            assert re.search(rf"(?<![\w-]){value}(?![\w-])", row.group(1)), f"{name}: {value}"


def test_example_is_valid_and_uses_every_field() -> None:
    text = re.search(r"```json\n(.*?)```", section("Example"), re.DOTALL)
    assert text
    meta = model.parse(text.group(1))
    assert meta.model_fields_set == set(model.Metadata.model_fields)
