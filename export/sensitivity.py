"""What each convolution loses in 8 bits: ``python -m acutance.export.sensitivity NAME --data DATA``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import model as models
from ..beside import beside
from ..cli.ending import end
from .quantise import METHODS, Scheme, convolutions
from .variants import Choice, Workshop


def sweep(workshop: Workshop) -> dict[str, Any]:
    """Quantise each convolution alone for TensorRT, then all of them, calibrated as the shipped file is.

    Returns
    -------
    dict
        JSON-ready. ``sha256``: of the fp32 file; ``method``: of calibration; ``methods``: what each method loses with
        first and last convolution in half; ``layers``: what each convolution loses alone; ``all``: what all lose
        together; ``kept``: the convolutions, by number, that stay in half; ``chosen``: what is lost then. Losses are in
        dB of the foreground's PSNR in the worst row of `val`.
    """
    names = convolutions(workshop.graph)
    choice = workshop.choose("int8-trt")
    ends, centred = (names[0], names[-1]), choice.scheme.centred

    def loss(made: Choice) -> float:
        return round(workshop.loss(made), 4)

    return {
        "sha256": workshop.source.sha256,
        "method": choice.method.name,
        "methods": {method.name: loss(Choice(method, Scheme("int8-trt", ends, centred))) for method in METHODS},
        "layers": [round(workshop.alone(choice.method, name), 4) for name in names],
        "all": loss(Choice(choice.method, Scheme("int8-trt", centred=centred))),
        "kept": [names.index(name) for name in choice.scheme.kept],
        "chosen": loss(choice),
    }


def markdown(found: Mapping[str, Any]) -> str:
    """Return what :func:`sweep` found as a table."""
    last = len(found["layers"]) - 1
    lines = [
        f"`int8-trt`, activations by {found['method']}: what the foreground's PSNR loses against fp32 in the worst "
        "row, on a few pictures of `val`.\n",
        "| quantised | loss in dB |",
        "|---|---|",
    ]
    for i, loss in enumerate(found["layers"]):
        end = " (first)" if i == 0 else " (last)" if i == last else ""
        lines.append(f"| convolution {i}{end} | {loss:.3f} |")
    lines.append(f"| all | {found['all']:.3f} |")
    if found["kept"]:
        lines.append(f"| all but {', '.join(map(str, found['kept']))} | {found['chosen']:.3f} |")
    methods = ", ".join(f"{name} {loss:.3f}" for name, loss in found["methods"].items())
    return "\n".join(lines) + f"\n\nCalibration, first and last convolution in half: {methods} dB.\n"


def write(found: dict[str, Any], path: Path) -> None:
    """Write what :func:`sweep` found as JSON.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    with beside(path) as file:
        file.write((json.dumps(found, indent=1) + "\n").encode())


def main(
    name: Annotated[str, typer.Argument(help="A shipped model, or the path of one in fp32.")],
    data: Annotated[Path, typer.Option(envvar="ACUTANCE_DATA", help="Folder of the scans, with MANIFEST.csv.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="JSON file to write as well.")] = None,
) -> None:
    """Show what each convolution loses in 8 bits on the val split, for TensorRT."""
    with Workshop(models.load(name), data) as workshop:
        found = sweep(workshop)
    typer.echo(markdown(found))
    if out is not None:
        write(found, out)


if __name__ == "__main__":
    end(lambda: typer.run(main))
