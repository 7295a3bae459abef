"""``python -m acutance.evaluate.fit DATA``: fit the linear filters of :mod:`.linear` to the train split.

One filter per modality and scale, over every truth slice of every training subject, each subject with the same weight.
Deterministic: the same data give the same file, but for the last digit.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..cli.ending import end
from . import linear, scans, score

SIGMAS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Point spreads in truth pixels, equally often: the range over which the blind models train."""

DIGITS = 6


def fitted_to(modality: str) -> tuple[score.Degradation, ...]:
    """Return the degradations that a modality's filter is fitted to."""
    rows = score.degradations_of(modality)
    if any(d.kind != "area" or d.in_mm for d in rows):
        return rows
    return tuple(score.Degradation(f"psf {s:g}", sigma=s) for s in SIGMAS)


def fit(data: Path, modality: str, scale: int) -> dict[str, Any] | None:
    """Fit one filter; None when the train split has no such scans.

    Returns
    -------
    dict
        ``weights`` ``[s*s][25]``, ``degradations``, ``subjects`` and ``slices``.
    """
    sums: dict[str, linear.Sums] = {}
    slices = 0
    degradations = fitted_to(modality)
    for scan in scans.find(data, "train", modality):
        series = scans.load(scan)
        if series is None:
            continue
        subject = sums.setdefault(scan.subject, linear.Sums.empty(scale))
        width = series.value_range[1] - series.value_range[0]
        for _, truth in series.truths(scale):
            slices += 1
            for degradation in degradations:
                subject.add(degradation.apply(truth, scale, series.spacing), truth, width)
    if slices == 0:
        return None
    weights = linear.solve(sums[k] for k in sorted(sums))
    return {
        "degradations": [d.name for d in degradations],
        "subjects": len(sums),
        "slices": slices,
        "weights": [[round(float(x), DIGITS) for x in phase] for phase in weights],
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m acutance.evaluate.fit", description=__doc__)
    parser.add_argument("data", type=Path, metavar="DATA", help="folder with MANIFEST.csv")
    parser.add_argument("-o", "--output", type=Path, default=linear.PATH, help="file to write (%(default)s)")
    parser.add_argument("--modality", action="append", choices=score.MODALITIES, help="only these")
    parser.add_argument("--scale", type=int, action="append", help="only these (2, 3 and 4)")
    given = parser.parse_args(arguments)
    filters: dict[str, dict[str, Any]] = {}
    for modality in given.modality or score.MODALITIES:
        for scale in given.scale or (2, 3, 4):
            found = fit(given.data, modality, scale)
            if found is not None:
                print(f"{modality} x{scale}: {found['subjects']} subjects, {found['slices']} slices")
                filters.setdefault(modality, {})[str(scale)] = found
    how = "python -m acutance.evaluate.fit DATA: least squares on the train split, each phase summing to 1"
    text = json.dumps({"how": how, "protocol": score.PROTOCOL, "side": linear.SIDE, "filters": filters})
    given.output.write_text(text.replace('"weights": [[', '\n"weights": [[').replace("], [", "],\n[") + "\n", "utf-8")


if __name__ == "__main__":
    end(main)
