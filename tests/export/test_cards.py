"""A card says what the model file says."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("onnx")
pytest.importorskip("torch")

from acutance.export import cards

from acutance import model


@pytest.mark.parametrize("name", model.names())
def test_each_shipped_model_has_a_card_that_fits_it(name: str, tmp_path: Path) -> None:
    cards.main(tmp_path)
    text = (tmp_path / f"{name}.md").read_text()
    meta = model.load(name).meta
    for word in (f"# {name}\n", meta.training.recipe, meta.training.commit, meta.training.degradation):
        assert word and word in text
    for source in meta.training.data:
        assert f"| {source.source} | {source.licence} | {source.subjects} |" in text
    for row in meta.scores.rows:
        assert f"| {row['row']} |" in text and f"{row['gain']:.2f}" in text


@pytest.mark.parametrize("name", model.names())
def test_the_cards_of_the_repository_are_up_to_date(name: str) -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "models" / f"{name}.md"
    found = model.load(name)
    assert page.read_text(encoding="utf-8") == cards.card(found.meta, len(found.data))
