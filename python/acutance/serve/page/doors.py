"""Who gets in: the checks that every request passes before anything looks at it, and the headers of every answer."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
"""Of every answer: nothing of a patient is kept by the browser, and nothing comes from or goes to another place."""

MARK = "x-acutance"
"""A header that the page's own scripts send; those of another origin may not without being allowed to, which they are
not."""

SAFE = ("GET", "HEAD")
UPLOAD = "/api/files"
MOST_BODY = 1 << 16
"""Bytes of a request other than an upload."""


class Doors:
    """Lets through what comes from the page itself.

    Parameters
    ----------
    app : callable
        ASGI application.
    names : collection of str
        Host names under which the page may be asked for, beside IP addresses and ``localhost``.
    local : bool
        Only loopback addresses count: the page is bound to one.
    """

    def __init__(self, app: App, names: Collection[str], local: bool) -> None:
        self._app, self._names, self._local = app, {n.lower().rstrip(".") for n in names}, local

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # no WebSockets here
            return

        async def send_marked(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                own = {k.encode() for k in HEADERS}
                kept = [(k, v) for k, v in message.get("headers", []) if k.lower() not in own]
                message = {**message, "headers": [*kept, *((k.encode(), v.encode()) for k, v in HEADERS.items())]}
            await send(message)

        headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
        refusal = self._refusal(scope, headers)
        if refusal is None:
            await self._app(scope, receive, send_marked)
            return
        status, why = refusal
        body = json.dumps({"error": why}).encode()
        start = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send_marked({"type": "http.response.start", "status": status, "headers": start})
        await send_marked({"type": "http.response.body", "body": body})

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str] | None:
        """Return status and reason where a request is not let through."""
        host = headers.get("host", "")
        if not self._is_ours(host):
            return 421, "asked for under a name that is not this page's; wanted its IP address, or a name it was told"
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none") and scope["path"] != "/":
            return 403, "asked for by another site"
        if scope["method"] in SAFE:
            return None
        if headers.get("origin", f"{scope['scheme']}://{host}") != f"{scope['scheme']}://{host}":
            return 403, "asked for by another site"
        if MARK not in headers:
            return 403, f"without the header {MARK}; wanted it on whatever changes something"
        if scope["path"] != UPLOAD:
            length = headers.get("content-length", "0" if "transfer-encoding" not in headers else "")
            if not length.isdecimal() or int(length) > MOST_BODY:
                return 413, f"too long; wanted at most {MOST_BODY} bytes, and their number beforehand"
        return None

    def _is_ours(self, host: str) -> bool:
        """Tell whether a Host header names this page: a name that anybody could point here does not."""
        name = host.lower()
        name = name[1 : name.find("]")] if name.startswith("[") else name.partition(":")[0].rstrip(".")
        if name == "localhost" or name in self._names:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or not self._local
