"""Costs and paces: percentiles of the last, by kind."""

from __future__ import annotations

import pytest

from acutance.live.cost import LONGEST, MOST_KINDS, WINDOW, Costs, Pace


def test_one_slow_picture_of_many_changes_no_prediction() -> None:
    costs = Costs()
    for i in range(WINDOW):
        costs.add("a", 5.0 if i == 7 else 0.010 + 0.0001 * i)
    assert costs.predict("a") == pytest.approx(0.0131)
    costs.add("a", 6.0)
    costs.add("a", 6.0)
    assert costs.predict("a") == 6.0


def test_kinds_stand_apart_and_the_first_picture_of_each_does_not_count() -> None:
    costs = Costs(warm_up=1)
    assert costs.predict("a") is None
    costs.add("a", 9.0)
    assert costs.predict("a") is None
    costs.add("a", 1.0)
    costs.add("b", 2.0)
    costs.add("b", 3.0)
    assert (costs.predict("a"), costs.predict("b")) == (1.0, 3.0)


def test_what_is_renewed_counts_alone() -> None:
    costs = Costs()
    for _ in range(WINDOW):
        costs.add("a", 1.0)
    costs.renew("a", 0.01)
    assert costs.predict("a") == 0.01


def test_few_kinds_are_remembered() -> None:
    costs = Costs()
    for kind in range(MOST_KINDS):
        costs.add(kind, 1.0)
    costs.add(0, 1.0)
    costs.add("more", 1.0)
    assert costs.predict(1) is None and costs.predict(0) == 1.0 and len(costs._kinds) == MOST_KINDS


def test_a_pace_forgives_pauses_and_bursts() -> None:
    pace, now = Pace(), 100.0
    assert pace.interval is None
    for i in range(60):
        now += {20: LONGEST + 60, 30: 0.001, 40: 0.2}.get(i, 1 / 30)
        pace.add(now)
    assert pace.interval == pytest.approx(1 / 30)
