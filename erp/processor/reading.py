"""The collections of the sink as frames: amounts in whole cents, units in whole thousandths.

What the columns are is written in erp.processor.facts.
"""

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl
import pyarrow as pa
from pymongo.collection import Collection

from erp.processor.aggregates import UNKNOWN
from erp.processor.facts import cents, thousandths

with warnings.catch_warnings():  # built for an older pyarrow, whose structs have grown at the end
    warnings.filterwarnings("ignore", message="pyarrow.* size changed")
    from pymongoarrow.api import PyMongoArrowContext, Schema

Document = dict[str, Any]

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

_OFFER = {
    "product_id": pa.string(),
    "ranking": pa.int64(),
    "source": pa.string(),
    "confidence_percentage": pa.float64(),
}
_ANSWER_FIELDS = Schema(
    {
        "sale_id": pa.string(),
        "customer_id": pa.string(),
        "timestamp": pa.timestamp("ms", "UTC"),
        "model_version": pa.string(),
        "control": pa.bool_(),
        "recommendations": pa.list_(pa.struct(list(_OFFER.items()))),
    }
)
_ANSWER_PATHS = [name for name in _ANSWER_FIELDS.typemap if name != "recommendations"] + [
    f"recommendations.{name}" for name in _OFFER
]


def read_batches(
    collection: Collection[Document],
    query: Document,
    fields: Schema,
    paths: Sequence[str] | None = None,
) -> Iterator[pl.DataFrame]:
    """The columns of `fields`, batch by batch; at least one frame, even an empty one.

    A value of another type than the field's is absent; whole numbers are numbers. `paths` are
    asked of the server, where fields have parts that are not wanted.
    """
    codec = collection.codec_options
    projection = {"_id": 0} | dict.fromkeys(paths or fields.typemap, 1)
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


def read_answers(recommendations: Collection[Document], query: Document) -> pl.DataFrame:
    """sale_id, customer_id, timestamp, model_version, control, and of each `recommendations`.

    A list of product_id, ranking, source and confidence_percentage each.
    """
    return pl.concat(read_batches(recommendations, query, _ANSWER_FIELDS, _ANSWER_PATHS))
