"""``acutance train`` and ``acutance export``, one after the other."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("lightning")
pytest.importorskip("onnxscript")

import typer
from acutance.export import command as export
from typer.testing import CliRunner

from acutance import model
from acutance.train import command as train


def test_train_and_export(small_data: Path, recipe_file: Path, tmp_path: Path) -> None:
    app = typer.Typer()
    app.add_typer(train.app)
    app.add_typer(export.app)
    run, folder, made = CliRunner(), tmp_path / "run", tmp_path / "tiny-x2.onnx"
    arguments = ["train", str(recipe_file), "--data", str(small_data), "-o", str(folder), "--steps", "3"]
    result = run.invoke(app, [*arguments, "--accelerator", "cpu", "--devices", "1"])
    assert result.exit_code == 0, result.output
    assert "CT psf 0.8: " in result.output
    result = run.invoke(app, ["export", str(folder / "last.pt"), "-o", str(made), "--data", str(small_data)])
    assert result.exit_code == 0, result.output
    meta = model.load(made).meta
    assert (meta.name, meta.halo, meta.guard, meta.training.recipe) == ("tiny-x2", 3, "box", "tiny-x2.toml")
    assert meta.scores.split == "val" and next(r["row"] for r in meta.scores.rows) == "psf 0"
    assert sum(d.subjects for d in meta.training.data) == 2
    result = run.invoke(app, ["export", str(made), "--standalone"])
    assert result.exit_code == 0, result.output
    assert made.with_name("tiny-x2-standalone.onnx").is_file()
