"""Kafka as the stages use it: connecting, topics, lag, where a message stands."""

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, OffsetSpec

from erp import contract
from erp.process import Failure, UsageError
from erp.repeats import OnceInAWhile

log = logging.getLogger("erp.kafka")
log.addFilter(OnceInAWhile())

Options = Mapping[str, str]
Ends = Mapping[tuple[str, int], int]  # (topic, partition) -> the offset to go on from
T = TypeVar("T")

QUERY_TIMEOUT = 10  # s for a question to the brokers
LAG_TIMEOUT = 2  # s for the brokers to tell committed offsets
ROOM_FOR_HEADERS = {"max.message.bytes": "2097152"}  # of dead letters, above the usual 1 MiB
SESSION_SECONDS = 10  # until the others take over from a member that died
RESTART_SECONDS = 45  # that the partitions of a named copy wait for its return
HEARTBEAT_SECONDS = 3  # from a member's sign of life to the next
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = datetime(9999, 12, 31, tzinfo=UTC)
SILENT = {"log_level": "3"}  # librdkafka: errors and worse
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
    there = patiently(lambda: admin.list_topics(timeout=QUERY_TIMEOUT).topics, "list the topics")
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
    patiently(lambda: messages_in(admin, wanted), "see the topics")
    return admin


def largest_message(admin: AdminClient, topics: Iterable[str]) -> int:
    """The bytes that a message may have in each of `topics`, as the brokers are set."""
    wanted = [ConfigResource(ConfigResource.Type.TOPIC, topic) for topic in topics]

    def ask() -> int:
        answers = [future.result() for future in admin.describe_configs(wanted).values()]
        return min(int(answer["max.message.bytes"].value) for answer in answers)

    return patiently(ask, "read the topics' settings")


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


def patiently(ask: Callable[[], T], what: str, timeout: float = 30) -> T:
    """Ask again while the brokers are away or do not know a topic yet; else Failure."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            return ask()
        except KafkaException as error:
            if time.monotonic() >= deadline:
                raise Failure(f"cannot {what}: {error.args[0].str()}") from None
            time.sleep(0.05)


def consumer(options: Options, group: str, instance: str | None = None, **tuning: Any) -> Consumer:
    """A member of `group` that reads from the beginning and commits only when told to.

    Partitions move one by one (cooperative), so that a copy that joins or leaves stops no other.
    With `instance`, a name that no other member of the group has, a copy that comes back within
    RESTART_SECONDS finds its partitions as it left them, and no other copy hears of it.
    """
    static = {"group.instance.id": instance} if instance else {}
    return Consumer(
        {
            "group.id": group,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",
            "partition.assignment.strategy": "cooperative-sticky",
            "fetch.queue.backoff.ms": 50,
            **AHEAD,
            "session.timeout.ms": _session(instance) * 1000,
            "heartbeat.interval.ms": HEARTBEAT_SECONDS * 1000,
            **SILENT,
            **static,
            **tuning,
            **options,
        },
        logger=log,
    )


def longest_silence(instance: str | None) -> float:
    """Seconds that a member may be frozen before its partitions can be another one's.

    Its last sign of life may be as much older than what it did last.
    """
    return _session(instance) - HEARTBEAT_SECONDS


def _session(instance: str | None) -> int:
    return RESTART_SECONDS if instance else SESSION_SECONDS


def reader(options: Options) -> Consumer:
    """A consumer that joins no group and commits nothing, for questions about topics."""
    return Consumer(
        {"group.id": "unused", "enable.auto.commit": False, **SILENT, **options}, logger=log
    )


def commit(consumer: Consumer, ends: Ends, wait: bool) -> bool:
    """Say that what is before `ends` need not be read again; with `wait` until Kafka has it.

    False, with a word in the log, where Kafka refuses; without `wait` the consumer's `on_commit`
    hears of most of that.
    """
    if not ends:
        return True
    offsets = [TopicPartition(*place, end) for place, end in ends.items()]
    try:
        if wait:
            consumer.commit(offsets=offsets, asynchronous=False)
        else:
            consumer.commit(offsets=offsets, asynchronous=True)
    except KafkaException as error:
        log.warning("not committed, to be read again: %s", error.args[0].str())
        return False
    return True


def confirms(consumer: Consumer, ends: Ends) -> bool:
    """Whether the group takes a commit of these, as it does of its members only.

    True without any.
    """
    if not ends:
        return True
    offsets = [TopicPartition(*place, end) for place, end in ends.items()]
    try:
        consumer.committed(offsets, timeout=LAG_TIMEOUT)  # to commit has no bound
        return not any(each.error for each in consumer.commit(offsets=offsets, asynchronous=False))
    except KafkaException:
        return False


def place(message: Message) -> tuple[str, int, int]:
    """Topic, partition and offset of a message that was read; one that was not has none."""
    # a plain tuple: sink and service ask for each message
    return message.topic(), message.partition(), message.offset()  # type: ignore[return-value]


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
