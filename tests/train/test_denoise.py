"""Recipes that denoise run from start to end on little data, and their models are refused with the guard."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("lightning")

from acutance import Enhancer
from acutance.errors import ModelError, UsageError
from acutance.train import loop
from acutance.train import recipe as recipes

REDUCED = {"steps": 2, "batch": 2, "patch": 12, "pool": 3, "refresh": 1, "validate_every": 2, "validate_slices": 1}


@pytest.mark.parametrize(
    ("name", "modality", "rows"),
    [
        ("ct-rt-x2-dn", "CT", ["psf 0", "psf 0.4", "psf 0.8", "psf 1.2", "noise 25 HU", "noise 50 HU"]),
        ("mr-rt-x2-dn", "MR", ["k-space", "rician 3 %", "rician 6 %"]),
        ("gray-rt-x2-dn", "XR", []),  # the small data set has no picture to validate on
    ],
)
def test_a_recipe_runs_from_start_to_end(
    small_data: Path, tmp_path: Path, name: str, modality: str, rows: list[str]
) -> None:
    recipe = recipes.load(name, training={**recipes.load(name).training.model_dump(), **REDUCED})
    recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update={"modalities": (modality,)})})
    trained = loop.train(recipe, small_data, tmp_path, accelerator="cpu", devices=1, progress=False)
    assert [x.row for x in trained.lines] == rows
    meta = trained.metadata()
    assert meta.denoises and meta.guard == "none"
    assert "noise" in meta.training.degradation and "filled" in meta.training.degradation


def test_a_model_that_denoises_is_refused_with_the_guard(make_model) -> None:  # type: ignore[no-untyped-def]
    path = make_model("tiny-x2-dn", denoises=True)
    with pytest.raises(UsageError, match="tiny-x2-dn takes noise away, which the guard puts back"):
        Enhancer(model=path, guard="box")
    with Enhancer(model=path) as enhancer:
        assert enhancer.guard is None
    with pytest.raises(ModelError, match="must have guard 'none'"):
        Enhancer(model=make_model("tiny-x2-both", denoises=True, guard="box"))
