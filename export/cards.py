"""Model cards, from what the model files say of themselves: ``python -m acutance.export.cards docs/models``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import model
from ..cli.ending import end
from ..evaluate import report as reports
from ..model import Fixed, Model
from . import sensitivity

GUARDS = {
    "box": "Every block of the output averages to its input pixel exactly, unless the user says otherwise.",
    "none": "The output's blocks do not average to the input: the network also undoes blur.",
}


REPORTED = (
    "modality", "row", "subjects", "PSNR", "foreground", "SSIM", "HaarPSI",
    "over cubic", "over best rival", "block error",
)  # fmt: skip
"""Columns of the scores of a report."""


def card(
    found: Model,
    report: Mapping[str, Any] | None = None,
    variants: Sequence[Model] = (),
    swept: Mapping[str, Any] | None = None,
) -> str:
    """Return a card in Markdown.

    Parameters
    ----------
    report : mapping, optional
        Of :mod:`acutance.evaluate.report`; its scores are shown where they are of this very file, by its SHA-256.
    variants : sequence of Model
        The same in other precisions.
    swept : mapping, optional
        Of :func:`acutance.export.sensitivity.sweep`; shown where it is of this very file.
    """
    meta, mapping = found.meta, found.meta.mapping
    values = (
        f"{mapping.low:g} to {mapping.high:g} {mapping.unit}"
        if isinstance(mapping, Fixed)
        else f"{mapping.low:g} to {mapping.high:g} percentile of the series"
    )
    spacing = "any" if meta.spacing_mm is None else f"{meta.spacing_mm[0]:g} to {meta.spacing_mm[1]:g} mm"
    training = meta.training
    facts = [
        ("version", meta.version),
        ("scale", f"{meta.scale}"),
        ("modalities", ", ".join(meta.modalities)),
        ("network", f"`{meta.network}`, {meta.precision}, {len(found.data) / 1000:.0f} kB, halo {meta.halo} pixels"),
        ("values mapped to 0 and 1", values),
        ("pixels", spacing),
        ("base", meta.base),
        ("guard", f"{meta.guard}. {GUARDS[meta.guard]}"),
        ("recipe", f"`{training.recipe}`"),
        ("degradation", training.degradation),
        ("training", f"{training.steps:,} steps in {training.minutes:g} minutes on {training.device}"),
        ("source commit", f"`{training.commit}`"),
    ]
    data = [(d.source, d.licence, str(d.subjects)) for d in training.data]
    parts = [
        f"# {meta.name}\n",
        "Made by `python -m acutance.export.cards` from the model file. Not a cleared medical device.\n",
        _table(("", ""), facts),
        "## Training data\n",
        _table(("source", "licence", "subjects"), data),
        f"## Scores on `{meta.scores.split}`\n",
        f"Protocol {meta.scores.protocol}. PSNR in dB; gains in dB.\n",
        _scores(meta.scores.rows),
    ]
    if report is not None and report["models"].get(meta.name, {}).get("sha256") == found.sha256:
        parts += [
            f"## Scores on `{report['split']}`\n",
            f"Protocol {report['protocol']}, run once with these weights. PSNR and gains in dB, mean over subjects;"
            " intervals and every rival are in [quality.md](../quality.md).\n",
            _table(REPORTED, (_reported(row) for row in reports.card_rows(report, meta.name))),
        ]
    if variants:
        parts += ["## In other precisions\n", _precisions(variants)]
    if swept is not None and swept["sha256"] == found.sha256:
        parts += ["## What each convolution loses in 8 bits\n", sensitivity.markdown(swept)]
    return "\n".join(parts)


def _precisions(variants: Sequence[Model]) -> str:
    """Return what is lost against fp32, in each row."""
    rows = [
        (
            found.meta.precision,
            f"{len(found.data) / 1000:.0f} kB",
            f"{row['modality']} {row['row']}",
            f"{row['loss']:+.3f}",
            f"{row['bias']:+.3f}",
            f"{row['block_error']:g}",
        )
        for found in variants
        for row in found.meta.scores.rows
    ]
    about = (
        "Against fp32 on `val`: PSNR of the foreground, and how far its mean moves, in 1/4095 of the data range (HU "
        "for CT). Blocks: largest difference of a block's mean from its input pixel.\n"
    )
    notes = [f"`{v.meta.precision}`: {v.meta.quantisation}.\n" for v in variants if v.meta.quantisation]
    return "\n".join([about, _table(("precision", "file", "row", "loss in dB", "mean moves", "blocks"), rows), *notes])


def _reported(row: Mapping[str, Any]) -> list[str]:
    gains = row["psnr_gain"]
    rival = min(gains, key=lambda name: float(gains[name]))
    numbers = (f"{row[k]:.{digits}f}" for k, digits in (("psnr", 2), ("psnr_fg", 2), ("ssim", 4), ("haarpsi", 4)))
    over = (f"{gains['cubic']:+.2f}", f"{gains[rival]:+.2f} ({rival})")
    return [row["modality"], row["degradation"], str(row["subjects"]), *numbers, *over, f"{row['block_error']:g}"]


def _scores(rows: Sequence[dict[str, Any]]) -> str:
    if not rows:
        return "None yet.\n"
    heads = list(rows[0])
    cells = ([f"{v:.2f}" if isinstance(v, float) else str(v) for v in (row.get(h, "") for h in heads)] for row in rows)
    return _table([h.replace("_", " ") for h in heads], cells)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    lines += [f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def of(source: Path, folder: Path, report: Mapping[str, Any] | None = None) -> str:
    """Return the card of an fp32 file, with the other precisions beside it and the sweep in ``folder``."""
    swept = folder / f"{source.stem}.json"
    found = json.loads(swept.read_text(encoding="utf-8")) if swept.is_file() else None
    variants = [model.load(path) for path in sorted(source.parent.glob(f"{source.stem}.*.onnx"))]
    return card(model.load(source), report, variants, found)


def main(
    folder: Annotated[Path, typer.Argument(help="Where the cards are written, and the sweeps lie.")],
    quality: Annotated[Path | None, typer.Option(help="Report of `acutance evaluate` whose scores are shown.")] = None,
    models: Annotated[Path, typer.Option(help="Folder of the model files.")] = model.SHIPPED,
) -> None:
    """Write one card for each model that comes with the package."""
    folder.mkdir(parents=True, exist_ok=True)
    report = None if quality is None else reports.load(quality)
    for source in sorted(p for p in models.glob("*.onnx") if "." not in p.stem):
        path = folder / f"{source.stem}.md"
        path.write_text(of(source, folder, report), encoding="utf-8")
        typer.echo(str(path))


if __name__ == "__main__":
    end(lambda: typer.run(main))
