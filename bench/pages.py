"""What the pages cost with the whole of Complete Journey: until they are drawn, and to keep open.

Starts a MongoDB of its own in memory, stores every sale as the sink does, sums them up with the
processor, and opens the pages as their users do: in a Chromium of 1440 pixels with an empty cache.

first figure      from the address to the first key figure that is drawn
everything        from the address until every figure and table is drawn and nothing runs
live refresh      what the server takes to refresh the live page, its queries anew each time
700 refreshes     an hour of them one after the other: what the server's memory grew by meanwhile
CPU               of the server and of the browser until then, which other work on the machine
                  hardly changes

    python bench/pages.py
    python bench/pages.py --json > pages.json
    python bench/pages.py --households 200      quicker, on the first households alone

Needs Chromium (`make browser`). Exit codes: 0 measured and within the goals; 1 not.
"""

import argparse
import os
import shutil
import statistics
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import psutil
from _metrics import Metrics, metric, show
from _page_client import Visitor
from _services import Scripts, free_ports  # puts the project on the path
from _shop_documents import ZONE, documents_of, mongodb, store
from playwright.sync_api import Browser, sync_playwright

from erp import contract

PROCESSOR = "mongo_data_processor_completo.py"
HISTORY, LIVE = "erp_dashboard.py", "erp_dashboard_dinamico.py"
CHARTS = {HISTORY: 9, LIVE: 2}
CHROMIUM_FLAGS = ["--no-sandbox", "--disable-quic", "--disable-background-networking"]
PATIENCE = 120  # s that anything may take
REFRESHES, WARM_UP = 700, 50
TIMED_REFRESHES = 20
UNSHARED = 1.1  # s after which a refresh asks MongoDB anew
MB = 2**20
DRAWN = """charts => {
    const app = document.querySelector('[data-testid="stApp"]');
    return app && app.dataset.testScriptState === 'notRunning'
        && !document.querySelector('[data-testid="stSkeleton"]')
        && document.querySelectorAll('.js-plotly-plot .main-svg').length >= charts
        && document.querySelector('[data-testid="stDataFrame"] canvas');
}"""


class Opening(NamedTuple):
    """Seconds from the address on, and CPU seconds until then."""

    first: float
    everything: float
    first_cpu: float  # of server and browser together
    server_cpu: float
    browser_cpu: float


def main() -> int:
    flags = parse_flags()
    figures: Metrics = {}
    with mongodb() as (database, scripts):
        frames = documents_of(flags.households)
        for table in contract.TABLES:
            store(database, table, frames.pop(table.name))
        scripts.run(PROCESSOR, "--once", BUSINESS_TIMEZONE=ZONE)
        with chromium() as browser:
            for script, name, goals in (
                (HISTORY, "history", (3.0, 8.0)),
                (LIVE, "live", (None,) * 2),
            ):
                with served(scripts, script) as (url, server):
                    for visit in ("new_server", "second_visit"):
                        opened = opening(browser, url, server, CHARTS[script])
                        figures |= of_opening(f"{name}_{visit}", opened, goals)
                    if script == HISTORY:
                        figures |= of_a_run(url)
                    else:
                        figures |= of_refreshes(url, server, flags.refreshes)
    show(figures, flags.json)
    met = (each["goal"] is None or each["value"] < each["goal"] for each in figures.values())
    return 0 if all(met) else 1


def parse_flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--households", type=int, metavar="N", help="the first N households (default: all)"
    )
    parser.add_argument(
        "--refreshes", type=int, default=REFRESHES, metavar="N", help="default: %(default)s"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    return parser.parse_args()


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        found = shutil.which("chromium") or playwright.chromium.executable_path
        browser = playwright.chromium.launch(executable_path=found, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@contextmanager
def served(scripts: Scripts, script: str) -> Iterator[tuple[str, psutil.Process]]:
    """The page's address and its server, which has had no visitor yet."""
    port = free_ports(1)[0]
    process = scripts.start(script, "--port", port, BUSINESS_TIMEZONE=ZONE)
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            with urllib.request.urlopen(f"{url}/_stcore/health"):  # noqa: S310
                break
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"{script} is not served:\n{process.log.read_text()[-2000:]}")
            time.sleep(0.1)
    yield url, psutil.Process(process.pid)
    scripts.stop(process)


def opening(browser: Browser, url: str, server: psutil.Process, charts: int) -> Opening:
    """Open the page in a new profile."""
    context = browser.new_context(
        viewport={"width": 1440, "height": 900}, locale="es-ES", timezone_id=ZONE
    )
    page = context.new_page()
    page.set_default_timeout(PATIENCE * 1_000)
    of_server, of_browser = cpu(server), browser_cpu()
    started = time.perf_counter()
    page.goto(url, wait_until="commit")
    page.wait_for_selector('[data-testid="stMetricValue"]')
    first = time.perf_counter() - started
    first_cpu = cpu(server) - of_server + browser_cpu() - of_browser
    page.wait_for_function(DRAWN, arg=charts)
    everything = time.perf_counter() - started
    spent = cpu(server) - of_server, browser_cpu() - of_browser
    context.close()
    return Opening(first, everything, first_cpu, *spent)


def cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def browser_cpu() -> float:
    """CPU seconds of all processes of Chromium that this program started."""
    total = 0.0
    for process in psutil.Process(os.getpid()).children(recursive=True):
        try:
            if "chrom" in process.name():
                total += cpu(process)
        except psutil.NoSuchProcess:
            continue
    return total


def of_opening(name: str, opened: Opening, goals: tuple[float | None, float | None]) -> Metrics:
    return {
        f"{name}_first_figure": metric(opened.first, goals[0], "s", most=True),
        f"{name}_everything": metric(opened.everything, goals[1], "s", most=True),
        f"{name}_CPU_until_the_first_figure": metric(opened.first_cpu, None, "s"),
        f"{name}_CPU_of_the_server": metric(opened.server_cpu, None, "s"),
        f"{name}_CPU_of_the_browser": metric(opened.browser_cpu, None, "s"),
    }


def of_a_run(url: str) -> Metrics:
    """The history page without a browser: the runs that draw it, and what they send."""
    with Visitor(url) as visitor:
        runs = [visitor.run(), visitor.run()]  # the key figures, then everything
    return {
        "history_runs_of_the_script": metric(sum(run.seconds for run in runs), None, "s"),
        "history_sent_to_the_browser": metric(sum(run.bytes for run in runs) / MB, None, "MB"),
    }


def of_refreshes(url: str, server: psutil.Process, refreshes: int) -> Metrics:
    """The live page without a browser: the refreshes of one visitor."""
    with Visitor(url) as visitor:
        visitor.run()  # the key figures
        visitor.run()  # everything
        timed = []
        for _ in range(TIMED_REFRESHES):
            time.sleep(UNSHARED)
            timed.append(visitor.refresh().seconds)
        repeat(visitor.refresh, WARM_UP)
        before, spent = server.memory_info().rss, cpu(server)
        repeat(visitor.refresh, refreshes)
        growth = (server.memory_info().rss - before) / MB
        spent = cpu(server) - spent
    return {
        "live_refresh_median": metric(statistics.median(timed), 1.5, "s", most=True),
        "live_refresh_slowest": metric(max(timed), None, "s"),
        f"{refreshes}_refreshes_CPU_of_the_server": metric(spent, None, "s"),
        f"{refreshes}_refreshes_growth_of_memory": metric(growth, 50.0, "MB", most=True),
    }


def repeat(action: Callable[[], object], times: int) -> None:
    for _ in range(times):
        action()


if __name__ == "__main__":
    sys.exit(main())
