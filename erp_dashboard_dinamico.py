"""Live sales on screen: the collection `sales` of MongoDB asked directly, every few seconds.

Reads MongoDB: sales; and, for a sale that the reader opens, its lines, product names, customer
and recommendations. Writes nothing. People watch it while the sink (erp_kafka_to_mongo.py) runs.

    python erp_dashboard_dinamico.py              # http://127.0.0.1:8502
    streamlit run erp_dashboard_dinamico.py --server.port 8502
"""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import pymongo
import streamlit as st
from pymongo.database import Database
from pymongo.errors import PyMongoError

from config import Settings
from erp import mongo
from erp.pages import (
    live_filters,
    live_sales,
    live_sections,
    live_view,
    page,
    sale_panel,
    serving,
)
from erp.pages.formats import Formats
from erp.pages.live_sales import Filters
from erp.pages.live_view import Period, View

PORT = 8502
ANSWER_SECONDS = 5  # for MongoDB to answer one refresh

Answer = TypeVar("Answer")


def main() -> None:
    """Draw the page: filters at the side, then the part that refreshes by itself."""
    settings = Settings.load()
    t, fmt = page.set_up(settings, "live_title", "⚡")
    database = page.database(settings, t)
    page.from_url(live_filters.URL_READERS)
    every = st.session_state["every"]
    first_run = page.first_run()
    if first_run:  # the key figures, while the browser loads what draws the rest
        view, read_at = _or_away(settings, t, partial(_figures, database, settings))
        if view is None:
            page.stop_with(t, "live_empty")
        refresh = partial(_draw_figures, t, fmt, view, read_at, None, every)
    else:
        ask, every = _choose(settings, database, t, fmt)
        refresh = partial(_refresh, settings, t, fmt, ask, every)
    page.head(t("live_title"))

    @st.fragment(run_every=None if first_run else every)
    def live() -> None:
        page.guard(refresh)

    live()
    if first_run:
        page.go_on()
    elif sale_id := st.session_state.get("sale"):
        sale_panel.show(t, fmt, sale_id, partial(_one_sale, database, sale_id), _close)


def _choose(
    settings: Settings, database: Database, t: page.Text, fmt: Formats
) -> tuple[partial[tuple[View | None, datetime]], int | None]:
    """The question that the reader puts together at the side, and how often it is asked (s)."""
    now = _or_away(settings, t, partial(_now, database, settings))
    if now is None:
        page.stop_with(t, "live_empty")
    offered = _or_away(settings, t, partial(_options, database, settings.mongo_database, now))
    period = live_filters.choose_period(t, fmt, fmt.local(now))
    filters = live_filters.choose_filters(t, offered)
    every, days_before = live_filters.choose_rhythm(t)
    live_filters.save(period, filters, st.session_state["every"], settings.page_language)
    return partial(_look, database, settings, filters, period, days_before), every


# --- what is asked ---------------------------------------------------------------------------


def _or_away(settings: Settings, t: page.Text, ask: Callable[[], Answer]) -> Answer:
    """The answer; or a page that says that MongoDB is away, and tries again."""
    try:
        with pymongo.timeout(ANSWER_SECONDS):
            return ask()
    except PyMongoError as error:
        if not page.away(error):
            raise
        address = mongo.address(settings.mongo_uri.get_secret_value())
        page.stop_with(t, "mongo_away", address=address)


@st.cache_resource(show_spinner=False)
def _clock(database_name: str) -> dict[str, datetime]:
    """The data's clock as last seen, shared by all readers; it spares the server work."""
    del database_name  # tells the caches apart
    return {}


def _now(database: Database, settings: Settings) -> datetime | None:
    """The data's clock; None when there is no sale."""
    known = _clock(settings.mongo_database).get("now")
    if known is None:
        newest = live_sales.newest_sale(database, datetime.now(UTC) + live_view.FUTURE)
        return newest["sale_datetime"] if newest else None
    return known


@st.cache_data(ttl=60, max_entries=4, show_spinner=False)
def _options(_database: Database, database_name: str, _now: datetime) -> tuple[list, list]:
    """The stores and the payment types there are."""
    del database_name  # tells the caches apart
    return live_sales.stores(_database), live_sales.payments(_database, _now)


def _figures(database: Database, settings: Settings) -> tuple[View | None, datetime]:
    """The key figures alone under the filters of the URL, and when they were read."""
    filters, zone = live_filters.chosen_filters(), settings.business_timezone
    clock, wall_clock = _clock(settings.mongo_database), datetime.now(UTC)
    view = live_view.figures(database, filters, 1, zone, wall_clock, clock.get("now"))
    if view is not None:
        clock["now"] = view.newest["sale_datetime"]
    return view, wall_clock


def _look(
    database: Database, settings: Settings, filters: Filters, period: Period, days_before: int
) -> tuple[View | None, datetime]:
    return _shared_look(
        database, settings.mongo_database, filters, period, days_before, settings.business_timezone
    )


@st.cache_data(ttl=1, max_entries=32, show_spinner=False)
def _shared_look(
    _database: Database,
    database_name: str,
    filters: Filters,
    period: Period,
    days_before: int,
    timezone: str,
) -> tuple[View | None, datetime]:
    """One look for all readers who ask the same within a second, and when it was."""
    clock = _clock(database_name)
    wall_clock = datetime.now(UTC)
    with pymongo.timeout(ANSWER_SECONDS):
        view = live_view.load(
            _database, filters, period, days_before, timezone, wall_clock, clock.get("now")
        )
    if view is None:
        clock.clear()
    else:
        clock["now"] = view.newest["sale_datetime"]
    return view, wall_clock


def _one_sale(database: Database, sale_id: str) -> dict[str, Any] | None:
    with pymongo.timeout(ANSWER_SECONDS):
        return live_sales.one_sale(database, sale_id)


# --- what refreshes --------------------------------------------------------------------------


def _refresh(settings: Settings, t: page.Text, fmt: Formats, ask: Any, every: int | None) -> None:
    """One refresh: ask, or show what was last read when MongoDB is away."""
    if st.session_state.pop("open_now", False):
        st.rerun()  # the opened sale is drawn outside of what refreshes
    question = ask.args
    try:
        view, read_at = ask()
        st.session_state["last_look"] = (question, view, read_at)
        is_away = False
    except PyMongoError as error:
        if not page.away(error):
            raise
        is_away = True
        asked, view, read_at = st.session_state.get("last_look", (None, None, None))
        if asked != question:
            view = None
    address = mongo.address(settings.mongo_uri.get_secret_value())
    if view is None:
        if is_away:
            st.warning(t("mongo_away", address=address), icon=":material/power_off:")
        else:
            st.rerun()  # emptied: the page says what to start
        return
    outage = t("live_away", address=address, time=fmt.time(read_at)) if is_away else None
    _draw_figures(t, fmt, view, read_at, outage, every)
    live_sections.over_time(t, fmt, view, ZoneInfo(settings.business_timezone))
    live_sections.newest(t, fmt, view, on_click=_open)


def _draw_figures(
    t: page.Text, fmt: Formats, view: View, read_at: datetime, outage: str | None, every: int | None
) -> None:
    if outage:
        st.warning(outage, icon=":material/power_off:")
    else:
        st.empty()  # so that what follows keeps its place
    live_sections.status(t, fmt, view, read_at, outage is not None, every)
    live_sections.key_figures(t, fmt, view)


def _open(sale_id: str) -> None:
    st.session_state["sale"] = sale_id
    st.session_state["opened"] = st.session_state.get("opened", 0) + 1  # unmarks the row
    st.session_state["open_now"] = True


def _close() -> None:
    st.session_state["sale"] = None


if __name__ == "__main__":
    serving.open_or_serve(main, __file__, __doc__, PORT, check=Settings.load)
