"""What is summed up by item, by store and by customer, each sum on the node that holds its rows.

Sums that decide an order are taken in the order of the sales, as the local engine takes them, so
that two items sold in the same sales stay equal.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark import TaskContext
from pyspark.sql import functions as F  # noqa: N812  as everybody calls it

from erp.recommender import popularity
from erp.recommender.history import SCALES
from erp.recommender.live_history import History, fit_history
from erp.recommender.popularity import Popularity
from erp.recommender.similarity import place_of_now, unscaled_weights
from erp.recommender.spark_sales import Batches, Sales, batch_of
from erp.recommender.training_data import Baskets

SALES_AT_ONCE = 50_000  # of customers whose histories are computed together, at least


@dataclass(frozen=True)
class Era:
    """The sales before a place, of which parts of a model are made.

    now : seconds, the present; scale : of similarity weights; sales : decayed, for popularity
    """

    end: int
    now: float
    size_exponent: float
    half_life_months: float
    popularity_days: float
    scale: float = 1.0
    sales: float = 0.0

    def inside(self, place: np.ndarray) -> np.ndarray:
        return place < self.end

    def unscaled(self, sizes, times) -> np.ndarray:
        return unscaled_weights(sizes, times, self.now, self.size_exponent, self.half_life_months)

    def weights(self, sizes, times) -> np.ndarray:
        """Float32 weight per sale in similarities."""
        return (self.unscaled(sizes, times) * self.scale).astype(np.float32)

    def freshness(self, times) -> np.ndarray:
        """Float64 weight per sale in popularity."""
        return popularity.weights_at(self.now, times, self.popularity_days)


def eras(sales: Sales, ends: list[int], settings) -> list[Era]:
    """The oldest `ends[0]`, `ends[1]` ... of the sales, each with its present and its scale."""
    places = [sales.place(place_of_now(end)) for end in ends]
    times = dict(sales.frame.filter(F.col("place").isin(places)).select("place", "time").collect())
    found = [
        Era(
            sales.place(end),
            times[place],
            settings.size_exponent,
            settings.recency_halflife_months,
            settings.popularity_halflife_days,
        )
        for end, place in zip(ends, places, strict=True)
    ]
    schema = "era int, lines double, weighted double, sales double"
    sums = sales.frame.mapInArrow(_totals(found), schema).collect()
    scaled = []
    for number, era in enumerate(found):
        lines, weighted, fresh = (
            math.fsum(row[column] for row in sums if row[0] == number) for column in (1, 2, 3)
        )
        scale = lines / weighted if weighted else 1.0
        scaled.append(Era(**{**vars(era), "scale": scale, "sales": fresh}))
    return scaled


def _totals(found: list[Era]) -> Callable[[Batches], Batches]:
    def run(batches: Batches) -> Batches:
        """A row for each batch and era."""
        for rows in map(batch_of, batches):
            sums = []
            for number, era in enumerate(found):
                inside = era.inside(rows.place)
                sizes, times = rows.sizes[inside], rows.times[inside]
                weighted = float((era.unscaled(sizes, times) * sizes).sum())
                fresh = float(era.freshness(times).sum())
                sums.append((number, float(sizes.sum()), weighted, fresh))
            columns = zip(*sums, strict=True)
            kinds = (pa.int32(), pa.float64(), pa.float64(), pa.float64())
            arrays = [pa.array(one, kind) for one, kind in zip(columns, kinds, strict=True)]
            yield pa.RecordBatch.from_arrays(arrays, ["era", "lines", "weighted", "sales"])

    return run


@dataclass(frozen=True)
class ItemSums:
    """By item: sales int32, weighted sales float64 (n_i), decayed lines float64."""

    sales: np.ndarray
    weighted: np.ndarray
    volume: np.ndarray


def item_sums(sales: Sales, found: list[Era]) -> list[ItemSums]:
    """The sums of each era."""
    many, items = len(found), len(sales.item_ids)
    counts = [f"count{number}" for number in range(many)]
    floats = [f"{kind}{number}" for kind in ("weight", "volume") for number in range(many)]
    schema = ", ".join(
        ["item int", "part int", *(f"{name} long" for name in counts),
         *(f"{name} double" for name in floats)]
    )  # fmt: skip
    parts = sales.frame.mapInArrow(_by_item(found, items), schema)
    folded = parts.groupBy("item").agg(
        *(F.sum(name).alias(name) for name in counts),
        F.array_sort(F.collect_list(F.struct("part", *floats))).alias("parts"),
    )
    table = folded.select("item", *counts, *map(_in_order, floats)).toArrow()
    item = table["item"].to_numpy()

    def column(name: str, kind) -> np.ndarray:
        values = np.zeros(items, kind)
        values[item] = table[name].to_numpy()
        return values

    return [
        ItemSums(
            column(f"count{number}", np.int32),
            column(f"weight{number}", np.float64),
            column(f"volume{number}", np.float64),
        )
        for number in range(many)
    ]


def _in_order(name: str):
    """The sum of a field over the parts, first to last."""
    start = F.lit(0.0)
    return F.aggregate("parts", start, lambda total, part: total + part[name]).alias(name)


def _by_item(found: list[Era], items: int) -> Callable[[Batches], Batches]:
    def run(batches: Batches) -> Batches:
        """The sums of a partition's sales by item, one batch."""
        counts = np.zeros((len(found), items), np.int64)
        weights, volumes = np.zeros((len(found), items)), np.zeros((len(found), items))
        for rows in map(batch_of, batches):
            for number, era in enumerate(found):
                inside = era.inside(rows.place)
                lines = inside[rows.rows]
                codes, row = rows.items[lines], rows.rows[lines]
                weight = era.weights(rows.sizes, rows.times)
                fresh = era.freshness(rows.times)
                counts[number] += np.bincount(codes, minlength=items)
                weights[number] += np.bincount(codes, weight[row], items)
                volumes[number] += np.bincount(codes, fresh[row], items)
        sold = np.flatnonzero(counts.any(axis=0)).astype(np.int32)
        part = np.full(len(sold), TaskContext.get().partitionId(), np.int32)
        columns = [sold, part, *(array[sold] for array in (*counts, *weights, *volumes))]
        names = ["item", "part", *(f"c{number}" for number in range(len(columns) - 2))]
        yield pa.RecordBatch.from_arrays(list(map(pa.array, columns)), names)

    return run


def popularities(sales: Sales, found: list[Era], sums: list[ItemSums]) -> list[Popularity]:
    """The bestsellers of each era, of all and by store."""
    totals = [one.volume.sum() for one in sums]
    shares = [one.volume / total for one, total in zip(sums, totals, strict=True)]
    columns = ", ".join(
        f"items{number} array<int>, shares{number} array<double>" for number in range(len(found))
    )
    table = (
        sales.frame.filter("store_id is not null")
        .repartition("store_id")
        .sortWithinPartitions("store_id", "place")
        .mapInArrow(_shelves(found, shares), f"store string, {columns}")
        .toArrow()
    )
    place = {store: row for row, store in enumerate(table["store"].to_pylist())}
    results = []
    for number, era in enumerate(found):
        items, scores = table[f"items{number}"], table[f"shares{number}"]
        shelves = [
            (items[place[store]].values.to_numpy(), scores[place[store]].values.to_numpy())
            if store in place
            else (np.zeros(0, np.int32), np.zeros(0))
            for store in sales.store_ids
        ]
        results.append(
            Popularity(
                shares[number].astype(np.float32),
                float(totals[number] / era.sales),
                *popularity.stacked(shelves),
            )
        )
    return results


def _runs(batches: Batches, column: str) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Rows of equal values that follow each other, in pieces; the value comes again with each."""
    for batch in batches:
        values = batch.column(column)
        change = pc.not_equal(values[1:], values[:-1]).to_numpy(zero_copy_only=False)
        edges = [0, *(np.flatnonzero(change) + 1).tolist(), len(values)]
        for first, last in pairwise(edges):
            if last > first:
                yield values[first].as_py(), batch.slice(first, last - first)


def _shelves(found: list[Era], shares: list[np.ndarray]) -> Callable[[Batches], Batches]:
    items = len(shares[0])

    def shelf(store: str, lines: np.ndarray) -> pa.RecordBatch:
        """The row of a store: its bestsellers and their shares in each era."""
        columns = [pa.array([store])]
        for own, whole in zip(lines, shares, strict=True):
            best, score = popularity.store_shelf(own, whole)
            columns += [pa.array([best.astype(np.int32)]), pa.array([score])]
        return pa.RecordBatch.from_arrays(columns, [f"c{n}" for n in range(len(columns))])

    def run(batches: Batches) -> Batches:
        """A row for each store, whose sales follow each other."""
        store, lines = None, np.zeros((len(found), items))
        for here, piece in _runs(batches, "store_id"):
            if here != store:
                if store is not None:
                    yield shelf(store, lines)
                store = here
                lines[:] = 0
            rows = batch_of(piece)
            for number, era in enumerate(found):
                fresh = np.where(era.inside(rows.place), era.freshness(rows.times), 0.0)
                lines[number] += np.bincount(rows.items, fresh[rows.rows], items)
        if store is not None:
            yield shelf(store, lines)

    return run


def history(sales: Sales, origin: float, half_life_days: float) -> History:
    """The history of every customer, each computed where all of her sales are.

    origin : seconds, the end of the data
    """
    table = (
        sales.frame.filter("customer_id is not null")
        .repartition("customer_id")
        .sortWithinPartitions("customer_id", "place")
        .mapInArrow(
            _histories(origin, half_life_days, len(sales.item_ids)),
            "customer string, items array<int>, sums array<float>, totals array<float>",
        )
        .toArrow()
        .sort_by("customer")
        .combine_chunks()
    )
    items, sums, totals = (
        pa.concat_arrays(table[name].chunks) if table[name].num_chunks else None
        for name in ("items", "sums", "totals")
    )
    if items is None or sums is None or totals is None:
        nobody = np.zeros((0, len(SCALES)), np.float32)
        return History(half_life_days, origin, {}, np.zeros(1, np.int64), np.zeros(0, np.int32),
                       nobody, nobody)  # fmt: skip
    return History(
        half_life_days,
        origin,
        {customer: row for row, customer in enumerate(table["customer"].to_pylist())},
        items.offsets.to_numpy().astype(np.int64),
        items.flatten().to_numpy(),
        sums.flatten().to_numpy().reshape(-1, len(SCALES)),
        totals.flatten().to_numpy().reshape(-1, len(SCALES)),
    )


def _histories(origin: float, half_life_days: float, items: int) -> Callable[[Batches], Batches]:
    def rows_of(pieces: list[pa.RecordBatch]) -> pa.RecordBatch:
        """The histories of the customers whose sales these are."""
        made = fit_history(baskets_of(pa.Table.from_batches(pieces), items), half_life_days,
                           origin=origin)  # fmt: skip
        width = len(SCALES)
        ends = pa.array(made.indptr.astype(np.int32))
        wide = pa.array((made.indptr * width).astype(np.int32))
        each = pa.array((np.arange(len(made.rows) + 1) * width).astype(np.int32))
        columns = {
            "customer": pa.array(list(made.rows), pa.string()),
            "items": pa.ListArray.from_arrays(ends, pa.array(made.items)),
            "sums": pa.ListArray.from_arrays(wide, pa.array(made.sums.ravel())),
            "totals": pa.ListArray.from_arrays(each, pa.array(made.totals.ravel())),
        }
        return pa.RecordBatch.from_arrays(list(columns.values()), list(columns))

    def run(batches: Batches) -> Batches:
        """The histories of a partition's customers, many in a batch."""
        customer, held = None, 0
        pieces: list[pa.RecordBatch] = []
        for here, piece in _runs(batches, "customer_id"):
            if here != customer and held >= SALES_AT_ONCE:
                yield rows_of(pieces)
                pieces, held = [], 0
            customer = here
            pieces.append(piece)
            held += len(piece)
        if pieces:
            yield rows_of(pieces)

    return run


def baskets_of(table: pa.Table, items: int, item_ids: list[str] | None = None) -> Baskets:
    """Rows of a frame of sales, in their order, as the local engine has them; stores left out."""
    rows = batch_of(table.combine_chunks().to_batches()[0])
    names = table["customer_id"].combine_chunks()
    names = pa.concat_arrays(names.chunks) if isinstance(names, pa.ChunkedArray) else names
    found = names.dictionary_encode()
    order = pc.array_sort_indices(found.dictionary).to_numpy()
    rank = np.empty(len(order) + 1, np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    rank[-1] = -1
    codes = found.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    nowhere = np.full(len(rows.place), -1, np.int32)
    return Baskets(
        [""] * items if item_ids is None else item_ids,
        found.dictionary.take(pa.array(order)).to_pylist(),
        [],
        table["sale_id"].combine_chunks(),
        rows.indptr,
        rows.items,
        rows.times,
        rank[codes],
        nowhere,
    )
