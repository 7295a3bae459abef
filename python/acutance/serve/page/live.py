"""Live streams: how old their pictures are when they leave, what was late or dropped, and the last one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, TypeVar

import fastapi
import numpy as np
import pydantic
from fastapi import Depends, Request, Response

from ...live.metrics import Labels, Snapshot, Times
from ...live.stream import Outgoing, Stream
from ..service import Context
from .answers import Picture
from .refused import Refused

SHOWN = 240
"""Last ages that are drawn."""

T = TypeVar("T")

router = fastapi.APIRouter(prefix="/api/streams")


class StreamAnswer(pydantic.BaseModel):
    """A stream. Ages are in milliseconds, from the moment a picture came until it left; the oldest one first."""

    name: str
    health: str | None
    deadline_ms: float | None
    frames_in: int
    frames_out: int
    late: int
    base: dict[str, int]
    dropped: dict[str, int]
    nan: int
    ages: list[float]
    p50: float | None
    p90: float | None
    p99: float | None
    picture: bool


class LatestAnswer(pydantic.BaseModel):
    """The last picture that left a stream."""

    picture: Picture
    sequence: int
    base: bool
    reason: str | None
    age_ms: float
    model: str


def _context(request: Request) -> Context:
    """Return the context of a page that runs beside services, for a browser that is logged in."""
    desk = request.app.state.desk
    # To look on is no use of what was uploaded: it keeps the session alive, and not its uploads.
    if desk.sessions.get(request.cookies.get(request.app.state.cookie), looks_on=True) is None:
        raise Refused(401, "no session: log in first")
    if desk.context is None:
        raise Refused(404, "no services run here; the page is one by itself")
    found: Context = desk.context
    return found


Ours = Annotated[Context, Depends(_context)]


@router.get("")
def streams(context: Ours) -> list[StreamAnswer]:
    """Return all streams."""
    numbers = context.metrics.snapshot()
    return [_answer(stream, numbers) for stream in context.streams.all()]


@router.get("/{name}/latest")
def latest(name: str, context: Ours) -> LatestAnswer:
    """Return what there is to know of the last picture that left."""
    found = _latest(context, name)
    return LatestAnswer(
        picture=Picture.of(found.frame),
        sequence=found.sequence,
        base=found.base,
        reason=found.reason,
        age_ms=found.age_ms,
        model=found.model,
    )


@router.get("/{name}/pixels")
def pixels(name: str, context: Ours) -> Response:
    """Return the stored values of the last picture that left, and in the header ``x-sequence`` its number."""
    found = _latest(context, name)
    values = found.frame.pixels
    little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    headers = {"x-sequence": str(found.sequence)}
    return Response(little.tobytes(), media_type="application/octet-stream", headers=headers)


def _latest(context: Context, name: str) -> Outgoing:
    stream = context.streams.get(name)
    if stream is None:
        raise Refused(404, "there is no such stream; it may have ended")
    if stream.latest is None:
        raise Refused(409, "no picture has left the stream yet")
    return stream.latest


def _answer(stream: Stream, numbers: Snapshot) -> StreamAnswer:
    def total(name: str) -> int:
        return int(sum(_of(stream, numbers.counts.get(name, {}))))

    def by_reason(name: str) -> dict[str, int]:
        found = numbers.counts.get(name, {}).items()
        return {dict(key).get("reason", ""): int(n) for key, n in found if dict(key).get("stream") == stream.name and n}

    times = next(iter(_of(stream, numbers.times.get("age_seconds", {}))), Times())
    quantiles = {q: 1000 * v for q, v in times.quantiles().items()}
    deadline = stream.settings.deadline_ms
    if deadline is None and stream.settings.fps is not None:
        deadline = 1000 / stream.settings.fps
    return StreamAnswer(
        name=stream.name,
        health=stream.health(),
        deadline_ms=deadline,
        frames_in=total("frames_in_total"),
        frames_out=total("frames_out_total"),
        late=total("frames_late_total"),
        base=by_reason("frames_base_total"),
        dropped=by_reason("frames_dropped_total"),
        nan=total("frames_nan_total"),
        ages=[round(1000 * age, 2) for age in list(times.recent)[-SHOWN:]],
        p50=quantiles.get(0.5),
        p90=quantiles.get(0.9),
        p99=quantiles.get(0.99),
        picture=stream.latest is not None,
    )


def _of(stream: Stream, series: Mapping[Labels, T]) -> list[T]:
    return [value for key, value in series.items() if dict(key).get("stream") == stream.name]
