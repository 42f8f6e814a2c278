"""A page that is served to a browser, and MongoDB behind a gate: what the fixtures hand out."""

import contextlib
import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Page
from playwright.sync_api import TimeoutError as NotInTime

from local_stack.stack import free_ports
from tests.waiting import PATIENCE

SOON, LATER = 3, 20  # seconds without an effect, of a page at rest and of a busy one, until a
# person does again what was not noticed
LOOK_EVERY = 150  # ms; by itself Playwright looks at every frame, and has each one drawn for that


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
            if listener is not self._listener:  # it was shut meanwhile
                self._cut(near)
                self._cut(far)
                return
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
            polling=LOOK_EVERY,
            timeout=PATIENCE * 1000,
        )

    def insist(self, act: Callable[[], object], done: Callable[[], object]) -> None:
        """Act until it is done: as a person does whose click met a page that was drawing anew."""
        end = time.monotonic() + PATIENCE
        while True:
            self.settle()
            self.page.set_default_timeout(LATER * 1000)
            with contextlib.suppress(NotInTime):
                act()
            self.page.set_default_timeout(PATIENCE * 1000)
            if self._comes(done):
                break
            assert time.monotonic() < end, f"no effect: {self.page.url}"
        self.settle()

    def _comes(self, done: Callable[[], object]) -> bool:
        began = quiet_since = time.monotonic()
        while not done():
            now = time.monotonic()
            if self.running():
                quiet_since = now
            if now - quiet_since > SOON or now - began > LATER:
                return False
            self.page.wait_for_timeout(LOOK_EVERY)  # in which Playwright hears of the page
        return True

    def running(self) -> bool:
        """True while the server draws the page."""
        state = self.page.get_by_test_id("stApp").get_attribute("data-test-script-state")
        return state != "notRunning"

    def query(self) -> dict[str, list[str]]:
        """The parameters of the address."""
        return parse_qs(urlsplit(self.page.url).query)

    def choose(self, label: str, option: str) -> None:
        """Pick an option of a select box by its words; the address changes."""
        box = self.page.get_by_role("combobox", name=re.compile(label)).first
        before = self.page.url

        def pick() -> None:
            try:
                box.click()
                self.page.get_by_role("option", name=option, exact=True).click()
            finally:
                self.page.keyboard.press("Escape")

        self.insist(pick, lambda: self.page.url != before)

    def enter(self, label: str, value: str) -> None:
        """Write into a field; the address changes."""
        before = self.page.url

        def write() -> None:
            self.page.get_by_label(label).fill(value)
            self.page.keyboard.press("Enter")

        self.insist(write, lambda: self.page.url != before)

    def text(self) -> str:
        """All words on the page."""
        return self.page.locator('[data-testid="stApp"]').inner_text()
