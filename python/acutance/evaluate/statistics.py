"""From slices to one number with its uncertainty: mean per subject, mean over subjects, bootstrap over subjects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000
SEED = 0
LEVEL = 0.95


def per_subject(slices: Sequence[tuple[str, float]]) -> dict[str, float]:
    """Return each subject's mean over its slices, in the order of the subjects' names; NaN slices are left out."""
    found: dict[str, list[float]] = {}
    for subject, value in slices:
        if not np.isnan(value):
            found.setdefault(subject, []).append(value)
    return {subject: float(np.mean(found[subject])) for subject in sorted(found)}


def interval(values: Sequence[float] | NDArray[np.float64]) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval of the mean of independent values.

    Efron and Tibshirani, An Introduction to the Bootstrap, 1993, 13.3: 10,000 resamples from one fixed seed, so that
    the same values give the same interval. NaN for fewer than two values, whose spread nobody knows.
    """
    x = np.asarray(values, dtype=np.float64)
    if x.size < 2:
        return float("nan"), float("nan")
    if np.isinf(x).any():
        return float(x.min()), float(x.max())
    chosen = np.random.default_rng(SEED).integers(0, x.size, (RESAMPLES, x.size))
    low, high = np.quantile(x[chosen].mean(axis=1), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def summary(subjects: Mapping[str, float]) -> dict[str, float]:
    """Return ``mean``, ``low`` and ``high`` (95 % interval over subjects) of subjects' means."""
    values = np.array(list(subjects.values()), dtype=np.float64)
    low, high = interval(values)
    return {"mean": float(values.mean()) if values.size else float("nan"), "low": low, "high": high}


def difference(ours: float, rival: float) -> float:
    """Return ``ours - rival``; 0 for two equal infinities."""
    return 0.0 if ours == rival else ours - rival


def paired(ours: Mapping[str, float], rival: Mapping[str, float]) -> dict[str, float]:
    """Return the :func:`summary` of ours less the rival's, subject by subject, and the ``worst`` subject's."""
    found = {k: difference(ours[k], rival[k]) for k in sorted(set(ours) & set(rival))}
    return {**summary(found), "worst": min(found.values(), default=float("nan"))}
