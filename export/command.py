"""``acutance export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export(
    checkpoint: Annotated[Path, typer.Argument(help="last.pt of a training; a model's .onnx with --standalone.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File to write; default: the recipe's name.")] = None,
    data: Annotated[
        Path | None, typer.Option(envvar="ACUTANCE_DATA", help="Folder of the scans: the file gets its val scores.")
    ] = None,
    standalone: Annotated[bool, typer.Option(help="Add base and pixel shuffle, to run the file elsewhere.")] = False,
) -> None:
    """Make a model file of a checkpoint, and check it against PyTorch."""
    import acutance.export as exports

    if standalone and checkpoint.suffix == ".onnx":
        path = out or checkpoint.with_name(f"{checkpoint.stem}-standalone.onnx")
        exports.standalone(checkpoint, path)
        typer.echo(str(path))
        return
    from ..train import loop, validate

    trained = loop.restore(checkpoint)
    if data is not None:
        trained.lines = validate.Validator(validate.cases(data, trained.recipe), trained.recipe).run(trained.network)
    path = out or Path(f"{trained.recipe.name}.onnx")
    exports.write(trained.network, trained.metadata(), path)
    worst = exports.check(trained.network, path)
    if standalone:
        exports.standalone(path, path)
    typer.echo(f"{path}: differs from PyTorch by at most {worst:.1e} (tolerance {exports.TOLERANCE:.0e})")
