"""Recommendations on screen as they are made: each sale as a card, and how the model does.

Reads Kafka: erp.recommendations, through one consumer for the whole server, without a group;
MongoDB: recommendations while Kafka is away, names, the catalogue, and what became of the
recommendations (recommendation_performance); and the trainer's last decision beside the model.
Writes nothing. Run it beside reco_service_stream.py.

    python print_recommendations_consumer.py      # http://127.0.0.1:8503
    streamlit run print_recommendations_consumer.py --server.port 8503
"""

import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal

import pymongo
import streamlit as st
from pymongo.database import Database
from pymongo.errors import PyMongoError

from config import Settings
from erp import contract, decisions, mongo
from erp.contract import Recommendation
from erp.pages import page, serving, side_bar
from erp.pages import recommendation_lookups as lookups
from erp.pages.formats import Formats
from erp.pages.recommendation_cards import cards
from erp.pages.recommendation_feed import Feed, State
from erp.pages.recommendation_outcome import last_training, outcome
from erp.pages.recommendation_views import debug, model
from erp.process import Failure
from erp.processor.acceptance import Performance
from erp.processor.performance import read_performance

PORT = 8503
EVERY = 10  # the one to begin with
CARDS = 8  # on one page
ANSWER_SECONDS = 5  # for MongoDB to answer
PATIENCE_SECONDS = 8  # for the first reading, before the page says that there is nothing
NAMES_KEPT = 20_000  # customers whose names are remembered

VIEWS = ["cards", "model", "debug"]


def main() -> None:
    """Draw the page: choices at the side, then the part that refreshes by itself."""
    settings = Settings.load()
    t, fmt = page.set_up(settings, "reco_title", "🎯")
    page.from_url(URL_READERS)
    feed = _feed(settings)
    with st.spinner(t("reco_reading")):
        feed.wait(PATIENCE_SECONDS if feed.state().last_read is None else 1)
    every = _choose(t, feed)
    page.head(t("reco_title"))
    page.to_url(
        {
            "q": [st.session_state["q"]] if st.session_state.get("q") else [],
            "stores": [store or "" for store in st.session_state.get("stores", [])],
            "every": [st.session_state["every"]] if st.session_state["every"] != EVERY else [],
            "view": [st.session_state["view"]] if st.session_state["view"] != "cards" else [],
        },
        settings.page_language,
    )

    @st.fragment(run_every=every)
    def live() -> None:
        page.guard(partial(_refresh, settings, t, fmt, feed, every))

    live()


# --- services --------------------------------------------------------------------------------


def _feed(settings: Settings) -> Feed:
    return _shared_feed(
        settings.topic_prefix + contract.RECOMMENDATIONS,
        settings.kafka_bootstrap_servers,
        settings.mongo_database,
        _kafka=settings.kafka,
        _settings=settings,
    )


@st.cache_resource(show_spinner=False, on_release=Feed.close)
def _shared_feed(
    topic: str, servers: str, database_name: str, _kafka: dict[str, str], _settings: Settings
) -> Feed:
    """The one feed of this server, whoever looks at the page."""
    del servers, database_name  # tell the caches apart
    uri, name = _settings.mongo_uri.get_secret_value(), _settings.mongo_database
    return Feed(_kafka, topic, _database(uri, name).get).start()


@st.cache_resource(show_spinner=False)
def _database(uri: str, name: str) -> mongo.Lazily:
    """The database, one client for the whole server."""
    return mongo.Lazily(uri, name)


def _connect(settings: Settings) -> Database:
    """The database; Failure while it is away."""
    return _database(settings.mongo_uri.get_secret_value(), settings.mongo_database).get()


def _ask(settings: Settings, question: Any, *arguments: Any) -> Any:
    """The answer of a function of the database, or None while MongoDB is away."""
    try:
        with pymongo.timeout(ANSWER_SECONDS):
            return question(_connect(settings), *arguments)
    except Failure:
        return None
    except PyMongoError as error:
        if not page.away(error):
            raise
        return None


@st.cache_resource(show_spinner=False, ttl=600)
def _known_names() -> dict[str, str | None]:
    return {}


def _names(settings: Settings, found: Sequence[Recommendation]) -> dict[str, str | None]:
    known = _known_names()
    missing = {r.customer_id for r in found if r.customer_id} - set(known)
    if missing:
        if len(known) + len(missing) > NAMES_KEPT:
            known.clear()
        known |= _ask(settings, lookups.customer_names, sorted(missing)) or {}
    return known


@st.cache_data(ttl=120, max_entries=4, show_spinner=False)
def _catalogue_size(topic: str, _settings: Settings) -> int | None:
    del topic  # tells the caches apart
    return _ask(_settings, lookups.active_products)


@st.cache_data(ttl=30, max_entries=4, show_spinner=False)
def _performance(topic: str, _settings: Settings) -> tuple[Performance | None, bool]:
    """What became of the recommendations, and whether MongoDB is away."""
    del topic
    found = _ask(_settings, lambda database: [read_performance(database)])
    return (None, True) if found is None else (found[0], False)


# --- what the reader chooses -----------------------------------------------------------------

URL_READERS: page.UrlReaders = {
    "q": lambda values: values[0] if values else "",
    "stores": side_bar.named,
    "view": lambda values: values[0] if values and values[0] in VIEWS else "cards",
    "every": partial(side_bar.interval, EVERY),
}


def _choose(t: page.Text, feed: Feed) -> int | None:
    """Draw the choices; returns the seconds between two refreshes, or None when paused."""
    side = st.sidebar
    side.text_input(
        t("reco_search"),
        key="q",
        placeholder=t("reco_search_hint"),
        icon=":material/search:",
        max_chars=200,
        on_change=_first_page,
    )
    held = {r.store_id for r in feed.state().recommendations}
    side_bar.choose_stores(t, held, _first_page)
    orders = {"newest": t("reco_newest"), "oldest": t("reco_oldest")}
    side.segmented_control(
        t("reco_order"),
        list(orders),
        default="newest",
        format_func=orders.__getitem__,
        required=True,
        key="order",
        on_change=_first_page,
    )
    every = side_bar.choose_interval(t)
    side.button(t("refresh"), icon=":material/refresh:", width="stretch", key="refresh")
    side.button(
        t("reco_clear"),
        icon=":material/mop:",
        width="stretch",
        key="clear",
        help=t("reco_clear_help"),
        on_click=_clear,
        args=(feed,),
    )
    side.button(
        t("reco_beginning"),
        icon=":material/first_page:",
        width="stretch",
        key="beginning",
        help=t("reco_beginning_help"),
        on_click=_back_to_the_beginning,
        args=(feed,),
    )
    return every


def _first_page() -> None:
    st.session_state["paging"] = st.session_state.get("paging", 0) + 1  # a pager of its own


def _clear(feed: Feed) -> None:
    held = feed.state().recommendations
    if held:
        st.session_state["cleared_until"] = held[0].created_at
    _first_page()


def _back_to_the_beginning(feed: Feed) -> None:
    st.session_state.pop("cleared_until", None)
    feed.rewind()
    feed.wait(PATIENCE_SECONDS)
    _first_page()


# --- what refreshes --------------------------------------------------------------------------


def _refresh(settings: Settings, t: page.Text, fmt: Formats, feed: Feed, every: int | None) -> None:
    state = feed.state()
    shown = _uncleared(state.recommendations)
    query = _plain(st.session_state.get("q") or "")
    names = _names(settings, shown if query else ())
    found = _matching(shown, query, st.session_state["stores"], names)
    _status(settings, t, fmt, state, found, every)
    views = {view: t(f"reco_view_{view}") for view in VIEWS}
    view = st.segmented_control(
        t("reco_view"),
        VIEWS,
        format_func=views.__getitem__,
        required=True,
        key="view",
        label_visibility="collapsed",
    )
    if view == "debug":
        debug(t, fmt, state, settings.topic_prefix + contract.RECOMMENDATIONS)
    elif not state.recommendations:
        st.info(t("reco_empty"), icon=":material/hourglass_empty:")
    elif view == "model":
        _model(settings, t, fmt, found)
    else:
        _cards(settings, t, fmt, shown, found)


def _model(settings: Settings, t: page.Text, fmt: Formats, found: Sequence[Recommendation]) -> None:
    topic = settings.topic_prefix + contract.RECOMMENDATIONS
    if found:
        model(t, fmt, found, _catalogue_size(topic, settings))
    else:
        st.info(t("reco_no_match"), icon=":material/search_off:")
    performance, away = _performance(topic, settings)
    outcome(t, fmt, performance, away=away)
    last_training(t, fmt, decisions.read(settings.model_path))


def _uncleared(held: tuple[Recommendation, ...]) -> Sequence[Recommendation]:
    until: datetime | None = st.session_state.get("cleared_until")
    return held if until is None else [r for r in held if r.created_at > until]


def _matching(
    shown: Sequence[Recommendation],
    query: str,
    stores: Sequence[str | None],
    names: dict[str, str | None],
) -> Sequence[Recommendation]:
    if stores:
        shown = [r for r in shown if r.store_id in stores]
    if query:
        shown = [r for r in shown if _mentions(r, query, names)]
    return shown


def _mentions(r: Recommendation, query: str, names: dict[str, str | None]) -> bool:
    """True when a number is, or a name holds, what is searched."""
    identifiers = [r.sale_id, r.customer_id]
    texts = [names.get(r.customer_id or "")]
    products: list[contract.BasketProduct | contract.RecommendedProduct]
    products = [*r.basket_products, *r.recommendations]
    identifiers += [product.product_id for product in products]
    texts += [product.product_name for product in products]
    return any(query == _plain(i) for i in identifiers if i) or any(
        query in _plain(text) for text in texts if text
    )


def _plain(text: str) -> str:
    """Without accents, capitals and spaces around, for comparing."""
    decomposed = unicodedata.normalize("NFKD", text.strip().casefold())
    return "".join(c for c in decomposed if not unicodedata.combining(c))


def _status(
    settings: Settings,
    t: page.Text,
    fmt: Formats,
    state: State,
    found: Sequence[Recommendation],
    every: int | None,
) -> None:
    parts = [t("reco_held", n=fmt.number(len(state.recommendations)))]
    if len(found) != len(state.recommendations):
        parts.append(t("reco_matching", n=fmt.number(len(found))))
    if state.recommendations:
        since = datetime.now(UTC) - state.recommendations[0].created_at
        parts.append(t("reco_last", ago=fmt.ago(since.total_seconds())))
    badges: dict[str, tuple[str, Literal["green", "orange", "red"]]] = {
        "kafka": (":material/sensors:", "green"),
        "mongo": (":material/database:", "orange"),
        "none": (":material/power_off:", "red"),
    }
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        icon, colour = badges[state.source]
        st.badge(t(f"reco_from_{state.source}"), icon=icon, color=colour)
        if every is None:
            st.badge(t("paused"), icon=":material/pause:", color="gray")
        st.caption(page.plain(" · ".join(parts)))
    if state.source == "none":
        st.warning(
            t(
                "reco_away",
                kafka=settings.kafka_bootstrap_servers,
                mongo=mongo.address(settings.mongo_uri.get_secret_value()),
            ),
            icon=":material/power_off:",
        )


def _cards(
    settings: Settings,
    t: page.Text,
    fmt: Formats,
    shown: Sequence[Recommendation],
    found: Sequence[Recommendation],
) -> None:
    if not found and (query := (st.session_state.get("q") or "").strip()):
        found = _ask(settings, lookups.of_sale_or_customer, query, CARDS) or []
        if found:
            st.caption(t("reco_found_stored"))
    if not found:
        st.info(t("reco_no_match" if shown else "reco_cleared"), icon=":material/search_off:")
        return
    if st.session_state["order"] == "oldest":
        found = found[::-1]
    pages = -(-len(found) // CARDS)
    above = st.container()
    number = 1
    if pages > 1:
        number = min(st.pagination(pages, key=f"page_{st.session_state.get('paging', 0)}"), pages)
    visible = found[(number - 1) * CARDS : number * CARDS]
    above.html(cards(t, fmt, visible, _names(settings, visible)))


if __name__ == "__main__":
    serving.open_or_serve(main, __file__, __doc__, PORT, check=Settings.load)
