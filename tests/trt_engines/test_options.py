"""Options and the recipes that set them."""

from __future__ import annotations

from pathlib import Path

import pytest
from acutance.trt_engines import options
from acutance.trt_engines.options import Options

from acutance.errors import InputError, UsageError


def test_every_shipped_recipe_is_read() -> None:
    assert options.recipes() == ["datacentre", "desktop", "orin", "thor"]
    found = {name: Options.from_toml(name) for name in options.recipes()}
    assert found["desktop"].flavour == "rtx"
    assert {found[n].flavour for n in ("datacentre", "orin", "thor")} == {"tensorrt"}
    assert found["orin"].tiling == "none"  # JetPack 6 has TensorRT 10.3, which knows none
    assert len(set(found.values())) == len(found)


def test_changes_come_before_the_recipe(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('precision = "int8"\ntile = [480, 640]\nbatches = [1]\n')
    found = Options.from_toml(path, precision="fp32")
    assert (found.precision, found.tile_shape, found.tile_text) == ("fp32", (480, 640), "480x640")
    assert found.level == 3


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("tile = 0", "'tile' is wrong"),
        ("batches = [1, 4, 2]", "batches must rise"),
        ("batches = [1, 1]", "batches must rise"),
        ("batches = []", "'batches' is wrong"),
        ("levle = 5", "'levle' is wrong"),
        ('precision = "bf16"', "'precision' is wrong"),
        ("level = 6", "'level' is wrong"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, text: str, error: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=rf"mine\.toml: .*{error}"):
        Options.from_toml(path)


def test_a_recipe_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"laptop\.toml: cannot be read .*shipped are: datacentre, desktop, orin, thor"
    ):
        Options.from_toml("laptop")
    path = tmp_path / "mine.toml"
    path.write_text("tile = = 3")
    with pytest.raises(InputError, match="is no TOML"):
        Options.from_toml(path)


def test_a_file_has_the_precision_it_has(small: object) -> None:
    model = small("int8-trt")  # type: ignore[operator]
    found, chosen = options.resolve(model.path, Options(precision="fp16", level=1))
    assert (found.meta.precision, chosen.precision, chosen.level) == ("int8-trt", "int8", 1)


def test_a_shipped_model_is_taken_in_the_precision_asked_for() -> None:
    found, chosen = options.resolve("ct-rt-x2", Options(precision="fp32"))
    assert (found.meta.precision, chosen.precision) == ("fp32", "fp32")
