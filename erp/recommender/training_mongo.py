"""The baskets a model learns from, read from MongoDB as columns."""

from __future__ import annotations

import warnings

import pyarrow as pa
from pymongo.database import Database

from erp import contract
from erp.recommender import training_data
from erp.recommender.training_data import Baskets

with warnings.catch_warnings():
    # it was built against an older pyarrow, whose classes were smaller; that is harmless
    warnings.filterwarnings("ignore", message=".*size changed", category=RuntimeWarning)
    from pymongoarrow.api import Schema, find_arrow_all

LINES = Schema({"sale_id": pa.string(), "product_id": pa.string(), "quantity": pa.float64()})
HEADERS = Schema(
    {
        "sale_id": pa.string(),
        "sale_datetime": pa.timestamp("ms", tz="UTC"),
        "customer_id": pa.string(),
        "store_id": pa.string(),
    }
)
ROWS_PER_REPLY = 100_000  # some 10 MB; a server without a limit of its own would send all at once
PRODUCTS = ("name", "category", "active")


def read_baskets(database: Database) -> Baskets:
    """Baskets of the collections sales and sales_items; only the columns that matter travel."""
    lines = find_arrow_all(
        database[contract.SALES_ITEMS.name], {}, schema=LINES, batch_size=ROWS_PER_REPLY
    )
    lines = _compact(lines, ("sale_id", "product_id"))
    headers = find_arrow_all(
        database[contract.SALES.name], {}, schema=HEADERS, batch_size=ROWS_PER_REPLY
    )
    return training_data.from_frames(lines, headers)


def read_products(database: Database) -> list[dict]:
    """The products' documents: _id, name, category, active."""
    return list(database[contract.PRODUCTS.name].find({}, dict.fromkeys(PRODUCTS, 1)))


def _compact(table: pa.Table, columns: tuple[str, ...]) -> pa.Table:
    """The same with text columns as dictionaries: a tenth of the memory."""
    for name in columns:
        place = table.column_names.index(name)
        table = table.set_column(place, name, table[name].dictionary_encode())
    return table
