"""From the scores of slices to one report: what the table, the JSON file and ``docs/quality.md`` show.

A report is plain data that JSON can hold::

    {"protocol": 1, "split": "val", "scales": [2], "software": "0.1.0", "commit": "...", "seconds": 61.0, ...,
     "models": {name: {"version": "1.0", "sha256": "...", "guard": "box"}},
     "rows": [{"scale": 2, "modality": "CT", "degradation": "psf 0.4", "method": "ct-rt-x2", "kind": "model",
               "subjects": 2, "slices": 110,
               "scores": {"psnr": {"mean": 40.1, "low": 39.0, "high": 41.2}, ...},
               "block_error": 0.0, "consistency": 0.5, "mtf50": 0.41, "overshoot": 0.02, "fell_back": None,
               "against": {"cubic": {"psnr": {"mean": 4.4, "low": ..., "high": ..., "worst": ..., "worst_slice": ...,
                                              "worst_place": "scan.nii.gz#0012"}, ...,
                                     "bias": {"mean": 0.02, "worst": -0.11}}}}],
     "lesions": [{"scale": 2, "modality": "CT", "degradation": "psf 0.4", "method": "ct-rt-x2", "kind": "model",
                  "subjects": 2, "slices": 4, "false": {"mean": 1.5, "low": ..., "high": ...}, "lost": {...},
                  "discs": [{"diameter": 4.0, "level": 0, "count": 4, "cnr": 2.1, "kept": 0.8, "size": 1.1}, ...]}]}

``bias`` is how far the foreground's mean lies above that of the other method, in 1/4095 of the data range (HU for CT):
in the mean over subjects, and in the subject that is moved most. A model in another precision is always compared with
its fp32 file where that is scored, too. A method ``"truth"`` among the lesions is the truth itself.

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
from .lesions import Finding

SCORES = ("psnr", "psnr_fg", "ssim", "ssim_fg", "haarpsi", "haarpsi_fg", "vif", "fine_energy", "noise_power")
"""Scores of one slice that are averaged; ``_fg``: of the foreground."""

LARGEST = ("block_error", "consistency")
"""Scores of one slice of which the largest counts."""


@dataclasses.dataclass(frozen=True)
class Record:
    """Scores of one slice, one degradation and one method.

    Attributes
    ----------
    modality, degradation, method, subject : str
    place : str
        Path and slice number, which make the slice unique.
    scores : dict of str to float
        :data:`SCORES`, :data:`LARGEST`, and ``level``: the foreground's mean in 1/4095 of the data range. NaN
        for what was not taken of this slice.
    fell_back : str or None
        Why the model gave its base instead.
    scale : int
    """

    modality: str
    degradation: str
    method: str
    subject: str
    place: str
    scores: Mapping[str, float]
    fell_back: str | None = None
    scale: int = 2


def rows(
    records: Iterable[Record],
    kinds: Mapping[str, str],
    against: Sequence[str],
    edges: Mapping[tuple[int, str, str, str], Mapping[str, float]],
) -> list[dict[str, Any]]:
    """Average slices into one row per scale, modality, degradation and method, in the order of the records.

    Parameters
    ----------
    records : iterable of Record
    kinds : mapping
        Method to ``"rival"`` or ``"model"``; models are compared to each method in ``against``.
    against : sequence of str
    edges : mapping
        (scale, modality, degradation, method) to ``mtf50`` and ``overshoot``; see :func:`acutance.evaluate.run.edges`.
    """
    groups: dict[tuple[int, str, str], dict[str, list[Record]]] = {}
    for r in records:
        groups.setdefault((r.scale, r.modality, r.degradation), {}).setdefault(r.method, []).append(r)
    out = []
    for group, methods in groups.items():
        ordered = {m: sorted(found, key=lambda r: r.place) for m, found in methods.items()}
        for method, found in ordered.items():
            row = _row(found, kinds[method])
            row |= edges.get((*group, method), {"mtf50": math.nan, "overshoot": math.nan})
            if kinds[method] == "model":
                fp32 = method.partition(" ")[0]
                rivals = [m for m in dict.fromkeys([*against, fp32]) if m in ordered and m != method]
                row["against"] = {m: _against(found, ordered[m]) for m in rivals}
            out.append(row)
    return out


def _row(found: Sequence[Record], kind: str) -> dict[str, Any]:
    first = found[0]
    fallen = [r.fell_back for r in found if r.fell_back]
    return {
        "scale": first.scale,
        "modality": first.modality,
        "degradation": first.degradation,
        "method": first.method,
        "kind": kind,
        "subjects": len({r.subject for r in found}),
        "slices": len(found),
        "scores": {k: statistics.summary(_subjects(found, k)) for k in SCORES},
        **{k: _largest(r.scores[k] for r in found) for k in LARGEST},
        "fell_back": f"{len(fallen)} of {len(found)} slices: {fallen[0]}" if fallen else None,
    }


def _largest(values: Iterable[float]) -> float:
    return max((x for x in values if not math.isnan(x)), default=math.nan)


def lesion_rows(findings: Iterable[Finding], kinds: Mapping[str, str]) -> list[dict[str, Any]]:
    """Average the lesion test into one row per scale, modality and method, in the order of the findings."""
    groups: dict[tuple[int, str, str, str], list[Finding]] = {}
    for f in findings:
        groups.setdefault((f.scale, f.modality, f.degradation, f.method), []).append(f)
    out = []
    for (scale, modality, degradation, method), found in groups.items():
        seen = [(f.subject, s) for f in found for s in f.seen]
        discs = []
        for diameter, level in sorted({(s.diameter, s.level) for _, s in seen}):
            these = [(subject, s) for subject, s in seen if (s.diameter, s.level) == (diameter, level)]
            means = {
                k: statistics.summary(statistics.per_subject([(who, getattr(s, k)) for who, s in these]))["mean"]
                for k in ("cnr", "kept", "size")
            }
            discs.append({"diameter": diameter, "level": level, "count": len(these), **means})
        out.append(
            {
                "scale": scale,
                "modality": modality,
                "degradation": degradation,
                "method": method,
                "kind": kinds.get(method, "truth"),
                "subjects": len({f.subject for f in found}),
                "slices": len(found),
                "false": statistics.summary(statistics.per_subject([(f.subject, float(f.false)) for f in found])),
                "lost": statistics.summary(statistics.per_subject([(f.subject, float(f.lost)) for f in found])),
                "discs": discs,
            }
        )
    return out


def _against(ours: Sequence[Record], rival: Sequence[Record]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for k in SCORES:
        found[k] = statistics.paired(_subjects(ours, k), _subjects(rival, k))
    by_place = {r.place: r.scores["psnr"] for r in rival}
    single = [
        (statistics.difference(r.scores["psnr"], by_place[r.place]), r.place) for r in ours if r.place in by_place
    ]
    found["psnr"]["worst_slice"], found["psnr"]["worst_place"] = min(single, default=(math.nan, ""))
    levels, others = _subjects(ours, "level"), _subjects(rival, "level")
    moved = [levels[k] - others[k] for k in levels if k in others]
    found["bias"] = {"mean": sum(moved) / len(moved), "worst": max(moved, key=abs)} if moved else {}
    return found


def _subjects(found: Sequence[Record], score: str) -> dict[str, float]:
    return statistics.per_subject([(r.subject, r.scores[score]) for r in found])


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
