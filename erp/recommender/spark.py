"""A model by Spark: the numbers of `fitting.fit_baskets`, whatever the number of sales.

Sales, pairs of items, stores and customers are spread over the executors. The driver holds what a
model holds, and the few sales from which the order and the probabilities are learned.
"""

from __future__ import annotations

import logging
import time

import numpy as np
import pyarrow as pa
from pyspark.sql import functions as F  # noqa: N812  as everybody calls it

from erp.recommender import (
    learning,
    mutual,
    regression,
    spark_learning,
    spark_mutual,
    spark_pairs,
    spark_parts,
)
from erp.recommender.candidates import item_facts
from erp.recommender.catalogue import Catalogue
from erp.recommender.fitting import HASHES_KEPT, facts_of
from erp.recommender.model import Model
from erp.recommender.sampling import keys_of
from erp.recommender.settings import ModelSettings
from erp.recommender.spark_sales import Batches, Sales

log = logging.getLogger("erp.spark")


def fit(sales: Sales, catalogue: Catalogue, settings: ModelSettings) -> Model:
    """A model of `spark_sales.read`'s sales, of which there must be one at least."""
    many = len(sales)
    names = [catalogue.get(key) for key in sales.item_ids]
    categories = [product.category for product in names]
    start = learning.slice_start(many)
    ends = [start, many] if start >= learning.FEWEST_SALES else [many]
    eras = spark_parts.eras(sales, ends, settings)
    sums = spark_parts.item_sums(sales, eras)
    sold = spark_parts.popularities(sales, eras, sums)
    similarities = []
    for number, era in enumerate(eras):
        began = time.perf_counter()
        similarity = spark_pairs.fit_similarity(sales, era, sums[number], settings)
        similarity = regression.fitted(similarity, sums[number].weighted, settings)
        common = mutual.commonest(similarity.sales)
        together = spark_mutual.counted(sales, era, common)
        similarities.append(mutual.fitted(similarity, common, together, settings.min_support))
        pairs = len(similarities[-1].values)
        log.info("%d similar pairs in %.1f s", pairs, time.perf_counter() - began)
    heads = learning.Heads()
    if len(eras) > 1:
        facts = item_facts(sold[0].shares, similarities[0].sales, categories)
        parts = (similarities[0], sold[0], facts)
        heads = spark_learning.learn(sales, start, settings, categories, parts)
    window = _times(sales, [0, many - 1])
    history = spark_parts.history(sales, window[1], settings.personal_halflife_days)
    counts = sales.counts | {
        "lines": int(sums[-1].sales.sum(dtype=np.int64)),
        "sales": many,
        "customers": len(history.rows),
        "products": int(np.count_nonzero(sums[-1].sales)),
    }
    return Model(
        settings=settings,
        item_ids=sales.item_ids,
        store_ids=sales.store_ids,
        item_categories=categories,
        similarity=similarities[-1],
        sold=sold[-1],
        heads=heads,
        history=history,
        trained_sales=_hashes(sales, max(0, many - HASHES_KEPT)),
        facts=facts_of(window, counts),
        catalogue=catalogue,
    )


def _times(sales: Sales, ranks: list[int]) -> list[float]:
    """When the sales with so many before them were made, in seconds."""
    places = [sales.place(rank) for rank in ranks]
    found = sales.frame.filter(F.col("place").isin(places)).select("place", "time").collect()
    times = {row["place"]: row["time"] for row in found}
    return [times[place] for place in places]


def _hashes(sales: Sales, first: int) -> np.ndarray:
    """The hashes of the ids of the sales from this one on, sorted."""
    newest = sales.frame.filter(F.col("place") >= sales.place(first)).select("sale_id")
    keys = newest.mapInArrow(_keys, "key long").toArrow()["key"].to_numpy()
    return np.sort(keys.view(np.uint64))


def _keys(batches: Batches) -> Batches:
    for batch in batches:
        keys = keys_of(batch.column("sale_id")).view(np.int64)
        yield pa.RecordBatch.from_arrays([pa.array(keys)], ["key"])
