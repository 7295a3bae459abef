"""``acutance train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer

from . import loop
from . import recipe as recipes

app = typer.Typer()


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="A recipe's .toml file, or the name of one that comes with acutance.")],
    data: Annotated[Path, typer.Option(envvar="ACUTANCE_DATA", help="Folder of the scans, with MANIFEST.csv.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder of checkpoint, log and curve.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Steps, in place of the recipe's.")] = None,
    accelerator: Annotated[str, typer.Option(help="cpu, cuda or auto.")] = "auto",
    devices: Annotated[str, typer.Option(help="How many, or auto.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads of PyTorch.")] = None,
) -> None:
    """Train a network. A second call with the same folder goes on where the first was stopped."""
    if threads is not None:
        torch.set_num_threads(threads)
    found = recipes.load(recipe, **({} if steps is None else {"training": {"steps": steps}}))
    folder = out or Path("runs") / found.name
    trained = loop.train(found, data, folder, accelerator=accelerator, devices=devices)
    for line in trained.lines:
        typer.echo(
            f"{line.modality} {line.row}: {line.full:.2f} dB, {line.gain:+.2f} over the rival,"
            f" worst subject {line.worst_subject:+.2f}"
        )
    minutes = trained.seconds / 60
    typer.echo(f"{folder / loop.CHECKPOINT} after {minutes:.1f} minutes; acutance export makes a model of it")
