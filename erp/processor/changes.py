"""What changed in MongoDB since a moment, and the facts of the affected days before and after.

The sink stamps each document with `stored_at` and notes in `deletions` what a tombstone deleted.
That and the facts of the rounds before is all a round reads: of a sale of which one line changed,
the header and the other lines are in the facts.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import polars as pl
from pymongo.database import Database

from erp import contract
from erp.processor.facts import LINES, TICKETS, numbered, with_categories
from erp.processor.reading import read_customers, read_items, read_products, read_sales

Document = dict[str, Any]
Tables = dict[str, pl.DataFrame]  # collection -> rows, as erp.processor.reading reads them
Seen = dict[str, pl.Series]  # collection -> the marks of rows, see `mark`

# A document is stamped before it is written, and by another machine's clock: a round looks back so
# far beyond the start of the round before. What it has seen already costs it a comparison.
OVERLAP = timedelta(seconds=60)
TOO_MANY = 200_000  # changed rows from which a whole round is the cheaper way

_TABLES = {table.name: table for table in contract.TABLES}
_HEADERS = [name for name in TICKETS if name != "sale"]
_ITEMS = ["sale_id", *(name for name in LINES if name != "sale")]


class Changed(NamedTuple):
    """The rows that changed, and the documents that are no more.

    Attributes
    ----------
    fresh : by collection, the rows that were stored since the moment and not seen before
    gone : by collection, the `_id`s that were deleted
    seen : the marks of all rows that were stored since the moment
    """

    fresh: Tables
    gone: dict[str, set[str]]
    seen: Seen

    def ids(self, collection: str, key: str) -> set[str]:
        """The ids of a collection that changed in any way."""
        return {*self.fresh[collection][key], *self.gone[collection]}


def read_changes(
    database: Database[Document], since: datetime, zone: str, seen: Seen
) -> Changed | None:
    """What changed since a moment; None when it is so much that a whole round is cheaper."""
    # First the deletions: a document that is found afterwards stands, whatever was deleted before.
    gone = _read_deletions(database, since)
    fresh, marks = {}, {}
    for name, batches in _read_since(database, since, zone).items():
        new, marked = [], []
        for batch in batches:
            of_batch = mark(batch)
            new.append(_unseen(batch, of_batch, seen.get(name)))
            marked.append(of_batch)
            if sum(frame.height for frame in new) > TOO_MANY:
                return None
            if gone[name]:
                gone[name] -= set(_ids(name, batch))
        fresh[name] = _latest(name, pl.concat(new))
        marks[name] = pl.concat(marked)
    return Changed(fresh, gone, marks)


def mark(rows: pl.DataFrame) -> pl.Series:
    """A number for each row by which it is known again in this process, UInt64."""
    return rows.with_columns(pl.col(pl.Categorical).cast(pl.String)).hash_rows().rename("mark")


class Window:
    """Marks, of rows that are read anyway, those that were stored after a moment."""

    def __init__(self, since: datetime) -> None:
        self._since = since
        self._marks: dict[str, list[pl.Series]] = {}

    def look(self, collection: str, rows: pl.DataFrame) -> pl.DataFrame:
        """Mark these rows of a collection; returns them."""
        recent = rows.filter(pl.col("stored_at") > self._since)
        self._marks.setdefault(collection, []).append(mark(recent))
        return rows

    @property
    def seen(self) -> Seen:
        """The marks, as `Changed.seen` has them."""
        return {name: pl.concat(marks) for name, marks in self._marks.items()}


def _read_since(
    database: Database[Document], since: datetime, zone: str
) -> dict[str, Iterable[pl.DataFrame]]:
    products, customers, sales, items = (table.name for table in contract.TABLES)
    query = {"stored_at": {"$gt": since}}
    return {
        items: read_items(database[items], query),
        sales: [read_sales(database[sales], query, zone)],
        products: [read_products(database[products], query)],
        customers: [read_customers(database[customers], query)],
    }


def _read_deletions(database: Database[Document], since: datetime) -> dict[str, set[str]]:
    gone: dict[str, set[str]] = {table.name: set() for table in contract.TABLES}
    for note in database[contract.DELETIONS].find({"stored_at": {"$gt": since}}):
        if note["collection"] in gone:
            gone[note["collection"]].add(note["key"])
    return gone


def _ids(collection: str, rows: pl.DataFrame) -> pl.Series:
    """The `_id` of each row."""
    if collection == contract.SALES_ITEMS.name:
        return rows.select(_item_id()).to_series()
    return rows[_TABLES[collection].message_key]


def _item_id() -> pl.Expr:
    return pl.format("{}:{}", "sale_id", "line_n")


def _unseen(rows: pl.DataFrame, marks: pl.Series, seen: pl.Series | None) -> pl.DataFrame:
    if seen is None or seen.is_empty():
        return rows
    marked = rows.with_columns(marks)
    return marked.join(seen.to_frame("mark"), on="mark", how="anti").drop("mark")


def _latest(collection: str, rows: pl.DataFrame) -> pl.DataFrame:
    """One row for each key: a document stored again while an index is walked may be met twice."""
    keys = list(_TABLES[collection].natural_key)
    return rows.sort("stored_at").unique(keys, keep="last", maintain_order=True)


def affected_sales(changed: Changed) -> set[str]:
    """The sales whose header or lines changed."""
    items = contract.SALES_ITEMS.name
    return {
        *changed.ids(contract.SALES.name, "sale_id"),
        *changed.fresh[items]["sale_id"],
        *(key.rpartition(":")[0] for key in changed.gone[items]),
    }


def after(
    tickets: pl.DataFrame,
    lines: pl.DataFrame,
    changed: Changed,
    products: pl.DataFrame,
    renamed: Iterable[str],
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The facts of some days as the changes leave them.

    Parameters
    ----------
    tickets, lines : the facts of all days that the affected sales were on, or are on now
    products : the rows of at least the products of changed lines and of `renamed`
    renamed : products whose category or subcategory changed
    """
    items, sales = contract.SALES_ITEMS.name, contract.SALES.name
    headers = tickets.filter(pl.col("day").is_not_null()).select(_HEADERS)
    new_headers = changed.fresh[sales].select(_HEADERS)
    replaced = pl.Series([*new_headers["sale_id"], *changed.gone[sales]], dtype=pl.String)
    kept = headers.filter(~pl.col("sale_id").is_in(replaced.implode()))

    new_items = changed.fresh[items].drop("stored_at")
    standing = lines.join(tickets.select("sale", "sale_id"), on="sale").select(_ITEMS)
    deleted = pl.Series(sorted(changed.gone[items]), dtype=pl.String)
    standing = standing.join(new_items, on=["sale_id", "line_n"], how="anti")
    if not deleted.is_empty():
        standing = standing.filter(~_item_id().is_in(deleted.implode()))
    names = pl.Series(sorted(renamed), dtype=pl.String).implode()
    stale = pl.col("product_id").cast(pl.String).is_in(names)
    relabelled = standing.filter(stale).drop("category", "subcategory")
    fresh = pl.concat([new_items.select(relabelled.columns), relabelled])
    return numbered(
        pl.concat([kept, new_headers]),
        pl.concat([standing.filter(~stale), with_categories(fresh, products).select(_ITEMS)]),
    )


def differing(
    before: tuple[pl.DataFrame, pl.DataFrame], now: tuple[pl.DataFrame, pl.DataFrame]
) -> set[str]:
    """The sales that are not the same in two facts, line by line."""
    old_headers, new_headers = (tickets.select(_HEADERS) for tickets, _ in (before, now))
    old_items, new_items = (
        lines.join(tickets.select("sale", "sale_id"), on="sale").select(_ITEMS)
        for tickets, lines in (before, now)
    )
    return {
        *_only_in(old_headers, new_headers),
        *_only_in(new_headers, old_headers),
        *_only_in(old_items, new_items),
        *_only_in(new_items, old_items),
    }


def _only_in(these: pl.DataFrame, those: pl.DataFrame) -> pl.Series:
    return these.join(those, on=these.columns, how="anti", nulls_equal=True)["sale_id"]
