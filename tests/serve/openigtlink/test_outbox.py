"""What waits for a receiver: bounded, in order, and never half a message."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("fastcrc")

from acutance.serve.openigtlink.outbox import AT_ONCE, OVERHEAD, Outbox


def drained(box: Outbox, step: int = 10**9) -> bytes:
    found = b""
    while parts := box.next():
        taken = b"".join(parts)[:step]
        box.wrote(len(taken))
        found += taken
    return found


@given(st.lists(st.lists(st.binary(max_size=9), max_size=20), max_size=6), st.integers(1, 7))
def test_all_comes_out_in_order_however_little_is_written_at_once(messages: list[list[bytes]], step: int) -> None:
    box = Outbox(10**6)
    for parts in messages:
        assert box.put(parts) == (0, 0)
    assert drained(box, step) == b"".join(b"".join(parts) for parts in messages)
    assert box.empty


def test_only_the_latest_of_a_key_waits_behind_what_came_before_it() -> None:
    box = Outbox(10**6)
    box.put([b"old "], "a")
    box.put([b"transform "])
    box.put([b"other "], "b")
    assert box.put([b"new "], "a") == (1, 0)
    assert drained(box) == b"transform other new "


def test_what_is_half_written_is_finished() -> None:
    box = Outbox(10)
    box.put([b"12345", b"6789"], "a")
    box.next()
    box.wrote(3)
    assert box.put([b"later"], "a") == (0, 0)
    assert drained(box) == b"456789later"


def test_the_oldest_makes_room() -> None:
    box = Outbox(10 + 2 * OVERHEAD)
    assert [box.put([bytes([n]) * 4]) for n in range(1, 5)] == [(0, 0), (0, 0), (0, 1), (0, 1)]
    assert box.put([b"x" * (3 * OVERHEAD)]) == (0, 2)  # larger than all room, and alone
    assert drained(box) == b"x" * (3 * OVERHEAD)


def test_few_parts_are_written_at_once() -> None:
    box = Outbox(10**6)
    box.put([b"a"] * (3 * AT_ONCE))
    assert len(box.next()) == AT_ONCE


def test_empty_parts_are_left_out() -> None:
    box = Outbox(10)
    box.put([b"", b"a", b""])
    assert [bytes(p) for p in box.next()] == [b"a"]
