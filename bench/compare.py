"""Is B slower than A? Medians of what both measured, with an interval, and a verdict."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from ..errors import InputError
from . import record

IDENTITY = (
    "case",
    "model",
    "way",
    "input",
    "size",
    "on",
    "backend",
    "precision",
    "tile",
    "batches",
    "channels_last",
    "load",
    "feed",
    "threads",
    "path",
)
"""What says that two rows measured the same thing."""

RESAMPLES = 2000


@dataclasses.dataclass(frozen=True)
class Change:
    """One thing that both measured.

    Attributes
    ----------
    what : str
    a, b : float
        Medians in ms.
    low, high : float
        95 % bootstrap interval of ``b / a``.
    slower : bool
        Whether all of the interval is above the threshold.
    """

    what: str
    a: float
    b: float
    low: float
    high: float
    slower: bool


def ratio_interval(a: list[float], b: list[float], seed: int = 0) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval of the ratio of medians ``b / a``."""
    rng = np.random.default_rng(seed)

    def medians(samples: list[float]) -> np.ndarray[Any, np.dtype[np.float64]]:
        drawn = rng.choice(np.asarray(samples, np.float64), (RESAMPLES, len(samples)))
        return np.asarray(np.median(drawn, axis=1), np.float64)

    low, high = np.percentile(medians(b) / medians(a), (2.5, 97.5))
    return float(low), float(high)


def changes(a: dict[str, Any], b: dict[str, Any], threshold: float) -> list[Change]:
    """Return how each thing that two results both measured has changed.

    Parameters
    ----------
    a, b : dict
        As :func:`record.read` gives them.
    threshold : float
        Share by which a median may grow.

    Raises
    ------
    InputError
        They are of two benchmarks, or share nothing that was measured.
    """
    if a["bench"] != b["bench"]:
        raise InputError(f"one is of `bench {a['bench']}`, the other of `bench {b['bench']}`; wanted two of one kind")
    before, found = {_what(row): row["ms"] for row in a["rows"] if "ms" in row}, []
    for row in b["rows"]:
        old = before.get(_what(row))
        if old is None or "ms" not in row:
            continue
        if "samples" not in old or "samples" not in row["ms"]:
            raise InputError(f"{_what(row)} has no samples; wanted results of this version of acutance")
        low, high = ratio_interval(old["samples"], row["ms"]["samples"])
        found.append(Change(_what(row), old["p50"], row["ms"]["p50"], low, high, low > 1 + threshold))
    if not found:
        raise InputError("the two results share nothing that was measured")
    return found


def _what(row: dict[str, Any]) -> str:
    return ", ".join(f"{row[k]}" for k in IDENTITY if row.get(k) is not None)


def run(a: Path, b: Path, threshold: float) -> bool:
    """Print how B differs from A; return whether nothing is slower than the threshold allows."""
    first, second = record.read(a), record.read(b)
    found = changes(first, second, threshold)
    console = Console()
    for key in ("cpu", "gpu", "governor", "packages", "commit"):
        was, now = (_short(r["machine"].get(key)) for r in (first, second))
        if was != now:
            console.print(f"{key} was {was}, now {now}", highlight=False)
    table = Table("", "A ms", "B ms", "B / A, 95 %", f"allowed {1 + threshold:.2f}")
    for c in found:
        table.add_row(c.what, f"{c.a:.3f}", f"{c.b:.3f}", f"{c.low:.3f} to {c.high:.3f}", "slower" if c.slower else "")
    console.print(table)
    return not any(c.slower for c in found)


def _short(value: Any) -> Any:
    return value.get("name") if isinstance(value, dict) and "name" in value else value
