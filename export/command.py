"""``acutance export``."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, get_args

import typer

from .. import model as models
from ..errors import UsageError
from ..model import Model, Precision
from ..networks import Rt
from ..train import checkpoint as checkpoints
from . import check, write
from . import standalone as write_standalone
from .parity import network_of
from .variants import Workshop

app = typer.Typer()

PRECISIONS: tuple[Precision, ...] = get_args(Precision)


@app.command()
def export(
    source: Annotated[
        str, typer.Argument(help="last.pt of a training, a shipped model's name, or a model's .onnx in fp32.")
    ],
    precision: Annotated[str, typer.Option(help=f"One of {', '.join(PRECISIONS)}.")] = "fp32",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File to write; default: NAME.PRECISION.onnx.")] = None,
    data: Annotated[
        Path | None,
        typer.Option(envvar="ACUTANCE_DATA", help="Folder of the scans: for val scores, and to calibrate int8."),
    ] = None,
    standalone: Annotated[bool, typer.Option(help="Add base and pixel shuffle, to run the file elsewhere.")] = False,
) -> None:
    """Make a model file of a checkpoint, or of another model file in another precision, and check it."""
    if precision not in PRECISIONS:
        raise UsageError(f"precision is '{precision}'; wanted one of {', '.join(PRECISIONS)}")
    with tempfile.TemporaryDirectory() as folder:
        network, found = _source(source, data, Path(folder))
        suffix = ("" if precision == "fp32" else f".{precision}") + ("-standalone" if standalone else "")
        path = out or Path(f"{found.meta.name}{suffix}.onnx")
        made = Path(folder) / "made.onnx" if standalone else path
        with Workshop(found, data) as workshop:
            said = workshop.write(precision, made).meta.scores.rows
        difference = check(network, made)
        if standalone:
            write_standalone(made, path)
    typer.echo(f"{path}: {difference}")
    for row in said if precision != "fp32" else ():
        typer.echo(f"{row['modality']} {row['row']}: loses {row['loss']:.3f} dB, moves the mean by {row['bias']:.3f}")


def _source(source: str, data: Path | None, folder: Path) -> tuple[Rt, Model]:
    """Return the network and its fp32 file; one of a checkpoint is written to ``folder``."""
    if Path(source).suffix != ".pt":
        found = models.load(source)
        return network_of(found), found
    trained = checkpoints.restore(source)
    if data is not None:
        from ..train import validate  # needs the extra `evaluate`

        trained.lines = validate.Validator(validate.cases(data, trained.recipe), trained.recipe).run(trained.network)
    path = folder / "fp32.onnx"
    write(trained.network, trained.metadata(), path)
    return trained.network, models.load(path)
