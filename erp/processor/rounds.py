"""A round of the processor: all aggregates anew, or what some changed sales make of them.

Both add up the same cubes (erp.processor.entities) and end in the same documents: a changed round
takes the affected sales as they were off what stands, and adds them as they are.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import date
from typing import Any, NamedTuple

import polars as pl
from pymongo.database import Database

from erp import contract
from erp.processor.aggregates import FACTS
from erp.processor.daily import daily_documents
from erp.processor.details import details
from erp.processor.entities import (
    CATEGORY,
    CUSTOMER,
    ENTITIES,
    PRODUCT,
    STORE,
    TOTALS,
    Cubes,
    Entity,
    add,
    count_customers,
    cubes_of,
    make_documents,
    negated,
    read_cubes,
    without_empty,
)
from erp.processor.facts import measured
from erp.processor.packed import pack
from erp.processor.snapshots import read
from erp.processor.standing import (
    board_fields,
    first_days,
    inputs_of,
    moved,
    read_board,
    recent_net,
    stand,
)

Document = dict[str, Any]
Boards = dict[str, pl.DataFrame]  # collection -> erp.processor.standing's board
Changes = dict[str, dict[str, Document | None]]  # as erp.processor.snapshots publishes them
Rows = Callable[[Collection[str]], pl.DataFrame]  # ids -> the rows of products or customers

_SPLITS = {STORE.collection: "by_store", CATEGORY.collection: "by_category"}


class Facts(NamedTuple):
    """Tickets and their lines, as erp.processor.facts has them."""

    tickets: pl.DataFrame
    lines: pl.DataFrame

    def of(self, tickets: pl.DataFrame) -> "Facts":
        """Some of the tickets, with their lines."""
        return Facts(tickets, self.lines.join(tickets.select("sale"), on="sale", how="semi"))


def whole(
    facts: Facts, products: pl.DataFrame, customers: pl.DataFrame
) -> tuple[dict[str, Iterable[Document]], Boards]:
    """Every collection from all facts, and the boards; each iterable can be read once."""
    last_day = facts.tickets["day"].max()
    days = list(_daily(_since(facts, last_day)))
    cubes = _all_cubes(facts)
    rows = {PRODUCT.collection: products, CUSTOMER.collection: customers}
    contents: dict[str, Iterable[Document]] = {
        contract.DAILY_SALES: _daily(facts),
        FACTS: (document for month in _months(facts) for document in pack(*month)),
    }
    boards: Boards = {}
    for entity in ENTITIES:
        name = entity.collection
        boards[name] = _stand(entity, inputs_of(entity, cubes[name]), days, last_day)
        more = _more(entity, cubes[name], rows.get(name), boards[name])
        contents[name] = make_documents(entity, cubes[name], more)
    return contents, boards


def revised(
    database: Database[Document],
    before: Facts,
    after: Facts,
    touched: Facts,
    boards: Boards,
    last_day: date | None,
    rows: dict[str, Rows],
    renamed: dict[str, set[str]],
) -> tuple[Changes, Boards]:
    """What the changed sales make of the documents that stand, and of the boards.

    Parameters
    ----------
    before, after : the affected sales as they were counted, and as they are
    touched : all facts, as they are now, of the days of these sales
    last_day : of the data, as it is now
    rows : by collection, how to look up products and customers
    renamed : by collection, the products and customers whose own document changed
    """
    days_before = before.tickets["day"].drop_nulls().unique().dt.strftime("%Y-%m-%d")
    changes: Changes = {contract.DAILY_SALES: _by_id(_daily(touched), days_before)}
    taken, given = _all_cubes(before, count=False), _all_cubes(after, count=False)
    deltas = {
        entity.collection: add(
            entity,
            [given[entity.collection], negated(entity, taken[entity.collection])],
        )
        for entity in ENTITIES
    }
    days = _recent(database, changes[contract.DAILY_SALES], last_day)
    new_boards: Boards = {}
    for entity in (CUSTOMER, *(each for each in ENTITIES if each is not CUSTOMER)):
        name = entity.collection
        ids = sorted({*deltas[name][TOTALS]["_id"], *renamed.get(name, set())})
        documents = {document["_id"]: document for document in read(database, name, ids=ids)}
        standing = read_cubes(entity, documents.values())
        cubes = without_empty(add(entity, [standing, deltas[name]]))
        if entity is CUSTOMER:
            deltas = count_customers(deltas, standing, cubes)
        kept = boards[name].filter(~pl.col("_id").is_in(ids))
        inputs = pl.concat(
            [kept.select(inputs_of(entity, cubes).columns), inputs_of(entity, cubes)]
        )
        new_boards[name] = _stand(entity, inputs, days, last_day)
        looked_up = rows[name](ids) if name in rows else None
        more = _more(entity, cubes, looked_up, new_boards[name])
        made = _by_id(make_documents(entity, cubes, more), ids)
        changes[name] = {key: new for key, new in made.items() if new != documents.get(key)}
        for row in moved(entity, boards[name], new_boards[name]).iter_rows(named=True):
            changes[name].setdefault(row["_id"], row)
    return changes, new_boards


def read_boards(database: Database[Document]) -> Boards:
    """The boards as the documents have them."""
    return {
        entity.collection: read_board(
            entity, read(database, entity.collection, fields=board_fields(entity))
        )
        for entity in ENTITIES
    }


def _by_id(documents: Iterable[Document], expected: Iterable[str]) -> dict[str, Document | None]:
    """The documents by `_id`; what was expected and is not there is to be deleted."""
    found: dict[str, Document | None] = dict.fromkeys(expected)
    return found | {document["_id"]: document for document in documents}


def _months(facts: Facts) -> Iterator[Facts]:
    """The facts month by month, to spare memory; last what has no day."""
    by_month = facts.tickets.with_columns(month=pl.col("day").dt.truncate("1mo"))
    for tickets in by_month.partition_by("month", include_key=False):
        yield facts.of(tickets)


def _counted(facts: Facts) -> Facts:
    """Measured tickets, and their lines with `day`; without what has no day."""
    tickets = measured(*facts)
    return Facts(tickets, facts.lines.join(tickets.select("sale", "day"), on="sale"))


def _daily(facts: Facts) -> Iterator[Document]:
    for month in _months(facts):
        yield from daily_documents(*_counted(month))


def _all_cubes(facts: Facts, *, count: bool = True) -> dict[str, Cubes]:
    """The cubes of all facts, with the distinct customers if these are all facts there are."""
    empty = facts.of(facts.tickets.clear())
    of_months = [cubes_of(*_counted(month)) for month in (*_months(facts), empty)]
    cubes = {
        entity.collection: add(entity, [month[entity.collection] for month in of_months])
        for entity in ENTITIES
    }
    return count_customers(cubes, None, cubes[CUSTOMER.collection]) if count else cubes


def _since(facts: Facts, last_day: Any) -> Facts:
    """The facts that trends look at."""
    if last_day is None:
        return facts.of(facts.tickets.clear())
    return facts.of(facts.tickets.filter(pl.col("day") >= first_days(last_day)[1]))


def _recent(
    database: Database[Document],
    changed: dict[str, Document | None],
    last_day: date | None,
) -> list[Document]:
    """The daily documents that trends look at, as this round leaves them."""
    if last_day is None:
        return []
    first = str(first_days(last_day)[1])
    fields = list(_SPLITS.values())
    standing = read(database, contract.DAILY_SALES, first=first, last=str(last_day), fields=fields)
    kept = [document for document in standing if document["_id"] not in changed]
    return kept + [document for document in changed.values() if document is not None]


def _stand(
    entity: Entity, inputs: pl.DataFrame, days: list[Document], last_day: Any
) -> pl.DataFrame:
    split = _SPLITS.get(entity.collection)
    recent = recent_net(days, split, last_day) if split else None
    return stand(entity, inputs, recent, last_day)


def _more(
    entity: Entity, cubes: Cubes, rows: pl.DataFrame | None, board: pl.DataFrame
) -> pl.DataFrame:
    """The fields of these documents besides their sums."""
    outputs = moved(entity, board.clear(), board)
    return details(entity, cubes, rows).join(outputs, on="_id", how="left")
