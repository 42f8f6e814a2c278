"""Records into their collections: one document for each natural key, and the newest delivery wins.

New documents are the common case in a stream of sales, so a batch is inserted first; only what
stands already is compared, by where its delivery came from, and replaced if that is older.
"""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple, cast

from bson.errors import BSONError
from pymongo import DeleteOne, ReplaceOne
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import BulkWriteError, OperationFailure

from erp.contract import DELETIONS, SALES_ITEMS, Table
from erp.mongo import COMMAND_NOT_FOUND, DUPLICATE_KEY, Document, is_outage, write_errors

IDS_PER_QUERY = 200  # a longer `$in` costs more than in proportion
WRITERS = 3  # connections over which the new documents of a batch go at once
PART = 1_000  # documents of a batch that go over one of them
UNENCODABLE = (BSONError, OverflowError)  # found by the driver, before it sends the batch


class Origin(NamedTuple):
    """Where a delivery came from; `timestamp` is the message's, aware, in UTC."""

    topic: str
    partition: int
    offset: int
    timestamp: datetime

    def follows(self, stored: Document | None) -> bool:
        """True when this delivery is newer than the one that a document says it came from.

        Within a partition the offset decides. Across partitions, and where a topic was made anew
        so that its offsets began again, the time does.
        """
        if not stored:
            return True
        if self.timestamp > stored["timestamp"]:
            return True
        return self.partition == stored["partition"] and self.offset > stored["offset"]

    def older(self) -> Document:
        """`follows` as a filter of MongoDB."""
        return {
            "$or": [
                {"kafka.timestamp": {"$not": {"$gte": self.timestamp}}},
                {"kafka.partition": self.partition, "kafka.offset": {"$lt": self.offset}},
            ]
        }


class Write(NamedTuple):
    """One delivery for one collection: a document, or None to delete what `key` names."""

    table: Table
    key: str  # the `_id`; of a deletion in sales_items the sale_id, whose lines all go
    document: Document | None
    origin: Origin


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

        Raises the driver's error when the database is away or refuses for now (`is_outage`):
        apply the same writes again then.
        """
        outcome = Outcome()
        now = datetime.now(UTC)
        stored_at = now.replace(tzinfo=None)  # which the driver writes as UTC, in half the time
        for table, (upserts, deletions) in _by_table(writes).items():
            collection = self._database[table.name]
            if deletions:
                self._delete(table, list(deletions.values()), now, outcome)
            for write in upserts.values():
                document = _document(write)
                document["kafka"] = write.origin._asdict()
                document["stored_at"] = stored_at
            if standing := self._insert(collection, list(upserts.values()), outcome):
                replace = _swap if self._swap else _read_and_replace
                replace(collection, standing, outcome)
        return outcome

    def _delete(
        self, table: Table, deletions: list[Write], now: datetime, outcome: Outcome
    ) -> None:
        """Delete what is older than its tombstone, after a note of it in `deletions`."""
        collection = self._database[table.name]
        origins = {write.key: write.origin for write in deletions}
        field_name = "sale_id" if table is SALES_ITEMS else "_id"
        doomed = [
            (document["_id"], origins[document[field_name]])
            for document in _find(collection, field_name, list(origins), {field_name, "kafka"})
            if origins[document[field_name]].follows(document.get("kafka"))
        ]
        if not doomed:
            return
        notes = [
            {
                "_id": f"{table.name}:{key}",
                "collection": table.name,
                "key": key,
                "stored_at": now,
                "kafka": origin._asdict(),
            }
            for key, origin in doomed
        ]
        self._database[DELETIONS].bulk_write(
            [ReplaceOne({"_id": note["_id"]}, note, upsert=True) for note in notes], ordered=False
        )
        filters = [{"_id": key, **(origin.older() if self._swap else {})} for key, origin in doomed]
        deleted = collection.bulk_write([DeleteOne(which) for which in filters], ordered=False)
        outcome.deleted += deleted.deleted_count

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
            standing += [part[p["index"]] for p in problems if p["code"] == DUPLICATE_KEY]
            refused = (p for p in problems if p["code"] != DUPLICATE_KEY)
            outcome.refusals += _refusals(part, refused)
        return standing


def _answers_hello(database: Database[Document]) -> bool:
    try:
        database.client.admin.command("hello")
    except OperationFailure as error:
        if error.code == COMMAND_NOT_FOUND:
            return False
        raise
    return True


def _by_table(writes: Iterable[Write]) -> dict[Table, tuple[dict[str, Write], dict[str, Write]]]:
    """For each table the last document of each key, and the deletions, which come first."""
    tables: dict[Table, tuple[dict[str, Write], dict[str, Write]]] = {}
    for write in writes:
        upserts, deletions = tables.setdefault(write.table, ({}, {}))
        if write.document is not None:
            upserts[write.key] = write
            continue
        deletions[write.key] = write
        gone = [write.key]
        if write.table is SALES_ITEMS:
            gone = [key for key in upserts if key.rpartition(":")[0] == write.key]
        for key in gone:
            upserts.pop(key, None)
    return tables


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
    documents = [_document(write) for write in writes]
    try:
        return write_errors(lambda: collection.insert_many(documents, ordered=False))
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
