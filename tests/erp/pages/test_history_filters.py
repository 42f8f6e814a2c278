"""What a choice in the filters of the history page does to the period."""

from datetime import date

import pytest

from erp.pages import history_filters

YEAR = date(2017, 1, 1), date(2017, 12, 31)
MARCH = date(2017, 3, 1), date(2017, 3, 31)


@pytest.mark.parametrize(
    ("month", "expected"),
    [(date(2017, 3, 1), MARCH), (history_filters.EVERY, YEAR), ("mar 2017", YEAR), ("Todos", YEAR)],
)
def test_a_month_sets_the_period_and_words_of_another_language_do_not(
    monkeypatch: pytest.MonkeyPatch, month: object, expected: tuple[date, date]
) -> None:
    """What the browser still calls a month when the language changes is no date."""
    state = {"year": "Todos", "month": month, "range": YEAR, "_whole": YEAR}
    monkeypatch.setattr(history_filters.st, "session_state", state)
    if month == history_filters.EVERY:
        state["year"] = 2017
    history_filters._month_chosen()
    assert expected == state["range"]
