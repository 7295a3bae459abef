"""A report as text: tables for the terminal (Rich) and for ``docs/quality.md`` (Markdown), from the same cells."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from rich.table import Table

from . import score

TITLES = {
    "CT": "CT",
    "MR": "MR",
    "XR": "X-ray",
    "US": "Ultrasound",
    "ENDO": "Endoscopy (luma)",
    "PET": "PET",
}
"""Modalities in the order of the tables."""

SCORE_HEADS = (
    "degradation",
    "method",
    "PSNR dB [95 %]",
    "SSIM",
    "HaarPSI",
    "VIF",
    "PSNR fg",
    "SSIM fg",
    "HaarPSI fg",
)

TRAIT_HEADS = (
    "degradation",
    "method",
    "fine energy",
    "noise power",
    "MTF50",
    "overshoot %",
    "block error",
    "max D(SR) - LR",
)

GAIN_HEADS = (
    "degradation",
    "model",
    "less",
    "PSNR dB [95 %]",
    "worst subject",
    "worst slice",
    "PSNR fg [95 %]",
    "SSIM",
    "HaarPSI",
    "VIF",
    "mean moves",
)

Cells = list[tuple[str, ...]]


def sections(report: Mapping[str, Any]) -> list[tuple[int, str]]:
    """Return the scales and modalities that a report has rows of, in the order of scales and of :data:`TITLES`."""
    found = {(row["scale"], row["modality"]) for row in report["rows"]}
    return [(scale, m) for scale in sorted({s for s, _ in found}) for m in TITLES if (scale, m) in found]


def rows_of(report: Mapping[str, Any], scale: int, modality: str) -> list[Mapping[str, Any]]:
    """Return a scale's and modality's rows, in their order."""
    return [row for row in report["rows"] if (row["scale"], row["modality"]) == (scale, modality)]


def apart(rows: Sequence[Mapping[str, Any]]) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """Return the rows of one modality without noise and those with it, which stand in tables of their own."""
    noisy = {d.name for d in score.noise_rows_of(rows[0]["modality"])}
    return [r for r in rows if r["degradation"] not in noisy], [r for r in rows if r["degradation"] in noisy]


def score_cells(rows: Sequence[Mapping[str, Any]]) -> Cells:
    """Return one line per row, under :data:`SCORE_HEADS`."""
    out: Cells = []
    for row in rows:
        s = row["scores"]
        fine = [_number(s[k]["mean"], 4) for k in ("ssim", "haarpsi", "vif")]
        out.append(
            (
                row["degradation"],
                row["method"] + (" (base!)" if row["fell_back"] else ""),
                _with_interval(s["psnr"]),
                *fine,
                _number(s["psnr_fg"]["mean"], 2),
                _number(s["ssim_fg"]["mean"], 4),
                _number(s["haarpsi_fg"]["mean"], 4),
            )
        )
    return out


def trait_cells(rows: Sequence[Mapping[str, Any]]) -> Cells:
    """Return one line per row, under :data:`TRAIT_HEADS`."""
    return [
        (
            row["degradation"],
            row["method"],
            _number(row["scores"]["fine_energy"]["mean"], 2),
            _number(row["scores"]["noise_power"]["mean"], 2),
            _number(row["mtf50"], 3),
            _number(100 * row["overshoot"], 1),
            _number(row["block_error"], 2 if row["block_error"] else 0),
            _number(row["consistency"], 2),
        )
        for row in rows
    ]


def compared(rows: Sequence[Mapping[str, Any]], row: Mapping[str, Any]) -> list[str]:
    """Return what a model's gain is shown over: cubic, the best rival of its degradation by PSNR, and models.

    All that it was compared with where that is no more than three.
    """
    names = list(row.get("against", {}))
    if len(names) <= 3:
        return names
    same = {r["method"]: r for r in rows if r["degradation"] == row["degradation"]}
    rivals = [n for n in names if same[n]["kind"] == "rival"]
    best = max(rivals, key=lambda n: float(same[n]["scores"]["psnr"]["mean"]), default="")
    return [n for n in names if n in ("cubic", best) or same[n]["kind"] == "model"]


def gain_cells(rows: Sequence[Mapping[str, Any]]) -> Cells:
    """Return one line per model and what it is compared with, under :data:`GAIN_HEADS`: ours less the other's."""
    out: Cells = []
    for row in rows:
        for rival in compared(rows, row):
            gain = row["against"][rival]
            out.append(
                (
                    row["degradation"],
                    row["method"],
                    rival,
                    _with_interval(gain["psnr"], sign=True),
                    _number(gain["psnr"]["worst"], 2, sign=True),
                    _number(gain["psnr"]["worst_slice"], 2, sign=True),
                    _with_interval(gain["psnr_fg"], sign=True),
                    *(_number(gain[k]["mean"], 4, sign=True) for k in ("ssim", "haarpsi", "vif")),
                    _moved(gain["bias"]),
                )
            )
    return out


def scores(rows: Sequence[Mapping[str, Any]]) -> tuple[Sequence[str], Cells]:
    """Return heads and lines of scores, without the foreground's where that is the whole frame."""
    return _without_copies(SCORE_HEADS, score_cells(rows), rows)


def traits(rows: Sequence[Mapping[str, Any]]) -> tuple[Sequence[str], Cells]:
    """Return heads and lines of what methods do beside being near to the truth."""
    unit = score.unit(rows[0]["modality"])
    return [f"{h} ({unit})" if h == TRAIT_HEADS[-1] else h for h in TRAIT_HEADS], trait_cells(rows)


def gains(rows: Sequence[Mapping[str, Any]]) -> tuple[Sequence[str], Cells]:
    """Return heads and lines of gains, without the foreground's where that is the whole frame."""
    return _without_copies(GAIN_HEADS, gain_cells(rows), rows)


def lesions(report: Mapping[str, Any], scale: int, modality: str) -> tuple[Sequence[str], Cells]:
    """Return heads and lines of a scale's and modality's lesion test: discs of the weaker contrast, then blobs."""
    found = [r for r in report["lesions"] if (r["scale"], r["modality"]) == (scale, modality)]
    weak = {r["method"]: [d for d in r["discs"] if d["level"] == 0] for r in found}
    sizes = [f"{d['diameter']:g}" for d in next(iter(weak.values()), [])]
    heads = ["method"]
    heads += [f"{what} {d} px" for what in ("CNR", "contrast kept %", "size %") for d in sizes]
    lines = []
    for r in found:
        discs = weak[r["method"]]
        cells = [_number(d["cnr"], 2) for d in discs]
        cells += [_number(100 * d[k], 0) for k in ("kept", "size") for d in discs]
        cells += [_with_interval(r[k], digits=1) for k in ("false", "lost")]
        lines.append((r["method"], *cells))
    return [*heads, "false blobs", "lost blobs"], lines


def _without_copies(
    heads: Sequence[str], lines: Cells, rows: Sequence[Mapping[str, Any]]
) -> tuple[Sequence[str], Cells]:
    whole = all(r["scores"]["psnr"]["mean"] == r["scores"]["psnr_fg"]["mean"] for r in rows)
    kept = [k for k, head in enumerate(heads) if not (whole and " fg" in head)]
    return [heads[k] for k in kept], [tuple(line[k] for k in kept) for line in lines]


def count(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return how many subjects and slices rows rest on, in words."""
    subjects, slices = rows[0]["subjects"], rows[0]["slices"]
    return f"{subjects} subject{'s' * (subjects != 1)}, {slices} slice{'s' * (slices != 1)}"


def rich_tables(report: Mapping[str, Any]) -> list[Table]:
    """Return the tables of each scale and modality: scores, traits, the models' gains, the lesion test."""
    out = []
    for scale, modality in sections(report):
        rows, noisy = apart(rows_of(report, scale, modality))
        ours, title = models(rows), f"{TITLES[modality]}, {report['split']} split, scale {scale}: {count(rows)}"
        out.append(_rich(title, *scores(rows), ours))
        further = [("traits", traits(rows)), ("gain", gains(rows)), ("lesion test", lesions(report, scale, modality))]
        if noisy:
            further += [("with noise", scores(noisy)), ("gain with noise", gains(noisy))]
        for what, (heads, lines) in further:
            if lines:
                out.append(_rich(f"{TITLES[modality]}: {what}", heads, lines, set() if "gain" in what else ours))
    return out


def markdown(heads: Sequence[str], lines: Sequence[Sequence[str]], bold: Collection[str] = ()) -> str:
    """Return a Markdown table; names in ``bold`` stand in bold, a first cell like the one above is left empty."""
    out = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    last = ""
    for line in lines:
        cells = [f"**{cell}**" if k < 2 and cell in bold else cell for k, cell in enumerate(line)]
        cells[0], last = ("" if cells[0] == last else cells[0]), cells[0]
        out.append("| " + " | ".join(cells) + " |")
    return "\n".join(out)


def _rich(title: str, heads: Sequence[str], lines: Sequence[Sequence[str]], bold: set[str]) -> Table:
    table = Table(title=title, title_justify="left", header_style="bold")
    for k, head in enumerate(heads):
        table.add_column(head, justify="left" if k < 2 or head == "less" else "right", no_wrap=True)
    last = ""
    for line in lines:
        if last and line[0] != last and heads[0] == "degradation":
            table.add_section()
        style = "bold" if bold.intersection(line[:2]) else None
        table.add_row("" if line[0] == last else line[0], *line[1:], style=style)
        last = line[0]
    return table


def models(rows: Sequence[Mapping[str, Any]]) -> set[str]:
    """Return the names of the models among rows."""
    return {row["method"] for row in rows if row["kind"] == "model"}


def _number(x: float, digits: int, sign: bool = False) -> str:
    if math.isnan(x):
        return "-"
    if math.isinf(x):
        return "inf" if x > 0 else "-inf"
    return f"{x:{'+' if sign else ''}.{digits}f}"


def _moved(bias: Mapping[str, float]) -> str:
    """Return how far the foreground's mean moves, of all subjects and of the one that is moved most."""
    return f"{_number(bias['mean'], 2, sign=True)} ({_number(bias['worst'], 2, sign=True)})" if bias else "-"


def _with_interval(x: Mapping[str, float], sign: bool = False, digits: int = 2) -> str:
    mean = _number(x["mean"], digits, sign)
    if math.isnan(x["low"]):
        return mean
    return f"{mean} [{_number(x['low'], digits, sign)}, {_number(x['high'], digits, sign)}]"
