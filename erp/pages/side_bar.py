"""What the side bars of the pages that refresh by themselves share."""

from collections.abc import Callable, Collection

import streamlit as st

from erp.pages import page

INTERVALS = [2, 5, 10, 30, 60]  # seconds between two refreshes

Chosen = list[str | None]


def named(values: list[str]) -> Chosen:
    """The choice that a parameter of the URL stands for: empty is what has no name."""
    return [value or None for value in values]


def interval(default: int, values: list[str]) -> int:
    """The seconds between two refreshes that a parameter of the URL stands for."""
    return next((each for each in INTERVALS if [str(each)] == values), default)


def choose_stores(
    t: page.Text, offered: Collection[str | None], on_change: Callable[[], None] | None = None
) -> Chosen:
    """Stores, None for none, kept under `stores`; an empty choice is all of them."""
    words = t("stores"), t("no_store"), t("all_stores")
    return choose_named("stores", words, offered, on_change)


def choose_named(
    key: str,
    words: tuple[str, str, str],
    offered: Collection[str | None],
    on_change: Callable[[], None] | None = None,
) -> Chosen:
    """Some of what is offered, or was chosen when it was; `words`: of what, of None, of all."""
    label, nothing, everything = words
    return st.sidebar.multiselect(
        label,
        sorted({*offered, *st.session_state.get(key, [])}, key=_natural),
        format_func=lambda value: nothing if value is None else value,
        key=key,
        placeholder=everything,
        on_change=on_change,
    )


def _natural(value: str | None) -> tuple[int, int, str]:
    """Numbers by size before names; nothing comes last."""
    if value is None:
        return 2, 0, ""
    return (0, int(value), value) if value.isascii() and value.isdigit() else (1, 0, value)


def choose_interval(t: page.Text) -> int | None:
    """Seconds between two refreshes, kept under `every`; None while the reader pauses them."""
    every = st.sidebar.select_slider(
        t("refresh_every"),
        INTERVALS,
        format_func=lambda seconds: t("refresh_seconds", n=seconds),
        key="every",
    )
    return None if st.sidebar.toggle(t("pause"), key="paused") else every
