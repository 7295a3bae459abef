"""Recipes are checked field by field."""

from __future__ import annotations

from pathlib import Path

import pytest

from acutance import model
from acutance.errors import InputError, UsageError
from acutance.train import recipe as recipes


@pytest.mark.parametrize("name", recipes.names())
def test_shipped_recipes_load_and_bear_their_name(name: str) -> None:
    found = recipes.load(name)
    assert found.name == name
    assert (found.model.guard == "box") == (name.startswith("ct-") and not name.endswith(("-sharp", "-dn")))


def test_every_shipped_model_has_its_recipe() -> None:
    assert set(model.names()) <= set(recipes.names())


def test_changes_replace_fields(recipe_file: Path) -> None:
    found = recipes.load(recipe_file, training={"steps": 7})
    assert (found.training.steps, found.training.batch) == (7, 4)


def test_a_wrong_field_is_named(recipe_file: Path) -> None:
    recipe_file.write_text(recipe_file.read_text().replace("batch = 4", "batch = 0"))
    with pytest.raises(InputError, match=r"tiny-x2.toml: recipe is wrong at training.batch"):
        recipes.load(recipe_file)


def test_an_unknown_field_is_named(recipe_file: Path) -> None:
    recipe_file.write_text(recipe_file.read_text() + "momentum = 0.9\n")
    with pytest.raises(InputError, match=r"training.momentum"):
        recipes.load(recipe_file)


def test_what_is_no_toml_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text("[half")
    with pytest.raises(InputError, match="is no TOML"):
        recipes.load(path)
    with pytest.raises(InputError, match="cannot be read"):
        recipes.load(tmp_path / "none.toml")


def test_an_unknown_name_lists_the_shipped_ones() -> None:
    with pytest.raises(UsageError, match="no recipe is named 'us-rt-x2'; shipped are: ct-bal-x2, "):
        recipes.load("us-rt-x2")
