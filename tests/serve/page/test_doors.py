"""Who gets in, under which names, from which sites, with which token."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pydantic
import pytest

from acutance.serve.page.settings import PageSettings

from .conftest import MARK

Page = Callable[..., tuple[Any, Any]]
TOKEN = "a-token-of-some-length"


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8787", "127.0.0.1.evil.example", "10.1.2.3:8787", "", "[::2]:1"]
)
def test_a_name_that_a_stranger_may_point_here_is_refused(page: Page, host: str) -> None:
    _, client = page()
    answer = client.get("/api/state", headers={"host": host})
    assert answer.status_code == 421 and "name" in answer.json()["error"]
    assert client.get("/", headers={"host": host}).status_code == 421


@pytest.mark.parametrize("host", ["127.0.0.1:8787", "localhost:8787", "LOCALHOST", "[::1]:8787", "127.0.0.2"])
def test_this_machine_is_let_in_by_its_names(page: Page, host: str) -> None:
    _, client = page()
    assert client.get("/", headers={"host": host}).status_code == 200


def test_other_machines_may_use_an_address_or_a_name_that_was_told(page: Page) -> None:
    _, client = page(address="0.0.0.0", token=TOKEN, hosts=("reading-room.example",))
    for host, status in {
        "10.1.2.3:8787": 200,
        "reading-room.example": 200,
        "Reading-Room.example.": 200,
        "evil.example": 421,
    }.items():
        assert client.get("/", headers={"host": host}).status_code == status, host


def test_other_sites_get_nothing(page: Page) -> None:
    _, client = page()
    for site in ("cross-site", "same-site"):
        assert client.get("/api/state", headers={"sec-fetch-site": site}).status_code == 403
        assert client.get("/static/main.js", headers={"sec-fetch-site": site}).status_code == 403
    assert client.get("/", headers={"sec-fetch-site": "cross-site"}).status_code == 200  # a link to the page
    for origin in ("http://evil.example", "null", "http://127.0.0.1:9999", "https://127.0.0.1:8787"):
        assert client.post("/api/end", headers={"origin": origin}).status_code == 403
    assert client.post("/api/series", headers={"origin": "http://127.0.0.1:8787"}).status_code == 201


def test_a_form_of_another_site_lacks_the_mark(page: Page) -> None:
    _, client = page()
    del client.headers["x-acutance"]
    answer = client.post("/api/series")
    assert answer.status_code == 403 and "x-acutance" in answer.json()["error"]
    assert client.post("/api/series", headers=MARK).status_code == 201


def test_long_questions_are_refused_before_they_are_read(page: Page) -> None:
    _, client = page()
    assert client.post("/api/runs", content=b"[" * (1 << 17)).status_code == 413
    assert client.post("/api/runs", content=iter([b"["])).status_code == 413  # does not say how long it is


def test_every_answer_has_the_headers(page: Page) -> None:
    _, client = page()
    for path in ("/", "/static/main.js", "/api/state", "/nothing"):
        headers = client.get(path).headers
        assert headers["cache-control"] == "no-store"
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in headers
    assert client.get("/", headers={"host": "evil.example"}).headers["cache-control"] == "no-store"


def test_the_cookie_is_for_the_page_alone(page: Page) -> None:
    _, client = page(login=False)
    said = client.post("/api/login", json={}).headers["set-cookie"].lower()
    assert "httponly" in said and "samesite=strict" in said


def test_a_token_is_asked_for(page: Page) -> None:
    _, client = page(login=False, address="0.0.0.0", token=TOKEN)
    assert client.get("/").status_code == 200 and client.get("/static/main.js").status_code == 200
    for wrong in ("", TOKEN[:-1], TOKEN + "x"):
        assert client.post("/api/login", json={"token": wrong}).status_code == 403
    assert client.get("/api/state").status_code == 401
    assert client.post("/api/login", json={"token": TOKEN}).status_code == 204
    assert client.get("/api/state").status_code == 200
    client.cookies.set("acutance", "made-up")
    assert client.get("/api/state").status_code == 401


def test_tokens_cannot_be_guessed_for_long(page: Page) -> None:
    desk, client = page(login=False, token=TOKEN)
    answers = [client.post("/api/login", json={"token": f"guess {i}"}).status_code for i in range(12)]
    assert answers == [403] * 10 + [429] * 2
    assert client.post("/api/login", json={"token": TOKEN}).status_code == 429
    desk._wrong.clear()  # as a minute does
    assert client.post("/api/login", json={"token": TOKEN}).status_code == 204


def test_settings_that_leave_the_page_open_are_refused() -> None:
    for said in ({"address": "0.0.0.0"}, {"address": "10.0.0.1"}, {"address": "::"}):
        with pytest.raises(pydantic.ValidationError, match="set a token of 16"):
            PageSettings.model_validate({"name": "x", **said})
    for said in ({"token": "short"}, {"address": "example.org"}, {"certificate": "a.pem"}, {"port": 70000}, {"x": 1}):
        with pytest.raises(pydantic.ValidationError):
            PageSettings.model_validate({"name": "x", **said})
    assert PageSettings(name="x", address="localhost").local and PageSettings(name="x", address="::1").local
    assert TOKEN not in repr(PageSettings.model_validate({"name": "x", "token": TOKEN}))


def test_one_browser_does_not_see_what_another_has_opened(page: Page, cut: Callable[..., bytes]) -> None:
    from fastapi.testclient import TestClient

    from .conftest import HOST, upload

    _, first = page()
    series = upload(first, cut())["series"][0]["id"]
    run = first.post("/api/runs", json={"series": series}).json()["id"]
    second = TestClient(first.app, base_url=HOST, headers=MARK)
    assert second.post("/api/login", json={}).status_code == 204
    assert second.get("/api/state").json()["series"] == []
    for path in (f"/api/series/{series}/slices/0", f"/api/runs/{run}", f"/api/runs/{run}/slices/0"):
        assert second.get(path).status_code == 404
    assert second.delete(f"/api/series/{series}").status_code == 404
    assert first.get(f"/api/series/{series}/slices/0").status_code == 200


def test_as_many_browsers_as_allowed(page: Page) -> None:
    from fastapi.testclient import TestClient

    from .conftest import HOST

    desk, first = page(sessions=1)
    second = TestClient(first.app, base_url=HOST, headers=MARK)
    answer = second.post("/api/login", json={})
    assert answer.status_code == 503 and "1 browsers" in answer.json()["error"]
    (session,) = desk.sessions._sessions.values()
    session.looked -= 400  # seconds of silence
    assert second.post("/api/login", json={}).status_code == 204
    assert first.get("/api/state").status_code == 401


def test_a_browser_that_has_gone_is_forgotten_with_its_uploads(
    page: Page, cut: Callable[..., bytes], tmp_path: Any
) -> None:
    from .conftest import upload

    desk, client = page(idle_minutes=1)
    upload(client, cut())
    assert desk.sessions.expire() == 0 and len(list(tmp_path.rglob("*.dcm"))) == 1
    (session,) = desk.sessions._sessions.values()
    session.seen = session.looked = time.monotonic() - 61
    assert desk.sessions.expire() == 1
    assert client.get("/api/state").status_code == 401 and not list(tmp_path.rglob("*.dcm"))
