"""What the reader of the live page chooses, without a browser and without data."""

from streamlit.testing.v1 import AppTest

PAGE = """
from datetime import UTC, datetime
from functools import partial

import streamlit as st

from erp.pages import live_filters
from erp.pages.formats import Formats
from erp.pages.texts import text

st.session_state["period"] = "Last 7 days"
now = datetime(2017, 7, 1, tzinfo=UTC)
st.text(live_filters.choose_period(partial(text, "es"), Formats("es", "EUR", "UTC"), now).kind)
"""


def test_a_period_in_words_of_the_language_that_was_left_is_today() -> None:
    """What a browser may send that has not yet drawn the other language chooses nothing."""
    app = AppTest.from_string(PAGE).run()
    assert not app.exception
    assert "today" == app.text[0].value
