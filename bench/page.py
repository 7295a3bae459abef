"""``docs/speed.md`` from result files: ``python -m acutance.bench page RESULTS... -o docs/speed.md``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

INTRODUCTION = """# Speed

Made by `make speed` from the files in `bench/results/`. Times are medians of wall time on the machine named above each
table; everything in one table ran in turn within one run, so that its ratios hold where single times drift.
"""


def slice_table(rows: Iterable[dict[str, Any]]) -> list[str]:
    """Return the lines of Markdown for ``bench slice``."""
    out = ["| model | picture | way | ms | time over ours |", "|---|---|---|---|---|"]
    peaks = []
    for row in rows:
        if "peak_mb" in row:
            peaks.append(f"`{row['model']}`, {row['size']} x {row['size']} 16-bit: {row['peak_mb']:.0f} MB")
            continue
        ms = f"{row['ms']['p50']:.1f}"
        out.append(f"| {row['model']} | {row['size']} x {row['size']} | {row['way']} | {ms} | {row['ratio']:.2f} |")
    if peaks:
        out += ["", "Peak memory of the whole process: " + "; ".join(peaks) + "."]
    return out


def kernels_table(rows: Iterable[dict[str, Any]]) -> list[str]:
    """Return the lines of Markdown for ``bench kernels``."""
    out = ["| case | ms | GB/s | share of memcpy | wanted |", "|---|---|---|---|---|"]
    for row in rows:
        wanted = "" if row["wanted"] is None else f"{row['wanted']:.2f}"
        out.append(
            f"| {row['case']} | {row['ms']['p50']:.2f} | {row['gb_s']:.2f} | {row['of_memcpy']:.2f} | {wanted} |"
        )
    return out


SECTIONS = {
    "slice": ("A slice, pixels to pixels", slice_table),
    "kernels": ("The core's ops beside memcpy", kernels_table),
}


def page(results: Iterable[dict[str, Any]]) -> str:
    """Return the page for the contents of result files, in their order."""
    lines = [INTRODUCTION]
    for result in results:
        title, table = SECTIONS[result["bench"]]
        about = result["machine"]
        packages = ", ".join(f"{k} {v}" for k, v in about["packages"].items())
        lines += [
            f"## {title}\n",
            f"{about['cpu']}, {about['cpus_usable']} CPUs, {about['memory_gib']} GiB, governor {about['governor']}, "
            f"load {about['load_before']} before; Python {about['python']}, {packages}; commit `{about['commit']}`, "
            f"{about['date'][:10]}.\n",
            *table(result["rows"]),
            "",
        ]
    return "\n".join(lines)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m acutance.bench page", description=__doc__)
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args(arguments)
    options.output.write_text(page(json.loads(p.read_text()) for p in options.results))
