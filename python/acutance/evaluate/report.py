"""From the scores of slices to one report: what the table, the JSON file and ``docs/quality.md`` show.

A report is plain data that JSON can hold::

    {"protocol": 1, "split": "val", "scale": 2, "software": "0.1.0", "commit": "...", "seconds": 61.0, ...,
     "models": {name: {"version": "1.0", "sha256": "...", "guard": "box"}},
     "rows": [{"modality": "CT", "degradation": "psf 0.4", "method": "ct-rt-x2", "kind": "model",
               "subjects": 2, "slices": 110,
               "scores": {"psnr": {"mean": 40.1, "low": 39.0, "high": 41.2}, ...},
               "block_error": 0.0, "mtf50": 0.41, "fell_back": None,
               "against": {"cubic": {"psnr": {"mean": 4.4, "low": ..., "high": ..., "worst": ..., "worst_slice": ...},
                                     ...}}}]}

Infinite and unknown numbers are the strings ``"inf"``, ``"-inf"`` and ``"nan"``, which JSON numbers cannot be.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError
from . import statistics

SCORES = ("psnr", "psnr_fg", "ssim", "ssim_fg", "haarpsi", "haarpsi_fg", "fine_energy")
"""Scores of one slice that are averaged; ``_fg``: of the foreground. ``block_error`` is a maximum instead."""


@dataclasses.dataclass(frozen=True)
class Record:
    """Scores of one slice, one degradation and one method.

    Attributes
    ----------
    modality, degradation, method, subject : str
    place : str
        Path and slice number, which make the slice unique.
    scores : dict of str to float
        :data:`SCORES` and ``block_error``.
    fell_back : str or None
        Why the model gave its base instead.
    """

    modality: str
    degradation: str
    method: str
    subject: str
    place: str
    scores: Mapping[str, float]
    fell_back: str | None = None


def rows(
    records: Iterable[Record],
    kinds: Mapping[str, str],
    against: Sequence[str],
    edges: Mapping[tuple[str, str, str], float],
) -> list[dict[str, Any]]:
    """Average slices into one row per modality, degradation and method, in the order of the records.

    Parameters
    ----------
    records : iterable of Record
    kinds : mapping
        Method to ``"rival"`` or ``"model"``; models are compared to each method in ``against``.
    against : sequence of str
    edges : mapping
        (modality, degradation, method) to MTF50 in cycles per output pixel.
    """
    groups: dict[tuple[str, str], dict[str, list[Record]]] = {}
    for r in records:
        groups.setdefault((r.modality, r.degradation), {}).setdefault(r.method, []).append(r)
    out = []
    for (modality, degradation), methods in groups.items():
        ordered = {m: sorted(found, key=lambda r: r.place) for m, found in methods.items()}
        for method, found in ordered.items():
            row = _row(found, kinds[method])
            row["mtf50"] = edges.get((modality, degradation, method), math.nan)
            if kinds[method] == "model":
                rivals = [m for m in against if m in ordered and m != method]
                row["against"] = {m: _against(found, ordered[m]) for m in rivals}
            out.append(row)
    return out


def _row(found: Sequence[Record], kind: str) -> dict[str, Any]:
    first = found[0]
    fallen = [r.fell_back for r in found if r.fell_back]
    return {
        "modality": first.modality,
        "degradation": first.degradation,
        "method": first.method,
        "kind": kind,
        "subjects": len({r.subject for r in found}),
        "slices": len(found),
        "scores": {k: statistics.summary(_subjects(found, k)) for k in SCORES},
        "block_error": max(r.scores["block_error"] for r in found),
        "fell_back": f"{len(fallen)} of {len(found)} slices: {fallen[0]}" if fallen else None,
    }


def _against(ours: Sequence[Record], rival: Sequence[Record]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for k in SCORES:
        found[k] = statistics.paired(_subjects(ours, k), _subjects(rival, k))
    by_place = {r.place: r.scores["psnr"] for r in rival}
    single = [statistics.difference(r.scores["psnr"], by_place[r.place]) for r in ours if r.place in by_place]
    found["psnr"]["worst_slice"] = min(single, default=math.nan)
    return found


def _subjects(found: Sequence[Record], score: str) -> dict[str, float]:
    return statistics.per_subject([(r.subject, r.scores[score]) for r in found])


def card_rows(report: Mapping[str, Any], model: str) -> list[dict[str, Any]]:
    """Return a model's rows, flat, for its metadata (``scores.rows``): PSNR, SSIM and the gain over each rival."""
    out = []
    for row in report["rows"]:
        if row["method"] != model:
            continue
        flat = {k: row[k] for k in ("modality", "degradation", "subjects", "slices", "block_error")}
        flat.update({k: round(row["scores"][k]["mean"], 4) for k in ("psnr", "psnr_fg", "ssim", "haarpsi")})
        flat["psnr_gain"] = {rival: round(x["psnr"]["mean"], 3) for rival, x in row["against"].items()}
        out.append(flat)
    return out


def save(report: Mapping[str, Any], path: Path) -> None:
    """Write a report as JSON."""
    text = json.dumps(_to_json(report), indent=1, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def load(path: Path) -> dict[str, Any]:
    """Read a report.

    Raises
    ------
    InputError
        The file cannot be read or is no report.
    """
    try:
        found = _from_json(json.loads(path.read_text(encoding="utf-8")))
    except OSError as e:
        raise InputError(f"cannot be read ({e.strerror})", path) from None
    except ValueError as e:
        raise InputError(f"is no JSON ({e}); make it with `acutance evaluate DATA -o FOLDER`", path) from None
    if not isinstance(found, dict) or "rows" not in found:
        raise InputError("is no report; make one with `acutance evaluate DATA -o FOLDER`", path)
    return found


def _to_json(x: Any) -> Any:
    if isinstance(x, Mapping):
        return {k: _to_json(v) for k, v in x.items()}
    if isinstance(x, (list, tuple)):
        return [_to_json(v) for v in x]
    if isinstance(x, float):
        return round(x, 6) if math.isfinite(x) else str(x)
    return x


def _from_json(x: Any) -> Any:
    if isinstance(x, dict):
        return {k: _from_json(v) for k, v in x.items()}
    if isinstance(x, list):
        return [_from_json(v) for v in x]
    return float(x) if x in ("nan", "inf", "-inf") else x
