"""What a running stage tells the outside: /metrics for Prometheus, /healthz and /readyz."""

import logging
import sys
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import accumulate
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from erp.process import Failure

log = logging.getLogger("erp.metrics")

LOOPBACK = "127.0.0.1"
TEXT = "text/plain; charset=utf-8"


class Health:
    """Whether the stage is alive and whether it is ready, as a supervisor asks.

    Alive means that the main loop called `beat` within `patience` seconds, once it began: to wait
    for servers at the start has a bound of its own. Ready means that each of `parts` ("kafka",
    "model" ...) was reported without a problem; at first none is.
    """

    def __init__(self, parts: Iterable[str], patience: float = 60) -> None:
        self._problems: dict[str, str | None] = dict.fromkeys(parts, "not started")
        self._patience = patience
        self._last_beat: float | None = None

    def beat(self) -> None:
        """Say that the main loop goes round."""
        self._last_beat = time.monotonic()

    def report(self, part: str, problem: str | None = None) -> None:
        """Say what is wrong with a part, or, without a problem, that it works."""
        self._problems[part] = problem

    def works(self, part: str) -> bool:
        """Whether a part was reported without a problem."""
        return self._problems[part] is None

    def dead(self) -> str | None:
        """Why the stage is not alive, or None."""
        if self._last_beat is None:
            return None
        silence = time.monotonic() - self._last_beat
        return f"no turn of the loop for {silence:.0f} s" if silence > self._patience else None

    def unready(self) -> str | None:
        """What the stage still waits for, or None."""
        problems = [f"{part}: {problem}" for part, problem in self._problems.items() if problem]
        return "; ".join(problems) or None


class BatchHistogram(Collector):
    """A histogram that takes many values in one go; prometheus_client's locks for each.

    Parameters
    ----------
    buckets : float, ascending, without infinity
    """

    def __init__(
        self,
        name: str,
        documentation: str,
        buckets: Iterable[float],
        registry: CollectorRegistry = REGISTRY,
    ) -> None:
        self._name, self._documentation, self._bounds = name, documentation, list(buckets)
        self._labels = [floatToGoString(bound) for bound in [*self._bounds, float("inf")]]
        self._counts, self._sum = [0] * len(self._labels), 0.0
        self._lock = threading.Lock()
        registry.register(self)

    def observe(self, values: Iterable[float]) -> None:
        """Count values, each in the first bucket whose bound it does not exceed."""
        with self._lock:
            for value in values:
                self._counts[bisect_left(self._bounds, value)] += 1
                self._sum += value

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """What Prometheus reads: buckets hold those below as well."""
        with self._lock:
            buckets = list(zip(self._labels, accumulate(self._counts), strict=True))
            total = self._sum
        yield HistogramMetricFamily(self._name, self._documentation, buckets, total)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print what went wrong, unless it is that who asked went away."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def serve(port: int, health: Health, registry: CollectorRegistry = REGISTRY) -> int:
    """Answer on 127.0.0.1:`port` from a thread of its own until the process ends.

    `/metrics` is Prometheus' text; `/healthz` and `/readyz` answer 200 `ok`, or 503 and the reason.
    Port 0 takes a free one. Returns the port; raises Failure when it is taken.
    """
    pages: dict[str, Callable[[], tuple[int, str, bytes]]] = {
        "/metrics": lambda: (200, CONTENT_TYPE_LATEST, generate_latest(registry)),
        "/healthz": lambda: _verdict(health.dead()),
        "/readyz": lambda: _verdict(health.unready()),
    }

    class Handler(BaseHTTPRequestHandler):
        """Answers for the pages above, and nothing else."""

        def do_GET(self) -> None:
            """The page of a path, or 404 and which there are."""
            page = pages.get(self.path.split("?", 1)[0])
            found = page() if page else (404, TEXT, b"see /metrics, /healthz and /readyz\n")
            status, content_type, body = found
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """A question every few seconds is not worth a line each."""

    try:
        server = _Server((LOOPBACK, port), Handler)
    except (OSError, OverflowError) as error:
        raise Failure(f"--metrics-port {port} cannot be used ({error}): choose another") from None
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    taken = server.server_address[1]
    log.info("metrics at http://%s:%d/metrics", LOOPBACK, taken)
    return taken


def _verdict(problem: str | None) -> tuple[int, str, bytes]:
    return (503, TEXT, f"{problem}\n".encode()) if problem else (200, TEXT, b"ok\n")
