"""Similarities by Spark: each task has a few rows of items by items, none has all of it.

Items are numbered from rare to common, and a pair is summed up at its rarer item, as in the local
engine. A basket is sent once to each block of rows that it touches, with its items from the first
of them on. So the bag that is in every basket is paired in the rows of the others, and its own row
is empty; a common item's row is long, but a sale brings only the few commoner items to it. A basket
of 10,000 lines is spread over the blocks, and no task holds its pairs. A block is as many rows as
make `PRODUCTS_PER_BLOCK` products at most; a single row with more is summed up as its sales stream
by. Within a block sales come in their order, so the sums are those of the local engine to the bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
import scipy.sparse as sp
from pyspark.sql import Window
from pyspark.sql import functions as F  # noqa: N812  as everybody calls it

from erp.recommender.similarity import Similarity, numbering
from erp.recommender.spark_parts import Era, ItemSums
from erp.recommender.spark_sales import Batches, Sales, batch_of
from erp.recommender.spark_strongest import Pairs, of_pairs, pair_sums

PRODUCTS_PER_BLOCK = 20_000_000  # at most: bounds what a task holds, some 400 MB
PRODUCTS_WORTH_A_BLOCK = 500_000
BLOCKS_PER_CORE = 4  # so that no task is much of the whole
ITEMS_AT_ONCE = 1_000_000  # sent on in one batch
ROWS = "block int, place long, weight float, items array<int>"


@dataclass(frozen=True)
class Grid:
    """The numbered items and the blocks that they are cut into.

    kept : int32 (numbers), the item; number : int32 (items); edges : int64 (blocks + 1)
    """

    kept: np.ndarray
    number: np.ndarray
    edges: np.ndarray

    @property
    def block_of(self) -> np.ndarray:
        """The block of each number, int32."""
        blocks = np.arange(len(self.edges) - 1, dtype=np.int32)
        return np.repeat(blocks, np.diff(self.edges))


def fit_similarity(sales: Sales, era: Era, sums: ItemSums, settings) -> Similarity:
    """What `similarity.fit_similarity` gives for the sales of an era."""
    kept, number = numbering(sums.sales, settings.min_support)
    if not len(kept):
        nothing = np.zeros(0, np.int32)
        return of_pairs(kept, sums.sales, nothing, nothing, nothing.astype(np.float32), nothing)
    cores = sales.frame.sparkSession.sparkContext.defaultParallelism
    cost = _costs(sales, era, number, len(kept))
    grid = Grid(kept, number, _edges(cost, cores))
    blocks = len(grid.edges) - 1
    rows = sales.frame.mapInArrow(_sent(era, grid), ROWS)
    rows = rows.repartition(blocks, "block").sortWithinPartitions("block", "place")
    weighted = sums.weighted[kept]
    pairs = rows.mapInArrow(
        _strongest_of_blocks(grid, weighted, settings),
        "source int, target int, value float, support int",
    )
    best = Window.partitionBy("source").orderBy(F.desc("value"), "target")
    table = (
        pairs.withColumn("ranking", F.row_number().over(best))
        .filter(F.col("ranking") <= settings.top_sim_per_item)
        .drop("ranking")
        .toArrow()
    )
    columns = (table[name].to_numpy() for name in ("source", "target", "value", "support"))
    return of_pairs(kept, sums.sales, *columns)


def _costs(sales: Sales, era: Era, number: np.ndarray, numbers: int) -> np.ndarray:
    """Products of each row: for each sale with the item, how many commoner ones it has."""
    parts = sales.frame.mapInArrow(_cost_parts(era, number, numbers), "number int, cost long")
    table = parts.groupBy("number").agg(F.sum("cost").alias("cost")).toArrow()
    cost = np.zeros(numbers, np.int64)
    cost[table["number"].to_numpy()] = table["cost"].to_numpy()
    return cost


def _edges(cost: np.ndarray, cores: int) -> np.ndarray:
    """Where blocks of rows begin, and the end: as even in cost as whole rows can be."""
    fair = int(cost.sum()) // (BLOCKS_PER_CORE * cores)
    limit = min(max(fair, PRODUCTS_WORTH_A_BLOCK), PRODUCTS_PER_BLOCK)
    edges, held = [0], 0
    for row, one in enumerate(cost.tolist()):
        if held and held + one > limit:
            edges.append(row)
            held = 0
        held += one
    return np.array([*edges, len(cost)], np.int64)


def _numbered(batch: pa.RecordBatch, era: Era, number: np.ndarray):
    """Place, weight and csr of the numbers, ascending, of the sales of the era."""
    rows = batch_of(batch)
    numbers = number[rows.items]
    used = era.inside(rows.place)[rows.rows] & (numbers >= 0)
    row, numbers = rows.rows[used], numbers[used]
    numbers = numbers[np.lexsort((numbers, row))]
    indptr = np.concatenate(([0], np.cumsum(np.bincount(row, minlength=len(rows.place)))))
    return rows.place, era.weights(rows.sizes, rows.times), indptr, numbers


def _cost_parts(era: Era, number: np.ndarray, numbers: int) -> Callable[[Batches], Batches]:
    def run(batches: Batches) -> Batches:
        """The costs of a partition's sales, one batch."""
        cost = np.zeros(numbers, np.int64)
        for batch in batches:
            _, _, indptr, found = _numbered(batch, era, number)
            commoner = np.repeat(indptr[1:], np.diff(indptr)) - np.arange(len(found)) - 1
            cost += np.bincount(found, commoner, numbers).astype(np.int64)
        there = np.flatnonzero(cost).astype(np.int32)
        yield pa.RecordBatch.from_arrays(
            [pa.array(there), pa.array(cost[there])], ["number", "cost"]
        )

    return run


def _sent(era: Era, grid: Grid) -> Callable[[Batches], Batches]:
    block_of = grid.block_of

    def run(batches: Batches) -> Batches:
        """A row for each sale and block that it touches."""
        for batch in batches:
            place, weight, indptr, numbers = _numbered(batch, era, grid.number)
            row = np.repeat(np.arange(len(place)), np.diff(indptr))
            block = block_of[numbers]
            new = np.ones(len(numbers), bool)
            new[1:] = (block[1:] != block[:-1]) | (row[1:] != row[:-1])
            first = np.flatnonzero(new)
            lengths = indptr[row[first] + 1] - first
            first, lengths = first[lengths > 1], lengths[lengths > 1]
            # a batch of a few rows each time: one basket may be sent to many blocks
            step = np.cumsum(lengths) // ITEMS_AT_ONCE
            for some in np.split(np.arange(len(first)), np.flatnonzero(np.diff(step)) + 1):
                if len(some):
                    ends = np.concatenate(([0], np.cumsum(lengths[some])))
                    taken = np.repeat(first[some] - ends[:-1], lengths[some]) + np.arange(ends[-1])
                    lists = pa.ListArray.from_arrays(
                        pa.array(ends.astype(np.int32)), pa.array(numbers[taken])
                    )
                    sale = row[first[some]]
                    yield pa.RecordBatch.from_arrays(
                        [
                            pa.array(block[first[some]]),
                            pa.array(place[sale]),
                            pa.array(weight[sale]),
                            lists,
                        ],
                        ["block", "place", "weight", "items"],
                    )

    return run


def _strongest_of_blocks(grid: Grid, weighted, settings) -> Callable[[Batches], Batches]:
    columns = len(grid.kept)

    def run(batches: Batches) -> Batches:
        """The strongest pairs of a partition's blocks, one batch."""
        found = Pairs(weighted, settings.item_exponent, settings.shrink, settings.top_sim_per_item)
        for block, pieces in _blocks(batches):
            first, last = grid.edges[block : block + 2].tolist()
            add_up = _streamed if last - first == 1 else _multiplied
            rows, others, sums = add_up(pieces, last - first, first, columns, settings.min_support)
            found.add((rows + first).astype(np.int32), (others + first).astype(np.int32), sums)
        yield pa.RecordBatch.from_arrays(
            [pa.array(one) for one in found.strongest()], ["source", "target", "value", "support"]
        )

    return run


Piece = tuple[np.ndarray, np.ndarray, np.ndarray]  # weights, indptr, numbers


def _blocks(batches: Batches) -> Iterator[tuple[int, Iterator[Piece]]]:
    """Each block with the pieces of its rows, which must be used up before the next."""
    pieces = _pieces(batches)
    ahead = next(pieces, None)

    def same(block: int) -> Iterator[Piece]:
        """The pieces that follow of this block."""
        nonlocal ahead
        while ahead is not None and ahead[0] == block:
            yield ahead[1]
            ahead = next(pieces, None)

    while ahead is not None:
        yield ahead[0], same(ahead[0])


def _pieces(batches: Batches) -> Iterator[tuple[int, Piece]]:
    for batch in batches:
        block = batch.column("block").to_numpy()
        weights = batch.column("weight").to_numpy()
        lists = batch.column("items")
        offsets = lists.offsets.to_numpy().astype(np.int64)
        numbers = lists.flatten().to_numpy()
        offsets -= offsets[0]
        edges = [0, *(np.flatnonzero(np.diff(block)) + 1).tolist(), len(block)]
        for first, last in pairwise(edges):
            if last > first:
                lo, hi = offsets[first], offsets[last]
                indptr = offsets[first : last + 1] - lo
                yield int(block[first]), (weights[first:last], indptr, numbers[lo:hi])


def _multiplied(pieces: Iterator[Piece], rows: int, first: int, columns: int, min_support: int):
    """The pairs of a block of several rows: one sparse product."""
    weights, sizes, numbers = [], [], []
    for weight, indptr, held in pieces:
        weights.append(weight)
        sizes.append(np.diff(indptr))
        numbers.append(held - first)
    weight, number = np.concatenate(weights), np.concatenate(numbers)
    indptr = np.concatenate(([0], np.cumsum(np.concatenate(sizes))))
    held = sp.csr_matrix(
        (np.ones(len(number), np.complex64), number, indptr), shape=(len(weight), columns - first)
    )
    turned = held[:, :rows].T.tocsr()
    turned.data = weight[turned.indices] + np.complex64(1j)
    return pair_sums(turned, held, min_support)


def _streamed(pieces: Iterator[Piece], _rows: int, first: int, columns: int, min_support: int):
    """The pairs of one row, however many sales it has: nothing is held but its sums."""
    sums = np.zeros(columns - first, np.float32)
    counts = np.zeros(columns - first, np.int64)
    for weight, indptr, held in pieces:
        np.add.at(sums, held - first, np.repeat(weight, np.diff(indptr)))
        counts += np.bincount(held - first, minlength=columns - first)
    others = np.flatnonzero(counts >= max(min_support, 1))
    others = others[others > 0].astype(np.int32)
    both = (sums[others] + 1j * counts[others]).astype(np.complex64)
    return np.zeros(len(others), np.int32), others, both
