"""One HTML page with plots from result files; it needs nothing else to be shown."""

from __future__ import annotations

import html
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
import numpy as np
from matplotlib import pyplot as plt

from ..beside import beside
from . import record

Row = dict[str, Any]

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; font-size: 13px; margin: 1rem 0 } td, th { padding: 2px 10px; text-align: right }
th { border-bottom: 1px solid #999 } td:first-child, th:first-child { text-align: left }
svg { max-width: 100%; height: auto; display: block } details { margin: 1rem 0 }
pre { font-size: 12px; overflow-x: auto; background: #f6f6f6; padding: 8px }
"""

SHOWN = (
    "case",
    "model",
    "way",
    "associations",
    "input",
    "size",
    "backend",
    "precision",
    "tile",
    "batches",
    "load",
    "feed",
)
"""Columns that say what was measured, in this order, where they are there."""


def page(results: Sequence[tuple[str, dict[str, Any]]]) -> str:
    """Return the page for named results, as :func:`record.read` gives them."""
    parts = [_section(name, result) for name, result in results]
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>acutance bench</title><style>{STYLE}</style>'
        f"<h1>acutance bench</h1>{''.join(parts)}</html>\n"
    )


def _section(name: str, result: dict[str, Any]) -> str:
    about, rows = result["machine"], result["rows"]
    gpu = about.get("gpu") or {}
    where = ", ".join(
        str(x)
        for x in (
            gpu.get("name"),
            gpu.get("power_mode"),
            about["cpu"],
            f"{about['cpus_usable']} CPUs",
            f"load {about['load_before']} before",
            f"commit {about['commit']}",
            about["date"][:10],
        )
        if x
    )
    everything = html.escape(json.dumps(about, indent=1))
    return (
        f"<h2>bench {html.escape(result['bench'])} ({html.escape(name)})</h2><p>{html.escape(where)}</p>"
        f"{''.join(plots(result['bench'], rows))}{table(rows)}"
        f"<details><summary>Everything that shaped these numbers</summary><pre>{everything}</pre></details>"
    )


def table(rows: Iterable[Row]) -> str:
    """Return the rows as an HTML table: what was measured, percentiles, and shares or misses where there are any."""
    rows = list(rows)
    what = [key for key in SHOWN if any(key in row for row in rows)]
    numbers = [k for k in ("p50", "p90", "p99", "p99.9", "max") if any(k in row.get("ms", {}) for row in rows)]
    others = ("jitter_ms", "misses", "dropped", "ratio", "gb_s", "of_memcpy", "wanted", "peak_mb", "images_s")
    more = [key for key in others if any(row.get(key) is not None for row in rows)]
    head = "".join(f"<th>{html.escape(k)}</th>" for k in (*what, *(f"{k} ms" for k in numbers), *more))
    body = []
    for row in rows:
        cells = [row.get(k, "") for k in what] + [_text(row.get("ms", {}).get(k)) for k in numbers]
        cells += [_text(row.get(k)) for k in more]
        body.append("<tr>" + "".join(f"<td>{html.escape(str(c))}</td>" for c in cells) + "</tr>")
    return f"<table><tr>{head}</tr>{''.join(body)}</table>"


def _text(value: Any) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.3g}" if value < 100 else f"{value:.0f}"


def plots(bench: str, rows: list[Row]) -> list[str]:
    """Return the plots of a benchmark as SVG."""
    timed = [row for row in rows if "ms" in row]
    if bench == "latency":
        groups = _groups(timed, ("model", "size", "backend", "precision", "load"))
        return [_percentiles(title, group) for title, group in groups] + [
            _stages(title, group) for title, group in groups if any("stages" in row for row in group)
        ]
    if bench == "kernels":
        bars = [(row["case"], row["of_memcpy"], row["wanted"]) for row in timed]
        return [_bars("Share of the copy's bytes a second", bars, "share")]
    if bench == "engines":
        groups = _groups(timed, ("model", "size"))
        return [
            _bars(title, [(_engine(row), row["ms"]["p50"], None) for row in group], "ms") for title, group in groups
        ]
    groups = _groups([row for row in timed if "ratio" in row], ("model", "size"))
    return [_bars(title, [(row["way"], row["ms"]["p50"], None) for row in group], "ms") for title, group in groups]


def _engine(row: Row) -> str:
    last = ", NHWC" if row["channels_last"] else ""
    return f"{row['precision']}, tile {row['tile']}, batches {row['batches']}{last}"


def _groups(rows: Iterable[Row], keys: Sequence[str]) -> list[tuple[str, list[Row]]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        title = ", ".join(f"{k} {row[k]}" if k in ("size", "load") else str(row[k]) for k in keys if k in row)
        found.setdefault(title, []).append(row)
    return list(found.items())


def _percentiles(title: str, rows: list[Row]) -> str:
    """Draw time against share of frames, with the tail stretched: 90, 99 and 99.9 % are equally far apart."""
    figure, axes = plt.subplots(figsize=(8, 4))
    for row in rows:
        samples = np.sort(np.asarray(row["ms"]["samples"], np.float64))
        slower = 1 - np.arange(samples.size) / samples.size  # share of frames that took at least as long
        line = axes.plot(1 / slower, samples, label=row["feed"], linewidth=1.5)[0]
        if row["feed"].startswith("paced"):
            axes.axhline(1000 / row["rate_hz"], color=line.get_color(), linestyle=":", linewidth=1)
    axes.set_xscale("log")
    axes.set_xticks([2, 10, 100, 1000], ["50 %", "90 %", "99 %", "99.9 %"])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.set(title=title, xlabel="frames done within this time", ylabel="ms from host to host (dotted: a period)")
    axes.legend()
    return _svg(figure)


def _stages(title: str, rows: list[Row]) -> str:
    """Draw where a frame's time goes, by medians of the stages."""
    figure, axes = plt.subplots(figsize=(8, 1 + 0.5 * len(rows)))
    names = list(dict.fromkeys(name for row in rows for name in row.get("stages", {})))
    left = np.zeros(len(rows))
    for name in names:
        widths = np.array([row.get("stages", {}).get(name, {}).get("p50", 0.0) for row in rows])
        axes.barh([row["feed"] for row in rows], widths, left=left, label=name)
        left += widths
    axes.invert_yaxis()
    axes.set(title=f"{title}: stages", xlabel="ms (medians)")
    axes.legend(ncols=5, fontsize="small")
    return _svg(figure)


def _bars(title: str, bars: Sequence[tuple[str, float, float | None]], unit: str) -> str:
    """Draw one bar for each thing, its value beside it, and a mark where one is wanted."""
    figure, axes = plt.subplots(figsize=(8, 1 + 0.4 * len(bars)))
    drawn = axes.barh([name for name, _, _ in bars], [value for _, value, _ in bars], color="#4878a8")
    axes.bar_label(drawn, [_text(value) for _, value, _ in bars], padding=3)
    for i, (_, _, wanted) in enumerate(bars):
        if wanted is not None:
            axes.plot([wanted, wanted], [i - 0.4, i + 0.4], color="#b03030", linewidth=2)
    axes.margins(x=0.15)
    axes.invert_yaxis()
    axes.set(title=title, xlabel=f"{unit} (red: at least so much is wanted)" if unit == "share" else unit)
    return _svg(figure)


def _svg(figure: Any) -> str:
    out = io.StringIO()
    figure.savefig(out, format="svg", bbox_inches="tight")
    plt.close(figure)
    text = out.getvalue()
    return text[text.index("<svg") :]


def run(paths: list[Path], output: Path) -> None:
    """Write the page for result files.

    Raises
    ------
    InputError, OutputError
    """
    text = page([(path.name, record.read(path)) for path in paths])
    with beside(output) as file:
        file.write(text.encode())
