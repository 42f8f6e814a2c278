"""What is learned from the newest sales: chosen and looked up by Spark, learned on the driver.

At most some ten thousand sales are looked at, however many there are, and the earlier sales of
their customers. Which ones is decided by hashes of the sales' ids, as in the local engine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F  # noqa: N812  as everybody calls it

from erp.recommender import learning
from erp.recommender.sampling import keys_of
from erp.recommender.spark_parts import baskets_of
from erp.recommender.spark_sales import Batches, Sales, batch_of


@dataclass(frozen=True)
class Newest:
    """The sales of the newest part, in their order.

    place : int64; keys : uint64; sizes : int32; known : bool, has a customer;
    following : int64, the place of the customer's next sale, -1 where there is none
    """

    place: np.ndarray
    keys: np.ndarray
    sizes: np.ndarray
    known: np.ndarray
    following: np.ndarray


def learn(sales: Sales, start: int, settings, categories: list[str | None], parts):
    """What `learning.learn` gives; `start` and `parts` as it takes them."""
    if start < learning.FEWEST_SALES:
        return learning.Heads()
    first = sales.place(start)
    newest = _newest(sales, first)
    needed, customers_of = _choose(newest, settings.seed)
    table = _rows(sales.frame, needed, customers_of).sort_by("place")
    baskets = baskets_of(table, len(sales.item_ids), sales.item_ids)
    before = int(np.count_nonzero(table["place"].to_numpy() < first))
    return learning.learn(baskets, settings, categories, before, parts, len(newest.place))


def _newest(sales: Sales, first: int) -> Newest:
    newest = sales.frame.filter(F.col("place") >= first)
    schema = "place long, key long, size int, customer_id string"
    short = newest.mapInArrow(_keys, schema)
    following = F.lead("place").over(Window.partitionBy("customer_id").orderBy("place"))
    known = short.filter("customer_id is not null").withColumn("following", following)
    unknown = short.filter("customer_id is null").withColumn("following", F.lit(None).cast("long"))
    columns = ("place", "key", "size", F.isnotnull("customer_id").alias("known"), "following")
    table = known.select(*columns).unionByName(unknown.select(*columns)).toArrow()
    table = table.sort_by("place")
    return Newest(
        table["place"].to_numpy(),
        table["key"].to_numpy().view(np.uint64),
        table["size"].to_numpy(),
        table["known"].to_numpy(),
        table["following"].fill_null(-1).to_numpy(),
    )


def _keys(batches: Batches) -> Batches:
    for batch in batches:
        rows = batch_of(batch)
        yield pa.RecordBatch.from_arrays(
            [
                batch.column("place"),
                pa.array(keys_of(batch.column("sale_id")).view(np.int64)),
                pa.array(rows.sizes.astype(np.int32)),
                batch.column("customer_id"),
            ],
            ["place", "key", "size", "customer_id"],
        )


def _choose(newest: Newest, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Places of the sales that are looked at, and of those whose customers' past is."""

    def drawn(which: np.ndarray, purpose: str, most: int) -> np.ndarray:
        """Rows of the sales that are `which`, in the order of their draws."""
        some = np.flatnonzero(which)
        order = np.argsort(learning.draws(newest.keys[some], purpose, seed), kind="stable")
        return some[order][:most]

    few = len(newest.place) <= learning.FEW
    of_one = learning.draws(newest.keys, "which", seed) < 0.5
    orders, outcomes = of_one | few, ~of_one | few
    most = learning.FEW if few else learning.OUTCOMES
    several = newest.sizes >= 2
    unknown = drawn(orders & several, "order", learning.TRIED)
    known = drawn(orders & several & newest.known, "order", learning.TRIED)
    half = drawn(outcomes & several, "half", most)
    following = drawn(outcomes & (newest.following >= 0), "next", most)
    places = [newest.place[some] for some in (unknown, known, half, following)]
    with_past = np.union1d(newest.place[known], newest.place[following])
    return np.unique(np.concatenate((*places, newest.following[following]))), with_past


def _rows(frame: DataFrame, needed: np.ndarray, customers_of: np.ndarray) -> pa.Table:
    """The sales at these places, and all of the customers of those."""
    columns = ("place", "sale_id", "time", "customer_id", "items")
    short = frame.select(*columns)

    def at(places: np.ndarray) -> DataFrame:
        """The sales at these places."""
        those = frame.sparkSession.createDataFrame(pa.table({"place": places}))
        return short.join(F.broadcast(those), "place", "left_semi")

    customers = at(customers_of).select("customer_id").distinct()
    theirs = short.join(F.broadcast(customers), "customer_id", "left_semi")
    others = at(needed).join(F.broadcast(customers), "customer_id", "left_anti")
    return theirs.select(*columns).unionByName(others.select(*columns)).toArrow()
