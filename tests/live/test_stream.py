"""Streams with their threads, real networks and the real base: what leaves, what it says of itself, what is counted."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acutance.enhancer import Enhancer, Result
from acutance.errors import BackendError
from acutance.geometry import Frame, robust_range
from acutance.live.metrics import Metrics
from acutance.live.schedule import Why
from acutance.live.stream import STUCK, Outgoing, Stream, StreamSettings

MakeModel = Callable[..., Path]
LONG = StreamSettings(deadline_ms=20_000)
"""A deadline that no picture misses, however busy the machine is."""


class Clock:
    """Time that stands still unless it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Odd(Enhancer):
    """An enhancer whose network can be held, and told to fail."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.go, self.begun = threading.Event(), threading.Semaphore(0)
        self.go.set()
        self.fails: type[BaseException] | None = None
        self.runs = self.restarts = 0

    def run(self, *args: Any, **kwargs: Any) -> Result:
        self.runs += 1
        self.begun.release()
        assert self.go.wait(30)
        if self.fails is not None:
            raise self.fails("no device")
        return super().run(*args, **kwargs)

    def restart(self) -> None:
        self.restarts += 1
        super().restart()


@dataclasses.dataclass
class Set:
    stream: Stream
    metrics: Metrics
    enhancer: Odd
    clock: Clock
    got: list[Outgoing]
    came: threading.Semaphore

    def wait(self, n: int = 1) -> list[Outgoing]:
        for _ in range(n):
            assert self.came.acquire(timeout=30)
        return self.got[-n:]

    def put(self, frame: Frame, tag: object = None) -> Outgoing:
        self.stream.put(frame, tag)
        return self.wait()[0]

    def total(self, name: str, **labels: str) -> float:
        return self.metrics.total(name, **labels)


MakeSet = Callable[..., Set]


@pytest.fixture
def make_set(make_model: MakeModel) -> Iterator[MakeSet]:
    made: list[Set] = []

    def make(
        settings: StreamSettings = LONG, out: Callable[[Outgoing], None] | None = None, model: Any = None, **said: Any
    ) -> Set:
        enhancer = Odd(model or make_model(modalities=["US"], **said), threads=1)
        metrics, clock, got, came = Metrics(), Clock(), [], threading.Semaphore(0)

        def take(outgoing: Outgoing) -> None:
            if out is not None:
                out(outgoing)
            got.append(outgoing)
            came.release()

        stream = Stream("s", enhancer, settings, take, metrics, clock)
        made.append(Set(stream, metrics, enhancer, clock, got, came))
        return made[-1]

    yield make
    for one in made:
        one.enhancer.go.set()
        one.stream.close()
        one.enhancer.close()


def picture(seed: int = 0, shape: tuple[int, ...] = (24, 32), dtype: Any = np.uint8) -> Frame:
    return Frame(np.random.default_rng(seed).integers(0, 200, shape).astype(dtype), "US", spacing=(0.4, 0.2))


def warm(one: Set, frame: Frame | None = None) -> None:
    """Let one picture through, so that costs are known."""
    one.put(frame or picture())
    one.put(frame or picture())


def test_a_picture_leaves_enhanced_with_its_tag_and_what_it_is(make_set: MakeSet) -> None:
    one, frame, tag = make_set(), picture(), object()
    found = one.put(frame, tag)
    wanted = one.enhancer.run(frame)
    assert found.tag is tag and (found.sequence, found.base, found.reason, found.model) == (0, False, None, "tiny-x2")
    assert np.array_equal(found.frame.pixels, wanted.pixels)
    assert found.frame.derivation == wanted.frame.derivation
    assert found.frame.spacing == (0.2, 0.1) and found.frame.timestamp is None
    assert found.age_ms == 0.0  # by the clock that stands still
    assert one.stream.latest is found and one.stream.health() is None
    assert (one.total("frames_in_total"), one.total("frames_out_total")) == (1, 1)


def test_age_is_measured_and_late_pictures_are_counted(make_set: MakeSet) -> None:
    one = make_set(StreamSettings(deadline_ms=50))
    warm(one)
    one.enhancer.go.clear()
    one.stream.put(picture())
    assert all(one.enhancer.begun.acquire(timeout=30) for _ in range(3))
    one.clock.now += 0.08
    one.enhancer.go.set()
    (found,) = one.wait()
    assert found.age_ms == pytest.approx(80) and one.total("frames_late_total") == 1
    times = one.metrics.snapshot().times["age_seconds"]
    assert sum(t.total for t in times.values()) == pytest.approx(0.08)


def test_when_the_network_is_not_done_in_time_the_base_leaves_and_says_so(make_set: MakeSet) -> None:
    one, frame = make_set(StreamSettings(fps=25), base="lanczos4", scale=3), picture()
    one.enhancer.go.clear()
    one.stream.put(frame)
    assert one.enhancer.begun.acquire(timeout=30)
    one.clock.now += 0.041
    with one.stream._changed:
        one.stream._changed.notify_all()
    (found,) = one.wait()
    assert found.base and found.model == "base" and found.reason == Why.late.value
    assert found.frame.derivation is not None
    assert found.frame.derivation.fell_back == Why.late.value and found.frame.derivation.base == "lanczos4"
    assert found.frame.pixels.shape == (72, 96)
    assert np.array_equal(found.frame.pixels, one.enhancer.base(frame).pixels)
    one.stream.put(frame)
    assert one.wait()[0].reason == Why.busy.value  # the first one is still with the network
    assert one.total("frames_base_total") == 2 and one.total("frames_base_total", reason="late") == 1
    one.clock.now += STUCK
    assert one.stream.health() == "the network has not answered for 60 s"
    one.enhancer.go.set()


def test_at_most_two_wait_and_the_latest_stay(make_set: MakeSet) -> None:
    one = make_set()
    one.enhancer.go.clear()
    one.stream.put(picture(), 0)
    assert one.enhancer.begun.acquire(timeout=30)
    for i in range(1, 10):
        one.stream.put(picture(i), i)
        assert len(one.stream._schedule.waiting) <= 2
    one.enhancer.go.set()
    assert [o.tag for o in one.wait(3)] == [0, 8, 9]
    assert (one.total("frames_dropped_total", reason="newer"), one.total("frames_in_total")) == (7, 10)


def test_a_failing_network_gives_way_to_the_base_and_is_tried_again(make_set: MakeSet) -> None:
    one = make_set()
    warm(one)
    one.enhancer.fails = BackendError
    found = one.put(picture())
    assert found.base and found.reason == Why.failed.value
    assert one.put(picture()).reason == Why.failed.value
    assert one.enhancer.runs == 3  # not tried again so soon
    one.enhancer.fails = MemoryError  # whatever a driver raises
    one.clock.now += 0.51
    assert one.put(picture()).base and one.enhancer.runs == 4 and one.enhancer.restarts == 0
    one.clock.now += 0.51
    assert one.put(picture()).base and one.enhancer.runs == 4  # twice as long
    one.enhancer.fails = None
    one.clock.now += 0.51
    assert not one.put(picture()).base and one.enhancer.restarts == 1  # its backends are opened anew
    assert not one.put(picture()).base and one.enhancer.restarts == 1
    assert one.total("network_failures_total") == 2 and one.stream.health() is None


def test_a_backend_that_gave_way_is_opened_anew_later(make_set: MakeSet, monkeypatch: pytest.MonkeyPatch) -> None:
    one = make_set()

    def run(*args: Any, **kwargs: Any) -> Result:
        one.enhancer._routes.notes.add("failed", "tensorrt failed: no device")
        return Enhancer.run(one.enhancer, *args, **kwargs)

    monkeypatch.setattr(one.enhancer, "run", run)
    assert not one.put(picture()).base and one.enhancer.restarts == 0
    one.clock.now += 29
    one.put(picture())
    assert one.enhancer.restarts == 0
    one.clock.now += 1
    assert not one.put(picture()).base and one.enhancer.restarts == 1


def test_nan_is_counted_and_leaves_as_the_base(make_set: MakeSet) -> None:
    one = make_set(poison=float("nan"))
    found = one.put(picture())
    assert found.base and found.reason is not None and "not finite" in found.reason
    assert np.array_equal(found.frame.pixels, one.enhancer.base(picture()).pixels)
    assert one.total("frames_nan_total") == 1 and one.total("frames_base_total", reason="nan") == 1
    assert one.enhancer.runs == 1 and one.put(picture()).base and one.enhancer.runs == 2  # no back-off for it


def test_sizes_kinds_and_colours_change_without_a_restart(make_set: MakeSet) -> None:
    one = make_set()
    for frame in (
        picture(),
        picture(1, (40, 20)),
        picture(2, (24, 32, 3)),
        picture(3, dtype=np.uint16),
        picture(4, (1, 1)),
        picture(5, dtype=np.float32),
        picture(),
    ):
        found = one.put(frame)
        assert not found.base and np.array_equal(found.frame.pixels, one.enhancer.run(frame).pixels)
        assert found.frame.pixels.dtype == frame.pixels.dtype


def test_a_picture_that_is_no_picture_is_dropped_and_the_stream_goes_on(make_set: MakeSet) -> None:
    one = make_set()
    one.stream.put(dataclasses.replace(picture(), bits_stored=3))
    assert not one.put(picture()).base
    assert one.total("frames_dropped_total", reason="refused") == 1


def test_a_receiver_that_raises_does_not_end_the_stream(make_set: MakeSet) -> None:
    def out(outgoing: Outgoing) -> None:
        if outgoing.tag == "bad":
            raise ConnectionError("gone")

    one = make_set(out=out)
    one.stream.put(picture(), "bad")
    assert one.put(picture(), "good").tag == "good"
    assert (one.total("frames_dropped_total", reason="unsent"), one.total("frames_out_total")) == (1, 1)


def test_close_lets_waiting_pictures_leave_and_takes_no_more(make_set: MakeSet) -> None:
    one = make_set()
    one.enhancer.go.clear()
    for i in range(3):
        one.stream.put(picture(i), i)
        if i == 0:
            assert one.enhancer.begun.acquire(timeout=30)
    closing = threading.Thread(target=one.stream.close, args=(30,))
    closing.start()
    while not one.stream._closed:
        pass
    one.enhancer.go.set()
    closing.join(30)
    one.stream.put(picture(), "after")
    assert [o.tag for o in one.got] == [0, 1, 2]
    assert one.total("frames_dropped_total", reason="closed") == 1
    assert not one.stream._thread.is_alive() and not one.stream._network.alive


def test_close_does_not_wait_for_a_network_that_hangs(make_set: MakeSet) -> None:
    one = make_set()
    one.enhancer.go.clear()
    one.stream.put(picture())
    assert one.enhancer.begun.acquire(timeout=30)
    one.stream.put(picture())
    one.stream.close(0.05)
    assert one.total("frames_dropped_total", reason="closed") == 1


def test_the_range_is_of_the_first_pictures_and_said_to_be_of_the_stream(make_set: MakeSet) -> None:
    mapping = {"kind": "percentile"}
    one = make_set(StreamSettings(deadline_ms=20_000, freeze_after=2), mapping=mapping)
    frames = [picture(i, dtype=np.uint16) for i in range(2)]
    brighter = dataclasses.replace(frames[0], pixels=3 * frames[0].pixels)
    ranges = []
    for frame in (*frames, brighter, brighter):
        found = one.put(frame)
        how = found.frame.derivation
        assert how is not None and how.range_from == "stream" and found.frame.value_range is None
        ranges.append((how.low, how.high))
    assert ranges[0] == robust_range(frames[:1])
    assert set(ranges[1:]) == {robust_range(frames)}
    one.stream.reset()
    how = one.put(brighter).frame.derivation
    assert how is not None and (how.low, how.high) == robust_range([brighter])
    known = one.put(dataclasses.replace(brighter, value_range=(0.0, 500.0))).frame
    assert known.derivation is not None
    assert (known.derivation.low, known.derivation.range_from, known.value_range) == (0.0, "series", (0.0, 500.0))


def test_what_the_source_says_of_silence(make_set: MakeSet) -> None:
    one = make_set(StreamSettings(deadline_ms=20_000, silence_s=2))
    assert one.stream.health() is None
    one.put(picture())
    one.clock.now += 3
    assert one.stream.health() == "no picture has come for 3 s"
    one.put(picture())
    assert one.stream.health() is None


def test_the_deadline_is_that_of_the_rate_when_none_is_given(make_set: MakeSet) -> None:
    one = make_set(StreamSettings())
    assert one.stream._budget() == 2.0
    for _ in range(5):
        one.put(picture())
        one.clock.now += 0.04
    assert one.stream._budget() == pytest.approx(0.04)
    assert make_set(StreamSettings(fps=50), name="b-x2").stream._budget() == 0.02
    assert make_set(StreamSettings(fps=50, deadline_ms=70), name="c-x2").stream._budget() == pytest.approx(0.07)


@pytest.fixture
def echo(make_mixer: MakeModel) -> Path:
    """A network that adds what it gave before: its picture tells how much it remembers."""
    residual = np.zeros((4, 6), np.float32)
    residual[:, 1] = 0.1
    return make_mixer(["lr", "lr_previous", "previous"], {"residual": residual})


def test_memory_goes_on_in_a_stream_and_begins_anew_where_it_must(make_set: MakeSet, echo: Path) -> None:
    one, frame = make_set(model=echo), picture()
    later = dataclasses.replace(frame, pixels=frame.pixels + np.uint8(1))
    alone = one.put(frame).frame.pixels
    remembers = one.put(later).frame.pixels
    assert not np.array_equal(remembers, one.enhancer.run(later).pixels)
    one.clock.now += 0.04
    one.put(frame)
    one.clock.now += 0.04
    one.stream.reset()
    assert np.array_equal(one.put(frame).frame.pixels, alone)  # another source
    one.clock.now += 0.04
    assert not np.array_equal(one.put(later).frame.pixels, one.enhancer.run(later).pixels)
    one.clock.now += 5
    assert np.array_equal(one.put(frame).frame.pixels, alone)  # silence
    one.clock.now += 0.04
    cut = dataclasses.replace(frame, pixels=np.kron(np.eye(2), np.ones((12, 16))).astype(np.uint8) * 200)
    assert np.array_equal(one.put(cut).frame.pixels, one.enhancer.run(cut).pixels)  # another scene


def test_a_stream_without_a_network_says_that_none_was_asked_for(make_set: MakeSet) -> None:
    one = make_set(model="base")
    found = one.put(picture())
    assert (found.base, found.reason, found.model) == (True, None, "base")
    assert one.total("frames_base_total", reason="asked") == 1
    assert one.enhancer.runs == 0  # nothing to wait for


def test_pictures_without_a_model_say_so(make_set: MakeSet) -> None:
    one = make_set(model="auto")
    found = one.put(dataclasses.replace(picture(), modality="ZZ"))
    assert (found.base, found.reason) == (True, "no model enlarges ZZ by 2")
    assert one.total("frames_base_total", reason="unfit") == 1
    assert found.frame.derivation == one.enhancer.derivation(dataclasses.replace(picture(), modality="ZZ"))
