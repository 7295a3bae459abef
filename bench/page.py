"""``docs/speed.md`` from result files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ..beside import beside
from ..errors import InputError
from . import record
from . import slice as case

INTRODUCTION = """# Speed

Made by `make speed` from the files in `bench/results/`. Times are medians of wall time on the machine named above each
table. "Load" is the mean number of processes that wanted a CPU before and after: where it is not near zero, times are
longer than on an idle machine, and more so the more threads a way uses. Ways beside each other in one table ran in turn
within one run, so that their ratios drift less than single times.
"""


def slice_table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return the lines of Markdown for ``bench slice``."""
    out = ["| model | picture | way | ms | time over ours |", "|---|---|---|---|---|"]
    for row in rows:
        if "ratio" in row:
            ms, picture = f"{row['ms']['p50']:.1f}", f"{row['size']} x {row['size']}"
            out.append(f"| {row['model']} | {picture} | {row['way']} | {ms} | {row['ratio']:.2f} |")
    return [*out, "", *_aims(rows)]


def _aims(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return the table of what is wanted of a slice beside the worst that was measured."""
    floor = [1 / row["ratio"] for row in rows if row["way"] == case.FLOOR]
    monai = [row["ratio"] for row in rows if row["way"] == case.MONAI]
    out = ["| aim | wanted | measured | |", "|---|---|---|---|"]

    def add(aim: str, wanted: str, measured: str, holds: bool) -> None:
        out.append(f"| {aim} | {wanted} | {measured} | {'holds' if holds else 'missed'} |")

    if floor:
        span = f"{min(floor):.2f} to {max(floor):.2f}"
        add("our time over bare ONNX Runtime's", f"<= {case.OVER_FLOOR}", span, max(floor) <= case.OVER_FLOOR)
    if monai:
        span = f"{min(monai):.2f} to {max(monai):.2f}"
        add("MONAI's time over ours", f">= {case.OVER_OURS}", span, min(monai) >= case.OVER_OURS)
    for row in rows:
        if "peak_mb" in row:
            aim = f"peak memory of the process, `{row['model']}`, {row['size']} x {row['size']} 16-bit"
            add(aim, f"< {case.PEAK_MB:.0f} MB", f"{row['peak_mb']:.0f} MB", row["peak_mb"] < case.PEAK_MB)
        if row["way"] == case.COMMAND:
            aim = f"`acutance enhance` of `{row['input']}`, command to file"
            took = f"{row['ms']['p50'] / 1000:.2f} s, of it {row['cpu_ms']['p50'] / 1000:.2f} s on processors"
            add(aim, f"< {case.START_MS / 1000} s", took, row["ms"]["p50"] < case.START_MS)
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


def latency_table(rows: Iterable[dict[str, Any]]) -> list[str]:
    """Return the lines of Markdown for ``bench latency``."""
    out = [
        "[What the columns mean](benchmarks.md#latency). Times are ms from host memory to host memory.",
        "",
        "| picture | load | feed | frames | p50 | p99 | max | jitter | age, p50 | late | lost |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        ms = [f"{row['ms'][k]:.1f}" for k in ("p50", "p99", "max")] + [f"{row['jitter_ms']:.1f}"]
        fed = "age_ms" in row
        age = [f"{row['age_ms']['p50']:.1f}", row["misses"], row["dropped"]] if fed else ["", "", ""]
        cells = [f"{row['size']} x {row['size']}", row["load"], row["feed"], row["ms"]["n"], *ms, *age]
        out.append(f"| {' | '.join(map(str, cells))} |")
    return out


SECTIONS = {
    "slice": ("A slice, pixels to pixels", slice_table),
    "latency": ("A frame at a time", latency_table),
    "kernels": ("The core's ops beside memcpy", kernels_table),
}


def page(results: Iterable[dict[str, Any]]) -> str:
    """Return the page for the contents of result files, in their order.

    Raises
    ------
    InputError
        There is no section for one of them.
    """
    lines = [INTRODUCTION]
    for result in results:
        if result["bench"] not in SECTIONS:
            raise InputError(f"the page has no section for `bench {result['bench']}`; wanted {', '.join(SECTIONS)}")
        title, table = SECTIONS[result["bench"]]
        about = result["machine"]
        packages = ", ".join(f"{k} {v}" for k, v in about["packages"].items())
        lines += [
            f"## {title}\n",
            f"{about['cpu']}, {about['cpus_usable']} CPUs, {about['memory_gib']} GiB, governor {about['governor']}, "
            f"load {about['load_before']} before{_after(about)}; Python {about['python']}, {packages}; "
            f"commit `{about['commit']}`, {about['date'][:10]}.\n",
            *table(result["rows"]),
            "",
        ]
    return "\n".join(lines)


def _after(about: dict[str, Any]) -> str:
    return f" and {about['load_after']} after" if "load_after" in about else ""


def write(results: Iterable[Path], output: Path) -> None:
    """Write the page for result files.

    Raises
    ------
    InputError, OutputError
    """
    text = page([record.read(path) for path in results])
    with beside(output) as file:
        file.write(text.encode())
