"""Model cards, from what the model files say of themselves: ``python -m acutance.export.cards docs/models``."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import model
from ..cli.ending import end
from ..evaluate import report as reports
from ..model import Fixed, Model, cautions, purpose
from . import failures, sensitivity

GUARDS = {
    "box": "Every block of the output averages to its input pixel exactly, unless the user says otherwise.",
    "none": "The output's blocks do not average to the input: the network also undoes blur, or takes noise away.",
}


REPORTED = (
    "modality", "row", "subjects", "PSNR [95 %]", "foreground [95 %]", "SSIM", "HaarPSI",
    "over cubic [95 %]", "over the best rival [95 %]", "worst subject", "block error",
)  # fmt: skip
"""Columns of the scores of a report."""


def card(
    found: Model,
    report: Mapping[str, Any] | None = None,
    variants: Sequence[Model] = (),
    swept: Mapping[str, Any] | None = None,
    measured: Mapping[str, Any] | None = None,
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
    measured : mapping, optional
        Of :func:`acutance.export.failures.measure`; shown where it is of this very file.
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
        "Made by `python -m acutance.export.cards` from the model file and what was measured of it.\n",
        purpose(meta) + "\n",
        "\n".join(f"- {line}" for line in cautions(meta)) + "\n",
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
            f"Protocol {report['protocol']}, run once with these weights. PSNR and gains in dB, mean and 95 % interval"
            " over subjects; every rival is in [quality.md](../quality.md). The worst subject is that of the gain over"
            " the best rival.\n",
            _table(REPORTED, (_reported(report, row) for row in report["rows"] if row["method"] == meta.name)),
        ]
    if measured is not None and measured["sha256"] == found.sha256:
        parts += _price(measured["guard"])
        if measured["failures"]:
            parts += _failures(meta.name, measured["split"], measured["failures"])

    if variants:
        parts += ["## In other precisions\n", _precisions(variants)]
    if swept is not None and swept["sha256"] == found.sha256:
        parts += ["## What each convolution loses in 8 bits\n", sensitivity.markdown(swept)]
    return "\n".join(parts)


def _price(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what the guard costs, or gains."""
    cells = [
        (r["modality"], r["row"], f"{r['box']:.2f}", f"{r['none']:.2f}", f"{r['box'] - r['none']:+.2f}") for r in rows
    ]
    if not cells:
        return []
    about = (
        "Foreground PSNR in dB on a few slices of each scan of `val`, the same weights with and without the guard.\n"
    )
    return ["## Price of the guard\n", about, _table(("modality", "row", "guard box", "none", "difference"), cells)]


def _failures(name: str, split: str, found: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the worst slices with their pictures."""
    about = (
        f"The slices of `{split}` where the least is gained over cubic, at the square where the error grows most:"
        " truth, cubic, the model, and what the model's absolute error has over cubic's (red: worse, blue: better).\n"
    )
    parts = ["## Known failures\n", about]
    for one in found:
        said = f"{one['modality']} {one['row']}: {one['gain']:+.2f} dB over cubic in this slice"
        parts.append(f"![{said}]({name}-{one['modality'].lower()}.png)\n\n{said}.\n")
    return parts


def _precisions(variants: Sequence[Model]) -> str:
    """Return what is lost against fp32, in each row."""
    rows = [
        (
            found.meta.precision,
            f"{len(found.data) / 1000:.0f} kB",
            f"{row['modality']} {row['row']}",
            _worst(row["loss"], row.get("worst_loss")),
            _worst(row["bias"], row.get("worst_bias")),
            f"{row['block_error']:g}",
        )
        for found in variants
        for row in found.meta.scores.rows
    ]
    about = (
        "Against fp32 on `val`: PSNR of the foreground, and how far its mean moves, in 1/4095 of the data range (HU "
        "for CT); in brackets of the subject that comes off worst. Blocks: largest difference of a block's mean from "
        "its input pixel.\n"
    )
    notes = [f"`{v.meta.precision}`: {v.meta.quantisation}.\n" for v in variants if v.meta.quantisation]
    return "\n".join([about, _table(("precision", "file", "row", "loss in dB", "mean moves", "blocks"), rows), *notes])


def _reported(report: Mapping[str, Any], row: Mapping[str, Any]) -> list[str]:
    """Return a row of a report: scores, and the gain over cubic and over the rival that comes nearest."""
    scores, against = row["scores"], row["against"]
    rivals = {r["method"] for r in report["rows"] if r["kind"] == "rival"}
    best = min(rivals & against.keys(), key=lambda name: float(against[name]["psnr"]["mean"]))
    cells = [row["modality"], row["degradation"], str(row["subjects"])]
    cells += [_interval(scores["psnr"]), _interval(scores["psnr_fg"])]
    cells += [f"{scores[k]['mean']:.4f}" for k in ("ssim", "haarpsi")]
    cells.append(_interval(against["cubic"]["psnr"], "+") if "cubic" in against else "-")
    cells += [
        f"{_interval(against[best]['psnr'], '+')} ({best})",
        f"{against[best]['psnr']['worst']:+.2f}",
    ]
    return [*cells, f"{row['block_error']:g}"]


def _interval(found: Mapping[str, float], sign: str = "") -> str:
    low, high = found["low"], found["high"]
    said = f"{found['mean']:{sign}.2f}"
    return said if math.isnan(low) else f"{said} [{low:{sign}.2f}, {high:{sign}.2f}]"


def _worst(mean: float, worst: float | None) -> str:
    return f"{mean:+.3f}" if worst is None else f"{mean:+.3f} ({worst:+.3f})"


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
    """Return the card of an fp32 file, with the other precisions beside it and what ``folder`` holds of it."""
    found = model.load(source)
    variants = [model.load(path) for path in sorted(source.parent.glob(f"{source.stem}.*.onnx"))]
    swept, measured = (_read(folder / f"{source.stem}{end}") for end in (".json", failures.SUFFIX))
    return card(found, report, variants, swept, measured)


def _read(path: Path) -> dict[str, Any] | None:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def main(
    folder: Annotated[Path, typer.Argument(help="Where the cards are written, and the sweeps lie.")],
    quality: Annotated[Path | None, typer.Option(help="Report of `acutance evaluate` whose scores are shown.")] = None,
    models: Annotated[Path, typer.Option(help="Folder of the model files.")] = model.SHIPPED,
    data: Annotated[
        Path | None, typer.Option(help="Folder of the scans: measure the guard's price and draw the worst slices anew.")
    ] = None,
    only: Annotated[list[str] | None, typer.Option(help="Models whose cards are written; all when not given.")] = None,
) -> None:
    """Write one card for each model that comes with the package."""
    folder.mkdir(parents=True, exist_ok=True)
    report = None if quality is None else reports.load(quality)
    for source in sorted(p for p in models.glob("*.onnx") if "." not in p.stem and (not only or p.stem in only)):
        if data is not None:
            failures.write(model.load(source), data, report, folder)
        path = folder / f"{source.stem}.md"
        path.write_text(of(source, folder, report), encoding="utf-8")
        typer.echo(str(path))


if __name__ == "__main__":
    end(lambda: typer.run(main))
