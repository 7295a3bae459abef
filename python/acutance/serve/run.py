"""Running services: all start or none, a signal lets them finish and end."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from ..errors import AcutanceError, UsageError
from ..live.metrics import Metrics
from . import logs
from .config import Config
from .kinds import make
from .service import Context, Service, Streams

SIGNALS = (signal.SIGTERM, signal.SIGINT)

WATCH = 5.0
"""Seconds between two looks at whether all is well."""


class Running:
    """The services of a configuration.

    Parameters
    ----------
    config : Config

    Attributes
    ----------
    metrics : Metrics
    streams : Streams
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.metrics, self.streams = Metrics(), Streams()
        self._services: dict[str, Service] = {}
        self._ready = False
        self._wrong: dict[str, str] = {}
        self._monitor = None
        if config.monitor is not None:
            try:
                from .monitor import Monitor
            except ModuleNotFoundError as e:
                raise UsageError(
                    f"[monitor] needs {e.name}, which is not installed: pip install 'acutance[serve]'"
                ) from None
            self._monitor = Monitor(config.monitor, self.metrics, self.health)
        for settings in config.services:
            context = Context(self.metrics.of(service=settings.name), logs.of(settings.name), self.streams)
            self._services[settings.name] = make(settings, context)

    def start(self) -> None:
        """Start everything; when one cannot, stop those that could.

        Raises
        ------
        AcutanceError
            What the first one that cannot start says, with its name.
        """
        try:
            if self._monitor is not None:
                self._monitor.start()
            for name, service in self._services.items():
                try:
                    service.start()
                except AcutanceError as e:
                    raise type(e)(f"service '{name}': {e.message}", e.path) from None
                logs.of(name).info("started")
        except BaseException:
            self.stop(0.0)
            raise
        self._ready = True

    def health(self) -> dict[str, str]:
        """Return what is not well, by service or stream."""
        if not self._ready:
            return {"all": "not all services are running"}
        asked: dict[str, Callable[[], str | None]] = {name: s.health for name, s in self._services.items()}
        asked |= {s.name: s.health for s in self.streams.all() if s.name not in asked}
        found = {}
        for name, health in asked.items():
            try:
                reason = health()
            except Exception as e:
                reason = f"cannot tell ({type(e).__name__})"
            if reason is not None:
                found[name] = reason
        return found

    def watch(self) -> None:
        """Log what has become unwell, or well again."""
        before, self._wrong = self._wrong, self.health()
        for name in before.keys() - self._wrong.keys():
            logs.of(name).info("is well again")
        for name, reason in self._wrong.items():
            if name not in before:
                logs.of(name).warning("is not well", extra={"reason": reason})

    def stop(self, timeout: float) -> bool:
        """Stop all services at the same time; return whether each of them ended well within ``timeout`` seconds."""
        self._ready = False
        deadline = time.monotonic() + timeout
        well: dict[str, bool] = dict.fromkeys(self._services, False)

        def end(name: str, service: Service) -> None:
            try:
                service.stop(max(deadline - time.monotonic(), 0.0))
                well[name] = True
            except Exception:
                logs.of(name).exception("did not end well")

        threads = [
            threading.Thread(target=end, args=pair, name=f"stop {pair[0]}", daemon=True)
            for pair in self._services.items()
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(deadline - time.monotonic(), 0.0) + 1.0)
        if self._monitor is not None:
            self._monitor.stop()
        for name in [name for name, ended in well.items() if not ended]:
            logs.of(name).error("has not ended in time")
        return all(well.values())


def run(config: Config) -> int:
    """Run until SIGTERM or SIGINT; return the exit status: 0 when everything was finished, else 1.

    A second signal ends the wait for what is not finished.

    Raises
    ------
    AcutanceError
        Something cannot start.
    """
    handler = logs.set_up(config.logs)
    try:
        with _signals(SIGNALS) as told:
            running = Running(config)
            running.start()
            _notify("READY=1")
            logs.of("all").info("ready", extra={"services": len(config.services)})
            while not told.wait(WATCH):
                running.watch()
            told.clear()
            logs.of("all").info("ending")
            _notify("STOPPING=1")
            well = _stop(running, told, config.drain_s)
            logs.of("all").info("ended", extra={"well": well})
            return 0 if well else 1
    finally:
        handler.flush()


def _stop(running: Running, told: threading.Event, timeout: float) -> bool:
    """Stop, but wait no longer once told again."""
    well: list[bool] = []
    thread = threading.Thread(target=lambda: well.append(running.stop(timeout)), name="stop", daemon=True)
    thread.start()
    while thread.is_alive() and not told.is_set():
        thread.join(0.05)
    return well == [True]


@contextlib.contextmanager
def _signals(numbers: Sequence[signal.Signals]) -> Iterator[threading.Event]:
    """Turn signals into an event for a while."""
    told = threading.Event()
    before = {n: signal.signal(n, lambda *_: told.set()) for n in numbers}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _notify(state: str) -> None:
    """Tell systemd, if it started us and wants to know (sd_notify(3))."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
            to.sendto(state.encode(), "\0" + address[1:] if address.startswith("@") else address)
