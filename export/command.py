"""``acutance export``."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from .. import model as models
from ..beside import beside
from ..errors import UsageError
from ..model import Model, Precision
from ..networks import Network
from ..networks.weights import network_of
from ..train import checkpoint as checkpoints
from . import TOLERANCE, check, write
from . import standalone as write_standalone
from .variants import Workshop

app = typer.Typer()


@app.command()
def export(
    source: Annotated[
        str, typer.Argument(help="last.pt of a training, a shipped model's name, or a model's .onnx in fp32.")
    ],
    precision: Annotated[Precision, typer.Option(help="What the network computes in.")] = "fp32",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File to write; else NAME.PRECISION.onnx.")] = None,
    data: Annotated[
        Path | None,
        typer.Option(envvar="ACUTANCE_DATA", help="Folder of the scans: for val scores, and to calibrate int8."),
    ] = None,
    perceptual: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="For a GAN's last.pt: 0 its weights before, 1 after; else its recipe's."),
    ] = None,
    standalone: Annotated[bool, typer.Option(help="Add base and pixel shuffle, to run the file elsewhere.")] = False,
) -> None:
    """Make a model file of a checkpoint, or of another model file in another precision, and check it."""
    if perceptual is not None and Path(source).suffix != ".pt":
        raise UsageError(f"--perceptual wants the last.pt of a training, not {source}")
    path = out or _default(source, precision, standalone)
    if precision == "fp32" and Path(source).suffix != ".pt":
        if not standalone:
            raise UsageError(f"{source} is fp32 already; wanted another --precision, or --standalone")
        write_standalone(models.load(source).path, path)
        typer.echo(str(path))
        return
    with tempfile.TemporaryDirectory() as folder:
        network, found = _source(source, data, Path(folder), perceptual)
        made = Path(folder) / path.name
        with Workshop(found, data) as workshop:
            meta = workshop.write(precision, made).meta
        difference = check(network, made)
        if standalone:
            write_standalone(made, path)
        else:
            with beside(path) as file:
                file.write(made.read_bytes())
    typer.echo(f"{path}: {difference} (tolerance {TOLERANCE[precision]:g})")
    if precision != "fp32":
        for row in meta.scores.rows:
            lost = f"loses {row['loss']:.3f} dB against fp32, moves the mean by {row['bias']:+.3f}"
            typer.echo(f"{row['modality']} {row['row']}: {lost}")


def _default(source: str, precision: str, standalone: bool) -> Path:
    """Return where a file is written when nothing is said: beside a source file, else here, by the recipe's name."""
    path = Path(source)
    if path.suffix == ".pt":
        name, folder = checkpoints.restore(path).recipe.name, Path()
    else:
        name, folder = path.name.removesuffix(".onnx"), path.parent
    suffix = ("" if precision == "fp32" else f".{precision}") + ("-standalone" if standalone else "")
    return folder / f"{name}{suffix}.onnx"


def _source(source: str, data: Path | None, folder: Path, perceptual: float | None) -> tuple[Network, Model]:
    """Return the network and its fp32 file; one of a checkpoint is written to ``folder``."""
    if Path(source).suffix != ".pt":
        found = models.load(source)
        return network_of(found), found
    from ..train import tasks  # needs the extra `evaluate`

    trained = checkpoints.restore(source)
    task = tasks.of(trained.recipe)
    trained.network, trained.said = task.finish(trained.network, data, perceptual)
    if data is not None:
        trained.lines = task.validator(data).run(trained.network)
    path = folder / "fp32.onnx"
    write(trained.network, trained.metadata(), path)
    return trained.network, models.load(path)
