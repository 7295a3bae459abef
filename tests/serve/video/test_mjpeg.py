"""The page: who may see it, and that what it shows is what left the stream."""

from __future__ import annotations

import http.client
import io
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from acutance.errors import OutputError
from acutance.geometry import Frame
from acutance.live.stream import Outgoing
from acutance.serve.video.mjpeg import Page
from acutance.serve.video.settings import PageSettings

TOKEN = "0123456789abcdefgh"


def outgoing(value: int, colour: bool = True, **changes: Any) -> Outgoing:
    pixels = np.full((24, 32, 3) if colour else (24, 32), value, np.uint8)
    said = {"tag": None, "frame": Frame(pixels), "base": False, "reason": None, "age_ms": 12.5, "sequence": value}
    return Outgoing(**{**said, "model": "gray-rt-x2", **changes})


@pytest.fixture
def page() -> Iterator[Page]:
    made = Page(PageSettings(port=0, viewers=1), lambda: {"in": 7})
    made.start()
    yield made
    made.stop()


@pytest.fixture
def guarded() -> Iterator[Page]:
    made = Page(PageSettings(port=0, token=TOKEN), dict)
    made.start()
    yield made
    made.stop()


def ask(page: Page, path: str, **headers: str) -> tuple[http.client.HTTPResponse, http.client.HTTPConnection]:
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=10)
    connection.request("GET", path, headers=headers)
    return connection.getresponse(), connection


def part(answer: http.client.HTTPResponse) -> Image.Image:
    """Read one picture of a stream whose first boundary was read."""
    length = 0
    while (line := answer.readline().strip()) != b"":
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    picture = Image.open(io.BytesIO(answer.read(length)))
    assert answer.readline() == b"\r\n" and answer.readline() == b"--acutance\r\n"
    return picture


def test_shows_the_latest_picture(page: Page) -> None:
    page.show(outgoing(10))
    page.show(outgoing(200))
    answer, connection = ask(page, "/stream")
    assert answer.getheader("Content-Type") == "multipart/x-mixed-replace; boundary=acutance"
    assert answer.readline() == b"--acutance\r\n"
    assert np.abs(np.asarray(part(answer)).astype(int) - 200).max() <= 1
    page.show(outgoing(90, colour=False))
    gray = part(answer)
    assert gray.size == (32, 24) and gray.mode == "L" and abs(int(np.asarray(gray).mean()) - 90) <= 1
    connection.close()


def test_colours_of_the_jpeg_are_those_of_the_picture(page: Page) -> None:
    pixels = np.zeros((24, 32, 3), np.uint8)
    pixels[:, :16], pixels[:, 16:] = (200, 40, 60), (30, 90, 220)
    page.show(outgoing(0, frame=Frame(pixels)))
    answer, connection = ask(page, "/stream")
    answer.readline()
    shown = np.asarray(part(answer)).astype(int)
    assert np.abs(shown[12, [4, 28]] - pixels[12, [4, 28]]).max() <= 3
    connection.close()


def test_tells_its_numbers(page: Page) -> None:
    assert json.loads(ask(page, "/status")[0].read())["picture"] is None
    page.show(outgoing(5, base=True, reason="late"))
    said = json.loads(ask(page, "/status")[0].read())
    assert said["in"] == 7 and said["ages_ms"] == [12.5]
    assert said["picture"] == {"rows": 24, "cols": 32, "model": "gray-rt-x2", "base": True, "reason": "late"}


def test_serves_itself_and_nothing_else(page: Page) -> None:
    for path, kind in (("/", "text/html"), ("/page.js", "text/javascript"), ("/page.css", "text/css")):
        answer = ask(page, path)[0]
        assert answer.status == 200 and str(answer.getheader("Content-Type")).startswith(kind) and answer.read()
        assert "default-src 'self'" in str(answer.getheader("Content-Security-Policy"))
    for path in ("/../settings.py", "/static/index.html", "/index.html"):
        assert ask(page, path)[0].status == 404


def test_has_room_for_so_many(page: Page) -> None:
    page.show(outgoing(1))
    first, connection = ask(page, "/stream")
    assert first.readline() and ask(page, "/stream")[0].status == 503
    connection.close()


def test_a_name_that_others_could_point_here_is_refused(page: Page) -> None:
    assert ask(page, "/", Host="evil.example")[0].status == 421
    assert ask(page, "/", Host="localhost:1")[0].status == 200


def test_asks_for_the_token(guarded: Page) -> None:
    for path in ("/", "/stream", "/status", "/?token=wrong"):
        assert ask(guarded, path)[0].status == 403
    assert guarded.url.endswith(f"/?token={TOKEN}")
    answer = ask(guarded, f"/?token={TOKEN}")[0]
    assert answer.status == 303 and answer.getheader("Location") == "/"
    cookie = str(answer.getheader("Set-Cookie"))
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and TOKEN not in cookie
    assert ask(guarded, "/status", Cookie=cookie.partition(";")[0])[0].status == 200
    assert ask(guarded, "/status", Cookie="acutance-video=guess")[0].status == 403


def test_a_taken_port_is_said(page: Page) -> None:
    with pytest.raises(OutputError, match=rf"the page cannot be at 127\.0\.0\.1:{page.port}: .*in use"):
        Page(PageSettings(port=page.port), dict).start()


def test_many_connections_do_not_keep_others_out_for_ever(page: Page) -> None:
    idle = [socket.create_connection(("127.0.0.1", page.port)) for _ in range(20)]
    for one in idle:
        one.close()
    page.show(outgoing(3))
    done = threading.Event()
    for _ in range(50):
        try:
            if ask(page, "/status")[0].status == 200:
                done.set()
                break
        except (OSError, http.client.HTTPException):
            done.wait(0.05)
    assert done.is_set()
