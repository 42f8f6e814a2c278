"""The rounds of the processor: everything anew, or what changed since the round before.

A changed round costs what changed: it reads the changed documents, the facts of their days and
the aggregates of their stores, products, customers and categories, and writes those again. Besides,
it compares the standing (rank, share, trend, segment) of all stores, products, customers and
categories in memory, which grows with these and not with the sales.
"""

import logging
import resource
import time
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any

import polars as pl
from pymongo.database import Database

from erp import contract
from erp.processor.aggregates import FACTS, UNKNOWN, VERSION
from erp.processor.changes import (
    OVERLAP,
    Changed,
    Seen,
    Window,
    affected_sales,
    after,
    differing,
    read_changes,
)
from erp.processor.facts import joined
from erp.processor.packed import AFTER_PARTS, ORPHANS, pack, unpack, unpack_tickets
from erp.processor.reading import read_customers, read_items, read_products, read_sales
from erp.processor.rounds import Boards, Facts, read_boards, revised, whole
from erp.processor.snapshots import (
    finish,
    now,
    publish_changes,
    publish_whole,
    read,
    read_state,
    touch,
)

log = logging.getLogger("erp.processor")

Document = dict[str, Any]

FEW_DAYS = 30  # affected days that are never too many; beyond, half of all days are
VISITS = ["customer_id", "time"]
_IDS_AT_ONCE = 150


@dataclass(frozen=True)
class Memory:
    """What a round needs to know of the rounds before; all of it can be read from MongoDB.

    Attributes
    ----------
    boards : by collection, see erp.processor.standing
    places : `hash` of every sale_id (UInt64, of this process) and its `day`, null for orphans
    since : the moment from which the next round looks for changes
    seen : marks of the rows that were stored after that moment and are counted already
    """

    boards: Boards
    places: pl.DataFrame
    since: datetime
    seen: Seen = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """What a round was and cost."""

    kind: str  # "whole", "changed" or "nothing"
    number: int
    seconds: float
    cpu: float  # seconds of this process's CPU
    sales: int  # whose figures are new
    documents: int  # written, facts included
    memory: Memory
    visits: pl.DataFrame | None = (
        None  # of a changed round: VISITS of these sales, as they were and are
    )

    def __str__(self) -> str:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        return (
            f"round {self.number}: {self.kind}, {self.sales} sales, {self.documents} documents"
            f" in {self.seconds:.2f} s, CPU {self.cpu:.2f} s, peak memory {peak} MB"
        )


class _Clock:
    """Started when it is made."""

    def __init__(self) -> None:
        self._seconds, self._cpu = time.monotonic(), time.process_time()

    def passed(self) -> tuple[float, float]:
        """Seconds since then, and seconds of this process's CPU."""
        return time.monotonic() - self._seconds, time.process_time() - self._cpu


def recompute(database: Database[Document], zone: str) -> Result:
    """Compute and publish everything anew; `zone` is the business time zone."""
    started, computed_at = _Clock(), now()
    state = finish(database)
    window = Window(computed_at - OVERLAP)
    products_in, customers_in, sales_in, items_in = (table.name for table in contract.TABLES)
    products = window.look(products_in, read_products(database[products_in], {}))
    customers = window.look(customers_in, read_customers(database[customers_in], {}))
    sales = window.look(sales_in, read_sales(database[sales_in], {}, zone))
    items = (window.look(items_in, batch) for batch in read_items(database[items_in], {}))
    facts = Facts(*joined(sales, items, products))
    contents, boards = whole(facts, products, customers)
    orphans = facts.lines.height - _lines_of(facts)
    stamp = {
        "version": VERSION,
        "round": 1 + (state["round"] if state else 0),
        "computed_at": computed_at,
        "checked_at": computed_at,
        "since": computed_at - OVERLAP,
        "timezone": zone,
        "sales": sales.height,
        "lines": facts.lines.height - orphans,
        "orphan_lines": orphans,
        **_reach(facts.tickets),
    }
    written = publish_whole(database, contents, stamp)
    memory = Memory(boards, _places(facts.tickets), stamp["since"], window.seen)
    return Result("whole", stamp["round"], *started.passed(), sales.height, written, memory)


def recall(database: Database[Document], zone: str) -> Memory | None:
    """The memory of the rounds before; None when they do not fit, so that all must be done anew."""
    state = finish(database)
    if state is None or state.get("version") != VERSION or state["timezone"] != zone:
        return None
    tickets = unpack_tickets(read(database, FACTS, fields=["sales"]))
    return Memory(read_boards(database), _places(tickets), state["since"])


def catch_up(database: Database[Document], zone: str, memory: Memory) -> Result:
    """Bring the aggregates up to what changed since the round before."""
    started, checked_at = _Clock(), now()
    state = read_state(database)
    changed = read_changes(database, memory.since, zone, memory.seen)
    if state is None or changed is None:
        log.info("so much changed that all is computed anew")
        return recompute(database, zone)
    renamed = _renamed(changed, memory.boards)
    products, relabelled, more_days = _relabelled(database, changed, renamed)
    days = _days(changed, affected_sales(changed), memory.places) | more_days
    if len(days) > FEW_DAYS and 2 * len(days) > memory.places["day"].n_unique():
        log.info("so many days are affected that all is computed anew")
        return recompute(database, zone)
    before = Facts(*unpack(_fact_documents(database, days)))
    after_ = Facts(*after(*before, changed, products, relabelled))
    sales = differing(before, after_)
    next_since = max(memory.since, checked_at - OVERLAP)
    remembered = replace(memory, since=next_since, seen=changed.seen)
    if not sales and not any(renamed.values()):
        return _nothing(database, state, remembered, checked_at, started)

    was, is_ = _only(before, sales), _only(after_, sales)
    places = pl.concat(
        [
            memory.places.filter(~pl.col("hash").is_in(_hashes(sales).implode())),
            _places(is_.tickets),
        ]
    )
    last_day: Any = places["day"].max()
    touched = _touched(after_, was, is_)
    changes, boards = revised(
        database, was, is_, touched, memory.boards, last_day, _lookups(database), renamed
    )
    changes[FACTS] = _facts_of(database, touched, was)
    written = sum(len(documents) for documents in changes.values())
    if written == 0:
        return _nothing(database, state, remembered, checked_at, started)
    stamp = state | {
        "round": state["round"] + 1,
        "computed_at": checked_at,
        "checked_at": checked_at,
        "since": next_since,
        **_counts(state, was, is_),
        **_reach(_newest_day(database, touched, last_day)),
        "first_day": None if last_day is None else str(places["day"].min()),
    }
    publish_changes(database, changes, stamp)
    memory = replace(remembered, boards=boards, places=places)
    visits = pl.concat([was.tickets, is_.tickets]).filter(pl.col("day").is_not_null())
    return Result(
        "changed",
        stamp["round"],
        *started.passed(),
        len(sales),
        written,
        memory,
        visits.select(VISITS),
    )


def _nothing(
    database: Database[Document],
    state: Document,
    memory: Memory,
    checked_at: datetime,
    started: "_Clock",
) -> Result:
    touch(database, {"checked_at": checked_at, "since": memory.since})
    return Result("nothing", state["round"], *started.passed(), 0, 0, memory)


def missing(database: Database[Document]) -> int:
    """Documents of sales and their lines that are not counted, less counted ones that are gone.

    Other than 0 when nothing has changed for a while, it says that documents came or went without
    a stamp of the sink.
    """
    state = read_state(database) or {}
    counted = sum(state.get(name, 0) for name in ("sales", "lines", "orphan_lines"))
    standing = (contract.SALES.name, contract.SALES_ITEMS.name)
    return sum(database[name].estimated_document_count() for name in standing) - counted


def _hashes(sale_ids: Collection[str]) -> pl.Series:
    return pl.Series("hash", sorted(sale_ids), dtype=pl.String).hash()


def _places(tickets: pl.DataFrame) -> pl.DataFrame:
    return tickets.select(pl.col("sale_id").hash().alias("hash"), "day")


def _reach(tickets: pl.DataFrame) -> Document:
    """Up to what sale, and which days, the tickets go."""
    dated = tickets.filter(pl.col("day").is_not_null())
    newest = dated.sort("time", "sale_id").tail(1).to_dicts()
    return {
        "up_to_sale": newest[0]["sale_id"] if newest else None,
        "up_to_time": newest[0]["time"] if newest else None,
        "first_day": str(dated["day"].min()) if newest else None,
        "last_day": str(dated["day"].max()) if newest else None,
    }


def _lines_of(facts: Facts) -> int:
    """The lines that have a sale."""
    return facts.of(facts.tickets.filter(pl.col("day").is_not_null())).lines.height


def _counts(state: Document, was: Facts, is_: Facts) -> Document:
    sales = is_.tickets["day"].count() - was.tickets["day"].count()
    lines = _lines_of(is_) - _lines_of(was)
    orphans = is_.lines.height - was.lines.height - lines
    return {
        "sales": state["sales"] + sales,
        "lines": state["lines"] + lines,
        "orphan_lines": state["orphan_lines"] + orphans,
    }


def _renamed(changed: Changed, boards: Boards) -> dict[str, set[str]]:
    """The products and customers that have a document here and whose own document changed."""
    sources = {
        contract.TOP_PRODUCTS: changed.ids(contract.PRODUCTS.name, "product_id"),
        contract.CUSTOMER_ANALYSIS: changed.ids(contract.CUSTOMERS.name, "customer_id"),
    }
    return {
        name: ids & set(boards[name].filter(pl.col("_id").is_in(sorted(ids)))["_id"])
        for name, ids in sources.items()
    }


def _relabelled(
    database: Database[Document], changed: Changed, renamed: dict[str, set[str]]
) -> tuple[pl.DataFrame, set[str], set[date | None]]:
    """The rows of all products that matter, those in a new category, and the days these touch."""
    ids = renamed[contract.TOP_PRODUCTS]
    fresh = changed.fresh[contract.SALES_ITEMS.name]["product_id"].cast(pl.String)
    products = _lookups(database)[contract.TOP_PRODUCTS]({*ids, *fresh})
    labels = {
        row["product_id"]: (row["category"] or UNKNOWN, row["subcategory"] or UNKNOWN)
        for row in products.iter_rows(named=True)
    }
    fields = ["category", "subcategory", "months"]
    relabelled: set[str] = set()
    months: set[str] = set()
    for document in read(database, contract.TOP_PRODUCTS, ids=sorted(ids), fields=fields):
        label = labels.get(document["_id"], (UNKNOWN, UNKNOWN))
        if label != (document["category"], document["subcategory"]):
            relabelled.add(document["_id"])
            months.update(part["month"] for part in document["months"])
    days = {
        date.fromisoformat(document["_id"].partition("/")[0])
        for month in sorted(months)
        for document in read(
            database, FACTS, first=f"{month}-01", last=f"{month}-31{AFTER_PARTS}", fields=["_id"]
        )
    }
    orphaned: set[date | None] = {None} if relabelled else set()
    return products, relabelled, days | orphaned


def _lookups(database: Database[Document]) -> dict[str, Any]:
    """By collection of the aggregates, how its products or customers are looked up."""
    return {
        contract.TOP_PRODUCTS: lambda ids: _look_up(
            read_products, database[contract.PRODUCTS.name], ids
        ),
        contract.CUSTOMER_ANALYSIS: lambda ids: _look_up(
            read_customers, database[contract.CUSTOMERS.name], ids
        ),
    }


def _look_up(read_rows: Any, collection: Any, ids: Collection[str]) -> pl.DataFrame:
    wanted = sorted(ids)
    batches = [
        wanted[start : start + _IDS_AT_ONCE]
        for start in range(0, max(len(wanted), 1), _IDS_AT_ONCE)
    ]
    return pl.concat(read_rows(collection, {"_id": {"$in": batch}}) for batch in batches)


def _days(changed: Changed, affected: set[str], places: pl.DataFrame) -> set[date | None]:
    """The days on which the affected sales were and are; None, that of lines without a sale."""
    if not affected:
        return set()
    were = places.filter(pl.col("hash").is_in(_hashes(affected).implode()))["day"]
    return {*were, *changed.fresh[contract.SALES.name]["day"], None}


def _fact_documents(database: Database[Document], days: set[date | None]) -> list[Document]:
    documents = []
    for day in days:
        name = str(day or ORPHANS)
        documents += read(database, FACTS, first=name, last=name + AFTER_PARTS)
    return documents


def _only(facts: Facts, sales: set[str]) -> Facts:
    wanted = pl.Series(sorted(sales), dtype=pl.String)
    return facts.of(facts.tickets.filter(pl.col("sale_id").is_in(wanted.implode())))


def _touched(facts: Facts, was: Facts, is_: Facts) -> Facts:
    """All facts of the days of these sales."""
    days = pl.concat([was.tickets["day"], is_.tickets["day"]]).unique()
    return facts.of(facts.tickets.join(days.to_frame(), on="day", how="semi", nulls_equal=True))


def _facts_of(
    database: Database[Document], touched: Facts, was: Facts
) -> dict[str, Document | None]:
    changes: dict[str, Document | None] = {
        document["_id"]: None
        for day in was.tickets["day"].unique()
        for document in read(
            database,
            FACTS,
            first=str(day or ORPHANS),
            last=str(day or ORPHANS) + AFTER_PARTS,
            fields=["_id"],
        )
    }
    return changes | {document["_id"]: document for document in pack(*touched)}


def _newest_day(
    database: Database[Document], touched: Facts, last_day: date | None
) -> pl.DataFrame:
    """The tickets of the last day of the data."""
    here = touched.tickets.filter(pl.col("day") == last_day)
    if last_day is None or not here.is_empty():
        return here
    return unpack_tickets(_fact_documents(database, {last_day}))
