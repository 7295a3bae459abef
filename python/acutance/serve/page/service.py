"""The page as a service."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

import uvicorn

from ...errors import OutputError, UsageError
from ..service import Context, Service
from .app import create
from .desk import Desk
from .settings import PageSettings

_STARTED_WITHIN = 20.0
"""Seconds."""

_CONNECTIONS = 128


class PageService(Service):
    """The page, served from a thread.

    Parameters
    ----------
    settings : PageSettings
    context : Context, optional
        Without it no live streams are shown.
    """

    def __init__(self, settings: PageSettings, context: Context | None) -> None:
        self.settings: PageSettings = settings
        self._shown = context
        self._desk: Desk | None = None
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self.port = settings.port

    @property
    def url(self) -> str:
        """Where a browser of this machine finds the page."""
        scheme = "http" if self.settings.certificate is None else "https"
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.settings.address, self.settings.address)
        return f"{scheme}://{f'[{host}]' if ':' in host and '[' not in host else host}:{self.port}/"

    def start(self) -> None:
        """Bind and serve.

        Raises
        ------
        AcutanceError
            The port is taken, the certificate cannot be read, or what the Desk raises.
        """
        bound = _bind(self.settings.address, self.settings.port)
        try:
            self.port = bound.getsockname()[1]
            self._desk = Desk(self.settings, self._shown)
            config = uvicorn.Config(
                create(self._desk, f"acutance-{self.port}"),
                log_config=None,
                log_level="critical",
                access_log=False,  # addresses hold nothing of a patient, but nobody needs them
                proxy_headers=False,
                server_header=False,
                lifespan="off",
                ws="none",
                limit_concurrency=_CONNECTIONS,
                timeout_graceful_shutdown=5,
                ssl_certfile=self.settings.certificate,
                ssl_keyfile=self.settings.key,
            )
            try:
                config.load()
            except OSError as e:  # ssl.SSLError is one
                why = e.strerror or type(e).__name__
                raise UsageError(f"certificate and key cannot be used: {why}", self.settings.certificate) from None
        except BaseException:
            bound.close()
            self._close_desk()
            raise
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [bound]}, name="page", daemon=True)
        self._thread.start()
        until = time.monotonic() + _STARTED_WITHIN
        while not self._server.started and self._thread.is_alive() and time.monotonic() < until:
            time.sleep(0.01)
        if not self._server.started:
            self.stop(1.0)
            raise OutputError("the page does not start to serve")

    def stop(self, timeout: float) -> None:
        """End, and delete what was uploaded."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(timeout)
            if self._thread.is_alive():
                self._server.force_exit = True
                self._thread.join(1.0)
        self._close_desk()

    def health(self) -> str | None:
        if self._thread is None or not self._thread.is_alive():
            return "the page is not served"
        return None

    def _close_desk(self) -> None:
        if self._desk is not None:
            self._desk.close()
            self._desk = None


def make(settings: PageSettings, context: Context) -> PageService:
    """Return the page as a service, not yet started."""
    return PageService(settings, context)


def _bind(address: str, port: int) -> socket.socket:
    """Return a bound socket.

    Raises
    ------
    UsageError
        The address is not this machine's, or the port is taken.
    """
    host = "127.0.0.1" if address == "localhost" else address
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as e:
        with contextlib.suppress(OSError):
            bound.close()
        raise UsageError(f"{address} port {port} cannot be bound ({e.strerror}); try another port, or 0") from None
    return bound
