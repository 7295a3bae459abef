"""Every variant and card anew from the fp32 files: ``python -m acutance.export.all MODELS --cards docs/models``."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from .. import model as models
from ..cli.ending import end
from ..errors import ModelError
from ..model import Precision
from ..networks.weights import network_of
from . import cards, losses, sensitivity
from .parity import difference
from .variants import Workshop

PRECISIONS: tuple[Precision, ...] = ("fp16", "int8-trt", "int8-cpu")


def remake(source: Path, data: Path, folder: Path) -> bool:
    """Write the variants of one fp32 file beside it, and what the sweep found to ``folder``.

    One that is outside the budgets is named and not there afterwards.

    Returns
    -------
    bool
        Whether all were made.
    """
    with Workshop(models.load(source), data) as workshop:
        network, complete = network_of(workshop.source), True
        for precision in PRECISIONS:
            path = source.with_name(f"{source.stem}.{precision}.onnx")
            try:
                made = workshop.write(precision, path)
            except ModelError as e:
                typer.echo(f"{path.name} is not made: {e.message}", err=True)
                path.unlink(missing_ok=True)
                complete = False
                continue
            rows = [losses.Loss(**row) for row in made.meta.scores.rows]
            lost = f"loses {losses.worst(rows):.3f} dB, moves the mean by {max(abs(r.bias) for r in rows):.3f}"
            typer.echo(f"{path.name}: {lost}; {difference(network, path)}")
        sensitivity.write(sensitivity.sweep(workshop), folder / f"{source.stem}.json")
    return complete


def main(
    folder: Annotated[Path, typer.Argument(help="Folder of the fp32 files; variants are written beside them.")],
    cards_to: Annotated[Path, typer.Option("--cards", help="Folder of the cards.")],
    data: Annotated[Path, typer.Option(envvar="ACUTANCE_DATA", help="Folder of the scans, with MANIFEST.csv.")],
    quality: Annotated[Path | None, typer.Option(help="Report of `acutance evaluate`, for the cards.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="Models to remake; all when not given.")] = None,
) -> None:
    """Make every variant of every model, and the cards."""
    cards_to.mkdir(parents=True, exist_ok=True)
    sources = [p for p in sorted(folder.glob("*.onnx")) if "." not in p.stem and (only is None or p.stem in only)]
    heard = logging.root.manager.disable
    logging.disable(logging.WARNING)  # the calibrators' remarks on each tensor
    try:
        complete = [remake(source, data, cards_to) for source in sources]
    finally:
        logging.disable(heard)
    cards.main(cards_to, quality, folder, only=only)
    if not all(complete):
        raise typer.Exit(1)


if __name__ == "__main__":
    end(lambda: typer.run(main))
