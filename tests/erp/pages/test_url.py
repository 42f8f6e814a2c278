"""The filters in the URL: widgets rule, but for a reader who goes back or follows a link."""

import pytest
from streamlit.testing.v1 import AppTest

from erp.pages import page
from tests.waiting import PATIENCE


def filtered() -> None:
    """A page with one filter that is kept in its URL."""
    import streamlit as st  # noqa: PLC0415  AppTest runs this function's text alone

    from erp.pages import page  # noqa: PLC0415

    page.from_url({"stores": list})
    st.multiselect("stores", ["a", "b"], key="stores")
    page.to_url({"stores": st.session_state["stores"]}, "es")


@pytest.fixture
def app() -> AppTest:
    """The page after the reader chose a store."""
    opened = AppTest.from_function(filtered).run()
    opened.multiselect("stores").select("a").run()
    assert "a" == opened.query_params["stores"]
    return opened


def test_a_choice_outlives_the_url_that_the_browser_had_before_it(
    app: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second click may be sent before the browser has taken over what the first one wrote."""
    monkeypatch.setattr(page, "STALE_SECONDS", PATIENCE)
    del app.query_params["stores"]
    app.run()
    assert ["a"] == app.multiselect("stores").value
    assert "a" == app.query_params["stores"]


def test_the_way_back_is_followed(app: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the browser had the time to take it over, the URL before is the reader's wish."""
    monkeypatch.setattr(page, "STALE_SECONDS", 0)
    del app.query_params["stores"]
    app.run()
    assert [] == app.multiselect("stores").value


def test_a_link_is_followed_at_once(app: AppTest) -> None:
    """A URL that the page did not write itself is no leftover."""
    app.query_params["stores"] = ["b"]
    app.run()
    assert ["b"] == app.multiselect("stores").value
