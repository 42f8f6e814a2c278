"""The demo as a person runs it, on a small sample and the servers of the test."""

import random
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 150  # s


@pytest.fixture
def first_port():
    """A port such that it and those that the demo derives from it are free, and stay so.

    It is below those that the system gives to connections.
    """
    taken = {connection.laddr.port for connection in psutil.net_connections() if connection.laddr}
    while True:
        port = random.randrange(20_000, 31_000)
        if not taken & {port, port + 1, port + 2, port + 600, port + 601}:
            return port


@pytest.fixture
def demo(run_script, first_port, tmp_path):
    """Start the demo with the test's settings: `demo("--once")`; killed at the test's end."""
    started = []

    def start(*flags):
        command = [sys.executable, "-m", "local_stack.demo", "--households", "15"]
        command += ["--folder", str(tmp_path / "demo")]
        log = tmp_path / f"demo-{len(started)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*command, "--port", str(first_port), *flags],
                cwd=ROOT,
                env=run_script.environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        started.append(process)
        return process, log

    yield start
    for process in started:
        process.kill()


def test_once_ends_by_itself_with_every_count_right(demo):
    """CSV rows = messages = documents, sales replayed = recommendations; exit code 0."""
    process, log = demo("--once")
    assert 0 == process.wait(PATIENCE), log.read_text()
    told = log.read_text()
    assert "What went in and what came out" in told
    for line in told.splitlines():
        if line.startswith("│"):
            _, *counts = (cell.strip() for cell in line.strip("│").split("│"))
            assert 1 == len(set(counts)), line
            assert "0" not in counts


def test_a_signal_stops_all_that_it_started(demo, first_port):
    """The pages are served until then; afterwards no process of it is left; exit code 0.

    Meanwhile a second demo in its folder says so and touches nothing.
    """
    process, log = demo("--speed", "100")
    until = time.monotonic() + PATIENCE
    while "producer 1" not in log.read_text():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < until, log.read_text()
        time.sleep(0.5)
    for port in range(first_port, first_port + 3):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=10) as page:
            assert 200 == page.status
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 7
    second, told = demo("--once")
    assert 1 == second.wait(PATIENCE)
    assert "another demo works in" in told.read_text()
    process.send_signal(signal.SIGTERM)
    assert 0 == process.wait(60), log.read_text()
    gone, alive = psutil.wait_procs(children, timeout=10)
    assert [] == [child for child in alive if child.status() != psutil.STATUS_ZOMBIE]
    assert len(children) == len(gone)
