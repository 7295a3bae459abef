"""Means over subjects and their intervals."""

from __future__ import annotations

import math

import numpy as np
import pytest

from acutance.evaluate import statistics


def test_each_subject_counts_once_whatever_its_slices() -> None:
    slices = [("b", 10.0)] * 99 + [("a", 20.0), ("b", float("nan"))]
    subjects = statistics.per_subject(slices)
    assert list(subjects.items()) == [("a", 20.0), ("b", 10.0)]
    assert statistics.summary(subjects)["mean"] == 15.0


def test_interval_is_the_same_each_time_and_covers_the_mean() -> None:
    values = np.random.default_rng(5).normal(3, 1, 12)
    low, high = statistics.interval(values)
    assert (low, high) == statistics.interval(values)
    assert low < values.mean() < high
    wanted = 1.96 * values.std() / np.sqrt(values.size)
    assert high - low == pytest.approx(2 * wanted, rel=0.05)


def test_interval_of_one_subject_is_unknown() -> None:
    assert all(math.isnan(x) for x in statistics.interval([1.0]))


def test_paired_differences_are_taken_subject_by_subject() -> None:
    ours, rival = {"a": 30.0, "b": 41.0, "c": 35.0}, {"a": 29.0, "b": 41.5}
    found = statistics.paired(ours, rival)
    assert found["mean"] == pytest.approx(0.25)
    assert found["worst"] == -0.5
    assert found["low"] == -0.5
    assert found["high"] == 1.0


def test_infinite_scores_stay_infinite() -> None:
    perfect = {"a": math.inf, "b": math.inf}
    assert statistics.summary(perfect) == {"mean": math.inf, "low": math.inf, "high": math.inf}
    assert statistics.paired(perfect, perfect)["mean"] == 0
    assert statistics.paired(perfect, {"a": 30.0, "b": 31.0})["mean"] == math.inf
