"""What bench/gpu_check.sh left in a folder, as at most 60 lines: ``python bench/gpu_table.py FOLDER``.

Needs nothing but Python, so that it says what failed also where acutance could not be built.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

LINES, WIDTH = 60, 200
PERCENTILES = ("p50", "p99", "p99.9", "max")
LEFT_OUT = {
    "bytes",
    "memcpy_gb_s",
    "memcpy_ms",
    "warm_up",
    "first_ms",
    "age_ms",
    "power",
    "engine_key",
    "wait",
    "batches",
}


def table(folder: Path, lines: int = LINES) -> list[str]:
    """Return the lines: what became of each step, then the rows of every result file, cut where they are too many."""
    top = steps(folder)
    results = [result(path) for path in sorted(folder.glob("*.json")) if path.name != "steps.json"]
    room = max(lines - len(top) - len(results), 0)  # beside the headings
    shown: dict[str, list[str]] = {}
    for left, (heading, rows) in zip(range(len(results), 0, -1), sorted(results, key=lambda x: len(x[1])), strict=True):
        share = room // left
        if len(rows) > share:
            rows = [*rows[: max(share - 1, 0)], f"  ... {len(rows) - share + 1} more in the file"]
        room -= len(rows)
        shown[heading] = rows
    found = [line for heading, _ in results for line in (heading, *shown[heading])]
    return [line[:WIDTH] for line in (top + found)[:lines]]


def steps(folder: Path) -> list[str]:
    """Return one line for all steps that went well, and one for each other."""
    try:
        done = json.loads((folder / "steps.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ["no steps were recorded"]
    well = [f"{x['step']} ({x['seconds']} s)" for x in done if x["result"] == "ok"]
    bad = [f"{x['step']}: {x['result']}" for x in done if x["result"] != "ok"]
    return [f"ok: {', '.join(well) or 'nothing'}", *bad]


def result(path: Path) -> tuple[str, list[str]]:
    """Return heading and rows of one result file."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        rows = [f"  {row(each)}" for each in said["rows"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as e:
        return f"{path.name}: cannot be read ({type(e).__name__})", []
    gpu = (said.get("machine") or {}).get("gpu") or said.get("device") or {}
    name = gpu.get("name", "no GPU") if isinstance(gpu, dict) else str(gpu)
    return f"{path.name}: {said.get('bench', '?')} on {name}", rows


def row(values: dict[str, Any]) -> str:
    """Return what a row is of and its numbers: words as they are, percentiles in ms, other numbers by name."""
    parts = []
    for key, value in values.items():
        if key in LEFT_OUT or value is None or value == "" or isinstance(value, list):
            continue
        if isinstance(value, str):
            parts.append(value)
        elif not isinstance(value, dict):
            parts.append(f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}")
        elif "p50" in value:
            parts.append(f"{key}: {' '.join(f'{p} {value[p]:.3f}' for p in PERCENTILES if p in value)}")
        else:
            medians = {k: v["p50"] for k, v in value.items() if isinstance(v, dict) and "p50" in v}
            parts += [f"{k} {v:.3f}" for k, v in medians.items()]
    return ", ".join(parts)


if __name__ == "__main__":
    print("\n".join(table(Path(sys.argv[1]))))
