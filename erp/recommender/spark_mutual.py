"""How many sales hold two of the commonest products: counted where the sales are, then added up."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
from pyspark.sql import functions as F  # noqa: N812  as everybody calls it

from erp.recommender import mutual
from erp.recommender.spark_parts import Era
from erp.recommender.spark_sales import Batches, Sales, batch_of


def counted(sales: Sales, era: Era, common: np.ndarray) -> np.ndarray:
    """What `mutual.counted` gives for the sales of an era, int64 (common, common)."""
    place = mutual.places(common, len(sales.item_ids))
    parts = sales.frame.mapInArrow(_counted(era, place, len(common)), "pair int, sales long")
    table = parts.groupBy("pair").agg(F.sum("sales").alias("sales")).toArrow()
    counts = np.zeros(len(common) ** 2, np.int64)
    counts[table["pair"].to_numpy()] = table["sales"].to_numpy()
    return counts.reshape(len(common), len(common))


def _counted(era: Era, place: np.ndarray, common: int) -> Callable[[Batches], Batches]:
    def run(batches: Batches) -> Batches:
        """The counts of a partition's sales, one batch."""
        counts = np.zeros((common, common), np.int32)
        for rows in map(batch_of, batches):
            inside = era.inside(rows.place)
            indptr = np.concatenate(([0], np.cumsum(rows.sizes[inside])))
            mutual.add_pairs(indptr, rows.items[inside[rows.rows]], place, counts)
        pairs = np.flatnonzero(counts).astype(np.int32)
        found = counts.ravel()[pairs].astype(np.int64)
        yield pa.RecordBatch.from_arrays([pa.array(pairs), pa.array(found)], ["pair", "sales"])

    return run
