"""What every source of csv_out shares: the shape of the four tables and how they reach the disk.

Money travels in whole cents (integers), so that sums are exact, and becomes decimal on the way out.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import polars as pl

from erp.contract import CUSTOMERS, PRODUCTS, SALES, SALES_ITEMS, TABLES, Table


class Count(NamedTuple):
    """How often a cleaning rule applied; only rows that are `dropped` lessen the rows of lines."""

    rule: str
    dropped: int | None  # lines that do not reach sales_items.csv
    changed: int | None  # lines, or the things named in `meaning`, that differ from the source
    meaning: str


class Prepared(NamedTuple):
    """A source made ready: `lines_in` less the dropped ones are the rows of sales_items."""

    frames: dict[str, pl.DataFrame]  # table name -> its rows, in the columns of the contract
    lines_in: int
    counts: list[Count]
    notes: list[str]  # what a reader of the files must know


def cents(amount: pl.Expr) -> pl.Expr:
    """An amount of money as whole cents, halves away from zero.

    The first rounding takes away what binary fractions add: 1.005 * 100 is 100.49999999999999.
    """
    return (amount * 100).round(4).round(0, mode="half_away_from_zero").cast(pl.Int64)


def money(amount_in_cents: pl.Expr) -> pl.Expr:
    """Cents as an amount with at most two decimals.

    Polars divides by a constant as a product with its inverse, 1120 / 100 = 11.200000000000001,
    so the quotient is rounded.
    """
    return (amount_in_cents / 100).round(2)


def plain_number(column: str) -> pl.Expr:
    """Text of a float column in which a whole number has no decimals: 3, not 3.0."""
    number = pl.col(column)
    whole = number.cast(pl.Int64, strict=False)
    return pl.when(number == whole).then(whole.cast(pl.String)).otherwise(number.cast(pl.String))


def prepared(
    products: pl.DataFrame,
    customers: pl.DataFrame,
    sales: pl.DataFrame,
    lines: pl.DataFrame,
    **report: object,
) -> Prepared:
    """The four tables from the catalogue, the customers and the sales with their lines.

    Parameters
    ----------
    sales : in the order they are to have; `off`: cents, of discounts that belong to no line
    lines : in the order of `sales`, each sale's together; in cents `gross`, `discount`, `net`
    """
    totals = lines.group_by("sale_id").agg(
        pl.col("gross", "net").cast(pl.Int64).sum(), items_count=pl.len()
    )
    frames = {
        PRODUCTS.name: _in_shape(PRODUCTS, products),
        CUSTOMERS.name: _in_shape(CUSTOMERS, customers),
        SALES.name: _in_shape(
            SALES,
            sales.join(totals, on="sale_id", how="left", maintain_order="left").with_columns(
                gross_amount=money(pl.col("gross")),
                discount_header=money(pl.col("off")),
                total_amount=money(pl.col("net") - pl.col("off").fill_null(0)),
            ),
        ),
        SALES_ITEMS.name: _in_shape(
            SALES_ITEMS,
            lines.with_columns(
                line_n=_line_numbers(),
                gross_amount=money(pl.col("gross")),
                line_discount=money(pl.col("discount")),
                net_amount=money(pl.col("net")),
            ),
        ),
    }
    return Prepared(frames, **report)


def _line_numbers() -> pl.Expr:
    """1, 2, ... in each run of one sale_id."""
    place = pl.int_range(pl.len(), dtype=pl.Int32)
    begins = (pl.col("sale_id") != pl.col("sale_id").shift()).fill_null(True)
    return place - pl.when(begins).then(place).forward_fill() + 1


def _in_shape(table: Table, frame: pl.DataFrame) -> pl.DataFrame:
    absent = [name for name in table.columns if name not in frame.columns]
    return frame.with_columns(pl.lit(None, dtype=pl.String).alias(name) for name in absent).select(
        table.columns
    )


def write(frames: dict[str, pl.DataFrame], folder: Path) -> None:
    """Write the four CSV files; none is replaced before all of them are complete on the disk."""
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".prepare-", dir=folder) as scratch:
        for table in TABLES:
            frames[table.name].write_csv(Path(scratch, f"{table.name}.csv"))
        for table in TABLES:
            Path(scratch, f"{table.name}.csv").replace(folder / f"{table.name}.csv")
