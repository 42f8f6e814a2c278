"""What the Streamlit pages share: set-up, language, failures told to a person, links that can be
shared, tables and charts.
"""

import html
import logging
import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, NoReturn

import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from pymongo.database import Database
from pymongo.errors import PyMongoError

from erp import mongo, process
from erp.pages.formats import MISSING, Formats, reader_locale
from erp.pages.texts import LANGUAGES, text

log = logging.getLogger("erp.page")

UrlReaders = Mapping[str, Callable[[list[str]], Any]]  # parameter -> what its values mean

if not st.runtime.exists():  # `python X.py` and tests: that caches are of the process is no news
    logging.getLogger("streamlit.runtime.caching.cache_data_api").setLevel(logging.ERROR)

RETRY_SECONDS = 5  # pause before a page that could not show its data tries again
STALE_SECONDS = 2  # in which the browser may still send the URL before the one it was given
PAINT_SECONDS = 0.6  # for the browser to show the first figures; when the rest comes too early, it
# waits with all of it until what draws the charts is loaded
TABLE_ROWS = 500  # rows shown of a table; its export has all of them

Text = Callable[..., str]  # (key, **values) -> text in the reader's language


# --- opening ---------------------------------------------------------------------------------


def guard(main: Callable[[], None]) -> None:
    """Run a page; a failure is logged whole and told to the reader in a sentence."""
    try:
        main()
    except SystemExit:  # Settings.load has printed what is wrong
        st.error(_now("settings_wrong"), icon=":material/settings_alert:")
    except Exception:
        log.exception("the page failed")
        st.error(f"**{_now('failed_title')}**  \n{_now('failed_hint')}", icon=":material/error:")


def _now(key: str) -> str:
    """A text when the page has not come as far as its language."""
    return text(_language("es"), key)


def set_up(settings: Any, title: str, icon: str) -> tuple[Text, Formats]:
    """Configure the page, draw the language switch in the sidebar.

    Parameters
    ----------
    settings : has `page_language`, `currency` and `business_timezone`.
    title : key of the page's title.
    icon : an emoji; a Material symbol would be fetched from outside.

    Returns
    -------
    t, fmt : the texts in the reader's language, and the reader's formats.
    """
    st.set_page_config(
        page_title=text(_language(settings.page_language), title),
        page_icon=icon,
        layout="wide",
        initial_sidebar_state="auto",
        menu_items={"Get Help": None, "Report a bug": None, "About": None},
    )
    st.html(f"<style>{_CSS}</style>")
    st.session_state.setdefault("lang", _language(settings.page_language))
    language = st.sidebar.segmented_control(
        text(_language(settings.page_language), "language"),
        list(LANGUAGES),
        format_func=LANGUAGES.__getitem__,
        key="lang",
        required=True,
        label_visibility="collapsed",
    )
    language = language or _language(settings.page_language)
    locale = reader_locale(language, st.context.locale)
    return partial(text, language), Formats(locale, settings.currency, settings.business_timezone)


def _language(default: str) -> str:
    chosen = st.session_state.get("lang") or st.query_params.get("lang")
    return chosen if chosen in LANGUAGES else default


_CSS = """
[data-testid="stMainBlockContainer"] {padding-top: 4rem; padding-bottom: 3rem}
[class*="st-key-key-figures"] [data-testid="stColumn"] {min-width: 8.5rem}
[data-testid="stSidebar"] [data-testid="stColumn"] {min-width: 0; flex-basis: 0}
[data-testid="stMetricValue"] {font-variant-numeric: tabular-nums}
.erp-head {display: flex; flex-wrap: wrap; gap: .2rem 1rem; align-items: baseline}
.erp-head h1 {font-size: 1.7rem; font-weight: 700; margin: 0; padding: 0}
.erp-note {font-size: .85rem; opacity: .72}
.erp-chips {display: flex; flex-wrap: wrap; gap: .4rem}
.erp-chip {border: 1px solid rgba(128,140,160,.45); border-radius: 1rem; padding: .05rem .7rem;
  font-size: .85rem; max-width: 100%; overflow: hidden; text-overflow: ellipsis;
  white-space: nowrap}
.erp-spark {height: 2.2rem; margin: 0 -1rem -1rem; border-radius: 0 0 .6rem .6rem;
  background: linear-gradient(rgba(58,114,203,.75), rgba(58,114,203,.15))}
@media (max-width: 1400px) {
  [data-testid="stMainBlockContainer"] {padding-left: 2rem; padding-right: 2rem}
  [class*="st-key-key-figures"] [data-testid="stColumn"] {min-width: 30%}
}
@media (max-width: 640px) {
  [class*="st-key-key-figures"] [data-testid="stColumn"] {min-width: 8.5rem}
  [data-testid="stMainBlockContainer"] {padding-left: .8rem; padding-right: .8rem}
}
"""


# --- services --------------------------------------------------------------------------------


@st.cache_resource(show_spinner=False)
def _database(uri: str, name: str) -> Database[mongo.Document]:
    return mongo.connect(uri, name, timeout=0)


def database(settings: Any, t: Text) -> Database[mongo.Document]:
    """The database, one client for the whole server; or a friendly page that tries again."""
    uri = settings.mongo_uri.get_secret_value()
    try:
        return _database(uri, settings.mongo_database)
    except process.Failure as failure:
        log.warning("%s", failure)
        refused = isinstance(failure, mongo.RefusedError)
        stop_with(t, "mongo_refuses" if refused else "mongo_away", address=mongo.address(uri))


def stop_with(t: Text, key: str, retry: float = RETRY_SECONDS, **values: Any) -> NoReturn:
    """Say what is the matter and what to do (`key` and `key_hint`), try again by itself, stop."""
    title, hint = t(key, **values), t(f"{key}_hint", seconds=f"{retry:g}")
    st.warning(f"**{title}**  \n{hint}", icon=":material/power_off:")
    retry_later(retry)
    st.stop()


def retry_later(seconds: float = RETRY_SECONDS) -> None:
    """Run the whole page again after so long."""
    drawn = time.monotonic()

    @st.fragment(run_every=seconds)
    def again() -> None:
        if time.monotonic() - drawn >= seconds * 0.9:
            st.rerun()

    again()


def first_run() -> bool:
    """True when nothing of the page has been drawn for this visitor yet.

    A browser shows nothing until it has drawn all that has come. So let the first run draw the key
    figures alone and end with `go_on`.
    """
    return st.session_state.setdefault("_runs", 0) == 0


def go_on() -> None:
    """Let the browser show what there is and ask for the rest by itself."""
    st.session_state["_runs"] = 1
    with st.container(key="going-on"):
        retry_later(PAINT_SECONDS)


def away(error: PyMongoError) -> bool:
    """True when MongoDB is away for now; else the error is a fault to be raised."""
    return mongo.is_outage(error)


# --- links -----------------------------------------------------------------------------------


def from_url(readers: UrlReaders) -> None:
    """Put what the URL says into the widgets of these keys.

    Done when the page opens and again when the reader goes back or follows a link; in between the
    widgets rule, also when the browser acts before it has taken over a URL that is just written.
    Call it before the widgets; a reader gets every value of its parameter.
    """
    seen, state = _query(), st.session_state
    just_written = time.monotonic() - state.get("_written_at", -math.inf) < STALE_SECONDS
    if seen == state.get("_url") or (just_written and seen == state.get("_url_before")):
        return
    for key, read in readers.items():
        st.session_state[key] = read(seen.get(key, []))
    st.session_state["_url"] = seen


def to_url(values: Mapping[str, Sequence[str]], default_language: str) -> None:
    """Show these values in the URL, so that the view can be shared; empty ones are left out."""
    wanted = {key: [str(value) for value in many] for key, many in values.items() if many}
    language = st.session_state.get("lang", default_language)
    if language != default_language:
        wanted["lang"] = [language]
    state = st.session_state
    if wanted != _query():
        st.query_params.from_dict(wanted)
    if wanted != state.get("_url"):
        state["_url_before"], state["_written_at"] = state.get("_url"), time.monotonic()
    state["_url"] = wanted


def _query() -> dict[str, list[str]]:
    return {key: st.query_params.get_all(key) for key in st.query_params}


# --- pieces ----------------------------------------------------------------------------------


def plain(value: Any) -> str:
    """A text from the data as Markdown that shows it as it is written.

    >>> plain("*a* $b$")
    '\\\\*a\\\\* \\\\$b\\\\$'
    """
    line = " ".join(str(value).split())
    escaped = re.sub(r"([!-/:-@\\[-`{-~])", r"\\\1", line)
    escaped = escaped.replace("\\:", "\\:\u2060")  # no emoji short code, no directive
    return re.sub("www", "ww\u2060w", escaped, flags=re.IGNORECASE)  # no link


def head(title: str, note: str = "") -> None:
    """The title of the page and a note beside it; both plain text."""
    st.html(
        f'<div class="erp-head"><h1>{html.escape(title)}</h1>'
        f'<span class="erp-note">{html.escape(note)}</span></div>'
    )


def note(words: str) -> None:
    """A small line; plain text."""
    st.html(f'<div class="erp-note">{html.escape(words)}</div>')


def chips(texts: Sequence[str]) -> None:
    """Small labels in a row; plain text, cut by the browser when too long."""
    shown = "".join(
        f'<span class="erp-chip" title="{html.escape(item)}"><bdi>{html.escape(item)}</bdi></span>'
        for item in texts
    )
    st.html(f'<div class="erp-chips">{shown}</div>')


def spark(values: Sequence[float]) -> None:
    """The course of a figure as a small area below it; drawn by the browser without any library."""
    st.html(
        f'<div class="erp-spark" aria-hidden="true" style="clip-path: {spark_shape(values)}"></div>'
    )


def spark_shape(values: Sequence[float]) -> str:
    """The CSS polygon of an area: the lowest of the values at a tenth of the height.

    >>> spark_shape([1, 3, 2])
    'polygon(0% 100%, 0.0% 90.0%, 50.0% 0.0%, 100.0% 45.0%, 100% 100%)'
    """
    low, high = min(values), max(values)
    across, up = 100 / max(len(values) - 1, 1), 90 / (high - low) if high > low else 0
    points = [f"{n * across:.1f}% {90 - (v - low) * up:.1f}%" for n, v in enumerate(values)]
    return f"polygon(0% 100%, {', '.join(points)}, 100% 100%)"


def chart(
    figure: go.Figure, key: str, alt: str, on_click: Callable[[str], None] | None = None
) -> None:
    """Draw a figure; `on_click` gets the first `customdata` of the point that the reader clicks."""
    config = {"displayModeBar": False, "scrollZoom": False, "doubleClick": False}
    if on_click is None:
        st.plotly_chart(figure, key=key, config=config, alt=alt)
        return

    def clicked() -> None:
        points = st.session_state[key].selection.points
        if points and points[0].get("customdata"):
            data = points[0]["customdata"]
            on_click(data[0] if isinstance(data, list) else data["0"])

    st.plotly_chart(
        figure, key=key, config=config, alt=alt, on_select=clicked, selection_mode="points"
    )


Kind = Literal["text", "number", "decimal", "money", "percent", "date", "moment", "bar"]


def table(
    frame: pd.DataFrame,
    columns: Mapping[str, tuple[str, Kind]],
    fmt: Formats,
    key: str,
    on_click: Callable[[Any], None] | None = None,
    height: int | Literal["auto"] = "auto",
) -> None:
    """Show the first rows of a frame in the reader's formats; numbers still sort as numbers.

    Parameters
    ----------
    columns : field -> (heading, kind); in this order. `bar` is a ratio of 0 to 1 drawn as a bar.
    on_click : gets the index label of the row that the reader selects.
    """
    shown = frame[[field for field in columns if field in frame]].head(TABLE_ROWS)
    formatters = {
        "number": fmt.number,
        "decimal": partial(fmt.number, digits=2),
        "money": fmt.money,
        "percent": fmt.percent,
        "date": fmt.day,
        "moment": fmt.moment,
    }
    styled = shown.style.format(
        {
            field: formatters[columns[field][1]]
            for field in shown
            if columns[field][1] in formatters
        },
        na_rep=MISSING,
    )
    config: dict[str, Any] = {}
    for field in shown:
        heading, kind = columns[field]
        if kind == "bar":
            config[field] = st.column_config.ProgressColumn(
                heading, min_value=0.0, max_value=1.0, format="percent"
            )
        else:
            config[field] = st.column_config.Column(heading)
    options: dict[str, Any] = {
        "hide_index": True,
        "column_config": config,
        "key": key,
        "height": height,
        "lazy": False,
        "placeholder": MISSING,
    }
    if on_click is None:
        st.dataframe(styled, **options)
        return

    def clicked() -> None:
        rows = st.session_state[key].selection.rows
        if rows:
            on_click(shown.index[rows[0]])

    st.dataframe(styled, on_select=clicked, selection_mode="single-row", **options)
