"""The command line itself: version, help, errors, subcommands of others."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from acutance import cli

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "mr-brain.dcm"


def test_the_version(run: Callable[..., Any]) -> None:
    assert run("--version").out == f"acutance {importlib.metadata.version('acutance')}\n"


def test_help_lists_the_commands_and_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from acutance.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit as e: assert not e.code\n"
        "heavy = {'numpy', 'pydicom', 'onnxruntime', 'nibabel', 'PIL', 'tifffile', 'torch', 'pydantic', 'scipy',"
        "         'matplotlib'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "enhance" in ran.stdout and "models" in ran.stdout


def test_enhance_imports_only_what_a_dicom_file_needs(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from acutance.cli import main\n"
        "try: main(['enhance', sys.argv[1], '-o', sys.argv[2]])\n"
        "except SystemExit as e: assert not e.code\n"
        "heavy = {'torch', 'matplotlib', 'scipy', 'skimage', 'nibabel', 'tifffile', 'onnx', 'pycuda', 'pynvml'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "assert 'onnxruntime' in sys.modules\n"
    )
    command = [sys.executable, "-c", code, str(EXAMPLE), str(tmp_path / "x2.dcm")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_wrong_usage_ends_with_2(run: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    for arguments in (
        ["nothing"],
        ["enhance"],
        ["enhance", "x"],
        ["enhance", "x", "-o", "y", "--stitch", "glue"],
        ["enhance", "x", "-o", "y", "--scale", "5"],
        ["enhance", "x", "-o", "y", "--jobs", "0"],
        ["enhance", "x", "-o", "y", "--model", "nothing"],
        ["enhance", "x", "-o", "y", "--model", "none.onnx"],
        ["enhance", "x", "-o", "y", "--backend", "nothing"],
        ["enhance", "x", "-o", "y", "--batches", "4,2"],
        ["enhance", "x", "-o", "y", "--precision", "int4"],
        ["enhance", tmp_path, tmp_path / "a.png", "-o", tmp_path / "a.png"],
    ):
        ran = run(*arguments)
        assert ran.code == 2 and ran.err, arguments


class Fake(importlib.metadata.EntryPoint):
    """An entry point whose module is made here."""

    def load(self) -> Any:
        if self.value == "missing:app":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
        import typer

        app = typer.Typer()

        @app.command()
        def hello(name: str) -> None:
            """Say hello."""
            typer.echo(f"hello {name}")
            if name == "missing":
                import torch_that_is_not_there  # noqa: F401

        return app


def test_others_add_commands_by_entry_points(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    points = [Fake(name, value, cli.GROUP) for name, value in (("greet", "here:app"), ("train", "missing:app"))]
    points += [Fake(name, "missing:app", cli.GROUP) for name in ("build", "models")]
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: points)
    assert run("greet", "you").out == "hello you\n"
    listed = run("--help").out
    assert "greet" in listed and "train" in listed
    assert "Say hello" in run("greet", "--help").out
    assert "ct-rt-x2" in run("models").out, "ours come first"
    late = run("greet", "missing")
    assert late.code == 2 and late.err[0].endswith("which is not installed: pip install 'acutance[greet]'")
    for name, extra in (("train", "train"), ("build", "tensorrt")):
        ran = run(name, "recipe.toml")
        wanted = f"acutance: `acutance {name}` needs torch, which is not installed: pip install 'acutance[{extra}]'"
        assert (ran.code, ran.err) == (2, [wanted])
