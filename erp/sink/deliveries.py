"""A message of one of the four tables, read as what it asks MongoDB to do."""

from typing import cast

import bson
import msgspec
from confluent_kafka import Message

from erp import kafka
from erp.contract import ID_LENGTH_MAX, TABLES, Record, Table, document
from erp.sink.writes import Origin, Write

# A server may close the connection on a document over its 16 MiB, as if it went away.
LARGEST_DOCUMENT = 16 * 1024 * 1024 - 1024  # bytes as BSON, without where it came from
SUSPICIOUS = LARGEST_DOCUMENT - 1024  # bytes as JSON, which are more, but for some numbers


class BadMessageError(ValueError):
    """A message that can never be stored as it is.

    Attributes
    ----------
    error_class : str
        What is wrong, in a word that can be counted: not-json, breaks-contract, bad-key,
        too-large.
    """

    def __init__(self, error_class: str, reason: str) -> None:
        super().__init__(reason)
        self.error_class = error_class


class Reader:
    """Reads the messages of the topics `prefix` + the name of a table."""

    def __init__(self, prefix: str) -> None:
        self._tables = {
            prefix + table.name: (table, msgspec.json.Decoder(table.record)) for table in TABLES
        }

    @property
    def topics(self) -> list[str]:
        """The four topics."""
        return list(self._tables)

    def read(self, key: bytes | None, value: bytes | None, origin: Origin) -> Write:
        """The write that a delivery asks for; raises BadMessageError, which says why it cannot."""
        table, _ = self._tables[origin.topic]
        if value is None:
            return Write(table, key_text(key), None, origin)
        stored = document(table, self.record(key, value, origin.topic))
        if len(value) > SUSPICIOUS and (size := len(bson.encode(stored))) > LARGEST_DOCUMENT:
            raise BadMessageError("too-large", f"a document of {size} bytes")
        return Write(table, stored["_id"], stored, origin)

    def record(self, key: bytes | None, value: bytes | None, topic: str | None) -> Record:
        """The table's record that a message holds; raises BadMessageError when it is none."""
        table, decoder = self._tables[cast(str, topic)]
        name = key_text(key)
        try:
            record = decoder.decode(value or b"")
        except msgspec.ValidationError as error:
            raise BadMessageError("breaks-contract", str(error)) from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadMessageError("not-json", str(error)) from None
        except RecursionError:
            raise BadMessageError("not-json", "it is nested too deeply") from None
        _check_key(table, name, record)
        return record


def origin_of(message: Message) -> Origin:
    """Where a message of Kafka stands."""
    return Origin(*kafka.place(message), kafka.timestamp(message))


def key_text(key: bytes | None) -> str:
    """The key of a message; raises BadMessageError when it has none or it is no text."""
    if not key:
        raise BadMessageError("bad-key", "the message has no key")
    try:
        text = key.decode()
    except UnicodeDecodeError:
        raise BadMessageError("bad-key", "the key is not UTF-8") from None
    if len(text) > ID_LENGTH_MAX:
        raise BadMessageError("bad-key", f"the key has {len(text)} characters")
    return text


def _check_key(table: Table, name: str, record: Record) -> None:
    expected = getattr(record, table.message_key)
    if name != expected:
        raise BadMessageError(
            "bad-key", f"the key is {name[:80]!r}, but {table.message_key} is {expected[:80]!r}"
        )
