"""Facts: the sales and lines of MongoDB as columns with whole numbers, the ground of every figure.

Money is Int64 in cents and units are Int64 in thousandths, so that sums are exact in any order.
What each figure means is written in erp.aggregates.

A *ticket frame* has TICKETS: a row for each document of `sales`, and one with `day` null for each
sale that only its lines speak of. A *line frame* has LINES: a row for each document of
`sales_items`. `sale` joins the two and means nothing elsewhere.
"""

import warnings
from collections.abc import Iterator
from typing import Any

import polars as pl
import pyarrow as pa
from pymongo.collection import Collection

from erp.processor.aggregates import UNKNOWN

with warnings.catch_warnings():  # built for an older pyarrow, whose structs have grown at the end
    warnings.filterwarnings("ignore", message="pyarrow.* size changed")
    from pymongoarrow.api import PyMongoArrowContext, Schema

Document = dict[str, Any]

LARGEST_AMOUNT = 1e10  # of one line or header, in currency; what is beyond cannot be known
MEASURES = ("units", "gross", "discount", "net")

TICKETS: dict[str, Any] = {
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
LINES: dict[str, Any] = {
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

_BATCH = 20_000  # documents decoded at once

_SALE_FIELDS = Schema(
    {
        "sale_id": pa.string(),
        "sale_datetime": pa.timestamp("ms", "UTC"),
        "store_id": pa.string(),
        "payment_type": pa.string(),
        "customer_id": pa.string(),
        "gross_amount": pa.float64(),
        "discount_header": pa.float64(),
        "tax": pa.float64(),
        "total_amount": pa.float64(),
        "stored_at": pa.timestamp("ms", "UTC"),
    }
)
_LINE_FIELDS = Schema(
    {
        "sale_id": pa.string(),
        "line_n": pa.int64(),
        "product_id": pa.string(),
        "quantity": pa.float64(),
        "unit_price": pa.float64(),
        "gross_amount": pa.float64(),
        "line_discount": pa.float64(),
        "net_amount": pa.float64(),
        "stored_at": pa.timestamp("ms", "UTC"),
    }
)
_PRODUCT_FIELDS = Schema(
    {
        "product_id": pa.string(),
        "name": pa.string(),
        "category": pa.string(),
        "subcategory": pa.string(),
        "unit_price": pa.float64(),
        "unit_cost": pa.float64(),
        "active": pa.bool_(),
        "stored_at": pa.timestamp("ms", "UTC"),
    }
)
_CUSTOMER_FIELDS = Schema(
    {
        name: pa.string()
        for name in (
            "customer_id", "first_name", "last_name", "segment", "city", "state", "country",
        )
    }
    | {"stored_at": pa.timestamp("ms", "UTC")}
)  # fmt: skip


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


def read_batches(
    collection: Collection[Document], query: Document, fields: Schema
) -> Iterator[pl.DataFrame]:
    """The columns of `fields`, batch by batch; at least one frame, even an empty one.

    A value of another type than the field's is absent; whole numbers are numbers.
    """
    codec = collection.codec_options
    projection = {"_id": 0} | dict.fromkeys(fields.typemap, 1)
    yield _frame(PyMongoArrowContext(fields, codec_options=codec, allow_invalid=True))
    for batch in collection.find_raw_batches(query, projection, batch_size=_BATCH):
        context = PyMongoArrowContext(fields, codec_options=codec, allow_invalid=True)
        context.process_bson_stream(batch)
        yield _frame(context)


def _frame(context: PyMongoArrowContext) -> pl.DataFrame:
    return pl.DataFrame(pl.from_arrow(context.finish()))


def read_sales(sales: Collection[Document], query: Document, zone: str) -> pl.DataFrame:
    """The sales that `query` finds as in TICKETS, without `sale`, and their `stored_at`."""
    return pl.concat(
        tickets_from(batch, zone) for batch in read_batches(sales, query, _SALE_FIELDS)
    )


def tickets_from(sales: pl.DataFrame, zone: str) -> pl.DataFrame:
    """The ticket frame of rows with the fields of `sales`; those without id or time are left out.

    `zone` is the business time zone, an IANA name.
    """
    local = pl.col("sale_datetime").dt.convert_time_zone(zone)
    gross, off, tax = (cents(pl.col(c)) for c in ("gross_amount", "discount_header", "tax"))
    from_total = cents(pl.col("total_amount")) - tax.fill_null(0) + off.fill_null(0)
    return sales.filter(
        pl.col("sale_id").is_not_null() & pl.col("sale_datetime").is_not_null()
    ).select(
        "sale_id",
        day=local.dt.date(),
        minute=local.dt.hour().cast(pl.Int16) * 60 + local.dt.minute(),
        time="sale_datetime",
        store_id=pl.col("store_id").fill_null(UNKNOWN),
        payment_type=pl.col("payment_type").fill_null(UNKNOWN),
        customer_id=pl.col("customer_id").fill_null(UNKNOWN),
        header_gross=pl.coalesce(gross, from_total),
        header_discount=off.fill_null(0),
        tax=tax.fill_null(0),
        stored_at="stored_at",
    )


def read_items(items: Collection[Document], query: Document) -> Iterator[pl.DataFrame]:
    """The lines that `query` finds, by batches: sale_id, LINES without `sale`, `stored_at`.

    Their categories are still absent.
    """
    return (lines_from(batch) for batch in read_batches(items, query, _LINE_FIELDS))


def lines_from(items: pl.DataFrame) -> pl.DataFrame:
    """The line frame of rows with the fields of `sales_items`; absent amounts from the others."""
    gross, off, net = (cents(pl.col(c)) for c in ("gross_amount", "line_discount", "net_amount"))
    priced = cents(pl.col("quantity") * pl.col("unit_price"))
    return (
        items.filter(pl.col("sale_id").is_not_null() & pl.col("line_n").is_not_null())
        .select(
            "sale_id",
            "line_n",
            pl.col("product_id").fill_null(UNKNOWN).cast(pl.Categorical),
            units=thousandths(pl.col("quantity")).fill_null(0),
            gross=pl.coalesce(gross, net + off, priced, net),
            discount=off,
            net=net,
            stored_at="stored_at",
        )
        .with_columns(
            discount=pl.coalesce("discount", pl.col("gross") - pl.col("net"), 0),
            gross=pl.col("gross").fill_null(0),
        )
        .with_columns(net=pl.coalesce("net", pl.col("gross") - pl.col("discount")))
    )


def read_products(products: Collection[Document], query: Document) -> pl.DataFrame:
    """product_id, name, category, subcategory, unit_price, unit_cost, active, stored_at."""
    return pl.concat(read_batches(products, query, _PRODUCT_FIELDS))


def read_customers(customers: Collection[Document], query: Document) -> pl.DataFrame:
    """customer_id, first_name, last_name, segment, city, state, country, stored_at."""
    return pl.concat(read_batches(customers, query, _CUSTOMER_FIELDS))


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
