"""The sweep trains each variant and tables what it is worth."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")

from acutance.train import recipe as recipes
from acutance.train import sweep


@pytest.mark.parametrize("name", sweep.VARIANTS)
def test_each_variant_is_a_valid_recipe_and_differs(name: str) -> None:
    plain = recipes.load("ct-rt-x2")
    changed = recipes.load("ct-rt-x2", **{k: dict(v) for k, v in sweep.VARIANTS[name].items()})
    assert (changed == plain) == (name == "as the recipe")


def test_the_table_shows_differences_from_the_first_line() -> None:
    found = [
        sweep.Outcome("as the recipe", 47716, 120.0, {"CT psf 0": 4.5}),
        sweep.Outcome("no EMA", 47716, 60.0, {"CT psf 0": 4.25}),
    ]
    assert sweep.table(found).splitlines()[2:] == [
        "| as the recipe | 47,716 | 2.0 | +4.50 |",
        "| no EMA | 47,716 | 1.0 | -0.25 |",
    ]


def test_a_sweep_keeps_what_it_has_trained(small_data: Path, recipe_file: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("lightning")
    names = ["as the recipe", "no halo (zero padding in the loss)", "width 48"]
    found = sweep.sweep(str(recipe_file), small_data, tmp_path, 2, names)
    assert [x.name for x in found] == names
    assert found[2].parameters > 10 * found[0].parameters
    assert found[0].gains != found[1].gains
    kept = next(p for p in tmp_path.glob("*/outcome.json") if "width" in str(p))
    said = json.loads(kept.read_text())
    kept.write_text(json.dumps({**said, "seconds": 99.0}))
    assert sweep.sweep(str(recipe_file), small_data, tmp_path, 2, names[2:])[0].seconds == 99.0
