"""Numbers, money, dates and times in the reader's format."""

import math
from datetime import UTC, date, datetime

import pytest

from erp.pages.formats import MISSING, Formats, change_from, reader_locale

NBSP, NNBSP = "\u00a0", "\u202f"


@pytest.fixture
def spanish() -> Formats:
    return Formats("es", "EUR", "Europe/Madrid")


@pytest.fixture
def english() -> Formats:
    return Formats("en", "USD", "America/New_York")


def plain(text: str) -> str:
    return text.replace(NBSP, " ").replace(NNBSP, " ")


@pytest.mark.parametrize(
    ("before", "now", "change"),
    [(2, 3, 0.5), (2, 0, -1.0), (0, 3, None), (-5, 10, None), (2, None, None), (None, 2, None)],
)
def test_a_change_needs_a_base(before: float, now: float, change: float | None) -> None:
    """There is no percentage of nothing, or of less than nothing."""
    assert change == change_from(before, now)


@pytest.mark.parametrize(
    ("language", "browser", "locale"),
    [
        ("es", "es-MX", "es_MX"),
        ("es", "en-US", "es"),
        ("en", "en-GB", "en_GB"),
        ("es", None, "es"),
        ("en", "no such thing", "en"),
    ],
)
def test_region_is_the_browsers(language: str, browser: str | None, locale: str) -> None:
    """The browser's region counts when it speaks the chosen language."""
    assert locale == reader_locale(language, browser)


def test_money_is_written_as_the_reader_writes(spanish: Formats, english: Formats) -> None:
    """Amounts are to the cent, with the reader's signs and the currency of the settings."""
    assert "1.234.567,80 €" == plain(spanish.money(1234567.8))
    assert "$1,234,567.80" == english.money(1234567.8)
    assert "-5,00 €" == plain(spanish.money(-5))
    assert "5,00 $" == plain(Formats("es", "USD", "UTC").money(5))


def test_short_money_keeps_its_size(spanish: Formats, english: Formats) -> None:
    """A large amount is short, a small one is to the cent."""
    assert "4,58 M €" == plain(spanish.money_short(4576223.98))
    assert "$4.58M" == english.money_short(4576223.98)
    assert "-$4.58M" == english.money_short(-4576223.98)
    assert "853.361 €" == plain(spanish.money_short(853360.8))
    assert "$853,361" == english.money_short(853360.8)
    assert "853.361 $" == plain(Formats("es", "USD", "UTC").money_short(853360.8))
    assert "999,99 €" == plain(spanish.money_short(999.99))


def test_numbers_and_ratios(spanish: Formats, english: Formats) -> None:
    """Counts have no decimals, ratios are percentages, changes have a sign."""
    assert "155.520" == spanish.number(155520)
    assert "155,520" == english.number(155520)
    assert "1,5" == spanish.number(1.5, digits=2)
    assert "12,3 %" == plain(spanish.percent(0.1234))
    assert "+12.3%" == english.change(0.1234)
    assert "-1.0%" == english.change(-0.01)


def test_what_is_not_known_is_a_dash(spanish: Formats) -> None:
    """None and what is not finite are a dash in every format."""
    for write in (spanish.number, spanish.money, spanish.money_short, spanish.percent):
        assert [MISSING] * 3 == [write(None), write(math.nan), write(math.inf)]
    assert [MISSING] * 3 == [spanish.day(None), spanish.moment(None), spanish.ago(None)]


def test_moments_are_in_the_business_time_zone(spanish: Formats, english: Formats) -> None:
    """A time in UTC is shown by the clock of the business; a day stays that day."""
    moment = datetime(2017, 12, 31, 23, 30, tzinfo=UTC)
    assert "1 ene 2018, 0:30:00" == plain(spanish.moment(moment))
    assert "Dec 31, 2017, 6:30:00 PM" == plain(english.moment(moment))
    assert "4 mar 2017" == spanish.day(date(2017, 3, 4))
    assert "hace 5 minutos" == spanish.ago(300)


def test_a_short_while_has_the_unit_that_fits(spanish: Formats, english: Formats) -> None:
    """Milliseconds, seconds or minutes, in the reader's spelling."""
    assert ["45 ms", "4,7 s", "7,9 min"] == [spanish.elapsed(ms) for ms in (45, 4_730, 475_893)]
    assert "4.7 sec" == english.elapsed(4_730)
    assert MISSING == spanish.elapsed(None)


def test_date_picker_has_the_readers_order(spanish: Formats, english: Formats) -> None:
    """The order of day and month is the reader's."""
    assert ["DD/MM/YYYY", "MM/DD/YYYY"] == [spanish.date_picker, english.date_picker]
