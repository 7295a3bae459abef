"""A card says what the model file says."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("onnx")
pytest.importorskip("torch")

from acutance.export import cards, failures
from PIL import Image

from acutance import model
from acutance.evaluate import report as reports
from acutance.evaluate import scans

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


def report_of(found: model.Model) -> dict[str, Any]:
    """A report of one row, with two rivals and another model, which is none."""
    psnr = {"low": math.nan, "high": math.nan, "worst_slice": -1.5, "worst_place": "scan#0003"}
    against = {
        "cubic": {"psnr": {**psnr, "mean": 4.5, "worst": 4.0}},
        "linear 5x5": {"psnr": {"mean": 3.25, "low": 3.0, "high": 3.5, "worst": 2.75}},
        "ct-other-x2": {"psnr": {**psnr, "mean": 0.5, "worst": 0.1}},
    }
    scores = {k: {"mean": 0.5, "low": 0.25, "high": 0.75} for k in ("psnr", "psnr_fg", "ssim", "haarpsi")}
    row = {"modality": "CT", "degradation": "psf 0", "method": found.meta.name, "kind": "model", "subjects": 3}
    row |= {"scores": scores, "against": against, "block_error": 0.0}
    rivals = [{**row, "method": name, "kind": "rival", "against": {}} for name in ("cubic", "linear 5x5")]
    models = {found.meta.name: {"sha256": found.sha256}}
    return {"split": "test", "protocol": 1, "rows": [*rivals, row], "models": models}


def test_scores_of_another_file_are_not_shown() -> None:
    found = model.load("ct-rt-x2")
    report = report_of(found)
    wanted = (
        "| CT | psf 0 | 3 | 0.50 [0.25, 0.75] | 0.50 [0.25, 0.75] | 0.5000 | 0.5000 | +4.50 "
        "| +3.25 [+3.00, +3.50] (linear 5x5) | +2.75 | 0 |"
    )
    assert wanted in cards.card(found, report)
    report["models"] = {"ct-rt-x2": {"sha256": "another"}}
    assert cards.card(found, report) == cards.card(found)


def test_a_card_says_what_its_model_is_not_for() -> None:
    found = model.load("ct-rt-x2")

    def said(**changes: Any) -> str:
        return cards.card(dataclasses.replace(found, meta=found.meta.model_copy(update=changes)))

    assert "It enlarges pictures of CT by 2, to be" in said() and "cleared medical device" in said()
    assert "0.3 to 2 mm" in said() and "changes local means" not in said()
    assert "changes local means" in said(guard="none")
    assert "and takes noise away" in said(guard="none", denoises=True)
    assert "faint detail" in said(guard="none", denoises=True)
    assert "was not measured" in said(perceptual=0.5) and "was not measured" not in said()


def test_price_and_failures_are_of_this_very_file(small_data: Path, tmp_path: Path) -> None:
    found = model.load("ct-rt-x2")
    (scan,) = {s.path.name: s for s in scans.find(small_data, "test", "CT")}.values()
    report = report_of(found)
    report["rows"][-1]["against"]["cubic"]["psnr"]["worst_place"] = f"{scan.path.name}#0000"
    failures.write(found, small_data, report, tmp_path)
    measured = json.loads((tmp_path / f"ct-rt-x2{failures.SUFFIX}").read_text())
    assert measured["failures"] == [{"modality": "CT", "row": "psf 0", "gain": -1.5}]
    assert {(r["modality"], r["row"]) for r in measured["guard"]} >= {("CT", "psf 0"), ("CT", "psf 1.2")}
    assert any(r["box"] != r["none"] for r in measured["guard"])
    text = cards.of(found.path, tmp_path, report)
    assert "![CT psf 0: -1.50 dB over cubic in this slice](ct-rt-x2-ct.png)" in text
    first = measured["guard"][0]
    assert f"| CT | psf 0 | {first['box']:.2f} | {first['none']:.2f} | {first['box'] - first['none']:+.2f} |" in text
    with Image.open(tmp_path / "ct-rt-x2-ct.png") as picture:
        assert picture.size == (880, 240) and len(picture.convert("RGB").getcolors(1 << 20)) > 100
    (tmp_path / f"ct-rt-x2{failures.SUFFIX}").write_text(json.dumps({**measured, "sha256": "another"}))
    assert "Price of the guard" not in cards.of(found.path, tmp_path, report)
