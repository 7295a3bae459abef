"""How often the truth lies within the bounds that a model gives: subject by subject, beside the 90 % that it aims at.

``python -m acutance.evaluate.coverage DATA --model mr-bal-x2-q`` prints a table and writes it as a further section of
the page, see :func:`acutance.evaluate.section.read`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from .. import model as models
from ..cli.ending import end
from ..errors import UsageError
from ..geometry import Array
from . import scans, score
from .methods import CODES, Input, Method, enhance
from .run import degraded
from .section import give

AIM = 90
"""Percent of the truth that is to lie within the bounds."""

TEXT = """Part of the foreground whose truth lies within the bounds that a model gives, in percent: {aim} is the aim, 5
to lie below and 5 above. The bounds were calibrated on `val` over all its subjects together; nothing promises the aim
to a single new subject, and this is what each of the `{split}` split gets. `width` is the mean distance of the bounds
in percent of the data range. Slices of each scan: {count}.
"""

HEADS = ("model", "modality", "degradation", "subject", "slices", "within", "below", "above", "width")


@dataclasses.dataclass(frozen=True)
class Coverage:
    """One slice in one degradation; ``within``, ``below``, ``above`` and ``width`` are in percent."""

    model: str
    modality: str
    degradation: str
    subject: str
    within: float
    below: float
    above: float
    width: float


def measure(scan: scans.Scan, methods: Sequence[Method], scale: int, limit: int = 0) -> Iterator[Coverage]:
    """Degrade the slices of a scan in every row of the protocol and hold the truths against each model's bounds.

    Parameters
    ----------
    limit : int
        At most so many slices, evenly spread; 0 for all.
    """
    series = scans.load(scan)
    if series is None:
        return
    truths = series.truths(scale)
    if limit and len(truths) > limit:
        truths = [truths[i] for i in np.linspace(0, len(truths) - 1, limit).astype(int)]
    spacing = None if series.spacing is None else (series.spacing[0] * scale, series.spacing[1] * scale)
    for row in score.degradations_of(scan.modality):
        pictures, value_range = degraded(scan, row, scale)
        for index, truth in truths:
            picture = Input(pictures[index], scan.modality, scale, spacing, value_range)
            mask = score.foreground(scan.modality, truth, series.value_range)
            for method in methods:
                result = enhance(method, picture)
                if result.lower is None or result.upper is None:
                    raise UsageError(f"{method.name} gives no bounds: {result.fell_back or 'it has no quantiles'}")
                found = compare(truth, result.lower, result.upper, mask, series.value_range, scale)
                yield Coverage(method.name, scan.modality, row.name, scan.subject, *found)


def compare(
    truth: Array, lower: Array, upper: Array, mask: Array, value_range: tuple[float, float], scale: int
) -> tuple[float, float, float, float]:
    """Return which parts of the masked truth lie within, below and above, and the mean width, all in percent."""
    truth, lower, upper, mask = (score.inner(x, scale) for x in (truth, lower, upper, mask))
    below, above = (float(100 * found[mask].mean()) for found in (truth < lower, truth > upper))
    width = (np.asarray(upper, dtype=np.float64) - lower)[mask].mean() / (value_range[1] - value_range[0])
    return 100 - below - above, below, above, float(100 * width)


def section(found: Sequence[Coverage], split: str, limit: int) -> dict[str, Any]:
    """Return the table as a further section of the page: a line for each model, row and subject, and their mean."""
    groups: dict[tuple[str, str, str], dict[str, list[Coverage]]] = {}
    for one in found:
        key = (one.model, one.modality, one.degradation)
        groups.setdefault(key, {}).setdefault(one.subject, []).append(one)
    lines = []
    for key, subjects in sorted(groups.items()):
        means = {who: np.mean([dataclasses.astuple(x)[4:] for x in slices], axis=0) for who, slices in subjects.items()}
        for who, mean in sorted(means.items()):
            lines.append([*key, who, str(len(subjects[who])), *_cells(mean)])
        if len(means) > 1:
            count = sum(map(len, subjects.values()))
            lines.append([*key, f"mean of {len(means)}", str(count), *_cells(np.mean(list(means.values()), axis=0))])
    text = TEXT.format(aim=AIM, split=split, count=f"at most {limit}" if limit else "all")
    return {"title": "How sure the bounds are", "text": text, "heads": list(HEADS), "lines": lines}


def _cells(mean: Array) -> list[str]:
    return [f"{x:.1f}" for x in mean[:3]] + [f"{mean[3]:.2f}"]


def main(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Folder with MANIFEST.csv.")],
    model: Annotated[list[str], typer.Option(help="Models with bounds: names or .onnx files.")],
    split: Annotated[str, typer.Option(help="train, val or test; test is for releases only.")] = "val",
    output: Annotated[Path | None, typer.Option("-o", "--output", help="JSON file with the section.")] = None,
    limit: Annotated[int, typer.Option(min=0, help="At most so many slices of a scan; 0: all.")] = 8,
) -> None:
    """Say how often the truth lies within the bounds of models, subject by subject."""
    found: list[Coverage] = []
    for name in model:
        meta = models.load(name).meta
        method = Method(meta.name, "model", name)
        for modality in CODES:
            if method.code_for(modality) is not None:
                for scan in scans.find(data, split, modality):
                    found += measure(scan, [method], meta.scale, limit)
    if not found:
        raise UsageError(f"{data} has no {split} scans of what {', '.join(model)} are for")
    give(section(found, split, limit), output)


if __name__ == "__main__":
    end(lambda: typer.run(main))
