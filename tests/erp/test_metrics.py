"""The metrics server: what Prometheus and a supervisor read."""

import socket
import struct
import time
import urllib.error
import urllib.request

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from erp.metrics import BatchHistogram, Health, serve
from erp.process import Failure


def ask(port, path):
    """Status and body of a page."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_values_counted_together_are_those_counted_one_by_one():
    """Prometheus reads the same as of its client's histogram, which takes one at a time."""
    told = []
    for kind in (Histogram, BatchHistogram):
        registry = CollectorRegistry()
        seconds = kind("seconds", "It took", buckets=(0.1, 0.5, 2), registry=registry)
        values = [0.05, 0.1, 0.3, 0.5, 0.6, 2, 3, 1e9]
        if kind is Histogram:
            for value in values:
                seconds.observe(value)
        else:
            seconds.observe(values[:3])
            seconds.observe(values[3:])
        lines = generate_latest(registry).decode().splitlines()
        told.append([line for line in lines if "_created" not in line])
    assert told[0] == told[1]


def test_metrics_show_the_registry():
    """/metrics is Prometheus' text of what was counted."""
    registry = CollectorRegistry()
    Counter("erp_sales", "Sales read", registry=registry).inc(3)
    status, text = ask(serve(0, Health([]), registry), "/metrics")
    assert 200 == status
    assert "erp_sales_total 3.0" in text.splitlines()


def test_ready_once_every_part_is():
    """/readyz names what is missing until each part was reported as working."""
    health = Health(["kafka", "model"])
    port = serve(0, health, CollectorRegistry())
    health.report("kafka")
    health.report("model", "none yet")
    assert (503, "model: none yet\n") == ask(port, "/readyz")
    health.report("model")
    assert (200, "ok\n") == ask(port, "/readyz")


def test_alive_while_the_loop_turns():
    """/healthz fails once the loop was silent for longer than the patience; not at the start."""
    health = Health([], patience=0.05)
    port = serve(0, health, CollectorRegistry())
    time.sleep(0.1)
    assert (200, "ok\n") == ask(port, "/healthz")
    health.beat()
    time.sleep(0.1)
    assert 503 == ask(port, "/healthz")[0]
    health._patience = 60
    health.beat()
    assert (200, "ok\n") == ask(port, "/healthz")


def test_unknown_page_is_404():
    """Any other path is not found and says which exist."""
    status, text = ask(serve(0, Health([]), CollectorRegistry()), "/secrets")
    assert 404 == status
    assert "/metrics" in text


@pytest.mark.parametrize("asked", [b"", b"GET /metrics HTTP/1.0\r\n\r\n"], ids=["nothing", "page"])
def test_who_asks_and_goes_away_leaves_no_traceback(capfd, asked):
    """A load balancer's check opens a connection and resets it, every few seconds."""
    port = serve(0, Health([]), CollectorRegistry())
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(asked)
            at_once = struct.pack("ii", True, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
    assert 200 == ask(port, "/healthz")[0]
    time.sleep(0.2)  # of which nobody hears, if all is well
    assert "" == capfd.readouterr().err


def test_taken_port_is_one_clear_line():
    """A port in use is an expected failure that names the flag."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(Failure, match="--metrics-port"):
            serve(other.getsockname()[1], Health([]), CollectorRegistry())
