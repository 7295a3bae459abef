"""What a stream does next with its pictures: decisions only, at times that are told, without threads or clocks.

A picture goes to the network when it is predicted to be done by the picture's deadline, and leaves as its base
otherwise, or when the network was not done in the end, as soon as what is left of the time is just enough for the base.
At most two pictures wait, and of those one that is too late even for its base is dropped for the one behind it.
So a picture never leaves later than its deadline and three times what base and sending take: its own, and those of the
two before it.
"""

from __future__ import annotations

import collections
import dataclasses
import enum
from collections.abc import Hashable
from typing import Any

from .cost import Costs

MOST_WAITING = 2
"""Pictures that wait; one more, and the oldest is dropped."""

PROBE_FIRST, PROBE_LAST = 1.0, 16.0
"""Seconds until a network that takes too long is tried again all the same; doubled each time, up to the second."""

STEADY = 30
"""Pictures in a row that are done in time, after which the next trial comes after :data:`PROBE_FIRST` again."""

BACK_OFF_FIRST, BACK_OFF_LAST = 0.5, 60.0
"""Seconds until a network that failed is tried again; doubled with each failure, up to the second."""


class Why(str, enum.Enum):
    """Why a picture leaves as its base."""

    slow = "the network takes longer than there is time"
    late = "the network was not done in time"
    busy = "the network is still busy with an earlier picture"
    failed = "the network has failed and is tried again later"


class Dropped(str, enum.Enum):
    """Why a picture does not leave."""

    newer = "newer"
    late = "late"
    refused = "refused"
    closed = "closed"
    unsent = "unsent"


@dataclasses.dataclass(frozen=True, eq=False)
class Item:
    """A picture on its way.

    Attributes
    ----------
    payload : object
    kind : hashable
        Pictures of one kind take the same time.
    sequence : int
    since, deadline : float
        Seconds: when it came and when it has to leave.
    networked : bool
        Whether there is a network for it.
    """

    payload: Any
    kind: Hashable
    sequence: int
    since: float
    deadline: float
    networked: bool = True


@dataclasses.dataclass(frozen=True)
class Wait:
    """Nothing to do before ``until``, or before something happens."""

    until: float | None


@dataclasses.dataclass(frozen=True)
class Try:
    """Give a picture to the network, then ask for the next step."""

    item: Item


@dataclasses.dataclass(frozen=True)
class Base:
    """Send a picture as its base; ``why`` is None where there is no network for it."""

    item: Item
    why: Why | None


@dataclasses.dataclass(frozen=True)
class Send:
    """Send what the network has made."""

    item: Item
    made: Any


@dataclasses.dataclass(frozen=True)
class Drop:
    """Drop a picture."""

    item: Item
    why: Dropped


Step = Wait | Try | Base | Send | Drop


class Schedule:
    """The pictures of one stream.

    Attributes
    ----------
    waiting : deque of Item
        At most :data:`MOST_WAITING`, the oldest first.
    trying : Item or None
        What is waited for.
    job : Item or None
        What the network works on: also a picture that has already left as its base.
    job_since : float
    """

    def __init__(self) -> None:
        self.waiting: collections.deque[Item] = collections.deque()
        self.trying: Item | None = None
        self.job: Item | None = None
        self.job_since = 0.0
        self._made: list[Any] = []
        self._probing = False
        self._network, self._base = Costs(warm_up=1), Costs()
        self._probe_after = PROBE_FIRST
        self._retry_at, self._retry_after = 0.0, BACK_OFF_FIRST
        self._in_time = 0

    def put(self, item: Item) -> Item | None:
        """Take a picture; return the one that makes way for it."""
        dropped = self.waiting.popleft() if len(self.waiting) == MOST_WAITING else None
        self.waiting.append(item)
        return dropped

    def step(self, now: float) -> Step:
        """Return what to do at a time in seconds."""
        if self.trying is not None:
            return self._while_trying(self.trying, now)
        if not self.waiting:
            return Wait(None)
        item = self.waiting.popleft()
        if self.waiting and now + (self._base.predict(item.kind) or 0.0) > item.deadline:
            return Drop(item, Dropped.late)
        if not item.networked:
            return Base(item, None)
        why = self._refusal(item, now)
        if why is not None:
            return Base(item, why)
        self.trying = self.job = item
        self.job_since = now
        return Try(item)

    def done(self, made: Any, now: float, measured: bool = True) -> None:
        """Take what the network has made of its picture; ``measured``: and what it took as the measure of others."""
        item, in_time = self._answered()
        seconds = now - self.job_since
        if not measured:
            pass
        elif self._probing and in_time:
            self._network.renew(item.kind, seconds)
        else:
            self._network.add(item.kind, seconds)
        self._retry_after = BACK_OFF_FIRST
        self._in_time = self._in_time + 1 if in_time else 0
        if self._in_time >= STEADY:
            self._probe_after = PROBE_FIRST
        if in_time:
            self._made = [made]

    def failed(self, now: float, made: Any = None) -> None:
        """Take that the network has failed, and what came in place of a result, if anything did."""
        _, in_time = self._answered()
        self.retry_later(now)
        if in_time:
            self._made = [made]

    def retry_later(self, now: float) -> None:
        """Leave the network alone for a while, twice as long each time until it has made something."""
        self._retry_at = now + self._retry_after
        self._retry_after = min(2 * self._retry_after, BACK_OFF_LAST)

    def based(self, item: Item, seconds: float) -> None:
        """Take what making and sending a base took."""
        self._base.add(item.kind, seconds)

    def _answered(self) -> tuple[Item, bool]:
        """Return the picture that the network is through with, and whether it is still waited for."""
        assert self.job is not None
        item, self.job = self.job, None
        return item, item is self.trying

    def _while_trying(self, item: Item, now: float) -> Step:
        if self._made:
            made = self._made.pop()
            self.trying = None
            return Base(item, Why.failed) if made is None else Send(item, made)
        give_up = self._give_up(item)
        if now < give_up:
            return Wait(give_up)
        self.trying = None
        return Base(item, Why.late)

    def _refusal(self, item: Item, now: float) -> Why | None:
        """Return why a picture does not go to the network."""
        self._probing = False
        if self.job is not None:
            return Why.busy
        if now < self._retry_at:
            return Why.failed
        if now >= self._give_up(item):
            return Why.slow
        cost = self._network.predict(item.kind)
        if cost is None or now + cost <= item.deadline:
            return None
        if now < self.job_since + self._probe_after:
            return Why.slow
        self._probing, self._probe_after = True, min(2 * self._probe_after, PROBE_LAST)
        return None

    def _give_up(self, item: Item) -> float:
        """Return when there is just time enough left for the base: half of all of it, before it is known."""
        cost = self._base.predict(item.kind)
        return item.deadline - (cost if cost is not None else (item.deadline - item.since) / 2)
