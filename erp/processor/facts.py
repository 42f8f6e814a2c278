"""Facts: sales and their lines as columns with whole numbers, the ground of every figure.

Money is Int64 in cents and units are Int64 in thousandths, so that sums are exact in any order.
What each figure means is written in erp.processor.aggregates.

A *ticket frame* has TICKETS: a row for each document of `sales`, and one with `day` null for each
sale that only its lines speak of. A *line frame* has LINES: a row for each document of
`sales_items`. `sale` joins the two and means nothing elsewhere.
"""

from collections.abc import Iterator
from typing import Any

import polars as pl

from erp.processor.aggregates import UNKNOWN

LARGEST_AMOUNT = 1e10  # of one line or header, in currency; what is beyond cannot be known
MEASURES = ("units", "gross", "discount", "net")

TICKETS: dict[Any, Any] = {
    "sale": pl.UInt32,
    "sale_id": pl.String,
    "day": pl.Date,  # in the business time zone, as is minute
    "minute": pl.Int16,  # after midnight by the clock, 0 to 1439
    "time": pl.Datetime("ms", "UTC"),
    "store_id": pl.String,
    "payment_type": pl.String,
    "customer_id": pl.String,
    "header_gross": pl.Int64,  # null when the header does not say
    "header_discount": pl.Int64,
    "tax": pl.Int64,
}
LINES: dict[Any, Any] = {
    "sale": pl.UInt32,
    "line_n": pl.Int64,
    "product_id": pl.Categorical(),
    "category": pl.Categorical(),
    "subcategory": pl.Categorical(),
    "units": pl.Int64,
    "gross": pl.Int64,
    "discount": pl.Int64,
    "net": pl.Int64,
}


def cents(amount: pl.Expr) -> pl.Expr:
    """An amount as whole cents, halves away from zero; null when it is not usable.

    The first rounding takes away what binary fractions add: 1.005 * 100 is 100.49999999999999.
    """
    return _whole(amount, 100)


def thousandths(units: pl.Expr) -> pl.Expr:
    """A quantity as whole thousandths, halves away from zero; null when it is not usable."""
    return _whole(units, 1000)


def _whole(number: pl.Expr, parts: int) -> pl.Expr:
    usable = pl.when(number.is_finite() & (number.abs() <= LARGEST_AMOUNT)).then(number)
    rounded = (usable * parts).round(4).round(0, mode="half_away_from_zero")
    return rounded.cast(pl.Int64)


def with_categories(lines: pl.DataFrame, products: pl.DataFrame) -> pl.DataFrame:
    """The lines with `category` and `subcategory` of their products, UNKNOWN where absent."""
    known = products.select(pl.col("product_id", "category", "subcategory").cast(pl.Categorical))
    return lines.join(known, on="product_id", how="left", maintain_order="left").with_columns(
        pl.col("category", "subcategory").fill_null(UNKNOWN)
    )


def joined(
    sales: pl.DataFrame, batches: Iterator[pl.DataFrame], products: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The ticket frame and the line frame of sales, batches of lines (read_items) and products."""
    tickets = sales.with_row_index("sale").select(list(TICKETS))
    known = tickets.select("sale_id", "sale")
    compact, headless = [], []
    for batch in batches:
        placed = batch.join(known, on="sale_id", how="left")
        compact.append(_compact(placed.filter(pl.col("sale").is_not_null())))
        headless.append(placed.filter(pl.col("sale").is_null()).drop("sale"))
    alone = pl.concat(headless)
    unknown = (
        alone.select(pl.col("sale_id").unique().sort())
        .with_row_index("sale", offset=tickets.height)
        .select("sale_id", "sale")
    )
    compact.append(_compact(alone.join(unknown, on="sale_id")))
    lines = with_categories(pl.concat(compact), products)
    return pl.concat([tickets, unknown], how="diagonal"), lines.select(list(LINES))


def numbered(sales: pl.DataFrame, lines: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The ticket frame and the line frame of sales and of lines that have a `sale_id`."""
    headless = (
        lines.select(pl.col("sale_id").unique().sort())
        .join(sales, on="sale_id", how="anti")
        .select("sale_id")
    )
    tickets = pl.concat([sales, headless], how="diagonal").with_row_index("sale")
    placed = lines.join(tickets.select("sale_id", "sale"), on="sale_id")
    return tickets.select(list(TICKETS)), placed.select(list(LINES))


def _compact(lines: pl.DataFrame) -> pl.DataFrame:
    return lines.select("sale", "line_n", "product_id", *MEASURES)


def measured(tickets: pl.DataFrame, lines: pl.DataFrame) -> pl.DataFrame:
    """The tickets that have a day, with `lines`, units, gross, discount and net."""
    sums = lines.group_by("sale").agg(
        pl.len().cast(pl.Int64).alias("lines"), pl.col(MEASURES).sum()
    )
    header = pl.col("header_discount")
    bare = pl.col("lines") == 0
    return (
        tickets.filter(pl.col("day").is_not_null())
        .join(sums, on="sale", how="left", maintain_order="left")
        .with_columns(pl.col("lines", *MEASURES).fill_null(0))
        .with_columns(
            gross=pl.when(bare).then(pl.col("header_gross").fill_null(0)).otherwise("gross")
        )
        .with_columns(
            discount=pl.col("discount") + header,
            net=pl.when(bare).then(pl.col("gross")).otherwise("net") - header,
        )
    )
