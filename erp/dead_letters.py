"""Messages that a stage could not use: kept whole in a topic, with where they stood and why.

The dead letters of a stage that nobody replayed yet are those behind the offsets that the group
`<prefix>dead-letters-<stage>` committed: to replay is to read on, and what fails again goes to
the end of the topic with its new reason.
"""

import logging
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Any, NamedTuple, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource

from erp import kafka
from erp.outbox import Outbox
from erp.process import Failure

log = logging.getLogger("erp.dead_letters")

LARGEST = 64 * 1024 * 1024  # bytes that the client lets pass; the topic has its own limit
USUAL_LIMIT = 1_000_000  # bytes that a topic takes if nobody sets it otherwise, and some less
OVERHEAD = 512  # bytes of a message beside key, value and headers, at most
LEFT_BEHIND = "value_left_behind"  # header: bytes of the value, which stands in its source only
REASON_LENGTH = 500  # characters
QUERY_TIMEOUT = 10  # s for a question to the brokers
ASK_EVERY = 60  # s after a question that they did not answer
TURN, SILENCE = 1.0, 30  # s, the longest wait for messages, and without any until Kafka is away
_NO_RIGHT = (
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
)
_TELL_THE_END: dict[str, Any] = {"enable.partition.eof": True}


class DeadLetter(NamedTuple):
    """A message as it stood in its source topic, and why it was put aside."""

    stage: str
    topic: str
    partition: int
    offset: int
    timestamp: datetime  # of the message
    error_class: str
    reason: str
    time: datetime  # when it was put aside
    key: bytes | None
    value: bytes | None
    left_behind: int | None = None  # bytes of a value too large for the topic of dead letters

    def again(self, error_class: str, reason: str) -> "DeadLetter":
        """The same message, put aside anew."""
        return self._replace(error_class=error_class, reason=reason, time=datetime.now(UTC))


class LetterOutbox(Outbox):
    """An outbox that knows how large a letter each topic takes."""

    def __init__(self, options: kafka.Options) -> None:
        super().__init__(options, **{"message.max.bytes": LARGEST})
        self._options = options
        self._limits: dict[str, int] = {}
        self._ask_from = 0.0  # monotonic s

    def takes(self, topic: str, size: int) -> bool:
        """True when the topic has room for a message of so many bytes, or nobody can say yet.

        In that case the brokers will tell: a letter that they refuse is read again.
        """
        if size <= USUAL_LIMIT:
            return True
        if topic not in self._limits and time.monotonic() >= self._ask_from:
            limit = _limit(self._options, topic)
            if limit is None:
                self._ask_from = time.monotonic() + ASK_EVERY
            else:
                self._limits[topic] = limit
        return size + OVERHEAD <= self._limits.get(topic, LARGEST)


def _limit(options: kafka.Options, topic: str) -> int | None:
    """Bytes that a topic takes at most; None while Kafka is away."""
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    admin = AdminClient({**options, "log_level": "3"})  # which must live until it has its answer
    try:
        asked = admin.describe_configs([resource])[resource]
        return int(asked.result(QUERY_TIMEOUT)["max.message.bytes"].value)
    except KafkaException as error:
        no_right = error.args[0].code() in _NO_RIGHT
        return USUAL_LIMIT if no_right else None
    except TimeoutError:
        return None


def outbox(options: kafka.Options) -> LetterOutbox:
    """What sends dead letters."""
    return LetterOutbox(options)


def deliver(outbox: Outbox, wait: Callable[[float], bool] = lambda _: False) -> None:
    """Return when the brokers have every dead letter, however long that takes.

    Raises Failure when they refuse one, or when `wait(seconds)` says True, to give up: the offsets
    of these messages must not be committed then.
    """
    while left := outbox.flush(5):
        log.warning("Kafka is away, %d dead letters wait", left)
        if wait(1):
            raise Failure(f"{left} dead letters not delivered: their messages will be read again")
    if outbox.failed:
        raise Failure("Kafka refuses a dead letter: its message will be read again")


def send(
    outbox: LetterOutbox, topic: str, message: Message, error_class: str, reason: str, *, stage: str
) -> None:
    """Put a message aside, bytes untouched; flush the outbox before its offset is committed."""
    topic_of_it, partition, offset = kafka.place(message)
    letter = DeadLetter(
        stage=stage,
        topic=topic_of_it,
        partition=partition,
        offset=offset,
        timestamp=kafka.timestamp(message),
        error_class=error_class,
        reason=reason,
        time=datetime.now(UTC),
        key=message.key(),
        value=message.value(),
    )
    send_letter(outbox, topic, letter)


def send_letter(outbox: LetterOutbox, topic: str, letter: DeadLetter) -> None:
    """Put a dead letter aside, for the first time or again.

    A value that the topic has no room for stays where it is, and a header says how large it is.
    """
    texts = {
        "stage": letter.stage,
        "source_topic": letter.topic,
        "source_partition": str(letter.partition),
        "source_offset": str(letter.offset),
        "source_timestamp": letter.timestamp.isoformat(),
        "error_class": letter.error_class,
        "reason": letter.reason[:REASON_LENGTH],
        "time": letter.time.isoformat(),
    }
    headers = {name: text.encode() for name, text in texts.items()}
    size = sum(len(name) + len(text) for name, text in headers.items()) + len(letter.key or b"")
    value, left_behind = letter.value, letter.left_behind
    if value is not None and not outbox.takes(topic, size + len(value)):
        left_behind, value = len(value), None
        log.warning(
            "%s[%d]@%d is too large for %s (%d bytes): its dead letter says where it stands",
            *(letter.topic, letter.partition, letter.offset, topic, left_behind),
        )
    if left_behind is not None:
        headers[LEFT_BEHIND] = str(left_behind).encode()
    outbox.send_one(topic, letter.key, value, dict(headers))


class Shelf:
    """The dead letters of one stage that nobody replayed yet, oldest first in each partition."""

    def __init__(self, options: kafka.Options, group: str, topic: str, stage: str) -> None:
        self._consumer: Consumer = kafka.consumer(options, group, **_TELL_THE_END)
        self.topic, self._stage = topic, stage
        self._ends: dict[int, int] = {}

    def letters(self) -> Iterator[DeadLetter]:
        """Those that stand in the topic now; the ones that arrive meanwhile are not read.

        Raises Failure when Kafka goes away, and KafkaException when it is away.
        """
        waiting = self._assign()
        silence = 0.0
        while waiting:
            messages = self._consumer.consume(500, TURN)
            silence = 0 if messages else silence + TURN
            if silence >= SILENCE:
                raise Failure("Kafka does not answer; no dead letter is lost")
            for message in messages:
                _, partition, offset = kafka.place(message)
                if (error := message.error()) is not None:
                    if error.code() != KafkaError._PARTITION_EOF:
                        raise Failure(f"Kafka: {error.str()}")
                    waiting.pop(partition, None)
                    continue
                end = waiting.get(partition)
                if end is None or offset >= end:
                    waiting.pop(partition, None)
                    continue
                if offset == end - 1:
                    waiting.pop(partition)
                if letter := _parse(message, self._stage):
                    yield letter

    def batches(self, size: int) -> Iterator[list[DeadLetter]]:
        """The same, up to `size` at a time."""
        letters = self.letters()
        while some := list(islice(letters, size)):
            yield some

    def clear(self) -> None:
        """Say that all letters that `letters` gave are dealt with."""
        ends = [TopicPartition(self.topic, p, end) for p, end in self._ends.items()]
        self._consumer.commit(offsets=ends, asynchronous=False)

    def close(self) -> None:
        """Let go of the connection."""
        self._consumer.close()

    def _assign(self) -> dict[int, int]:
        """Read from where the last replay ended; returns the end of each partition to read."""
        metadata = self._consumer.list_topics(self.topic, timeout=QUERY_TIMEOUT)
        partitions = [TopicPartition(self.topic, n) for n in metadata.topics[self.topic].partitions]
        waiting, starts = {}, []
        for committed in self._consumer.committed(partitions, timeout=QUERY_TIMEOUT):
            low, high = self._consumer.get_watermark_offsets(committed, timeout=QUERY_TIMEOUT)
            start = max(low, committed.offset)
            self._ends[committed.partition] = high
            if start < high:
                waiting[committed.partition] = high
                starts.append(TopicPartition(self.topic, committed.partition, start))
        self._consumer.assign(starts)
        return waiting


def _parse(message: Message, stage: str) -> DeadLetter | None:
    """The dead letter in a message, or None if it is another stage's, or none of ours."""
    found = cast("list[tuple[str, bytes | None]]", message.headers() or [])
    headers = {name: value.decode(errors="replace") for name, value in found if value is not None}
    if headers.get("stage") != stage:
        return None
    try:
        return DeadLetter(
            stage=stage,
            topic=headers["source_topic"],
            partition=int(headers["source_partition"]),
            offset=int(headers["source_offset"]),
            timestamp=datetime.fromisoformat(headers["source_timestamp"]),
            error_class=headers["error_class"],
            reason=headers["reason"],
            time=datetime.fromisoformat(headers["time"]),
            key=message.key(),
            value=message.value(),
            left_behind=int(headers[LEFT_BEHIND]) if LEFT_BEHIND in headers else None,
        )
    except (KeyError, ValueError) as error:
        log.warning("%s is no dead letter, left out: %r", kafka.position(message), error)
        return None
