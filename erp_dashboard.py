"""History: a page on what the shop sold, by day, store, category, product and customer.

Reads MongoDB: the aggregates that mongo_data_processor_completo.py writes, and nothing else.
Writes nothing. Opened by whoever runs the shop; it notices a new round of the processor by itself
and goes on with what it read last while MongoDB is away.

    python erp_dashboard.py                                    # http://127.0.0.1:8501
    streamlit run erp_dashboard.py --server.port 8501          # the same
"""

from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import partial
from typing import NamedTuple

import polars as pl
import pymongo
import streamlit as st
from pymongo.database import Database
from pymongo.errors import PyMongoError

from config import Settings
from erp import contract, mongo
from erp.pages import (
    export,
    history_filters,
    history_sections,
    history_tables,
    page,
    serving,
)
from erp.pages.formats import Formats
from erp.pages.history_filters import Choices
from erp.pages.history_report import CATALOGUE_FIELDS, PEOPLE_FIELDS, Report, catalogue, people
from erp.pages.history_sections import Look
from erp.pages.sales_history import Facts, View, by_line_key, by_ticket_key
from erp.processor import snapshots
from erp.processor.aggregates import Stamp

PORT = 8501
LOOK_AGAIN_SECONDS = 5  # how often an open page asks for a new round
ANSWER_SECONDS = 3  # that MongoDB may take to say whether there is a new round
READ_SECONDS = 60  # that it may take to give it


class Round(NamedTuple):
    """A finished round of the processor, as the page needs it."""

    stamp: Stamp
    facts: Facts
    catalogue: pl.DataFrame
    people: pl.DataFrame
    choices: Choices


def main() -> None:
    settings = Settings.load()
    t, fmt = page.set_up(settings, "history_title", "📈")
    database = page.database(settings, t)
    place = st.empty()
    with place.container():
        found, away = newest_round(database, partial(draw_meanwhile, database, t, fmt))
    place.empty()
    if found is None:
        if away:
            address = mongo.address(settings.mongo_uri.get_secret_value())
            page.stop_with(t, "mongo_away", address=address)
        page.head(t("history_title"))
        page.stop_with(t, "history_empty")

    history_filters.restore(found.choices)
    first_run = page.first_run()
    view = history_filters.view() if first_run else history_filters.draw(t, fmt, found.choices)
    save = partial(history_filters.save, settings.page_language, found.choices)
    save()
    report = report_on(database.name, found.stamp.round, view, found)
    look = Look(
        t, fmt, found.choices.products, f"{found.stamp.round}-{abs(hash((view, fmt.locale)))}"
    )

    page.head(t("history_title"))
    freshness(database, found.stamp, away, t, fmt)
    draw_view(report, look, found.stamp, fmt)
    if not report.figures["tickets"]:
        st.info(t("history_no_match"), icon=":material/search_off:")
    else:
        history_sections.key_figures(report, look)
    if first_run:
        page.go_on()
    elif report.figures["tickets"]:
        draw_sections(report, look, save)


def draw_meanwhile(database: Database[mongo.Document], t: page.Text, fmt: Formats) -> None:
    """The figures of all days, while the first visitor of a new server waits for the rest."""
    page.head(t("history_title"))
    if not set(st.query_params) <= {"lang"}:
        return
    names = ["tickets", "net", "units", "gross", "discount"]
    days = pl.DataFrame(snapshots.read(database, contract.DAILY_SALES, fields=names))
    history_sections.totals(days.sum().row(0, named=True), t, fmt)
    if page.first_run():
        page.go_on()
        st.stop()
    days = days.with_columns(day=pl.col("_id").str.to_date("%Y-%m-%d"))
    view = View(*days.select(first=pl.col("day").min(), last=pl.col("day").max()).row(0))
    history_sections.first_trend(days, view, Look(t, fmt, {}, "meanwhile"))


def draw_view(report: Report, look: Look, stamp: Stamp, fmt: Formats) -> None:
    """What is looked at, and the button that takes it home."""
    t = look.t
    with st.container(horizontal=True, vertical_alignment="center", key="view"):
        page.chips(history_filters.chips(report.view, t, fmt, look.products))
        about = {
            t("computed_at"): fmt.moment(stamp.computed_at),
            t("up_to_sale"): stamp.up_to_sale,
            t("currency_row"): fmt.currency,
            t("timezone_row"): str(fmt.timezone),
        }
        st.download_button(
            t("download_excel"),
            lambda: history_tables.workbook(report, look, about),
            file_name=f"{t('file_history')}_{report.view.first}_{report.view.last}.xlsx",
            mime=export.EXCEL_TYPE,
            on_click="ignore",
            icon=":material/table_view:",
            key="excel",
        )


def draw_sections(report: Report, look: Look, save: Callable[[], None]) -> None:
    history_sections.trend(report, look, save)
    history_sections.stores(report, look)
    history_sections.categories(report, look)
    left, right = st.columns(2, gap="large")
    with left:
        history_sections.products(report, look)
    with right:
        history_sections.week(report, look)
        history_sections.ticket_sizes(report, look)
    left, right = st.columns(2, gap="large")
    with left:
        if report.customers.height:
            history_sections.segments(report, look)
        history_sections.payments(report, look)
    with right:
        if report.customers.height:
            history_sections.top_customers(report, look)
    history_tables.draw(report, look, date.today())  # noqa: DTZ011, the name of a file


# --- loading ---------------------------------------------------------------------------------


def newest_round(
    database: Database[mongo.Document], meanwhile: Callable[[], None] | None = None
) -> tuple[Round | None, bool]:
    """The newest finished round, or the last that was read, and whether MongoDB is away.

    `meanwhile` draws something where there is nothing to show until it is read.
    """
    kept = _kept_rounds()
    try:
        with pymongo.timeout(ANSWER_SECONDS):
            stamp = snapshots.read_stamp(database)
        if stamp is None or not stamp.sales:
            return None, False
        with pymongo.timeout(READ_SECONDS):
            if meanwhile is not None and database.name not in kept:
                meanwhile()
            kept[database.name] = read_round(database.name, stamp.round, database, stamp)
    except PyMongoError as error:
        if not mongo.is_outage(error):
            raise
        return kept.get(database.name), True
    return kept[database.name], False


@st.cache_resource(show_spinner=False)
def _kept_rounds() -> dict[str, Round]:
    return {}


@st.cache_resource(max_entries=2, show_spinner=False)
def read_round(
    name: str,  # noqa: ARG001, a part of the cache's key, like the next
    number: int,  # noqa: ARG001
    _database: Database[mongo.Document],
    _stamp: Stamp,
) -> Round:
    """All of a round; read once for all readers of the page."""
    facts = Facts(*snapshots.read_facts(_database))
    sold = catalogue(snapshots.read(_database, contract.TOP_PRODUCTS, fields=CATALOGUE_FIELDS))
    best = by_line_key(facts.lines, "product_id", None).join(
        sold, on="product_id", how="left", maintain_order="left"
    )
    choices = Choices(
        first=date.fromisoformat(str(_stamp.first_day)),  # a round that is shown has days
        last=date.fromisoformat(str(_stamp.last_day)),
        stores=_best_first(facts.sales, "store_id"),
        categories=tuple(by_line_key(facts.lines, "category", None)["category"]),
        payments=_best_first(facts.sales, "payment_type"),
        products=dict(zip(best["product_id"], best["name"].fill_null(""), strict=True)),
    )
    buyers = people(snapshots.read(_database, contract.CUSTOMER_ANALYSIS, fields=PEOPLE_FIELDS))
    return Round(_stamp, facts, sold, buyers, choices)


def _best_first(sales: pl.DataFrame, key: str) -> tuple[str, ...]:
    return tuple(by_ticket_key(sales, key, None)[key])


@st.cache_resource(max_entries=6, show_spinner=False)
def report_on(name: str, number: int, view: View, _found: Round) -> Report:  # noqa: ARG001
    """The report on a view; shared by all readers who look at the same."""
    return Report(_found.facts, view, _found.choices.first, _found.catalogue, _found.people)


@st.fragment(run_every=LOOK_AGAIN_SECONDS)
def freshness(
    database: Database[mongo.Document],
    shown: Stamp,
    away: bool,
    t: page.Text,
    fmt: Formats,
) -> None:
    """Say how fresh the figures are; start the page again when there are newer ones."""
    try:
        with pymongo.timeout(ANSWER_SECONDS):
            stamp = snapshots.read_stamp(database)
    except PyMongoError as error:
        if not mongo.is_outage(error):
            raise
        st.warning(t("stale_note"), icon=":material/cloud_off:")
        stamp = shown
    else:
        if stamp is not None and stamp.round != shown.round:
            newest_round(database)  # read before the page is drawn again, so that it shows no hole
        if away or stamp is None or stamp.round != shown.round:
            st.rerun()
    seconds = (datetime.now(UTC) - stamp.checked_at).total_seconds()
    note = t("fresh_note", ago=fmt.ago(seconds), until=fmt.moment(stamp.up_to_time))
    if stamp.orphan_lines:
        note += " · " + t("orphan_note", lines=fmt.number(stamp.orphan_lines))
    page.note(note)


if __name__ == "__main__":
    serving.open_or_serve(main, __file__, __doc__, PORT, check=Settings.load)
