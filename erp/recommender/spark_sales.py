"""Sales with their products in the order of time and id, as Spark holds them.

The rules are those of `training_data` and `columns`, whose functions read each batch of rows. A
sale's `place` grows with the order, with gaps: the number of its partition and of the row in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812  as everybody calls it

from erp.recommender.columns import encode, numbers, seconds
from erp.recommender.spark_sources import Source
from erp.recommender.training_data import judged

ROW_BITS = 33  # of a place; Spark's monotonically_increasing_id
LINE = (
    "sale_id string, product_id string, bought boolean, returned boolean, invalid boolean,"
    " ragged boolean"
)
HEADER = "ragged boolean, sale_id string, time double, customer_id string, store_id string"

Batches = Iterator[pa.RecordBatch]


class Batch(NamedTuple):
    """Sales of one batch: place int64, times float64, indptr, items int32 (lines)."""

    place: np.ndarray
    times: np.ndarray
    indptr: np.ndarray
    items: np.ndarray

    @property
    def sizes(self) -> np.ndarray:
        return np.diff(self.indptr)

    @property
    def rows(self) -> np.ndarray:
        """The sale of each line, int64 (lines)."""
        return np.repeat(np.arange(len(self.place)), self.sizes)


def batch_of(batch: pa.RecordBatch) -> Batch:
    """The arrays of rows with place, time and items."""
    items = batch.column("items")
    offsets = items.offsets.to_numpy().astype(np.int64)
    return Batch(
        batch.column("place").to_numpy(),
        batch.column("time").to_numpy(),
        offsets - offsets[0],
        items.flatten().to_numpy(),
    )


@dataclass(frozen=True)
class Sales:
    """Every sale that a model learns from.

    frame : place, sale_id, time (seconds), customer_id, store_id, items (array of item codes)
    item_ids, store_ids : what codes stand for; products by the lines they sold, stores sorted
    partitions : int64 (partitions), sales in each, in the order of places
    counts : lines and sales read and left out, by reason
    """

    frame: DataFrame
    item_ids: list[str]
    store_ids: list[str]
    partitions: np.ndarray
    counts: dict[str, int]

    def __len__(self) -> int:
        return int(self.partitions.sum())

    def place(self, rank: int) -> int:
        """The place of the sale with `rank` others before it; one beyond the last is allowed."""
        ends = np.cumsum(self.partitions)
        partition = int(np.searchsorted(ends, rank, side="right"))
        before = int(ends[partition - 1]) if partition else 0
        return (partition << ROW_BITS) + rank - before


def read(source: Source, timezone: str, until: float | None = None) -> Sales:
    """The sales of a source, those before `until` (seconds since 1970 UTC).

    They are kept on the executors, spilled to disk where memory ends; with spark.checkpoint.dir
    set they are written there instead, which outlives an executor.
    """
    turn = source.headers.schema["turn"].dataType.simpleString()
    lines = source.lines.mapInArrow(_lines, LINE).persist()
    headers = source.headers.mapInArrow(_headers(timezone), f"{HEADER}, turn {turn}").persist()
    usable = F.col("sale_id").isNotNull() & ~F.isnan("time")
    counts = _counted(lines, headers, usable)
    lines, headers = lines.filter("not ragged"), headers.filter("not ragged")
    item_ids = _by_lines_sold(lines)
    grouped = _grouped(lines, headers.filter(usable), item_ids).persist()
    with_sale = grouped.agg(F.sum("valid")).first()[0] or 0
    counts["lines_without_sale"] -= with_sale
    chosen = grouped.filter(F.size("items") > 0)
    if until is not None:
        chosen = chosen.filter(F.col("time") < until)
    ordered = chosen.orderBy("time", "sale_id").select(
        F.monotonically_increasing_id().alias("place"),
        "sale_id", "time", "customer_id", "store_id", "items",
    )  # fmt: skip
    lasting = ordered.sparkSession.sparkContext.getCheckpointDir()
    ordered = ordered.checkpoint() if lasting else ordered.localCheckpoint()
    store_ids = _stores(headers)
    for done in (lines, headers, grouped):
        done.unpersist()
    partition = F.shiftright("place", ROW_BITS).alias("partition")
    held = {row[0]: row[1] for row in ordered.groupBy(partition).count().collect()}
    partitions = np.zeros(max(held, default=-1) + 1, np.int64)
    partitions[list(held)] = list(held.values())
    return Sales(ordered, item_ids, store_ids, partitions, counts)


def _counted(lines: DataFrame, headers: DataFrame, usable) -> dict[str, int]:
    valid = F.col("sale_id").isNotNull() & F.col("product_id").isNotNull()
    whole = ~F.col("ragged")
    of_lines = lines.agg(
        F.count_if(whole).alias("lines_read"),
        F.count_if(whole & F.col("returned")).alias("lines_returned"),
        F.count_if(whole & valid).alias("lines_without_sale"),  # less those that have one
        F.count_if(whole & F.col("invalid")).alias("lines_invalid"),
        F.count_if(~whole).alias("ragged"),
    ).first()
    of_sales = headers.agg(
        F.count_if(whole).alias("sales_read"),
        F.count_if(whole & ~usable).alias("sales_without_time"),
        F.count_if(~whole).alias("ragged"),
    ).first()
    counts = of_lines.asDict() | of_sales.asDict()
    ragged = of_lines["ragged"] + of_sales["ragged"]
    del counts["ragged"]
    return counts | {"rows_ragged": ragged}


def _by_lines_sold(lines: DataFrame) -> list[str]:
    """The products, those of the most lines first; of equal ones by id."""
    sold = F.count_if(F.col("bought") & F.col("sale_id").isNotNull())
    found = lines.filter(F.col("product_id").isNotNull()).groupBy("product_id").agg(sold).toArrow()
    counts = zip(*(column.to_pylist() for column in found.columns), strict=True)
    return [product for product, _ in sorted(counts, key=lambda each: (-each[1], each[0]))]


def _stores(headers: DataFrame) -> list[str]:
    """The stores, sorted."""
    found = headers.select("store_id").filter(F.col("store_id").isNotNull()).distinct().toArrow()
    return sorted(found["store_id"].to_pylist())


def _grouped(lines: DataFrame, headers: DataFrame, item_ids: list[str]) -> DataFrame:
    """The sales with their distinct products, sorted by code, and how many lines were valid."""
    codes = pa.table(
        {"product_id": pa.array(item_ids, pa.string()), "item": np.arange(len(item_ids))}
    )
    named = lines.sparkSession.createDataFrame(codes)
    last = headers.groupBy("sale_id").agg(
        F.max_by(F.struct("time", "customer_id", "store_id"), "turn").alias("header")
    )
    item = F.when(F.col("bought"), F.col("item").cast("int"))
    held = (
        lines.filter(F.col("sale_id").isNotNull())
        .join(F.broadcast(named), "product_id")
        .groupBy("sale_id")
        .agg(F.array_sort(F.collect_set(item)).alias("items"), F.count("*").alias("valid"))
    )
    return held.join(last, "sale_id").select("sale_id", "header.*", "items", "valid")


def _lines(batches: Batches) -> Batches:
    for batch in batches:
        table = pa.Table.from_batches([batch])
        sales, products = _text(table["sale_id"]), _text(table["product_id"])
        valid = np.logical_and(
            *(column.is_valid().to_numpy(zero_copy_only=False) for column in (sales, products))
        )
        states = judged(valid, numbers(table["quantity"]))
        yield pa.RecordBatch.from_arrays(
            [sales, products, *map(pa.array, states), batch.column("ragged")],
            ["sale_id", "product_id", "bought", "returned", "invalid", "ragged"],
        )


def _headers(timezone: str) -> Callable[[Batches], Batches]:
    def run(batches: Batches) -> Batches:
        """The headers with texts and times as the local engine reads them."""
        for batch in batches:
            table = pa.Table.from_batches([batch])
            columns = {
                "ragged": batch.column("ragged"),
                "sale_id": _text(table["sale_id"]),
                "time": pa.array(seconds(table["sale_datetime"], timezone)),
                "customer_id": _text(table["customer_id"]),
                "store_id": _text(table["store_id"]),
                "turn": batch.column("turn"),
            }
            yield pa.RecordBatch.from_arrays(list(columns.values()), list(columns))

    return run


def _text(column: pa.ChunkedArray) -> pa.Array:
    """Ids as text, null where there is none."""
    codes, texts = encode(column)
    return texts.take(pa.array(codes, mask=codes < 0))
