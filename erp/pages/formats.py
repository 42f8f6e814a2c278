"""Numbers, money, dates and times as the reader writes them."""

from datetime import date, datetime, timedelta
from math import isfinite
from string import ascii_uppercase
from typing import Literal, TypeGuard, TypeVar
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError, dates, numbers, units

MISSING = "—"  # shown where a value is not known

Number = float | int | None
Day = TypeVar("Day", date, datetime)


def reader_locale(language: str, browser: str | None) -> str:
    """The locale for `language`, with the browser's region when it speaks that language.

    >>> reader_locale("es", "es-MX"), reader_locale("en", "es-MX")
    ('es_MX', 'en')
    """
    try:
        locale = Locale.parse(browser or language, sep="-")
    except (ValueError, UnknownLocaleError):
        return language
    return str(locale) if locale.language == language else language


def change_from(before: Number, now: Number) -> float | None:
    """The change as a ratio; None when there was nothing, or less than nothing, before."""
    if now is None or before is None or before <= 0:
        return None
    return now / before - 1


class Formats:
    """How one reader writes values; a value that is None or not finite is a dash.

    Parameters
    ----------
    locale : a name of the CLDR, such as `es` or `en_GB`.
    currency : ISO 4217 code of all amounts.
    timezone : IANA name; moments are shown in it.
    """

    def __init__(self, locale: str, currency: str, timezone: str) -> None:
        self.locale = Locale.parse(locale)
        self.currency = currency
        self.timezone = ZoneInfo(timezone)
        symbols = self.locale.number_symbols["latn"]
        self.separators = symbols["decimal"] + symbols["group"]  # as Plotly's layout.separators
        self._cldr_symbol = numbers.get_currency_symbol(currency, self.locale)
        narrow = self._cldr_symbol.strip(ascii_uppercase)
        self.symbol = narrow or self._cldr_symbol  # $ of US$: there is one currency
        order = {"d": "DD/MM/YYYY", "M": "MM/DD/YYYY"}
        first = self.locale.date_formats["short"].pattern[0]
        self.date_picker = order.get(first, "YYYY/MM/DD")  # of st.date_input

    def number(self, value: Number, digits: int = 0) -> str:
        """A count or a quantity, with at most `digits` decimals."""
        if not _known(value):
            return MISSING
        pattern = "#,##0" + ("." + "#" * digits if digits else "")
        return numbers.format_decimal(value, pattern, self.locale)

    def short(self, value: Number, digits: int = 1) -> str:
        """A count of which the size matters, `12,3 mil`."""
        if not _known(value):
            return MISSING
        return numbers.format_compact_decimal(value, locale=self.locale, fraction_digits=digits)

    def money(self, value: Number) -> str:
        """An amount to the cent."""
        if not _known(value):
            return MISSING
        written = numbers.format_currency(value, self.currency, locale=self.locale)
        return written.replace(self._cldr_symbol, self.symbol)

    def money_short(self, value: Number) -> str:
        """An amount of which the size matters: `4,58 M €`, `853.361 €`, `999,99 €`."""
        if not _known(value):
            return MISSING
        if abs(value) < 1_000:
            return self.money(value)
        size = abs(value)
        words = self.number(round(size)) if size < 1_000_000 else self.short(size, 2)
        sign = "-" if value < 0 else ""
        before = self.locale.currency_formats["standard"].pattern.startswith("¤")
        return f"{sign}{self.symbol}{words}" if before else f"{sign}{words} {self.symbol}"

    def percent(self, ratio: Number, digits: int = 1) -> str:
        """A ratio, 0.123 as `12,3 %`."""
        if not _known(ratio):
            return MISSING
        pattern = self.locale.percent_formats[None].pattern
        if digits:
            pattern = pattern.replace("#,##0", "#,##0." + "0" * digits)
        return numbers.format_percent(ratio, pattern, self.locale)

    def change(self, ratio: Number) -> str:
        """A change as a ratio with its sign, 0.123 as `+12,3 %`."""
        if not _known(ratio):
            return MISSING
        return ("+" if ratio > 0 else "") + self.percent(ratio)

    def day(self, value: date | None) -> str:
        """A calendar day, `4 mar 2017`."""
        return dates.format_date(value, "medium", self.locale) if _given(value) else MISSING

    def day_month(self, value: date | None) -> str:
        """A day of a year that is known, `4 mar`."""
        return self._skeleton("MMMd", value) if _given(value) else MISSING

    def month(self, value: date | None) -> str:
        """A month, `mar 2017`."""
        return self._skeleton("yMMM", value) if _given(value) else MISSING

    def _skeleton(self, skeleton: str, value: date) -> str:
        return dates.format_skeleton(skeleton, value, locale=self.locale)

    def weekday(self, number: int, width: Literal["abbreviated", "wide"] = "abbreviated") -> str:
        """The name of a weekday, 0 is Monday."""
        return dates.get_day_names(width, "stand-alone", self.locale)[number]

    def moment(self, value: datetime | None) -> str:
        """A day and a time to the second, in the business time zone."""
        return (
            dates.format_datetime(self.local(value), "medium", locale=self.locale)
            if _given(value)
            else MISSING
        )

    def time(self, value: datetime | None) -> str:
        """A time of day, in the business time zone, `17:05:09`."""
        return (
            dates.format_time(self.local(value), "medium", locale=self.locale)
            if _given(value)
            else MISSING
        )

    def local(self, value: datetime) -> datetime:
        """The moment in the business time zone; one without a zone is taken as UTC."""
        return (value if value.tzinfo else value.replace(tzinfo=ZoneInfo("UTC"))).astimezone(
            self.timezone
        )

    def ago(self, seconds: float | None) -> str:
        """How long since, `hace 5 minutos`."""
        return (
            MISSING
            if seconds is None
            else dates.format_timedelta(
                timedelta(seconds=-max(seconds, 1)), add_direction=True, locale=self.locale
            )
        )

    def elapsed(self, milliseconds: Number) -> str:
        """How long a program took, `45 ms`, `4,7 s`, `7,9 min`."""
        if not _known(milliseconds):
            return MISSING
        for unit, length, digits in (("minute", 60_000, 1), ("second", 1_000, 1)):
            if milliseconds >= length:
                value: float = round(milliseconds / length, digits)
                return units.format_unit(value, unit, "short", locale=self.locale)
        return units.format_unit(round(milliseconds), "millisecond", "short", locale=self.locale)

    def duration(self, seconds: float | None) -> str:
        """A length of time in its largest unit, `5 minutos`."""
        return (
            MISSING
            if seconds is None
            else dates.format_timedelta(timedelta(seconds=seconds), locale=self.locale)
        )


def _known(value: Number) -> TypeGuard[float]:
    return value is not None and isfinite(value)


def _given(value: Day | None) -> TypeGuard[Day]:
    return value is not None and value == value  # NaT differs from itself
