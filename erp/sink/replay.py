"""The sink's dead letters looked at, and tried again."""

import logging
from collections import Counter as Tally
from collections.abc import Iterator
from contextlib import closing, contextmanager

from confluent_kafka import KafkaException
from pymongo.errors import PyMongoError
from rich.console import Console
from rich.markup import escape
from rich.table import Table as Grid

from erp import dead_letters, mongo
from erp.dead_letters import DeadLetter, LetterOutbox, Shelf
from erp.process import Failure, Stop, printing
from erp.sink.deliveries import BadMessageError, Reader
from erp.sink.store import Outcome, Store
from erp.sink.writes import Origin, Write

log = logging.getLogger("erp.sink")

BATCH = 1_000  # dead letters


def replay(shelf: Shelf, reader: Reader, store: Store, outbox: LetterOutbox, stop: Stop) -> None:
    """Try them again; what fails again is put aside again, with its new reason.

    Those whose key has a newer document, or was deleted since, are told apart. Raises Failure when
    a server goes away or a signal comes: they are tried from the beginning next time.
    """
    read = stored = failed = 0
    with _opened(shelf):
        for letters in shelf.batches(BATCH):
            again, outcome = store_again(reader, store, letters)
            for letter in again:
                dead_letters.send_letter(outbox, shelf.topic, letter)
            read, failed = read + len(letters), failed + len(again)
            stored += outcome.stored
            log.info("%d dead letters read, %d stored, %d put aside again", read, stored, failed)
            if stop.requested:
                raise Failure("stopped before the end; no dead letter is lost")
        dead_letters.deliver(outbox, stop.wait)
        shelf.clear()
    late = read - stored - failed
    with printing(f"{read} dead letters were tried again"):
        print(f"{stored} dead letters stored, {failed} put aside again, {late} too old by now")


def store_again(
    reader: Reader, store: Store, letters: list[DeadLetter]
) -> tuple[list[DeadLetter], Outcome]:
    """Returns the letters that fail again, each with its new reason."""
    again: list[DeadLetter] = []
    writes: dict[Origin, tuple[Write, DeadLetter]] = {}
    for letter in letters:
        origin = Origin(letter.topic, letter.partition, letter.offset, letter.timestamp)
        if letter.left_behind is not None:  # its empty value is no wish to delete
            again.append(letter.again("too-large", f"its {letter.left_behind} bytes stand there"))
            continue
        if letter.topic not in reader.topics:
            again.append(letter.again("no-table", "its topic is none of the four tables"))
            continue
        try:
            writes[origin] = reader.read(letter.key, letter.value, origin), letter
        except BadMessageError as bad:
            again.append(letter.again(bad.error_class, str(bad)))
    outcome = store.apply(store.without_deleted([write for write, _ in writes.values()]))
    for refusal in outcome.refusals:
        _, letter = writes[refusal.write.origin]
        again.append(letter.again(refusal.error_class, refusal.reason))
    return again, outcome


def show(shelf: Shelf) -> None:
    """Print them by reason, with where the newest of each stood; raises Failure."""
    kinds: Tally[tuple[str, str]] = Tally()
    newest: dict[tuple[str, str], DeadLetter] = {}
    with _opened(shelf):
        for letter in shelf.letters():
            kind = letter.topic, letter.error_class
            kinds[kind] += 1
            newest[kind] = letter
    grid = Grid(
        "topic", "reason", "messages", "the newest stood at", "it said", title="Dead letters"
    )
    for (topic, error_class), number in kinds.most_common():
        letter = newest[topic, error_class]
        where = f"{topic}[{letter.partition}]@{letter.offset}"
        grid.add_row(topic, error_class, f"{number:,}", where, escape(letter.reason))
    with printing(f"{kinds.total()} dead letters wait"):
        Console().print(grid if kinds else "no dead letters")


@contextmanager
def _opened(shelf: Shelf) -> Iterator[None]:
    """Close it afterwards; Failure tells which server went away."""
    try:
        with closing(shelf):
            yield
    except PyMongoError as error:
        raise Failure(f"MongoDB: {mongo.first_line(error)}; no dead letter is lost") from None
    except KafkaException as error:
        raise Failure(f"Kafka: {error.args[0].str()}; no dead letter is lost") from None
