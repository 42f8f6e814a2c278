"""What the tests of the pages share: a page's server, a real browser, MongoDB behind a gate."""

import re
import shutil
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, sync_playwright
from pymongo import MongoClient
from pymongo.database import Database

from config import Settings
from local_stack.stack import Stack, free_ports
from tests.environments import ROOT, environment
from tests.pages.history_shop import Shop, process
from tests.pages.history_view import SCRIPT
from tests.pages.served import Gate, PageServer, Visit
from tests.waiting import PATIENCE

CHROMIUM_FLAGS = ["--no-sandbox", "--disable-quic", "--disable-background-networking"]
NO_CHROMIUM = "no chromium for the tests of the pages: `make browser` installs it"


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A real Chromium, of the system or of Playwright; the tests fail without one."""
    with sync_playwright() as playwright:
        found = shutil.which("chromium") or shutil.which("chromium-browser")
        found = found or playwright.chromium.executable_path
        if not Path(found).exists():
            pytest.fail(NO_CHROMIUM)
        running = playwright.chromium.launch(executable_path=found, args=CHROMIUM_FLAGS)
        yield running
        running.close()


@pytest.fixture(scope="module")
def mongo_gate(stack: Stack) -> Iterator[Gate]:
    """MongoDB as the module's pages reach it: `mongo_gate.shut()` takes it away from them."""
    host, port = re.fullmatch(r"mongodb://([^:/]+):(\d+)/?", stack.mongo_uri).groups()
    gate = Gate((host, int(port)))
    yield gate
    gate.shut()


@pytest.fixture(scope="module")
def page_settings(
    stack: Stack, mongo_gate: Gate, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Settings]:
    """Settings of the module's pages: a database, topics and groups that no other module has."""
    mine = uuid.uuid4().hex[:10]
    made = Settings(
        _env_file=None,
        kafka_bootstrap_servers=stack.kafka_bootstrap_servers,
        mongo_uri=f"mongodb://127.0.0.1:{mongo_gate.port}",
        mongo_database=f"pages_{mine}",
        topic_prefix=f"p{mine}.",
        consumer_group_prefix=f"pg{mine}-",
        model_path=tmp_path_factory.mktemp("model") / "item_sim.pkl",
        startup_timeout_seconds=20,
        currency="EUR",
        page_language="es",
    )
    yield made
    with MongoClient(stack.mongo_uri) as client:
        client.drop_database(made.mongo_database)


@pytest.fixture(scope="module")
def page_database(stack: Stack, page_settings: Settings) -> Iterator[Database]:
    """The database of the module's pages, reached without the gate."""
    with MongoClient(stack.mongo_uri, tz_aware=True) as client:
        yield client[page_settings.mongo_database]


@pytest.fixture(scope="module")
def page_server(
    page_settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., PageServer]]:
    """Serve a page as a person does: `page_server("erp_dashboard.py", CURRENCY="USD")`.

    Once for a script and its changed settings; all are stopped at the end of the module.
    """
    folder = tmp_path_factory.mktemp("pages")
    served: dict[object, PageServer] = {}

    def serve(script: str, **changed: object) -> PageServer:
        key = (script, tuple(sorted(changed.items())))
        if key not in served:
            port = free_ports(1)[0]
            log_file = folder / f"{Path(script).stem}-{port}.log"
            with log_file.open("wb") as log:
                process = subprocess.Popen(
                    [sys.executable, str(ROOT / script), "--port", str(port)],
                    cwd=ROOT,
                    env=environment(page_settings, **changed),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
            served[key] = PageServer(process, f"http://127.0.0.1:{port}", log_file)
            _wait_until_served(served[key])
        return served[key]

    yield serve
    for server in served.values():
        server.process.terminate()
    assert {0} >= {server.process.wait(PATIENCE) for server in served.values()}


@pytest.fixture(scope="module")
def shop(page_database: Database, page_settings: Settings) -> Shop:
    """A shop whose sales the processor has summed up."""
    made = Shop(page_database)
    process(page_settings)
    return made


@pytest.fixture
def server(page_server: Callable[..., PageServer], shop: Shop) -> PageServer:  # noqa: ARG001
    """The history page of that shop."""
    return page_server(SCRIPT)


def _wait_until_served(server: PageServer) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{server.url}/_stcore/health", timeout=2):  # noqa: S310
                return
        except OSError:
            if server.process.poll() is not None:
                break
            time.sleep(0.2)
    pytest.fail(f"the page is not served:\n{server.log}")


@pytest.fixture(scope="session")
def browser_context(browser: Browser) -> Callable[[str], BrowserContext]:
    """A browser's profile for a locale, whose cache spares the next tab the scripts."""
    contexts: dict[str, BrowserContext] = {}

    def of(locale: str) -> BrowserContext:
        if locale not in contexts:
            contexts[locale] = browser.new_context(locale=locale, timezone_id="Europe/Madrid")
            contexts[locale].set_default_timeout(PATIENCE * 1000)
        return contexts[locale]

    return of


@pytest.fixture
def visit(
    browser_context: Callable[[str], BrowserContext],
) -> Iterator[Callable[..., Visit]]:
    """Open a page: `visit(server, "?lang=en", width=390, theme="dark")`.

    At the end of the test: no error in the browser's console, no request to another machine, no
    traceback in the server's log.
    """
    visits: list[Visit] = []

    def open_page(
        server: PageServer,
        query: str = "",
        width: int = 1440,
        theme: str = "light",
        locale: str = "es-ES",
    ) -> Visit:
        page = browser_context(locale).new_page()
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=theme)
        opened = Visit(server, page)
        page.on("console", lambda message: _note_fault(message, opened))
        page.on("pageerror", lambda error: opened.faults.append(str(error)))
        page.on("dialog", lambda dialog: (opened.faults.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: _note_outside(request.url, opened))
        page.goto(f"{server.url}/{query}")
        opened.settle()
        visits.append(opened)
        return opened

    yield open_page
    faults = [fault for each in visits for fault in each.faults]
    logs = {each.server.log_file: each.server.log for each in visits}
    for each in visits:
        each.page.close()
    assert [] == faults
    assert [] == [log for log in logs.values() if "Traceback" in log]


def _note_fault(message: ConsoleMessage, visit: Visit) -> None:
    if message.type == "error" or "Invalid" in message.text:
        visit.faults.append(message.text)


def _note_outside(url: str, visit: Visit) -> None:
    if not url.startswith((visit.server.url, "data:", "blob:", "about:")):
        visit.faults.append(f"asked for {url}")
