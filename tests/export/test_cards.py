"""A card says what the model file says."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("onnx")
pytest.importorskip("torch")

from acutance.export import cards

from acutance import model
from acutance.evaluate import report as reports

DOCS = Path(__file__).resolve().parents[2] / "docs"


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
    page = DOCS / "models" / f"{name}.md"
    report = reports.load(DOCS / "quality" / "quality.json")
    assert page.read_text(encoding="utf-8") == cards.of(model.load(name).path, DOCS / "models", report)


def test_scores_of_another_file_are_not_shown() -> None:
    found = model.load("ct-rt-x2")
    against = {"cubic": {"psnr": {"mean": 4.5}}, "linear 5x5": {"psnr": {"mean": 3.25}}}
    scores = {k: {"mean": 0.5} for k in ("psnr", "psnr_fg", "ssim", "haarpsi")}
    row = {"modality": "CT", "degradation": "psf 0", "method": "ct-rt-x2", "subjects": 3, "slices": 38}
    row |= {"scores": scores, "against": against, "block_error": 0.0}
    report = {"split": "test", "protocol": 1, "rows": [row], "models": {"ct-rt-x2": {"sha256": found.sha256}}}
    wanted = "| CT | psf 0 | 3 | 0.50 | 0.50 | 0.5000 | 0.5000 | +4.50 | +3.25 (linear 5x5) | 0 |"
    assert wanted in cards.card(found, report)
    report["models"] = {"ct-rt-x2": {"sha256": "another"}}
    assert cards.card(found, report) == cards.card(found)
