"""``/metrics`` for Prometheus and ``/health`` for whoever restarts what is not well."""

from __future__ import annotations

import http.server
import itertools
import json
import threading
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from ..errors import UsageError
from ..live.metrics import BOUNDS, Metrics, each
from .config import MonitorSettings

PREFIX = "acutance_"
SLOWEST = 5.0
"""Seconds that a client may take to say what it wants."""

MOST_CLIENTS = 8


class Numbers(Collector):
    """Gives the numbers of a :class:`Metrics` to Prometheus' client.

    A counter or value ``NAME`` is exported as ``acutance_NAME``; durations as a histogram, and exact percentiles of the
    last ones as ``acutance_NAME_recent`` with the label ``quantile``.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        found = self._metrics.snapshot()
        for family, numbers in ((CounterMetricFamily, found.counts), (GaugeMetricFamily, found.values)):
            for name, group in itertools.groupby(each(numbers), key=lambda x: x[0]):
                made = family(PREFIX + name, self._metrics.help(name))
                for _, labels, value in group:
                    suffix = "_total" if family is CounterMetricFamily else ""
                    made.add_sample(made.name + suffix, labels, value)
                yield made
        for name, times in sorted(found.times.items()):
            histogram = HistogramMetricFamily(PREFIX + name, self._metrics.help(name))
            recent = GaugeMetricFamily(
                PREFIX + name + "_recent", self._metrics.help(name) + " Percentiles of the last."
            )
            for key, series in times.items():
                sums = list(itertools.accumulate(series.counts))
                ends = [*map(str, BOUNDS), "+Inf"]
                for end, n in zip(ends, sums, strict=True):
                    histogram.add_sample(histogram.name + "_bucket", {**dict(key), "le": end}, n)
                histogram.add_sample(histogram.name + "_count", dict(key), sums[-1])
                histogram.add_sample(histogram.name + "_sum", dict(key), series.total)
                for quantile, value in series.quantiles().items():
                    recent.add_sample(recent.name, {**dict(key), "quantile": str(quantile)}, value)
            yield histogram
            yield recent


class Monitor:
    """A small web server.

    Parameters
    ----------
    settings : MonitorSettings
    metrics : Metrics
    health : callable
        Returns what is not well, by service; nothing when all is.
    """

    def __init__(self, settings: MonitorSettings, metrics: Metrics, health: Callable[[], dict[str, str]]) -> None:
        self._settings, self._health = settings, health
        self._registry = CollectorRegistry()
        self._registry.register(Numbers(metrics))
        self._server: http.server.ThreadingHTTPServer | None = None

    @property
    def port(self) -> int:
        """Port that it listens on, once it is started."""
        assert self._server is not None
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Bind and answer, in threads of its own.

        Raises
        ------
        UsageError
            The address cannot be bound.
        """
        where = (self._settings.address, self._settings.port)
        try:
            self._server = _Server(where, self._handler())
        except OSError as e:
            raise UsageError(
                f"monitor cannot listen on {where[0]}:{where[1]} ({e.strerror}); set another port in [monitor]"
            ) from None
        threading.Thread(target=self._server.serve_forever, name="monitor", daemon=True).start()

    def stop(self) -> None:
        """End; also when it was never started."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def _answer(self, path: str) -> tuple[int, str, bytes]:
        """Return status, type and text of an answer."""
        if path == "/metrics":
            return 200, CONTENT_TYPE_LATEST, generate_latest(self._registry)
        if path == "/health":
            wrong = self._health()
            text = json.dumps({"well": not wrong, "reasons": wrong}) + "\n"
            return (503 if wrong else 200), "application/json", text.encode()
        return 404, "text/plain", b"there are /metrics and /health\n"

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        answer = self._answer

        class Handler(http.server.BaseHTTPRequestHandler):
            timeout = SLOWEST
            server_version = "acutance"
            sys_version = ""

            def do_GET(self) -> None:
                status, kind, text = answer(self.path.partition("?")[0])
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, format: str, *args: object) -> None:
                pass

        return Handler


class _Server(http.server.ThreadingHTTPServer):
    """Answers at most :data:`MOST_CLIENTS` at a time; others are turned away."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, where: tuple[str, int], handler: type[http.server.BaseHTTPRequestHandler]) -> None:
        self._places = threading.BoundedSemaphore(MOST_CLIENTS)
        super().__init__(where, handler)

    def process_request(self, request: object, client_address: object) -> None:
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)  # type: ignore[arg-type]
            return
        super().process_request(request, client_address)  # type: ignore[arg-type]

    def process_request_thread(self, request: object, client_address: object) -> None:
        try:
            super().process_request_thread(request, client_address)  # type: ignore[arg-type]
        finally:
            self._places.release()

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that go away."""
