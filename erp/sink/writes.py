"""What deliveries ask of MongoDB, and which of several for the same key counts."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from erp.contract import SALES_ITEMS, Table
from erp.mongo import Document


class Origin(NamedTuple):
    """Where a delivery came from; `timestamp` is the message's, aware, in UTC."""

    topic: str
    partition: int
    offset: int
    timestamp: datetime

    def follows(self, stored: Document | None) -> bool:
        """True when this delivery is newer than the one that a document says it came from.

        A higher offset of the same partition is newer, and so is a later time: across partitions,
        and with a lower offset too, as a topic that was made anew begins its offsets again.
        """
        if not stored:
            return True
        if self.timestamp > stored["timestamp"]:
            return True
        return self.partition == stored["partition"] and self.offset > stored["offset"]

    def document(self) -> Document:
        """What a document says of it."""
        return {
            "topic": self.topic,
            "partition": self.partition,
            "offset": self.offset,
            "timestamp": _without_zone(self.timestamp),
        }

    def older(self) -> Document:
        """`follows` as a filter of MongoDB."""
        return {
            "$or": [
                {"kafka.timestamp": {"$not": {"$gte": self.timestamp}}},
                {"kafka.partition": self.partition, "kafka.offset": {"$lt": self.offset}},
            ]
        }


@lru_cache(maxsize=1024)  # messages that were sent together share their millisecond
def _without_zone(moment: datetime) -> datetime:
    return moment.replace(tzinfo=None)  # the driver takes it for UTC, and writes it faster


class Write(NamedTuple):
    """One delivery for one collection: a document, or None to delete what `key` names."""

    table: Table
    key: str  # the `_id`; of a deletion in sales_items the sale_id, whose lines all go
    document: Document | None
    origin: Origin


@dataclass
class Writes:
    """The writes of a batch for one table, by key: the newest, and the versions before it."""

    upserts: dict[str, Write] = field(default_factory=dict)
    earlier: dict[str, list[Write]] = field(default_factory=dict)
    deletions: dict[str, Write] = field(default_factory=dict)  # which come first

    def upsert(self, write: Write) -> None:
        """Take in a document, unless a newer delivery deletes it."""
        if self.deletions and not _after(write, self.deletions.get(tombstone_key(write))):
            return
        if (other := self.upserts.get(write.key)) is not None:
            newest, older = (write, other) if _after(write, other) else (other, write)
            self.earlier.setdefault(write.key, []).append(older)
            write = newest
        self.upserts[write.key] = write

    def delete(self, write: Write) -> None:
        """Take in a tombstone: what came before it is not even written."""
        if not _after(write, self.deletions.get(write.key)):
            return
        self.deletions[write.key] = write
        gone = [write.key]
        if write.table is SALES_ITEMS:
            gone = [key for key, line in self.upserts.items() if tombstone_key(line) == write.key]
        for key in gone:
            if key in self.upserts and _after(write, self.upserts[key]):
                del self.upserts[key]
                self.earlier.pop(key, None)


def by_table(writes: Iterable[Write]) -> dict[Table, Writes]:
    """The writes for each table, in the order in which the tables come."""
    tables: dict[Table, Writes] = {}
    for write in writes:
        if (batch := tables.get(write.table)) is None:
            batch = tables[write.table] = Writes()
        if write.document is None:
            batch.delete(write)
        elif batch.deletions or write.key in batch.upserts:
            batch.upsert(write)
        else:
            batch.upserts[write.key] = write  # as nearly all are
    return tables


def _after(write: Write, other: Write | None) -> bool:
    return other is None or write.origin.follows(other.origin._asdict())


def tombstone_key(write: Write) -> str:
    """The key of a tombstone that deletes this document."""
    return write.key.rpartition(":")[0] if write.table is SALES_ITEMS else write.key
