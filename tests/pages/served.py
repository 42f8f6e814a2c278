"""A page that is served to a browser, and MongoDB behind a gate: what the fixtures hand out."""

import contextlib
import json
import os
import socket
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Page
from pydantic import SecretStr

from config import Settings
from local_stack.stack import free_ports

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60  # seconds; bound on everything that a page is waited for


class Gate:
    """A port that leads to MongoDB until it is shut; what is connected is cut off then."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self.port = free_ports(1)[0]
        self._sockets: set[socket.socket] = set()
        self._listener: socket.socket | None = None
        self.open()

    def open(self) -> None:
        """Let connections through (again)."""
        listener = socket.create_server(("127.0.0.1", self.port))
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def shut(self) -> None:
        """Refuse new connections and cut those that stand."""
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        for each in list(self._sockets):
            self._cut(each)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            far = socket.create_connection(self._target)
            self._sockets |= {near, far}
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65_536):
                sink.sendall(data)
        except OSError:
            pass
        self._cut(source)
        self._cut(sink)

    def _cut(self, each: socket.socket) -> None:
        self._sockets.discard(each)
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()


def environment(settings: Settings, **changed: object) -> dict[str, str]:
    """The environment of a script with these settings and no other, so that no `.env` rules."""
    inherited = {k: v for k, v in os.environ.items() if k.lower() not in Settings.model_fields}
    values = {name.upper(): value for name, value in settings if value is not None} | changed
    return inherited | {name: _text(value) for name, value in values.items()}


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return json.dumps(value)
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


@dataclass
class PageServer:
    """A page that is being served."""

    process: subprocess.Popen
    url: str
    log_file: Path

    @property
    def log(self) -> str:
        return self.log_file.read_text()


@dataclass
class Visit:
    """One browser tab on a page, and everything in it that a person would not put up with."""

    server: PageServer
    page: Page
    faults: list[str] = field(default_factory=list)

    def settle(self) -> None:
        """Wait until the page has stopped running and every element is drawn."""
        app = '[data-testid="stApp"]'
        self.page.wait_for_function(
            f"""() => {{
                const app = document.querySelector('{app}');
                return app && app.dataset.testScriptState === 'notRunning'
                    && !document.querySelector('.st-key-going-on, [data-testid="stSkeleton"]')
                    && !document.querySelector('[data-stale="true"]');
            }}""",
            timeout=PATIENCE * 1000,
        )

    def text(self) -> str:
        """All words on the page."""
        return self.page.locator('[data-testid="stApp"]').inner_text()
