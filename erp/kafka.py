"""Kafka as the stages use it: connecting, topics, sending with a receipt, reading in batches."""

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, OffsetSpec

from erp import contract
from erp.process import Failure, UsageError
from erp.repeats import OnceInAWhile

log = logging.getLogger("erp.kafka")
log.addFilter(OnceInAWhile())

Options = Mapping[str, str]
T = TypeVar("T")

QUERY_TIMEOUT = 10  # s for a question to the brokers
LAG_TIMEOUT = 2  # s for the brokers to tell committed offsets
ROOM_FOR_HEADERS = {"max.message.bytes": "2097152"}  # of dead letters, above the usual 1 MiB
RESTART_SECONDS = 45  # that the partitions of a named copy wait for its return
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = datetime(9999, 12, 31, tzinfo=UTC)
_SILENT = {"log_level": "3"}  # librdkafka: errors and worse
PRODUCER_OPTIONS: dict[str, Any] = {
    "enable.idempotence": True,
    "compression.type": "lz4",
    "partitioner": "murmur2_random",  # as Java clients place a key
    "linger.ms": 5,
    "queue.buffering.max.messages": 10_000_000,  # send() keeps to its own limits
    "queue.buffering.max.kbytes": 2_097_151,
    "message.timeout.ms": 0,  # a broker that is away costs time, nothing else
    "delivery.report.only.error": True,  # what is neither failed nor waiting arrived
    **_SILENT,
}
# Read ahead some batches. By default it is 100,000 messages of each partition, and a megabyte of
# each as the broker keeps it, several unpacked: as much memory as all the rest of a stage, and no
# faster.
AHEAD: dict[str, Any] = {
    "queued.max.messages.kbytes": 8_192,
    "queued.min.messages": 5_000,
    "fetch.message.max.bytes": 131_072,
}
# What will not pass by waiting, and what to do about it.
_REFUSALS = {
    KafkaError._AUTHENTICATION: "refuses this user: check KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD"
    " and KAFKA_SASL_MECHANISM",
    KafkaError._SSL: "has a certificate that is not trusted, or speaks no TLS: check"
    " KAFKA_SSL_CA_LOCATION and KAFKA_SECURITY_PROTOCOL",
}


def wait_for_kafka(options: Options, timeout: float = 60) -> AdminClient:
    """An admin client, once the brokers answer.

    Waits up to `timeout` seconds with a word in the log; raises Failure when they stay away, and
    at once when they refuse the user or show a certificate that is not trusted; UsageError when
    the client cannot be what `options` say.
    """
    address = options["bootstrap.servers"]
    refusals: list[KafkaError] = []
    # what goes wrong is in `refusals` and in the Failure, not in a line for each try
    listening: dict[str, Any] = {"log_level": "0", "error_cb": refusals.append}
    try:
        admin = AdminClient({**options, **listening}, logger=log)
    except KafkaException as error:
        raise UsageError(
            f"Kafka's settings are wrong ({error.args[0].str()}): check KAFKA_SECURITY_PROTOCOL,"
            " KAFKA_SASL_... and KAFKA_SSL_CA_LOCATION"
        ) from None
    deadline = time.monotonic() + timeout
    while True:
        try:
            admin.list_topics(timeout=3)
            return admin
        except KafkaException as error:
            admin.poll(0)
            for refusal in refusals:
                if remedy := _REFUSALS.get(refusal.code()):
                    raise Failure(f"Kafka at {address} {remedy}") from None
            if time.monotonic() >= deadline:
                raise Failure(
                    f"Kafka does not answer at {address} ({error.args[0].str()}): start it (make"
                    " up, or docker compose up -d) or set KAFKA_BOOTSTRAP_SERVERS"
                ) from None
            log.info("waiting for Kafka at %s", address)
            time.sleep(0.5)


def ensure_topics(
    options: Options, names: Iterable[str], partitions: int, replication: int, timeout: float = 60
) -> AdminClient:
    """Create the topics that are missing and wait until all partitions answer; an admin client.

    A broker names itself the leader of a new partition some milliseconds before it acts as one.
    Those that stand keep their settings and need no right to create. The brokers are waited for as
    `wait_for_kafka` does. Raises Failure when they refuse or take too long.
    """
    wanted = list(names)
    admin = wait_for_kafka(options, timeout)
    there = _patiently(lambda: admin.list_topics(timeout=QUERY_TIMEOUT).topics, "list the topics")
    missing = [
        NewTopic(
            name,
            num_partitions=partitions,
            replication_factor=replication,
            config=ROOM_FOR_HEADERS if name.endswith(contract.DEAD_LETTER) else {},
        )
        for name in wanted
        if name not in there
    ]
    for name, future in (admin.create_topics(missing) if missing else {}).items():
        try:
            future.result()
            log.info("created topic %s with %d partitions", name, partitions)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise Failure(f"cannot create topic {name}: {error.args[0].str()}") from None
    _patiently(lambda: messages_in(admin, wanted), "see the topics")
    return admin


def largest_message(admin: AdminClient, topics: Iterable[str]) -> int:
    """The bytes that a message may have in each of `topics`, as the brokers are set."""
    wanted = [ConfigResource(ConfigResource.Type.TOPIC, topic) for topic in topics]

    def ask() -> int:
        answers = [future.result() for future in admin.describe_configs(wanted).values()]
        return min(int(answer["max.message.bytes"].value) for answer in answers)

    return _patiently(ask, "read the topics' settings")


def messages_in(admin: AdminClient, topics: Iterable[str]) -> int:
    """How many messages these topics have taken since they were created.

    Raises KafkaException when one is not there or the brokers do not answer.
    """
    known = admin.list_topics(timeout=QUERY_TIMEOUT).topics
    ends: dict[TopicPartition, OffsetSpec] = {}
    for topic in topics:
        partitions = known[topic].partitions if topic in known else {}
        if not partitions:
            raise KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))
        ends |= {TopicPartition(topic, number): OffsetSpec.latest() for number in partitions}
    told = admin.list_offsets(ends, request_timeout=QUERY_TIMEOUT)
    return sum(future.result().offset for future in told.values())


def _patiently(ask: Callable[[], T], what: str, timeout: float = 30) -> T:
    """Ask again while the brokers do not know a new topic yet; Failure when that takes too long."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            return ask()
        except KafkaException as error:
            if time.monotonic() >= deadline:
                raise Failure(f"cannot {what}: {error.args[0].str()}") from None
            time.sleep(0.05)


class Sender(ABC):
    """What may wait in a client's queue, and what became of what was handed to it.

    Attributes
    ----------
    failed : int
        Messages that were refused for good.
    """

    def __init__(self, max_messages: int, max_bytes: int) -> None:
        self._max_messages = max_messages  # that may wait, and their bytes
        self._max_bytes = max_bytes
        self._handed = 0
        self.failed = 0

    @property
    @abstractmethod
    def waiting(self) -> int:
        """Messages that are neither delivered nor refused yet."""

    @abstractmethod
    def _poll(self, seconds: float) -> None:
        """Let the client work and tell what it could not deliver."""

    @property
    def delivered(self) -> int:
        """Messages that the brokers acknowledged."""
        return self._handed - self.failed - self.waiting

    def _as_room_allows(
        self,
        messages: int,
        size: int,
        hand_over: Callable[[slice], None],
        give_up: Callable[[], bool],
    ) -> int:
        """Hand over `messages` of `size` bytes on the average, a slice as often as there is room.

        Never more than there is room for: of a batch that meets a full queue the client may refuse
        a message and take the next, which would break the order of a key. While the queue is full
        it waits, unless `give_up` says not to. Returns how many were handed over, from the first.
        """
        capacity = max(1, min(self._max_messages, self._max_bytes // (size + 1)))
        handed = 0
        last_word = time.monotonic()
        while handed < messages:
            room = capacity - self.waiting
            if room < min(messages - handed, 1 + capacity // 10):
                if give_up():
                    break
                self._poll(0.02)
                if time.monotonic() - last_word > 10:
                    log.warning("Kafka takes nothing for now, %d messages wait", self.waiting)
                    last_word = time.monotonic()
                continue
            hand_over(slice(handed, handed + room))
            handed += room
        return min(handed, messages)

    def _refused(self, topic: str | None, reason: str) -> None:
        self.failed += 1
        log.error("not delivered to %s: %s", topic, reason)


class Outbox(Sender):
    """Sends messages and keeps account of their delivery.

    Idempotent and compressed; a full queue makes the sender wait and a broker that is away makes
    it wait longer: nothing is dropped unless the broker refuses it. Not thread-safe.
    """

    def __init__(
        self,
        options: Options,
        max_messages: int = 200_000,
        max_bytes: int = 64 * 1024 * 1024,
        **tuning: Any,
    ) -> None:
        super().__init__(max_messages, max_bytes)
        self._producer = Producer({**PRODUCER_OPTIONS, **tuning, **options}, logger=log)

    @property
    def waiting(self) -> int:
        """Messages that are neither delivered nor refused yet."""
        return len(self._producer)

    def _poll(self, seconds: float) -> None:
        self._producer.poll(seconds)

    def send(
        self,
        topic: str,
        messages: list[dict[str, Any]],
        give_up: Callable[[], bool] = lambda: False,
    ) -> int:
        """Hand over messages, each a dict of `key` and `value`, bytes or text (value None deletes).

        While the queue is full it waits, unless `give_up` says not to. Returns how many were
        handed over, from the first on; one that is refused at once counts as failed.
        """
        if not messages:
            return 0
        size = sum(len(message["value"] or "") for message in messages) // len(messages)
        return self._as_room_allows(
            len(messages), size, lambda part: self._hand_over(topic, messages[part]), give_up
        )

    def _hand_over(self, topic: str, messages: list[dict[str, Any]]) -> None:
        try:
            accepted = self._producer.produce_batch(topic, messages, on_delivery=self._on_delivery)
        except KafkaException as error:
            raise Failure(f"Kafka refuses this producer: {error.args[0].str()}") from None
        self._handed += len(messages)
        self._producer.poll(0)
        if accepted < len(messages):
            for refusal in filter(None, (message.pop("_error", None) for message in messages)):
                self._refused(topic, refusal.str())

    def send_one(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: dict[str, str | bytes | None],
    ) -> None:
        """Hand over one message that has headers."""
        while self.waiting >= self._max_messages:
            self._producer.poll(0.02)
        self._producer.produce(topic, value, key, headers=headers, on_delivery=self._on_delivery)
        self._handed += 1
        self._producer.poll(0)

    def _on_delivery(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._refused(message.topic(), error.str())

    def flush(self, timeout: float | None = None) -> int:
        """Wait until everything is delivered, at most `timeout` s; returns what still waits."""
        return self._producer.flush(-1 if timeout is None else timeout)


def consumer(options: Options, group: str, instance: str | None = None, **tuning: Any) -> Consumer:
    """A member of `group` that reads from the beginning and commits only when told to.

    Partitions move one by one (cooperative), so that a copy that joins or leaves stops no other.
    With `instance`, a name that no other member of the group has, a copy that comes back within
    RESTART_SECONDS finds its partitions as it left them, and no other copy hears of it.
    """
    static = {"group.instance.id": instance, "session.timeout.ms": RESTART_SECONDS * 1000}
    return Consumer(
        {
            "group.id": group,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",
            "partition.assignment.strategy": "cooperative-sticky",
            "fetch.queue.backoff.ms": 50,
            **AHEAD,
            "session.timeout.ms": 10_000,  # until the others take over from a member that died
            **_SILENT,
            **(static if instance else {}),
            **tuning,
            **options,
        },
        logger=log,
    )


def reader(options: Options) -> Consumer:
    """A consumer that joins no group and commits nothing, for questions about topics."""
    return Consumer(
        {"group.id": "unused", "enable.auto.commit": False, **_SILENT, **options}, logger=log
    )


class Place(NamedTuple):
    """Where a message stands."""

    topic: str
    partition: int
    offset: int


def place(message: Message) -> Place:
    """Where a message that was read stands; the client has no place for one that was not."""
    return Place(*cast(Place, (message.topic(), message.partition(), message.offset())))


def position(message: Message) -> str:
    """Where a message stands, `topic[partition]@offset`, for a log line."""
    return f"{message.topic()}[{message.partition()}]@{message.offset()}"


def timestamp(message: Message) -> datetime:
    """When a message was sent, or appended if its topic says so: UTC, to the millisecond."""
    return _moment(message.timestamp()[1])


@lru_cache(maxsize=1024)  # messages that were sent together share their millisecond
def _moment(milliseconds: int) -> datetime:
    try:
        return _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return _LATEST  # of a client that counts in microseconds


def complain(error: KafkaError) -> None:
    """Log what a read brought instead of a message; raises Failure when the client cannot go on."""
    if "fenced" in error.str():  # the client has no other word for it than a fatal error's text
        raise Failure("another copy has this CONSUMER_INSTANCE and took over: give each its own")
    if error.fatal() or error.code() == KafkaError._FATAL:
        raise Failure(f"Kafka: {error.str()}")
    log.warning("Kafka: %s", error.str())


def lag(consumer: Consumer, partitions: Iterable[tuple[str, int]]) -> dict[tuple[str, int], int]:
    """Messages of each (topic, partition) that are not read yet.

    Counted from the next message to be read, or where nothing was read yet from the group's
    committed offset, up to the end that the brokers told last. What is not known is left out.
    """
    own = [TopicPartition(topic, partition) for topic, partition in sorted(partitions)]
    places = consumer.position(own) if own else []
    unread = [TopicPartition(each.topic, each.partition) for each in places if each.offset < 0]
    try:
        committed = consumer.committed(unread, timeout=LAG_TIMEOUT) if unread else []
    except KafkaException:
        committed = []
    behind = {}
    for each in [*(each for each in places if each.offset >= 0), *committed]:
        low, high = consumer.get_watermark_offsets(each, cached=True)
        if high >= 0:
            behind[each.topic, each.partition] = max(0, high - max(each.offset, low))
    return behind
