"""A page that `python X.py` serves, and how it ends."""

import base64
import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg

from local_stack.stack import free_ports
from tests.environments import ROOT
from tests.waiting import PATIENCE, until

PAGE = """
import sys
sys.path.insert(0, {root!r})
import streamlit as st
from erp.pages import serving

if __name__ == "__main__":
    page = lambda: st.text("x" * 60_000_000)
    serving.open_or_serve(page, __file__, "A page.", 8501, check=lambda: None)
"""


@contextmanager
def served(folder: Path):
    """A page with more text than a connection holds; its server and its port."""
    script, port = folder / "large.py", free_ports(1)[0]
    script.write_text(PAGE.format(root=str(ROOT)))
    process = subprocess.Popen([sys.executable, str(script), "--port", str(port)])
    try:
        until(lambda: process.poll() is not None or answers(port))
        yield process, port
    finally:
        process.kill()
        process.wait()


def answers(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=2):
            return True
    except OSError:
        return False


def ask_for_the_page(port: int) -> socket.socket:
    """A browser's first words on a connection of which it reads no more than it has to."""
    browser = socket.socket()
    browser.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    browser.settimeout(PATIENCE)
    browser.connect(("127.0.0.1", port))
    key = base64.b64encode(os.urandom(16)).decode()
    browser.sendall(
        f"GET /_stcore/stream HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Protocol: streamlit\r\n\r\n".encode()
    )
    assert browser.recv(1000).startswith(b"HTTP/1.1 101")
    wish = BackMsg()
    wish.rerun_script.context_info.locale = "es"
    words = wish.SerializeToString()
    browser.sendall(bytes([0x82, 0x80 | len(words), 0, 0, 0, 0]) + words)  # a mask of zeros
    assert browser.recv(2)
    return browser


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_ends_though_a_browser_is_asleep(tmp_path: Path, sent: signal.Signals) -> None:
    """With 0, once asked, while something is left that the browser has not read."""
    with served(tmp_path) as (process, port), ask_for_the_page(port) as browser:
        until(lambda: has_more_than_fits(browser))
        process.send_signal(sent)
        assert 0 == process.wait(PATIENCE)


def has_more_than_fits(browser: socket.socket) -> bool:
    """True when as much has come as the connection takes."""
    return len(browser.recv(1 << 20, socket.MSG_PEEK)) > 2_000


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    """It waits for nobody then."""
    with served(tmp_path) as (process, port), ask_for_the_page(port) as browser:
        until(lambda: has_more_than_fits(browser))
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
        assert 0 == process.wait(PATIENCE)


@pytest.mark.parametrize(
    "script",
    ["erp_dashboard.py", "erp_dashboard_dinamico.py", "print_recommendations_consumer.py"],
)
def test_a_wrong_setting_ends_a_page_before_it_serves(run_script, script):
    """One line and exit code 2, as of every other stage."""
    done = run_script(script, "--port", free_ports(1)[0], CURRENCY="euros")
    assert 2 == done.returncode
    assert "CURRENCY='euros'" in done.stderr
    assert "Traceback" not in done.stderr
