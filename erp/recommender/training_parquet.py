"""The baskets a model learns from, read from a folder of Parquet files."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds

from erp import contract
from erp.recommender import training_data
from erp.recommender.columns import TrainingDataError
from erp.recommender.training_data import Baskets


def read_baskets(folder: Path, timezone: str = "UTC") -> Baskets:
    """Baskets of `sales.parquet` and `sales_items.parquet`, each a file or a folder of files.

    Raises
    ------
    TrainingDataError
        A file is missing or lacks a required column.
    """
    lines = _read(folder, contract.SALES_ITEMS.name, ("sale_id", "product_id", "quantity"))
    columns = ("sale_id", "sale_datetime", "customer_id", "store_id")
    return training_data.from_frames(lines, _read(folder, contract.SALES.name, columns), timezone)


def read_products(folder: Path) -> list[dict]:
    """The products of `products.parquet` as dicts; none where there is no such file."""
    try:
        columns = ("product_id", "name", "category", "active")
        return _read(folder, contract.PRODUCTS.name, columns).to_pylist()
    except TrainingDataError:
        return []


def _read(folder: Path, name: str, columns: tuple[str, ...]) -> pa.Table:
    """Those of the columns that the table has."""
    path = folder / f"{name}.parquet"
    if not path.exists():
        raise TrainingDataError(f"{path} does not exist")
    try:
        table = ds.dataset(path)
        there = set(table.schema.names)
        return table.to_table(columns=[column for column in columns if column in there])
    except (pa.ArrowInvalid, OSError) as error:
        raise TrainingDataError(f"{path} is not readable Parquet: {error}") from error
