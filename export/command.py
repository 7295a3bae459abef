"""``acutance export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..train import checkpoint as checkpoints
from . import TOLERANCE, check, write
from . import standalone as write_standalone

app = typer.Typer()


@app.command()
def export(
    checkpoint: Annotated[Path, typer.Argument(help="last.pt of a training; a model's .onnx with --standalone.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File to write; default: the recipe's name.")] = None,
    data: Annotated[
        Path | None, typer.Option(envvar="ACUTANCE_DATA", help="Folder of the scans: the file gets its val scores.")
    ] = None,
    standalone: Annotated[bool, typer.Option(help="Add base and pixel shuffle, to run the file elsewhere.")] = False,
) -> None:
    """Make a model file of a checkpoint, and check it against PyTorch."""
    if standalone and checkpoint.suffix == ".onnx":
        path = out or checkpoint.with_name(f"{checkpoint.stem}-standalone.onnx")
        write_standalone(checkpoint, path)
        typer.echo(str(path))
        return
    trained = checkpoints.restore(checkpoint)
    if data is not None:
        from ..train import validate  # needs the extra `evaluate`

        trained.lines = validate.Validator(validate.cases(data, trained.recipe), trained.recipe).run(trained.network)
    path = out or Path(f"{trained.recipe.name}.onnx")
    write(trained.network, trained.metadata(), path)
    worst = check(trained.network, path)
    if standalone:
        write_standalone(path, path)
    typer.echo(f"{path}: differs from PyTorch by at most {worst:.1e} (tolerance {TOLERANCE:.0e})")
