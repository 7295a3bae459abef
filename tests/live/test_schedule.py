"""Decisions of a stream, in time that is made up: nothing waits long, nothing is lost, nothing overtakes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acutance.live.schedule import (
    MOST_WAITING,
    PROBE_LAST,
    Base,
    Drop,
    Dropped,
    Item,
    Schedule,
    Send,
    Try,
    Wait,
    Why,
)


@dataclasses.dataclass
class Left:
    """A picture that left: when, and why as its base."""

    item: Item
    at: float
    why: Why | None


class Run:
    """Runs a schedule as a stream does: with a network beside it, and a base and a receiver that take their time.

    ``network`` gives for the number of each try its seconds, negative where the network fails after them.
    """

    def __init__(self, network: Sequence[float], base: Sequence[float], out: Sequence[float]) -> None:
        self.schedule = Schedule()
        self.network, self.base, self.out = network, base, out
        self.now, self.free_at = 0.0, 0.0
        self.left: list[Left] = []
        self.dropped: list[tuple[Item, Dropped]] = []
        self.answer_at: float | None = None
        self.tries = 0

    def until(self, arrivals: Sequence[float], deadline: float, end: float) -> None:
        """Go through the time in which pictures arrive, and then to its end."""
        coming = [Item(None, "kind", i, t, t + deadline) for i, t in enumerate(arrivals)]
        for _ in range(100_000):
            times = [t for t in (coming[0].since if coming else None, self.answer_at, self._wakes()) if t is not None]
            if not times or min(times) > end:
                return
            self.now = max(self.now, min(times))
            if self.answer_at is not None and self.answer_at <= self.now:
                self._answer()
            elif coming and coming[0].since <= self.now:
                made_way = self.schedule.put(coming.pop(0))
                if made_way is not None:
                    self.dropped.append((made_way, Dropped.newer))
            else:
                self._step()
            assert len(self.schedule.waiting) <= MOST_WAITING
        raise AssertionError("it waits for nothing")

    def _wakes(self) -> float | None:
        """Return when the stream's thread next has something to do."""
        schedule = self.schedule
        if schedule.trying is None and not schedule.waiting:
            return None
        until = schedule._give_up(schedule.trying) if schedule.trying and not schedule._made else self.now
        return max(until, self.free_at)

    def _answer(self) -> None:
        assert self.answer_at is not None
        failed = self.network[(self.tries - 1) % len(self.network)] < 0
        self.answer_at = None
        if failed:
            self.schedule.failed(self.now)
        else:
            self.schedule.done("made", self.now)

    def _step(self) -> None:
        step = self.schedule.step(self.now)
        k = len(self.left)
        if isinstance(step, Try):
            self.answer_at = self.now + abs(self.network[self.tries % len(self.network)])
            self.tries += 1
        elif isinstance(step, Drop):
            self.dropped.append((step.item, step.why))
        elif isinstance(step, Base):
            made = self.now + self.base[k % len(self.base)]
            self.free_at = made + self.out[k % len(self.out)]
            self.left.append(Left(step.item, made, step.why))
            self.schedule.based(step.item, self.free_at - self.now)
        elif isinstance(step, Send):
            self.free_at = self.now + self.out[k % len(self.out)]
            self.left.append(Left(step.item, self.now, None))
        else:
            assert isinstance(step, Wait)


seconds = st.floats(0.0005, 0.08)


@given(
    intervals=st.lists(st.floats(0.0001, 0.2), min_size=1, max_size=120),
    network=st.lists(st.one_of(seconds, st.floats(0.0005, 3.0), st.floats(-0.5, -0.0005)), min_size=1, max_size=30),
    base=st.lists(st.floats(0.0005, 0.05), min_size=1, max_size=5),
    out=st.lists(st.floats(0.0, 0.05), min_size=1, max_size=5),
    deadline=st.floats(0.002, 0.3),
)
def test_whatever_happens(
    intervals: list[float], network: list[float], base: list[float], out: list[float], deadline: float
) -> None:
    arrivals = [sum(intervals[: i + 1]) for i in range(len(intervals))]
    run = Run(network, base, out)
    run.until(arrivals, deadline, arrivals[-1] + 100)
    numbers = [left.item.sequence for left in run.left]
    assert numbers == sorted(set(numbers))  # in order, none twice
    dropped = [item.sequence for item, _ in run.dropped]
    assert sorted(numbers + dropped) == list(range(len(arrivals)))  # each has left or was dropped, none both
    longest = deadline + 3 * (max(base) + max(out))
    assert all(left.at - left.item.since <= longest + 1e-9 for left in run.left)
    assert run.left  # the last one always leaves
    assert run.left[-1].item.sequence == len(arrivals) - 1


def steady(n: int, fps: float = 30) -> list[float]:
    return [1 + i / fps for i in range(n)]


def test_a_network_that_is_fast_enough_makes_every_picture() -> None:
    run = Run([0.025], [0.003], [0.001])
    run.until(steady(300), 1 / 30, 100)
    assert len(run.left) == 300 and not run.dropped
    assert [left.why for left in run.left[:2]] == [Why.late, None]  # what the base takes is not known before
    assert all(left.why is None for left in run.left[1:])
    assert max(left.at - left.item.since for left in run.left) < 1 / 30


def test_a_network_that_is_too_slow_is_known_before_the_deadline() -> None:
    run = Run([0.05], [0.003], [0.001])
    run.until(steady(900), 1 / 30, 100)
    assert len(run.left) == 900 and not run.dropped
    assert all(left.why is not None for left in run.left)
    slow = [left for left in run.left if left.why is Why.slow]
    assert len(slow) > 880  # most are not tried at all, and leave at once
    assert max(left.at - left.item.since for left in slow) == pytest.approx(0.003)
    assert max(left.at - left.item.since for left in run.left) <= 1 / 30 + 1e-9


def test_a_network_that_becomes_fast_again_is_found_out() -> None:
    run = Run([0.02] * 21 + [0.05] * 7 + [0.02] * 3000, [0.003], [0.001])
    run.until(steady(3000), 1 / 30, 200)
    assert {left.why for left in run.left[1:20]} == {None}
    assert Why.slow in {left.why for left in run.left}
    last = max(i for i, left in enumerate(run.left) if left.why is not None)
    assert last < len(run.left) - 30 * PROBE_LAST
    assert not run.dropped


def test_a_failed_network_is_tried_again_later_and_later() -> None:
    run = Run([-0.002] * 6 + [0.01] * 2000, [0.003], [0.001])
    run.until(steady(1200), 1 / 30, 100)
    failed = [left.at for left in run.left if left.why is Why.failed]
    assert run.left[-1].why is None and not run.dropped
    assert failed[-1] - failed[0] == pytest.approx(0.5 + 1 + 2 + 4 + 8 + 16, abs=0.5)
    assert run.tries < 1200 - len(failed) + 7


def test_while_the_network_hangs_pictures_leave_as_their_base() -> None:
    run = Run([60.0, 0.01], [0.003], [0.001])
    run.until(steady(300), 1 / 30, 20)
    assert [left.why for left in run.left[:2]] == [Why.late, Why.busy]
    assert {left.why for left in run.left[1:]} == {Why.busy}
    assert max(left.at - left.item.since for left in run.left) < 1 / 30


def test_a_slow_receiver_gets_the_latest() -> None:
    run = Run([0.01], [0.003], [0.2])
    run.until(steady(300), 0.1, 100)
    assert len(run.left) + len(run.dropped) == 300
    assert max(left.at - left.item.since for left in run.left) < 0.1 + 3 * 0.203
    assert {why for _, why in run.dropped} == {Dropped.newer, Dropped.late}
    late = [item for item, why in run.dropped if why is Dropped.late]
    followed = {left.item.sequence for left in run.left}
    assert all(item.sequence + 1 in followed or item.sequence + 2 in followed for item in late)
