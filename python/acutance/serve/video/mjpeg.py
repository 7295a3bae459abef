"""A page on which a stream can be watched: Motion JPEG, and how old each picture is."""

from __future__ import annotations

import collections
import contextlib
import hmac
import http.cookies
import http.server
import io
import ipaddress
import json
import secrets
import socket
import threading
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import PIL.Image

from ...beside import reason
from ...errors import OutputError
from ...live.stream import Outgoing
from .settings import PageSettings

STATIC = Path(__file__).parent / "static"

FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
}

BOUNDARY = "acutance"

SLOW = 10.0
"""Seconds that a viewer may keep us waiting."""

AGES = 240
"""Last pictures whose ages the page draws."""

COOKIE = "acutance-video"

OTHERS = 8
"""Connections beside those that watch: for the page and its numbers."""

Status = Callable[[], dict[str, Any]]


class Page:
    """Shows the last picture of a stream to whoever watches.

    Parameters
    ----------
    settings : PageSettings
    status : callable
        Gives numbers to show beside it.
    """

    def __init__(self, settings: PageSettings, status: Status) -> None:
        self.settings, self._status = settings, status
        self.changed = threading.Condition()
        self.ended = False
        self.viewers = 0
        self._last: tuple[int, Outgoing] | None = None
        self._encoded: tuple[int, bytes] = (-1, b"")
        self._encoding = threading.Lock()
        self._ages: collections.deque[float] = collections.deque(maxlen=AGES)
        self._cookie = secrets.token_urlsafe(32)
        self._server: _Server | None = None

    def start(self) -> None:
        """Listen, in a thread.

        Raises
        ------
        OutputError
            The port is taken, or the address is not one of this machine.
        """
        where = f"{self.settings.address}:{self.settings.port}"
        try:
            self._server = _Server(self)
        except OSError as e:
            raise OutputError(f"the page cannot be at {where}: {reason(e)}; give another address or port") from None
        threading.Thread(target=self._server.serve_forever, args=(0.1,), name="page", daemon=True).start()

    @property
    def port(self) -> int:
        """The port that it listens at."""
        assert self._server is not None
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """Where to look, the token included."""
        token = self.settings.token
        asked = "" if token is None else f"?token={urllib.parse.quote(token.get_secret_value())}"
        host = f"[{self.settings.address}]" if ":" in self.settings.address else self.settings.address
        return f"http://{host}:{self.port}/{asked}"

    def show(self, outgoing: Outgoing) -> None:
        """Show a picture; those who are slow miss it."""
        with self.changed:
            number = 0 if self._last is None else self._last[0] + 1
            self._last = (number, outgoing)
            self._ages.append(round(outgoing.age_ms, 1))
            self.changed.notify_all()

    def stop(self) -> None:
        """Let everybody go."""
        with self.changed:
            self.ended = True
            self.changed.notify_all()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def status(self) -> dict[str, Any]:
        """Return what the page shows in numbers."""
        with self.changed:
            last, ages = self._last, list(self._ages)
        shown: dict[str, Any] = {"ages_ms": ages, "viewers": self.viewers, "picture": None}
        if last is not None:
            rows, cols = last[1].frame.pixels.shape[:2]
            shown["picture"] = {
                "rows": rows,
                "cols": cols,
                "model": last[1].model,
                "base": last[1].base,
                "reason": last[1].reason,
            }
        return {**self._status(), **shown}

    def jpeg(self, after: int) -> tuple[int, bytes] | None:
        """Wait for a picture with a number above ``after``; return number and JPEG, None when there will be none."""
        with self.changed:
            self.changed.wait_for(lambda: self.ended or (self._last is not None and self._last[0] > after))
            if self.ended or self._last is None:
                return None
            number, outgoing = self._last
        with self._encoding:  # once for all who watch
            if self._encoded[0] < number:
                self._encoded = (number, encoded(outgoing, self.settings.quality))
            return self._encoded

    def admits(self, token: str, cookie: str) -> bool:
        """Tell whether somebody who shows this may watch."""
        wanted = self.settings.token
        if wanted is None or hmac.compare_digest(cookie.encode(), self._cookie.encode()):
            return True
        return hmac.compare_digest(token.encode(), wanted.get_secret_value().encode())

    @property
    def cookie(self) -> str:
        """What somebody who was admitted shows from then on."""
        return f"{COOKIE}={self._cookie}; HttpOnly; SameSite=Strict; Path=/"

    @contextlib.contextmanager
    def seat(self) -> Any:
        """Count a viewer; yields whether there is room for one more."""
        with self.changed:
            room = self.viewers < self.settings.viewers
            self.viewers += room
        try:
            yield room
        finally:
            with self.changed:
                self.viewers -= room


def encoded(outgoing: Outgoing, quality: int) -> bytes:
    """Return a picture as JPEG (JFIF: BT.601, full range), its colours at full resolution."""
    out = io.BytesIO()
    PIL.Image.fromarray(outgoing.frame.pixels).save(out, "JPEG", quality=quality, subsampling=0)
    return out.getvalue()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, page: Page) -> None:
        self.page = page
        self._connections = threading.BoundedSemaphore(page.settings.viewers + OTHERS)
        self.address_family = socket.AF_INET6 if ":" in page.settings.address else socket.AF_INET
        super().__init__((page.settings.address, page.settings.port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._connections.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._connections.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: viewers come and go."""


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server
    server_version, sys_version = "acutance", ""
    timeout = SLOW

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: addresses hold the token."""

    def do_GET(self) -> None:
        page, asked = self.server.page, urllib.parse.urlsplit(self.path)
        if not self._named():
            return self._answer(421, "text/plain", b"this page is known by another name\n")
        token = urllib.parse.parse_qs(asked.query).get("token", [""])[0]
        cookies = http.cookies.SimpleCookie()
        with contextlib.suppress(http.cookies.CookieError):
            cookies.load(self.headers.get("Cookie", ""))
        if not page.admits(token, cookies[COOKIE].value if COOKIE in cookies else ""):
            return self._answer(403, "text/plain", b"a token is wanted: /?token=...\n")
        if asked.path == "/" and token:  # out of the address, where others may read it
            return self._answer(303, "text/plain", b"", {"Location": "/", "Set-Cookie": page.cookie})
        if asked.path in FILES:
            name, kind = FILES[asked.path]
            return self._answer(200, kind, (STATIC / name).read_bytes())
        if asked.path == "/favicon.ico":  # browsers ask for it, and complain without
            return self._answer(204, "image/x-icon", b"")
        if asked.path == "/status":
            return self._answer(200, "application/json", json.dumps(page.status()).encode())
        if asked.path == "/stream":
            return self._stream(page)
        return self._answer(404, "text/plain", b"there is no such page\n")

    def _named(self) -> bool:
        """Tell whether we were asked for by a name that only we have: others could be pointed here by anybody."""
        host = urllib.parse.urlsplit(f"//{self.headers.get('Host', '')}").hostname or ""
        if host in ("localhost", self.server.page.settings.address):
            return True
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return False
        return True

    def _answer(self, status: int, kind: str, body: bytes, more: dict[str, str] | None = None) -> None:
        self.send_response(status)
        headers = {
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
            "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            **(more or {}),
        }
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, page: Page) -> None:
        with page.seat() as room:
            if not room:
                self._answer(503, "text/plain", b"as many as may are watching already\n")
                return
            self.send_response(200)
            self.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={BOUNDARY}")
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(f"--{BOUNDARY}\r\n".encode())
            number = -1
            while (found := page.jpeg(number)) is not None:
                number, data = found
                head = f"Content-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                # With the next boundary at once: browsers show a picture when its part has ended.
                self.wfile.write(head.encode() + data + f"\r\n--{BOUNDARY}\r\n".encode())
