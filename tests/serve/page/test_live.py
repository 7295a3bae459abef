"""Live streams: their numbers, and the last picture."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from acutance import Enhancer
from acutance.geometry import Frame
from acutance.live.metrics import Metrics
from acutance.live.stream import Stream, StreamSettings
from acutance.serve.service import Context, Streams

from .conftest import upload

Page = Callable[..., tuple[Any, Any]]


def context() -> Context:
    return Context(Metrics(), logging.LoggerAdapter(logging.getLogger("acutance.serve"), {}), Streams())


def test_a_page_by_itself_has_no_streams(page: Page) -> None:
    _, client = page()
    assert client.get("/api/state").json()["live"] is False
    assert client.get("/api/streams").status_code == 404
    _, stranger = page(login=False, context=context())
    assert stranger.get("/api/streams").status_code == 401 == stranger.get("/api/streams/x/latest").status_code


def test_a_stream_is_shown_as_it_runs(page: Page) -> None:
    about = context()
    left = []
    with Enhancer("base", threads=1) as enhancer:
        stream = Stream("endo", enhancer, StreamSettings(deadline_ms=5000), left.append, about.metrics)
        try:
            about.streams.add(stream)
            _, client = page(context=about)
            assert client.get("/api/state").json()["live"] is True
            (before,) = client.get("/api/streams").json()
            assert (before["name"], before["frames_out"], before["ages"], before["picture"]) == ("endo", 0, [], False)
            early = client.get("/api/streams/endo/latest")
            assert early.status_code == 409 and client.get("/api/streams/other/pixels").status_code == 404
            pixels = (np.arange(20 * 24) % 256).astype(np.uint8).reshape(20, 24)
            for n in range(3):
                stream.put(Frame(pixels, modality="ES"))
                until = time.monotonic() + 10
                while len(left) <= n and time.monotonic() < until:
                    time.sleep(0.005)
            until = time.monotonic() + 10
            while (now := client.get("/api/streams").json()[0])["frames_out"] < 3 and time.monotonic() < until:
                time.sleep(0.01)
            assert (now["frames_in"], now["frames_out"], now["deadline_ms"]) == (3, 3, 5000)
            assert len(now["ages"]) == 3 and 0 < now["p50"] <= now["p99"] < 5000 and now["picture"]
            latest = client.get("/api/streams/endo/latest").json()
            assert (latest["sequence"], latest["base"]) == (2, True) and latest["picture"]["rows"] == 40
            raw = client.get("/api/streams/endo/pixels")
            assert raw.headers["x-sequence"] == "2"
            assert np.array_equal(np.frombuffer(raw.content, np.uint8).reshape(40, 48), left[-1].frame.pixels)
        finally:
            stream.close()


def test_drops_and_bases_are_counted_by_reason(page: Page) -> None:
    about = context()
    with Enhancer("base", threads=1) as enhancer:
        stream = Stream("us", enhancer, StreamSettings(fps=25), lambda made: None, about.metrics)
        try:
            about.streams.add(stream)
            seen = about.metrics.of(service="room-1", stream="us")
            seen.count("frames_dropped_total", 4, reason="newer")
            seen.count("frames_base_total", 2, reason="late")
            seen.count("frames_late_total", 1)
            about.metrics.of(stream="another").count("frames_late_total", 50)
            _, client = page(context=about)
            (now,) = client.get("/api/streams").json()
            assert now["dropped"] == {"newer": 4} and now["base"] == {"late": 2} and now["late"] == 1
            assert now["deadline_ms"] == 40
        finally:
            stream.close()


def test_to_look_on_keeps_the_session_alive_and_not_its_uploads(
    page: Page, cut: Callable[..., bytes], tmp_path: Path
) -> None:
    desk, client = page(context=context(), idle_minutes=1)
    series = upload(client, cut())["series"][0]["id"]
    (session,) = desk.sessions._sessions.values()
    session.seen = session.looked = time.monotonic() - 100
    assert client.get("/api/streams").status_code == 200
    assert desk.sessions.expire() == 0 and not list(tmp_path.rglob("*.dcm"))
    assert client.get("/api/streams").status_code == 200
    assert client.get(f"/api/series/{series}/slices/0").status_code == 404
    assert len(upload(client, cut())["series"]) == 1
