"""daily_sales_summary: the documents of days from the tickets and lines of those days."""

from typing import Any

import polars as pl

from erp.processor.aggregates import TICKET_BOUNDS, UNKNOWN
from erp.processor.documents import Part, documents

Document = dict[str, Any]

_SUMS = ("tickets", "lines", "units", "gross", "discount", "net")
_BY_STORE = Part("by_store", {"key": pl.String}, _SUMS)
_BY_PAYMENT = Part("by_payment", {"key": pl.String}, _SUMS)
_BY_CATEGORY = Part("by_category", {"key": pl.String}, _SUMS)
_BY_HOUR = Part("by_hour", {"key": pl.Int64}, _SUMS)


def daily_documents(tickets: pl.DataFrame, lines: pl.DataFrame) -> list[Document]:
    """A document for each day of `tickets`, which are measured (erp.processor.facts.measured).

    `lines` are those of these tickets, with the column `day`.
    """
    hour = (pl.col("minute") // 60).cast(pl.Int64)
    parts = [
        (_BY_STORE, _split(tickets, pl.col("store_id"))),
        (_BY_PAYMENT, _split(tickets, pl.col("payment_type"))),
        (_BY_CATEGORY, split_by_category(lines)),
        (_BY_HOUR, _split(tickets, hour)),
    ]
    made = documents(_totals(tickets, lines), "day", parts)
    histograms = _histograms(tickets)
    for document in made:
        document["ticket_histogram"] = histograms[document["_id"]]
    return made


def _totals(tickets: pl.DataFrame, lines: pl.DataFrame) -> pl.DataFrame:
    known = pl.col("customer_id") != UNKNOWN
    of_days = tickets.group_by("day").agg(
        pl.col("day").first().dt.weekday().cast(pl.Int64).sub(1).alias("weekday"),
        pl.len().cast(pl.Int64).alias("tickets"),
        pl.col("lines", "units", "gross", "discount", "header_discount", "net", "tax").sum(),
        customers=pl.col("customer_id").filter(known).n_unique().cast(pl.Int64),
        anonymous_tickets=(~known).sum().cast(pl.Int64),
        tickets_without_lines=(pl.col("lines") == 0).sum().cast(pl.Int64),
    )
    returns = (
        lines.filter(pl.col("units") < 0)
        .group_by("day")
        .agg(
            return_lines=pl.len().cast(pl.Int64),
            returned_units=-pl.col("units").sum(),
            returned=-pl.col("net").sum(),
        )
    )
    return (
        of_days.join(returns, on="day", how="left")
        .with_columns(
            pl.col("return_lines", "returned_units", "returned").fill_null(0),
            average_ticket=average(pl.col("net"), pl.col("tickets")),
        )
        .sort("day")
    )


def average(cents: pl.Expr, count: pl.Expr) -> pl.Expr:
    """Cents over a count as currency, rounded to cents, halves away from zero."""
    return ((cents / count).round(6).round(0, mode="half_away_from_zero") / 100).round(2)


def _split(tickets: pl.DataFrame, by: pl.Expr) -> pl.DataFrame:
    return tickets.group_by("day", by.alias("key")).agg(
        pl.len().cast(pl.Int64).alias("tickets"),
        pl.col("lines", "units", "gross", "discount", "net").sum(),
    )


def split_by_category(lines: pl.DataFrame) -> pl.DataFrame:
    """The lines' sums by day and category; tickets are those with at least one such line."""
    return lines.group_by("day", pl.col("category").cast(pl.String).alias("key")).agg(
        pl.col("sale").n_unique().cast(pl.Int64).alias("tickets"),
        pl.len().cast(pl.Int64).alias("lines"),
        pl.col("units", "gross", "discount", "net").sum(),
    )


def _histograms(tickets: pl.DataFrame) -> dict[str, list[int]]:
    reached = pl.sum_horizontal(
        (pl.col("net") >= bound * 100).cast(pl.Int64) for bound in TICKET_BOUNDS
    )
    counts = tickets.group_by("day", reached.alias("bin")).len()
    made: dict[str, list[int]] = {}
    for day, bin_, count in counts.iter_rows():
        made.setdefault(str(day), [0] * (len(TICKET_BOUNDS) + 1))[bin_] = count
    return made
