"""Values of CSV files read as what their columns hold, a column at a time.

Nothing is repaired: a value is read as its file's form of numbers and dates says, or not at all,
and then with the reason by name.
"""

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import polars as pl

from erp.contract import FALSE, TRUE
from erp.ingest.csv_reader import SAFE_INTEGERS

_POINT = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_COMMA_THOUSANDS = r"^[+-]?\d{1,3}(,\d{3})+\.\d+$"  # 1,234.56: only one reading
_COMMA = r"^[+-]?(\d+,?\d*|,\d+)([eE][+-]?\d+)?$"
_POINT_THOUSANDS = r"^[+-]?\d{1,3}(\.\d{3})+,\d+$"  # 1.234,56: only one reading
POINT_GROUP = r"^[+-]?[1-9]\d{0,2}\.\d{3}$"  # 1.234: a number and a bit, or a thousand and more
_COMMA_GROUP = r"^[+-]?[1-9]\d{0,2},\d{3}$"  # 1,234: likewise
# marks that can only group thousands: others follow, or the other mark does
_GROUPING_POINTS = rf"{_POINT_THOUSANDS}|^[+-]?[1-9]\d{{0,2}}(\.\d{{3}}){{2,}}$"
_GROUPING_COMMAS = rf"{_COMMA_THOUSANDS}|^[+-]?[1-9]\d{{0,2}}(,\d{{3}}){{2,}}$"
# a mark that can only begin a fraction: no three digits follow, or no group goes before
_FRACTION = r"^[+-]?(\d*{0}(\d{{1,2}}|\d{{4,}})|(0?|\d{{4,}}){0}\d{{3}})([eE][+-]?\d+)?$"
COMMA_ONLY = f"{_GROUPING_POINTS}|{_FRACTION.format(',')}"
POINT_ONLY = f"{_GROUPING_COMMAS}|{_FRACTION.format('[.]')}"
_NOT_FINITE = r"(?i)^[+-]?(nan|inf|infinity)$"

_CLOCK = (
    r"(?:,?[T ](?P<hour>\d{1,2}):(?P<minute>\d{2})"
    r"(?::(?P<second>[0-5]\d)(?:[.,](?P<fraction>\d+))?)?"
    r"\s?(?P<half>[AaPp]\.?\s?[Mm]\.?)?"  # 6:05 p. m. in Spanish, with a narrow blank or two
    r" ?(?P<offset>Z|[+-](?:[01]\d|2[0-3])(?::?[0-5]\d)?)?)?$"
)
_USUAL_TIME = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:[0-5]\d$"
# in Spanish and in English, short or whole: 1-ene-2024, 01 MAR 2024, 3/September/2024
_MONTHS = (
    "ene(?:ro)?|jan(?:uary)?",
    "feb(?:rero|ruary)?",
    "mar(?:zo|ch)?",
    "abr(?:il)?|apr(?:il)?",
    "mayo?",
    "jun(?:io|e)?",
    "jul(?:io|y)?",
    "ago(?:sto)?|aug(?:ust)?",
    "set(?:iembre)?|sept?(?:iembre|ember)?",
    "oct(?:ubre|ober)?",
    "nov(?:iembre|ember)?",
    "dic(?:iembre)?|dec(?:ember)?",
)
_NAMED_MONTH = r"(?i)^(\d{{1,2}})[-/. ](?:{})\.?[-/. ](\d{{4}})"
_SHORT_YEAR = r"^\d{1,2}[-/.](\d{1,2}|\pL{3,})[-/.]\d{2}(\D|$)"
YEAR_FIRST = r"^(?P<a>\d{4})[-/](?P<b>\d{1,2})[-/](?P<c>\d{1,2})" + _CLOCK
YEAR_LAST = r"^(?P<a>\d{1,2})[-/.](?P<b>\d{1,2})[-/.](?P<c>\d{4})" + _CLOCK  # day or month first


class Decimal(enum.StrEnum):
    """The mark before a number's fraction."""

    POINT = "point"
    COMMA = "comma"
    MIXED = "mixed"  # both; what has two readings has none


class DateOrder(enum.StrEnum):
    """What comes first in dates such as 3/4/2024."""

    DAY_FIRST = "dmy"
    MONTH_FIRST = "mdy"
    UNKNOWN = "unknown"  # no date of the column tells
    MIXED = "mixed"  # some can only be the one, some only the other


@dataclass(frozen=True)
class Forms:
    """How a file writes its numbers and dates; a date column that is not named is ISO 8601.

    `given` says that the decimal mark is somebody's word: the other mark then groups thousands.
    """

    decimal: Decimal = Decimal.POINT
    given: bool = False
    date_orders: dict[str, DateOrder] = field(default_factory=dict)
    time_zone: str = "UTC"  # of times without an offset


# Each cast gives the values and, where it refuses any, a column of reasons (null: fine).
Cast = tuple[pl.Series, pl.Series | None]


def _float(text: pl.Series, forms: Forms, _name: str) -> Cast:
    if forms.decimal is Decimal.POINT:
        values = text.cast(pl.Float64, strict=False)
        if values.null_count() == text.null_count() and values.is_finite().all():
            return values, None
    return _number(text, forms)


def _number(text: pl.Series, forms: Forms) -> Cast:
    """Numbers in the file's form; what has two readings has none."""
    written = pl.col("text").str.strip_chars()
    points, commas = _GROUPING_POINTS, _GROUPING_COMMAS
    if forms.given:
        points, commas = f"{points}|{POINT_GROUP}", f"{commas}|{_COMMA_GROUP}"
    pointed = (
        pl.when(written.str.contains(commas))
        .then(written.str.replace_all(",", "", literal=True))
        .when(written.str.contains(_POINT))
        .then(written)
    ).cast(pl.Float64, strict=False)
    without_points = written.str.replace_all(".", "", literal=True)
    with_comma = (
        pl.when(written.str.contains(f"{points}|{_COMMA}"))
        .then(without_points.str.replace(",", ".", literal=True))
    ).cast(pl.Float64, strict=False)  # fmt: skip
    groups, ambiguous = f"{_COMMA_GROUP}|{POINT_GROUP}", "ambiguous_number"
    match forms.decimal:
        case Decimal.POINT:
            value, other, groups = pointed, with_comma, _COMMA_GROUP
        case Decimal.COMMA:
            value, other, groups = with_comma, pointed, POINT_GROUP
        case Decimal.MIXED:
            certain = ~written.str.contains(groups)
            value = pl.when(certain).then(pl.coalesce(pointed, with_comma))
            other, ambiguous = pl.lit(None), "mixed_decimal_mark"
    table = text.alias("text").to_frame().with_columns(value=value, other=other)
    reason = (
        pl.when(pl.col("text").is_null() | (written == ""))
        .then(None)
        .when(written.str.contains(_NOT_FINITE) | ~pl.col("value").is_finite())
        .then(pl.lit("not_finite"))
        .when(pl.col("value").is_not_null())
        .then(None)
        .when(written.str.contains(groups))
        .then(pl.lit(ambiguous))
        .when(pl.col("other").is_not_null())
        .then(pl.lit("other_decimal_mark"))
        .otherwise(pl.lit("not_a_number"))
    )
    table = table.with_columns(reason=reason)
    return table["value"], _if_any(table["reason"])


def _integer(text: pl.Series, forms: Forms, _name: str) -> Cast:
    values = text.cast(pl.Int64, strict=False)
    if values.null_count() == text.null_count() and values.is_between(*SAFE_INTEGERS).all():
        return values, None
    numbers, reasons = _number(text, forms)
    table = pl.DataFrame({"number": numbers}).with_columns(
        value=pl.when(
            (pl.col("number") == pl.col("number").round())
            & pl.col("number").is_between(*SAFE_INTEGERS)
        )
        .then(pl.col("number"))
        .cast(pl.Int64, strict=False)
    )
    fraction = table.select(
        pl.when(pl.col("value").is_null() & pl.col("number").is_finite()).then(
            pl.lit("not_an_integer")
        )
    ).to_series()
    return table["value"], _if_any(fraction if reasons is None else reasons.fill_null(fraction))


def _boolean(text: pl.Series, _forms: Forms, _name: str) -> Cast:
    table = (
        text.alias("text")
        .to_frame()
        .with_columns(word=pl.col("text").str.strip_chars().str.to_lowercase())
    )
    table = table.with_columns(
        value=pl.when(pl.col("word").is_in(TRUE))
        .then(True)
        .when(pl.col("word").is_in(FALSE))
        .then(False)
    ).with_columns(
        reason=pl.when(pl.col("value").is_null() & (pl.col("word") != "")).then(
            pl.lit("not_a_boolean")
        )
    )
    return table["value"], _if_any(table["reason"])


def _moment(text: pl.Series, forms: Forms, name: str) -> Cast:
    """Times in UTC, microseconds; those without an offset are local to the business."""
    local = text.str.to_datetime("%Y-%m-%dT%H:%M:%S", strict=False, time_unit="us")
    # the parser also takes 24-3-1T9:05:07, which is of the year 24 to it
    if local.null_count() == text.null_count() and text.str.contains(_USUAL_TIME).all():
        values, twice, never = _localized(local, forms.time_zone)
        year = values.dt.year()
        if not (twice | never).any() and year.is_between(1, 9999).all():
            return values, None
    return _any_moment(text, forms, name)


def _any_moment(text: pl.Series, forms: Forms, name: str) -> Cast:
    """Times of the usual forms; 3/4/2024 only where the column's order is known."""
    order = forms.date_orders.get(name, DateOrder.UNKNOWN)
    table = split_dates(text)
    month_first = (
        (pl.col("b") > 12) if order in (DateOrder.UNKNOWN, DateOrder.MIXED)
        else pl.lit(order is DateOrder.MONTH_FIRST)
    )  # fmt: skip
    year_last, half = pl.col("year_last"), pl.col("half").str.slice(0, 1).str.to_lowercase()
    year = pl.when(year_last).then("c").otherwise("a")
    month = pl.when(year_last & ~month_first).then("b").when(year_last).then("a").otherwise("b")
    day = pl.when(year_last & ~month_first).then("a").when(year_last).then("b").otherwise("c")
    hour = (
        pl.when(half.is_null())
        .then("hour")
        .when(pl.col("hour").is_between(1, 12))
        .then(pl.col("hour") % 12 + 12 * (half == "p").cast(pl.Int32))
    )
    clock = pl.format(
        "{}-{}-{}T{}:{}:{}.{}",
        *(part.cast(pl.String).str.zfill(size) for part, size in ((year, 4), (month, 2), (day, 2))),
        pl.when(pl.col("hour").is_null()).then(0).otherwise(hour).cast(pl.String).str.zfill(2),
        pl.col("minute").fill_null("00"),
        pl.col("second").fill_null("00"),
        pl.col("fraction").fill_null("0").str.slice(0, 6),
    )
    table = table.with_columns(
        local=clock.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", strict=False, time_unit="us")
    )
    values, twice, never = _localized(table["local"], forms.time_zone)
    offset = pl.col("offset").str.replace("Z", "+00", literal=True).str.replace(
        ":", "", literal=True
    ) + pl.when(pl.col("offset").str.len_bytes() <= 3).then(pl.lit("00")).otherwise(pl.lit(""))
    minutes = offset.str.slice(1, 2).cast(pl.Int64) * 60 + offset.str.slice(3, 2).cast(pl.Int64)
    signed = pl.when(offset.str.starts_with("-")).then(-minutes).otherwise(minutes)
    given = pl.col("offset").is_not_null()
    table = table.with_columns(values.alias("zoned"), twice.alias("twice"), never.alias("never"))
    table = table.with_columns(
        value=pl.when(given)
        .then(pl.col("local").dt.replace_time_zone("UTC") - pl.duration(minutes=signed))
        .otherwise("zoned")
    )
    two_readings = (
        pl.lit(order in (DateOrder.UNKNOWN, DateOrder.MIXED))
        & year_last & (pl.col("a") <= 12) & (pl.col("b") <= 12) & (pl.col("a") != pl.col("b"))
    )  # fmt: skip
    ambiguous = "mixed_date_order" if order is DateOrder.MIXED else "ambiguous_date"
    reason = (
        pl.when(pl.col("text").is_null() | (pl.col("text") == ""))
        .then(None)
        .when(pl.col("local").is_null() & pl.col("text").str.contains(_SHORT_YEAR))
        .then(pl.lit("short_year"))
        .when(pl.col("local").is_null())
        .then(pl.lit("not_a_date"))
        .when(two_readings)
        .then(pl.lit(ambiguous))
        .when(~given & pl.col("twice"))
        .then(pl.lit("local_time_twice"))
        .when(~given & pl.col("never"))
        .then(pl.lit("local_time_never"))
        .when(~pl.col("value").dt.year().is_between(1, 9999))
        .then(pl.lit("date_out_of_range"))
    )
    table = table.with_columns(reason=reason)
    table = table.with_columns(value=pl.when(pl.col("reason").is_null()).then("value"))
    return table["value"], _if_any(table["reason"])


def split_dates(text: pl.Series) -> pl.DataFrame:
    """The parts of dates: a, b, c in the order written (whole numbers), `year_last`, the clock."""
    written = text.str.strip_chars().str.replace(r"^(\d{4})(\d{2})(\d{2})$", "$1-$2-$3")
    if written.str.contains(r"\pL{3}").any():
        for number, names in enumerate(_MONTHS, 1):
            written = written.str.replace(_NAMED_MONTH.format(names), f"$2-{number}-$1")
    table = (
        written.alias("text")
        .to_frame()
        .with_columns(year_last=pl.col("text").str.contains(YEAR_LAST).fill_null(False))
    )
    parts = table.select(
        pl.when("year_last")
        .then(pl.col("text").str.extract_groups(YEAR_LAST))
        .otherwise(pl.col("text").str.extract_groups(YEAR_FIRST))
        .alias("parts")
    ).unnest("parts")
    numbers = [pl.col(name).cast(pl.Int32, strict=False) for name in ("a", "b", "c", "hour")]
    return pl.concat([table, parts.with_columns(numbers)], how="horizontal")


def _localized(local: pl.Series, time_zone: str) -> tuple[pl.Series, pl.Series, pl.Series]:
    """Local times in UTC; which of them the clock shows twice, and which never."""
    if time_zone == "UTC":
        never = pl.repeat(False, len(local), dtype=pl.Boolean, eager=True)
        return local.dt.replace_time_zone("UTC"), never, never
    once = local.dt.replace_time_zone(time_zone, ambiguous="null", non_existent="null")
    first = local.dt.replace_time_zone(time_zone, ambiguous="earliest", non_existent="null")
    never = first.is_null() & local.is_not_null()
    twice = once.is_null() & first.is_not_null()
    return once.dt.convert_time_zone("UTC"), twice, never


def _if_any(reasons: pl.Series) -> pl.Series | None:
    return None if reasons.null_count() == len(reasons) else reasons


TYPES = {
    str: pl.String(),
    int: pl.Int64(),
    float: pl.Float64(),
    bool: pl.Boolean(),
    datetime: pl.Datetime("us", "UTC"),
}
CASTS: dict[type, Callable[[pl.Series, Forms, str], Cast]] = {
    int: _integer,
    float: _float,
    bool: _boolean,
    datetime: _moment,
}
