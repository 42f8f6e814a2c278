"""Records into their collections: one document for each natural key, and the newest delivery wins.

New documents are the common case in a stream of sales, so a batch is inserted first; only what
stands already is compared, by where its delivery came from, and replaced if that is older.
"""

import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import compress
from typing import Any, NamedTuple, cast

from bson.errors import BSONError
from pymongo import DeleteOne, ReplaceOne
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import BulkWriteError, OperationFailure

from erp import mongo
from erp.contract import DELETIONS, SALES_ITEMS, Table
from erp.mongo import COMMAND_NOT_FOUND, DUPLICATE_KEY, Document, is_outage
from erp.sink.writes import Origin, Write, by_table, tombstone_key

IDS_PER_QUERY = 200  # a longer `$in` costs more than in proportion
WRITERS = 3  # connections over which the new documents of a batch go at once
PART = 1_000  # documents of a batch that go over one of them
UNENCODABLE = (BSONError, OverflowError)  # found by the driver, before it sends the batch


class Refusal(NamedTuple):
    """A write that MongoDB will never take, and why."""

    write: Write
    error_class: str
    reason: str


@dataclass
class Outcome:
    """What became of a batch; a superseded delivery found a newer document, or itself."""

    stored: int = 0
    deleted: int = 0
    superseded: int = 0
    refusals: list[Refusal] = field(default_factory=list)


class Store:
    """Writes batches of deliveries into one database.

    Parameters
    ----------
    database : Database
        Where the collections of the contract are.
    swap : bool, optional
        True: a replacement names the versions that it may replace, so that two writers cannot
        undo each other. False: the versions are read first. By default True on a real MongoDB.
        The embedded wire server, known by its lack of the command `hello`, scans the collection
        for any filter beyond the bare `_id`.
    """

    def __init__(self, database: Database[Document], swap: bool | None = None) -> None:
        self._database = database
        self._swap = _answers_hello(database) if swap is None else swap
        self._writers = ThreadPoolExecutor(WRITERS, thread_name_prefix="insert")

    def apply(self, writes: Iterable[Write]) -> Outcome:
        """Apply the writes in the order of each key; to apply them again changes nothing.

        Where MongoDB refuses the newest version of a key, the one before it is stored. Raises the
        driver's error when the database is away or refuses for now (`is_outage`): apply the same
        writes again then.
        """
        outcome = Outcome()
        now = datetime.now(UTC)
        stored_at = now.replace(tzinfo=None)  # which the driver writes as UTC, in half the time
        for table, batch in by_table(writes).items():
            if batch.deletions:
                self._delete(table, list(batch.deletions.values()), now, outcome)
            upserts = list(batch.upserts.values())
            while upserts:
                upserts = self._upsert(table, upserts, batch.earlier, stored_at, outcome)
        return outcome

    def without_deleted(self, writes: Sequence[Write]) -> list[Write]:
        """Those that no tombstone came after, of deliveries that were kept back for long."""
        return list(compress(writes, self._outlive(writes)))

    def undo_deleted(self, writes: Sequence[Write]) -> None:
        """Delete the documents of those that a tombstone came after, which another copy met.

        For a copy that was silent in the middle of `apply`: what it inserted since may have been
        deleted already.
        """
        lives = self._outlive(writes)
        late = [w for w, alive in zip(writes, lives, strict=True) if w.document and not alive]
        for table, batch in by_table(late).items():
            collection = self._database[table.name]
            ours = {key: write.origin.document() for key, write in batch.upserts.items()}
            doomed = [
                {"_id": document["_id"], **({"kafka": document["kafka"]} if self._swap else {})}
                for document in _find(collection, "_id", list(ours), {"kafka"})
                if _place(document["kafka"]) == _place(ours[document["_id"]])
            ]
            if doomed:
                collection.bulk_write([DeleteOne(which) for which in doomed], ordered=False)

    def _outlive(self, writes: Sequence[Write]) -> list[bool]:
        """Whether no tombstone came after each of these, of its own key or of its sale."""
        notes = self._notes([name for write in writes for name in _names(write)])
        return [
            all(write.origin.follows(notes.get(name)) for name in _names(write)) for write in writes
        ]

    def _upsert(
        self,
        table: Table,
        upserts: list[Write],
        earlier: dict[str, list[Write]],
        stored_at: datetime,
        outcome: Outcome,
    ) -> list[Write]:
        """Store documents; returns what to store in the place of those that MongoDB refused."""
        collection = self._database[table.name]
        for write in upserts:
            document = _document(write)
            document["kafka"] = write.origin.document()
            document["stored_at"] = stored_at
        refused_before = len(outcome.refusals)
        if standing := self._insert(collection, upserts, outcome):
            replace = _swap if self._swap else _read_and_replace
            replace(collection, standing, outcome)
        refused = outcome.refusals[refused_before:]
        return [earlier[key].pop() for key in (r.write.key for r in refused) if earlier.get(key)]

    def _delete(
        self, table: Table, deletions: list[Write], now: datetime, outcome: Outcome
    ) -> None:
        """Delete what is older than its tombstone, after a note of it in `deletions`.

        What no document stood for is noted too: one may wait among the dead letters.
        """
        collection = self._database[table.name]
        origins = {write.key: write.origin for write in deletions}
        field_name = "sale_id" if table is SALES_ITEMS else "_id"
        doomed = [
            (document["_id"], origins[document[field_name]])
            for document in _find(collection, field_name, list(origins), {field_name, "kafka"})
            if origins[document[field_name]].follows(document.get("kafka"))
        ]
        told = dict(doomed) | self._untold(table, origins)
        if not told:
            return
        notes = [_note(table, key, origin, now) for key, origin in told.items()]
        self._database[DELETIONS].bulk_write(
            [ReplaceOne({"_id": note["_id"]}, note, upsert=True) for note in notes], ordered=False
        )
        if not doomed:
            return
        filters = [{"_id": key, **(origin.older() if self._swap else {})} for key, origin in doomed]
        deleted = collection.bulk_write([DeleteOne(which) for which in filters], ordered=False)
        outcome.deleted += deleted.deleted_count

    def _untold(self, table: Table, origins: dict[str, Origin]) -> dict[str, Origin]:
        """The tombstones, by key, of which there is no note as new."""
        notes = self._notes([_name(table, key) for key in origins])
        return {
            key: origin
            for key, origin in origins.items()
            if origin.follows(notes.get(_name(table, key)))
        }

    def _notes(self, names: list[str]) -> dict[str, Document]:
        """Where the tombstones of these names in `deletions` came from."""
        found = _find(self._database[DELETIONS], "_id", names, {"kafka"})
        return {note["_id"]: note["kafka"] for note in found}

    def _insert(
        self, collection: Collection[Document], writes: list[Write], outcome: Outcome
    ) -> list[Write]:
        """Insert what is new; returns the writes whose document stands already.

        In parts at once, as each is of another key: while the server takes one, the next is made.
        """
        parts = [writes[first : first + PART] for first in range(0, len(writes), PART)]
        under_way = [self._writers.submit(_insert, collection, part) for part in parts]
        wait(under_way)  # also for the others when one fails, as all are written again then
        standing: list[Write] = []
        for part, future in zip(parts, under_way, strict=True):
            problems = future.result()
            outcome.stored += len(part) - len(problems)
            standing += [part[p["index"]] for p in problems if _stands(p)]
            outcome.refusals += _refusals(part, (p for p in problems if not _stands(p)))
        return standing


def _answers_hello(database: Database[Document]) -> bool:
    try:
        database.client.admin.command("hello")
    except OperationFailure as error:
        if error.code == COMMAND_NOT_FOUND:
            return False
        raise
    return True


def _name(table: Table, key: str) -> str:
    """The `_id` of a note of a deletion."""
    return f"{table.name}:{key}"


def _names(write: Write) -> set[str]:
    """The notes of deletions that may be about a document."""
    return {_name(write.table, write.key), _name(write.table, tombstone_key(write))}


def _place(kafka: Document) -> tuple[str, int, int]:
    return kafka["topic"], kafka["partition"], kafka["offset"]


def _note(table: Table, key: str, origin: Origin, now: datetime) -> Document:
    return {
        "_id": _name(table, key),
        "collection": table.name,
        "key": key,
        "stored_at": now,
        "kafka": origin.document(),
    }


def _stands(problem: Document) -> bool:
    """True when a document of this `_id` kept another one out, and not some other unique index."""
    if problem["code"] != DUPLICATE_KEY:
        return False
    index = re.search(r"index: (\S+)", problem["errmsg"])
    return index is None or index[1].rpartition("$")[2] == "_id_"


def _find(
    collection: Collection[Document], field_name: str, values: Sequence[str], fields: set[str]
) -> list[Document]:
    found: list[Document] = []
    for first in range(0, len(values), IDS_PER_QUERY):
        some = {field_name: {"$in": values[first : first + IDS_PER_QUERY]}}
        found += collection.find(some, dict.fromkeys(fields, 1))
    return found


def _document(write: Write) -> Document:
    """The document of a write that is no deletion."""
    return cast(Document, write.document)


def _insert(collection: Collection[Document], writes: list[Write]) -> list[Document]:
    """Insert documents; returns what MongoDB said of those that it did not take."""
    try:
        return mongo.insert(collection, [_document(write) for write in writes])
    except UNENCODABLE:
        return _insert_one_by_one(collection, writes)


def _insert_one_by_one(
    collection: Collection[Document], writes: list[Write]
) -> list[dict[str, Any]]:
    """Find the documents that the driver cannot encode, which name themselves in no batch."""
    problems = []
    for index, write in enumerate(writes):
        try:
            collection.insert_one(_document(write))
        except UNENCODABLE as error:
            problems.append({"index": index, "code": type(error).__name__, "errmsg": str(error)})
        except OperationFailure as error:
            if is_outage(error):
                raise
            problems.append({"index": index, "code": error.code, "errmsg": str(error)})
    return problems


def _swap(collection: Collection[Document], writes: list[Write], outcome: Outcome) -> None:
    """Replace the standing documents that are older, as one step of the server."""
    filters = [{"_id": write.key, **write.origin.older()} for write in writes]
    _replace(collection, writes, filters, outcome)
    outcome.superseded += len(writes)


def _read_and_replace(
    collection: Collection[Document], writes: list[Write], outcome: Outcome
) -> None:
    """Replace the standing documents that were older when they were read."""
    keys = [write.key for write in writes]
    origins = {
        document["_id"]: document.get("kafka")
        for document in _find(collection, "_id", keys, {"kafka"})
    }
    newer = [write for write in writes if write.origin.follows(origins.get(write.key))]
    if newer:
        _replace(collection, newer, [{"_id": write.key} for write in newer], outcome)
    outcome.superseded += len(writes)


def _replace(
    collection: Collection[Document],
    writes: list[Write],
    filters: list[Document],
    outcome: Outcome,
) -> None:
    operations = [
        ReplaceOne(which, _document(write)) for which, write in zip(filters, writes, strict=True)
    ]
    try:
        replaced = collection.bulk_write(operations, ordered=False).matched_count
    except BulkWriteError as error:
        if is_outage(error):
            raise
        replaced = error.details["nMatched"]
        refusals = _refusals(writes, error.details["writeErrors"])
        outcome.refusals += refusals
        outcome.superseded -= len(refusals)
    outcome.stored += replaced
    outcome.superseded -= replaced


def _refusals(writes: list[Write], problems: Iterable[dict[str, Any]]) -> list[Refusal]:
    return [
        Refusal(writes[p["index"]], f"mongodb-{p['code']}", str(p["errmsg"])[:500])
        for p in problems
    ]
