"""The filters of the history page: widgets in the sidebar, kept in the URL, moved by clicks.

The period is one range of days. The year, the month and the shortcuts only set it, and show
themselves chosen when it is just theirs.
"""

from calendar import monthrange
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from typing import Any

import streamlit as st

from erp.pages import page
from erp.pages.formats import Formats
from erp.pages.sales_history import Step, View
from erp.processor.aggregates import UNKNOWN

STEPS: tuple[Step, ...] = ("day", "week", "month")
MEASURES = ("net", "tickets", "units", "average_ticket", "customers")
SHORTCUTS = (7, 30, 90, 365)  # days up to the last of the data
OFFERED_PRODUCTS = 200  # best sellers; 1,000 cost the browser a second
EVERY = 0  # the year or month that is none in particular

_NONE = "∅"  # an absent store, category or payment type, in the URL
_CHOICES = ("stores", "categories", "payments", "products")


@dataclass(frozen=True)
class Choices:
    """What there is to choose from, each from the most to the least sold."""

    first: date
    last: date
    stores: tuple[str, ...]
    categories: tuple[str, ...]
    payments: tuple[str, ...]
    products: dict[str, str]  # id -> name


def restore(choices: Choices) -> None:
    """Take the filters from the URL when the reader came by it."""
    page.from_url(
        {
            "range": lambda found: _read_range(found, choices),
            **{key: partial(_read_choice, key=key, choices=choices) for key in _CHOICES},
            "step": lambda found: found[0] if found and found[0] in STEPS else None,
            "measure": lambda found: found[0] if found and found[0] in MEASURES else "net",
        }
    )
    _follow_the_data(choices)


def _read_range(found: list[str], choices: Choices) -> tuple[date, date]:
    try:
        first, last = (date.fromisoformat(part) for part in found[0].split("..", 1))
    except (IndexError, ValueError):
        return choices.first, choices.last
    first, last = max(first, choices.first), min(last, choices.last)
    return (first, last) if first <= last else (choices.first, choices.last)


def _read_choice(found: list[str], key: str, choices: Choices) -> list[str]:
    values = [UNKNOWN if value == _NONE else value for value in found]
    return [value for value in dict.fromkeys(values) if value in getattr(choices, key)]


def _follow_the_data(choices: Choices) -> None:
    """A view of all days stays one of all days when new ones come."""
    state = st.session_state
    whole = (choices.first, choices.last)
    if state.get("range") == state.get("_whole", whole):
        state["range"] = whole
    state["_whole"] = whole
    first, last = current_range()
    state["range"] = (max(first, choices.first), min(last, choices.last))
    if state["range"][0] > state["range"][1]:
        state["range"] = whole
    for key in _CHOICES:
        state[key] = [value for value in state[key] if value in getattr(choices, key)]


def current_range() -> tuple[date, date]:
    """The chosen days; while the reader has picked only the first, those chosen before."""
    picked = st.session_state["range"]
    if len(picked) == 2:
        st.session_state["_range"] = tuple(picked)
    return st.session_state.get("_range", st.session_state["_whole"])


def view() -> View:
    """The view that the widgets describe."""
    first, last = current_range()
    return View(first, last, **{key: tuple(st.session_state[key]) for key in _CHOICES})


def save(default_language: str, choices: Choices) -> None:
    """Show the filters in the URL."""
    state = st.session_state
    first, last = current_range()
    whole = (first, last) == (choices.first, choices.last)
    page.to_url(
        {
            "range": [] if whole else [f"{first}..{last}"],
            **{key: [value or _NONE for value in state[key]] for key in _CHOICES},
            "step": [state["step"]] if state.get("step") else [],
            "measure": [state["measure"]] if state.get("measure", "net") != "net" else [],
        },
        default_language,
    )


# --- moving the filters ----------------------------------------------------------------------


def toggle(key: str, value: str) -> None:
    """Narrow the page to one value, or widen it again when it is just that already."""
    st.session_state[key] = [] if st.session_state[key] == [value] else [value]


def clear() -> None:
    """Back to everything."""
    for key in _CHOICES:
        st.session_state[key] = []
    _set_range(*st.session_state["_whole"])


def _set_range(first: date, last: date) -> None:
    whole_first, whole_last = st.session_state["_whole"]
    st.session_state["range"] = (max(first, whole_first), min(last, whole_last))


# A click on a language may bring the words of the other one as a value: they choose nothing.


def _year_chosen() -> None:
    year = st.session_state["year"]
    if year == EVERY:
        _set_range(*st.session_state["_whole"])
    elif isinstance(year, int):
        _set_range(date(year, 1, 1), date(year, 12, 31))


def _month_chosen() -> None:
    month = st.session_state["month"]
    if month == EVERY:
        _year_chosen()
    elif isinstance(month, date):
        _set_range(month, _month_end(month))


def _shortcut_chosen() -> None:
    days = st.session_state["shortcut"]
    last = st.session_state["_whole"][1]
    if days:
        _set_range(last - timedelta(days=days - 1), last)
    else:
        _set_range(*st.session_state["_whole"])


def _month_end(day: date) -> date:
    return day.replace(day=monthrange(day.year, day.month)[1])


# --- widgets ---------------------------------------------------------------------------------


def draw(t: page.Text, fmt: Formats, choices: Choices) -> View:
    """Draw the filters in the sidebar and return the view they describe."""
    with st.sidebar:
        _draw_period(t, fmt, choices)
        _draw_choice("stores", t, choices.stores)
        _draw_choice("categories", t, choices.categories)
        _draw_choice("payments", t, choices.payments)
        _draw_products(t, choices.products)
        st.button(t("clear_filters"), on_click=clear, icon=":material/filter_alt_off:",
                  width="stretch", key="clear")  # fmt: skip
        st.caption(t("filter_hint"))
    return view()


def _draw_period(t: page.Text, fmt: Formats, choices: Choices) -> None:
    first, last = current_range()
    months = _months(choices)
    years = sorted({month.year for month in months}, reverse=True)
    state = st.session_state
    state["year"] = first.year if first.year == last.year else EVERY
    state["month"] = _chosen_month(first, last, choices)
    state["shortcut"] = _chosen_shortcut(first, last, choices)
    left, right = st.columns(2)
    left.selectbox(
        t("year"), [EVERY, *years], key="year", on_change=_year_chosen,
        format_func=lambda year: t("every") if year == EVERY else str(year),
    )  # fmt: skip
    of_year = [month for month in months if state["year"] in (EVERY, month.year)]
    right.selectbox(
        t("month"), [EVERY, *of_year], key="month", on_change=_month_chosen,
        format_func=lambda month: t("every") if month == EVERY else fmt.month(month),
    )  # fmt: skip
    st.date_input(
        t("range"), key="range", min_value=choices.first, max_value=choices.last,
        format=fmt.date_picker,
    )  # fmt: skip
    st.pills(
        t("shortcut"), [*SHORTCUTS, 0], key="shortcut", on_change=_shortcut_chosen,
        format_func=lambda days: t("last_days", days=days) if days else t("whole_period"),
        wrap=True,
    )  # fmt: skip


def _months(choices: Choices) -> list[date]:
    months, month = [], choices.first.replace(day=1)
    while month <= choices.last:
        months.append(month)
        month = _month_end(month) + timedelta(days=1)
    return months


def _chosen_month(first: date, last: date, choices: Choices) -> date | int:
    month = first.replace(day=1)
    mine = max(month, choices.first), min(_month_end(month), choices.last)
    return month if (first, last) == mine else EVERY


def _chosen_shortcut(first: date, last: date, choices: Choices) -> int | None:
    if (first, last) == (choices.first, choices.last):
        return 0
    days = (last - first).days + 1
    return days if last == choices.last and days in SHORTCUTS else None


def _draw_choice(key: str, t: page.Text, options: Sequence[str]) -> None:
    st.multiselect(
        t(key), options, key=key, placeholder=t(f"choose_{key}"),
        format_func=lambda value: shown(value, t),
    )  # fmt: skip


def _draw_products(t: page.Text, products: dict[str, str]) -> None:
    """The best sellers to choose from, and whatever is chosen by a click or by the URL."""
    best = list(products)[:OFFERED_PRODUCTS]
    chosen = [each for each in st.session_state["products"] if each not in best]
    st.multiselect(
        t("products"), best + chosen, key="products", placeholder=t("choose_products"),
        format_func=lambda each: " · ".join(filter(None, [products.get(each), each])),
    )  # fmt: skip


def product_name(product: str, products: dict[str, str]) -> str:
    """A product as the reader knows it: its name, or its code when it has none."""
    return products.get(product) or product


def shown(value: str, t: page.Text) -> str:
    """A store, category or payment type as it is shown."""
    return value if value != UNKNOWN else t("unknown")


def chips(view: View, t: page.Text, fmt: Formats, products: dict[str, str]) -> list[str]:
    """The view in words, for the head of the page and for the cover of the export."""
    parts: list[Any] = [f"{fmt.day(view.first)} – {fmt.day(view.last)}"]
    parts += [f"{t('store')}: {shown(each, t)}" for each in view.stores]
    parts += [f"{t('category')}: {shown(each, t)}" for each in view.categories]
    parts += [f"{t('payment')}: {shown(each, t)}" for each in view.payments]
    parts += [f"{t('product')}: {product_name(each, products)}" for each in view.products]
    return parts
