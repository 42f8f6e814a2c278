"""Reading and publishing the aggregates so that a reader sees one finished round, never a mixture.

The document "stamp" of `processor_state` decides what is seen; each of its changes is the write of
one document. Its `phase` is

ready      the collections are the round
swapping   a whole new round stands complete beside the old one, in collections that end in
           NEXT, and takes its place name by name; what still has that ending is read there
applying   the changes of a round stand complete in `processor_journal`, and are being written into
           the collections; a reader lays them over what it finds

Whatever was begun before the stamp said so is thrown away by the next run, and what the stamp says
is finished by it, so a writer may be killed at any moment. A program that reads a collection
directly, without this module, sees whole documents and never an empty or half-built collection;
while changes are being applied it may see documents of two neighbouring rounds.
"""

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any, TypeVar

import msgspec
import polars as pl
from pymongo import DeleteOne, UpdateOne
from pymongo.database import Database

from erp.processor.aggregates import COLLECTIONS, FACTS, JOURNAL, STATE, Stamp
from erp.processor.facts import MEASURES, measured
from erp.processor.packed import AFTER_PARTS, unpack

log = logging.getLogger("erp.processor")

Document = dict[str, Any]
T = TypeVar("T")
Changes = Mapping[str, Mapping[str, Document | None]]  # collection -> _id -> fields, None deletes

NEXT = "__next"
STAMP_ID = "stamp"
READY, SWAPPING, APPLYING = "ready", "swapping", "applying"
_BATCH = 1_000
_IDS_AT_ONCE = 150  # the local wire server is slow on longer lists
_ATTEMPTS = 40
# Documents in a reply. MongoDB ends a reply at 16 MB; the local wire server does not, and the
# driver refuses one of more than 48 MB.
_REPLY, _REPLY_OF_FACTS = 500, 20


def read_stamp(database: Database[Document]) -> Stamp | None:
    """When and up to what the aggregates were computed; None before the first round."""
    state = read_state(database)
    return None if state is None else msgspec.convert(state, Stamp)


def read_state(database: Database[Document]) -> Document | None:
    """The stamp with the processor's own fields."""
    return database[STATE].find_one({"_id": STAMP_ID})


def read(
    database: Database[Document],
    collection: str,
    *,
    first: str | None = None,
    last: str | None = None,
    ids: Sequence[str] | None = None,
    fields: Sequence[str] | None = None,
) -> list[Document]:
    """The documents of one round, in order of `_id`.

    Parameters
    ----------
    collection : one of erp.processor.aggregates.COLLECTIONS
    first, last : bounds of `_id`, both included, such as the days of a range
    ids : these documents only
    fields : these top-level fields only, besides `_id`
    """
    query = _range(first, last)
    for attempt in range(_ATTEMPTS):
        before = read_state(database)
        if before is None:
            return []
        found, sound = _attempt(database, collection, query, ids, fields, before["phase"])
        after = read_state(database) or {}
        if sound and (before["round"], before["phase"]) == (after.get("round"), after.get("phase")):
            break
        time.sleep(0.005 * attempt)
    else:
        log.warning("%s changes faster than it can be read", collection)
    return [found[key] for key in sorted(found)]


def read_facts(
    database: Database[Document], first: str | None = None, last: str | None = None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The tickets and lines of one round from the day `first` to the day `last`, both included.

    Their columns are described at the end of erp.processor.aggregates.
    """
    last_part = (last or "9999-12-31") + AFTER_PARTS
    tickets, lines = unpack(read(database, FACTS, first=first, last=last_part))
    sales = measured(tickets, lines).select(
        "sale",
        "sale_id",
        "day",
        (pl.col("day").dt.weekday() - 1).alias("weekday"),
        (pl.col("minute") // 60).cast(pl.Int8).alias("hour"),
        pl.col("store_id", "payment_type", "customer_id").cast(pl.Categorical),
        pl.col("lines").cast(pl.Int32),
        *MEASURES[:3],
        "header_discount",
        "net",
        "tax",
    )
    return sales, lines.drop("line_n")


def _range(first: str | None, last: str | None) -> Document:
    bounds = {"$gte": first, "$lte": last}
    given = {operator: bound for operator, bound in bounds.items() if bound is not None}
    return {"_id": given} if given else {}


def _attempt(
    database: Database[Document],
    collection: str,
    query: Document,
    ids: Sequence[str] | None,
    fields: Sequence[str] | None,
    phase: str,
) -> tuple[dict[str, Document], bool]:
    """The documents, and whether the collection kept its name meanwhile."""
    source = collection
    if phase == SWAPPING and collection + NEXT in database.list_collection_names():
        source = collection + NEXT
    queries = (
        [query]
        if ids is None
        else [{"_id": {"$in": batch}} for batch in batched(ids, _IDS_AT_ONCE)]
    )
    projection = None if fields is None else list(fields)
    reply = _REPLY_OF_FACTS if collection == FACTS and fields is None else _REPLY
    found = {
        document["_id"]: document
        for each in queries
        for document in database[source].find(each, projection, batch_size=reply)
    }
    if phase == APPLYING:
        wanted = None if ids is None else set(ids)
        for change in database[JOURNAL].find(
            {"collection": collection}, batch_size=_REPLY_OF_FACTS
        ):
            if _within(change["key"], query, wanted):
                _lay_over(found, change, fields)
    return found, source == collection or source in database.list_collection_names()


def _within(key: str, query: Document, wanted: set[str] | None) -> bool:
    if wanted is not None:
        return key in wanted
    bounds = query.get("_id", {})
    return bounds.get("$gte", key) <= key <= bounds.get("$lte", key)


def _lay_over(found: dict[str, Document], change: Document, fields: Sequence[str] | None) -> None:
    if change["fields"] is None:
        found.pop(change["key"], None)
        return
    document = found.setdefault(change["key"], {"_id": change["key"]})
    for name, value in change["fields"].items():
        if fields is None or name in fields:
            document[name] = value


def publish_whole(
    database: Database[Document],
    contents: Mapping[str, Iterable[Document]],
    stamp: Document,
) -> int:
    """Build every collection aside and let it take the place of the old one.

    `contents` has all of COLLECTIONS. Returns how many documents were written.
    """
    written = 0
    for name, documents in contents.items():
        database.drop_collection(name + NEXT)
        database.create_collection(name + NEXT)
        for batch in batched(documents, _BATCH):
            database[name + NEXT].insert_many(batch, ordered=False)
            written += len(batch)
    _write_state(database, stamp | {"phase": SWAPPING})
    _swap(database)
    _write_state(database, stamp | {"phase": READY})
    return written


def publish_changes(database: Database[Document], changes: Changes, stamp: Document) -> None:
    """Set these fields of these documents, new ones too, all at once to the reader's eye."""
    database.drop_collection(JOURNAL)
    for batch in batched(_entries(changes), _BATCH):
        database[JOURNAL].insert_many(batch, ordered=False)
    _write_state(database, stamp | {"phase": APPLYING})
    _apply(database)
    _write_state(database, stamp | {"phase": READY})
    database.drop_collection(JOURNAL)


def finish(database: Database[Document]) -> Document | None:
    """Bring to its end what a killed run had begun to show; the state, None before any round."""
    state = read_state(database)
    if state is None or state["phase"] == READY:
        return state
    log.info("finishing round %d, which was interrupted while %s", state["round"], state["phase"])
    (_swap if state["phase"] == SWAPPING else _apply)(database)
    state["phase"] = READY
    _write_state(database, state)
    return state


def touch(database: Database[Document], fields: Document) -> None:
    """Note in the stamp that nothing had changed."""
    database[STATE].update_one({"_id": STAMP_ID}, {"$set": fields})


def _write_state(database: Database[Document], state: Document) -> None:
    database[STATE].replace_one({"_id": STAMP_ID}, state | {"_id": STAMP_ID}, upsert=True)


def _swap(database: Database[Document]) -> None:
    standing = set(database.list_collection_names())
    for name in COLLECTIONS:
        if name + NEXT in standing:
            database[name + NEXT].rename(name, dropTarget=True)


def _entries(changes: Changes) -> Iterator[Document]:
    for name, documents in changes.items():
        for key, fields in documents.items():
            given = None if fields is None else {f: v for f, v in fields.items() if f != "_id"}
            yield {"_id": f"{name}:{key}", "collection": name, "key": key, "fields": given}


def _apply(database: Database[Document]) -> None:
    for name in COLLECTIONS:
        entries = database[JOURNAL].find({"collection": name}, batch_size=_REPLY_OF_FACTS)
        for batch in batched(entries, _BATCH):
            database[name].bulk_write([_operation(entry) for entry in batch], ordered=False)


def _operation(entry: Document) -> DeleteOne | UpdateOne:
    chosen = {"_id": entry["key"]}
    if entry["fields"] is None:
        return DeleteOne(chosen)
    return UpdateOne(chosen, {"$set": entry["fields"]}, upsert=True)


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items in lists of `size`, the last one of what is left."""
    waiting = iter(items)
    while batch := list(islice(waiting, size)):
        yield batch


def now() -> datetime:
    """The time in UTC as MongoDB keeps it, in whole milliseconds."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
