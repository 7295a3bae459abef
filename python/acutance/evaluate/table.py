"""A report as text: tables for the terminal (Rich) and for ``docs/quality.md`` (Markdown), from the same cells."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from rich.table import Table

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
    "PSNR fg",
    "SSIM fg",
    "HaarPSI fg",
    "fine energy",
    "MTF50",
    "block error",
)

GAIN_HEADS = (
    "degradation",
    "model",
    "less",
    "PSNR dB [95 %]",
    "worst subject",
    "worst slice",
    "PSNR fg",
    "SSIM",
    "HaarPSI",
)


def modalities(report: Mapping[str, Any]) -> list[str]:
    """Return the modalities that a report has rows of, in the order of :data:`TITLES`."""
    found = {row["modality"] for row in report["rows"]}
    return [m for m in TITLES if m in found]


def score_cells(report: Mapping[str, Any], modality: str) -> list[tuple[str, ...]]:
    """Return one line per row of a modality, under :data:`SCORE_HEADS`."""
    out: list[tuple[str, ...]] = []
    for row in _of(report, modality):
        s = row["scores"]
        out.append(
            (
                row["degradation"],
                row["method"] + (" (base!)" if row["fell_back"] else ""),
                _with_interval(s["psnr"]),
                _number(s["ssim"]["mean"], 4),
                _number(s["haarpsi"]["mean"], 4),
                _number(s["psnr_fg"]["mean"], 2),
                _number(s["ssim_fg"]["mean"], 4),
                _number(s["haarpsi_fg"]["mean"], 4),
                _number(s["fine_energy"]["mean"], 2),
                _number(row["mtf50"], 3),
                _number(row["block_error"], 2 if row["block_error"] else 0),
            )
        )
    return out


def gain_cells(report: Mapping[str, Any], modality: str) -> list[tuple[str, ...]]:
    """Return one line per model and rival of a modality, under :data:`GAIN_HEADS`: ours less the rival's."""
    out: list[tuple[str, ...]] = []
    for row in _of(report, modality):
        for rival, gain in row.get("against", {}).items():
            out.append(
                (
                    row["degradation"],
                    row["method"],
                    rival,
                    _with_interval(gain["psnr"], sign=True),
                    _number(gain["psnr"]["worst"], 2, sign=True),
                    _number(gain["psnr"]["worst_slice"], 2, sign=True),
                    _number(gain["psnr_fg"]["mean"], 2, sign=True),
                    _number(gain["ssim"]["mean"], 4, sign=True),
                    _number(gain["haarpsi"]["mean"], 4, sign=True),
                )
            )
    return out


def scores(report: Mapping[str, Any], modality: str) -> tuple[Sequence[str], list[tuple[str, ...]]]:
    """Return heads and lines of a modality's scores, without the foreground's where that is the whole frame."""
    return _without_copies(SCORE_HEADS, score_cells(report, modality), report, modality)


def gains(report: Mapping[str, Any], modality: str) -> tuple[Sequence[str], list[tuple[str, ...]]]:
    """Return heads and lines of a modality's gains, without the foreground's where that is the whole frame."""
    return _without_copies(GAIN_HEADS, gain_cells(report, modality), report, modality)


def _without_copies(
    heads: Sequence[str], lines: Sequence[tuple[str, ...]], report: Mapping[str, Any], modality: str
) -> tuple[Sequence[str], list[tuple[str, ...]]]:
    whole = all(r["scores"]["psnr"]["mean"] == r["scores"]["psnr_fg"]["mean"] for r in _of(report, modality))
    kept = [k for k, head in enumerate(heads) if not (whole and head.endswith(" fg"))]
    return [heads[k] for k in kept], [tuple(line[k] for k in kept) for line in lines]


def count(report: Mapping[str, Any], modality: str) -> str:
    """Return how many subjects and slices a modality's rows rest on, in words."""
    row = _of(report, modality)[0]
    subjects, slices = row["subjects"], row["slices"]
    return f"{subjects} subject{'s' * (subjects != 1)}, {slices} slice{'s' * (slices != 1)}"


def rich_tables(report: Mapping[str, Any]) -> list[Table]:
    """Return two tables per modality: the scores, and the models' gain over each rival."""
    out = []
    for modality in modalities(report):
        title = f"{TITLES[modality]}, {report['split']} split, scale {report['scale']}: {count(report, modality)}"
        out.append(_rich(title, *scores(report, modality), {r["method"] for r in _models(report)}))
        heads, lines = gains(report, modality)
        if lines:
            out.append(_rich(f"{TITLES[modality]}: gain", heads, lines, set()))
    return out


def markdown(heads: Sequence[str], lines: Sequence[Sequence[str]], bold: Collection[str] = ()) -> str:
    """Return a Markdown table; a line whose second cell is in ``bold`` has it in bold."""
    out = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    last = ""
    for line in lines:
        cells = list(line)
        if cells[1] in bold:
            cells[1] = f"**{cells[1]}**"
        cells[0], last = ("" if cells[0] == last else cells[0]), cells[0]
        out.append("| " + " | ".join(cells) + " |")
    return "\n".join(out)


def _rich(title: str, heads: Sequence[str], lines: Sequence[Sequence[str]], bold: set[str]) -> Table:
    table = Table(title=title, title_justify="left", header_style="bold")
    for k, head in enumerate(heads):
        table.add_column(head, justify="left" if k < 2 or head == "less" else "right", no_wrap=True)
    last = ""
    for line in lines:
        if last and line[0] != last:
            table.add_section()
        table.add_row("" if line[0] == last else line[0], *line[1:], style="bold" if line[1] in bold else None)
        last = line[0]
    return table


def _of(report: Mapping[str, Any], modality: str) -> list[Mapping[str, Any]]:
    return [row for row in report["rows"] if row["modality"] == modality]


def _models(report: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [row for row in report["rows"] if row["kind"] == "model"]


def _number(x: float, digits: int, sign: bool = False) -> str:
    if math.isnan(x):
        return "-"
    if math.isinf(x):
        return "inf" if x > 0 else "-inf"
    return f"{x:{'+' if sign else ''}.{digits}f}"


def _with_interval(x: Mapping[str, float], sign: bool = False) -> str:
    mean = _number(x["mean"], 2, sign)
    if math.isnan(x["low"]):
        return mean
    return f"{mean} [{_number(x['low'], 2, sign)}, {_number(x['high'], 2, sign)}]"
