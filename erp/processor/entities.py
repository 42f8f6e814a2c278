"""Stores, products, customers and categories: sums by key, kept in documents, added and taken off.

The sums of one kind of document are its *cubes*: a frame of totals and one for each list of the
document, in whole numbers, with the key in `_id`. The cubes of some tickets are added to those of
the documents that stand, or taken off them, and the result is the same as counting from the start.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import polars as pl

from erp import contract
from erp.processor.aggregates import UNKNOWN
from erp.processor.documents import Part, nested, shown, whole

Document = dict[str, Any]
Cubes = dict[str, pl.DataFrame]  # TOTALS, or the name of a part -> its frame

TOTALS = ""
_SUMS = ("tickets", "lines", "units", "gross", "discount", "net")
_SLICE = 2_000  # documents made at once


class Entity(NamedTuple):
    """A kind of document: its collection, totals (sum -> field) and lists."""

    collection: str
    totals: dict[str, str]
    parts: tuple[Part, ...]

    @property
    def keys(self) -> dict[str, dict[str, Any]]:
        """The keys of every frame but `_id`, which all have."""
        return {TOTALS: {}} | {part.name: part.keys for part in self.parts}

    @property
    def sums(self) -> dict[str, tuple[str, ...]]:
        """The sums of every frame."""
        return {TOTALS: tuple(self.totals)} | {part.name: part.sums for part in self.parts}


_MONTHS = Part("months", {"month": pl.String}, _SUMS)
_HOURS = Part("hours", {"weekday": pl.Int64, "hour": pl.Int64}, ("tickets", "net"))
_PAYMENTS = Part("payments", {"payment_type": pl.String}, ("tickets", "net"))
_DAYS = Part("days", {"day": pl.String}, ("tickets", "net"))
_OF_CATEGORIES = Part("categories", {"key": pl.String}, ("tickets", "net"))
_OF_STORES = Part("stores", {"key": pl.String}, ("tickets", "net"))
_SUBCATEGORIES = Part("subcategories", {"subcategory": pl.String}, _SUMS)


def _same(*sums: str) -> dict[str, str]:
    return {name: name for name in sums}


STORE = Entity(contract.STORES, _same(*_SUMS, "tax", "customers"), (_MONTHS, _HOURS, _PAYMENTS))
PRODUCT = Entity(contract.TOP_PRODUCTS, _same(*_SUMS) | {"net": "revenue"}, (_MONTHS,))
CUSTOMER = Entity(
    contract.CUSTOMER_ANALYSIS,
    _same(*_SUMS) | {"tickets": "frequency", "net": "monetary"},
    (_DAYS, _OF_CATEGORIES, _OF_STORES),
)
CATEGORY = Entity(contract.CATEGORIES, _same(*_SUMS, "customers"), (_SUBCATEGORIES, _MONTHS))
ENTITIES = (STORE, PRODUCT, CUSTOMER, CATEGORY)


def cubes_of(tickets: pl.DataFrame, lines: pl.DataFrame) -> dict[str, Cubes]:
    """The cubes of these tickets (erp.processor.facts.measured) and their lines, by collection.

    The distinct customers of stores and categories are not in them: see count_customers.
    """
    tickets = tickets.with_columns(
        month=pl.col("day").dt.strftime("%Y-%m"),
        weekday=pl.col("day").dt.weekday().cast(pl.Int64) - 1,
        hour=(pl.col("minute") // 60).cast(pl.Int64),
        day=pl.col("day").dt.strftime("%Y-%m-%d"),
    )
    lines = lines.join(tickets.select("sale", "month", "customer_id"), on="sale")
    known = tickets.filter(pl.col("customer_id") != UNKNOWN)
    by_known = lines.filter(pl.col("customer_id") != UNKNOWN)
    return {
        STORE.collection: {
            TOTALS: _of_tickets(tickets, ["store_id"], (*_SUMS, "tax")).with_columns(
                customers=pl.lit(0, dtype=pl.Int64)
            ),
            "months": _of_tickets(tickets, ["store_id", "month"], _SUMS),
            "hours": _of_tickets(tickets, ["store_id", "weekday", "hour"], _HOURS.sums),
            "payments": _of_tickets(tickets, ["store_id", "payment_type"], _PAYMENTS.sums),
        },
        PRODUCT.collection: {
            TOTALS: _of_lines(lines, ["product_id"], _SUMS),
            "months": _of_lines(lines, ["product_id", "month"], _SUMS),
        },
        CUSTOMER.collection: {
            TOTALS: _of_tickets(known, ["customer_id"], _SUMS),
            "days": _of_tickets(known, ["customer_id", "day"], _DAYS.sums),
            "categories": _of_lines(
                by_known, ["customer_id", "category"], _OF_CATEGORIES.sums
            ).rename({"category": "key"}),
            "stores": _of_tickets(known, ["customer_id", "store_id"], _OF_STORES.sums).rename(
                {"store_id": "key"}
            ),
        },
        CATEGORY.collection: {
            TOTALS: _of_lines(lines, ["category"], _SUMS).with_columns(
                customers=pl.lit(0, dtype=pl.Int64)
            ),
            "subcategories": _of_lines(lines, ["category", "subcategory"], _SUMS),
            "months": _of_lines(lines, ["category", "month"], _SUMS),
        },
    }


def _of_tickets(tickets: pl.DataFrame, by: list[str], sums: tuple[str, ...]) -> pl.DataFrame:
    added = [pl.col(name).sum() for name in sums if name != "tickets"]
    return _keyed(
        tickets.group_by(by).agg(pl.len().cast(pl.Int64).alias("tickets"), *added), by, sums
    )


def _of_lines(lines: pl.DataFrame, by: list[str], sums: tuple[str, ...]) -> pl.DataFrame:
    counts = {
        "tickets": pl.col("sale").n_unique().cast(pl.Int64).alias("tickets"),
        "lines": pl.len().cast(pl.Int64).alias("lines"),
    }
    return _keyed(
        lines.group_by(by).agg(counts.get(name, pl.col(name).sum()) for name in sums), by, sums
    )


def _keyed(frame: pl.DataFrame, by: list[str], sums: tuple[str, ...]) -> pl.DataFrame:
    text = pl.col(pl.Categorical).cast(pl.String)
    return frame.with_columns(text).select(pl.col(by[0]).alias("_id"), *by[1:], *sums)


def count_customers(
    changed: Mapping[str, Cubes], before: Cubes | None, after: Cubes
) -> dict[str, Cubes]:
    """The cubes with what the changed customers mean for the distinct customers of the others.

    `before` and `after` are the cubes of the customers that changed; they hold in which stores
    and categories each has a ticket.
    """
    counted = dict(changed)
    for entity, part in ((STORE, "stores"), (CATEGORY, "categories")):
        gained = [_customers(after[part], 1)]
        if before is not None:
            gained.append(_customers(before[part], -1))
        extra = pl.concat(gained).group_by("_id").agg(pl.col("customers").sum())
        cubes = dict(changed[entity.collection])
        cubes[TOTALS] = _sum_up(pl.concat([cubes[TOTALS], extra], how="diagonal").fill_null(0), [])
        counted[entity.collection] = cubes
    return counted


def _customers(of: pl.DataFrame, sign: int) -> pl.DataFrame:
    return of.group_by(pl.col("key").alias("_id")).agg(customers=pl.len().cast(pl.Int64) * sign)


def add(entity: Entity, many: Iterable[Cubes]) -> Cubes:
    """The sum of these cubes; keys without a ticket are kept with what they have."""
    given = list(many)
    return {
        name: _sum_up(pl.concat(cubes[name] for cubes in given), list(keys))
        for name, keys in entity.keys.items()
    }


def negated(entity: Entity, cubes: Cubes) -> Cubes:
    """The cubes to add in order to take these off."""
    return {
        name: cubes[name].with_columns(-pl.col(column) for column in sums)
        for name, sums in entity.sums.items()
    }


def without_empty(cubes: Cubes) -> Cubes:
    """Only what has a ticket: the rest of a sum from which everything was taken off is gone."""
    return {name: frame.filter(pl.col("tickets") != 0) for name, frame in cubes.items()}


def _sum_up(frame: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    by = ["_id", *keys]
    return frame.group_by(by).agg(pl.exclude(by).sum())


def read_cubes(entity: Entity, documents: Collection[Document]) -> Cubes:
    """The cubes of documents that were made by `make_documents`."""
    totals = pl.DataFrame(
        [
            [document["_id"], *(document[field] for field in entity.totals.values())]
            for document in documents
        ],
        schema={"_id": pl.String} | dict.fromkeys(entity.totals, pl.Float64),
        orient="row",
    )
    cubes = {TOTALS: whole(totals)}
    for part in entity.parts:
        fields = [*part.keys, *part.sums]
        rows = [
            [document["_id"], *(entry[field] for field in fields)]
            for document in documents
            for entry in document[part.name]
        ]
        schema = {"_id": pl.String} | part.keys | dict.fromkeys(part.sums, pl.Float64)
        cubes[part.name] = whole(pl.DataFrame(rows, schema=schema, orient="row"))
    return cubes


def make_documents(entity: Entity, cubes: Cubes, more: pl.DataFrame) -> Iterator[Document]:
    """The documents of these cubes, in order of `_id`, with the fields of `more` (by `_id`)."""
    frame = shown(cubes[TOTALS]).rename(entity.totals).sort("_id")
    frame = frame.join(more, on="_id", how="left", maintain_order="left")
    for part in entity.parts:
        lists = nested(cubes[part.name], "_id", part)
        frame = frame.join(lists, on="_id", how="left", maintain_order="left").with_columns(
            pl.col(part.name).fill_null([])
        )
    for some in frame.iter_slices(_SLICE):
        yield from some.to_dicts()
