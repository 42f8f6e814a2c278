"""What is in Kafka: the tables of `topics`. Nothing is written and no group is joined."""

from collections import defaultdict
from typing import NamedTuple

from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaException,
    Message,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient
from rich.console import Console
from rich.markup import escape
from rich.table import Table

import erp.kafka
from local_stack.errors import StackError

FIRST_ANSWER_SECONDS = 4  # bound on Kafka's first answer, which comes in no time or never
PATIENCE_SECONDS = 10  # bound on each answer after it
PIPED_WIDTH = 160  # characters, where no terminal says how wide it is
VALUE_CHARACTERS = 400  # more of a value than any line shows


class Span(NamedTuple):
    """The offsets that a partition holds: from `low` up to, not including, `high`."""

    low: int
    high: int


Partition = tuple[str, int]


def print_topics(kafka: dict[str, str], prefix: str, newest: int) -> None:
    """Print topics whose name starts with `prefix`, the groups that read them, newest messages.

    Args:
        kafka: the connection, as librdkafka spells it.
        newest: how many messages of each topic to show.

    Raises StackError if Kafka does not answer.
    """
    admin = AdminClient(kafka | {"log_level": 0})
    try:
        spans = read_spans(erp.kafka.reader(kafka | {"log_level": 0}), prefix)
        committed = read_groups(admin, set(spans))
        messages = read_newest(kafka, spans, newest)
    except KafkaException as error:
        told = error.args[0].str()
        raise StackError(f"Kafka at {kafka['bootstrap.servers']}: {told}") from None
    console = Console()
    if not console.is_terminal:
        console = Console(width=PIPED_WIDTH)
    if not spans:
        console.print(f"No topic begins with '{escape(prefix)}': the producer makes them.")
        return
    console.print(_topic_table(spans))
    console.print(_group_table(committed, spans))
    if newest:
        console.print(_message_table(messages))


def read_spans(reader: Consumer, prefix: str) -> dict[Partition, Span]:
    """The offsets of every partition of the topics with that prefix, Kafka's own left out."""
    found = reader.list_topics(timeout=FIRST_ANSWER_SECONDS).topics
    names = [name for name in sorted(found) if name.startswith(prefix) and name[:2] != "__"]
    places = [(name, number) for name in names for number in sorted(found[name].partitions)]
    return {
        place: Span(*reader.get_watermark_offsets(TopicPartition(*place), PATIENCE_SECONDS))
        for place in places
    }


def read_groups(
    admin: AdminClient, places: set[Partition]
) -> dict[tuple[str, str], dict[Partition, int]]:
    """(group, its state) to the offsets that it committed on those partitions."""
    groups = admin.list_consumer_groups().result(PATIENCE_SECONDS).valid
    committed = {}
    for group in sorted(groups, key=lambda each: each.group_id):
        asked = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group.group_id)])
        answer = asked[group.group_id].result(PATIENCE_SECONDS)
        offsets = {
            (each.topic, each.partition): each.offset
            for each in answer.topic_partitions
            if each.offset >= 0 and (each.topic, each.partition) in places
        }
        if offsets:
            committed[group.group_id, group.state.name.lower()] = offsets
    return committed


def read_newest(
    kafka: dict[str, str], spans: dict[Partition, Span], count: int
) -> dict[str, list[Message]]:
    """Topic to its `count` newest messages by time, newest first."""
    starts = {place: max(span.low, span.high - count) for place, span in spans.items()}
    unread = {place for place, start in starts.items() if start < spans[place].high}
    newest: dict[str, list[Message]] = defaultdict(list)
    if not unread:
        return newest
    consumer = erp.kafka.reader(kafka | {"enable.partition.eof": True})
    try:
        consumer.assign([TopicPartition(*place, starts[place]) for place in unread])
        while unread:
            message = consumer.poll(PATIENCE_SECONDS)
            if message is None:
                break
            place = (message.topic(), message.partition())
            if message.error() is None:
                newest[message.topic()].append(message)
            # The end of a partition is an event of its own: a transaction's marks fill offsets.
            if message.error() is not None or message.offset() + 1 >= spans[place].high:
                unread.discard(place)
    finally:
        consumer.close()
    for messages in newest.values():
        messages.sort(key=lambda each: (each.timestamp()[1], each.offset()), reverse=True)
        del messages[count:]
    return newest


def _topic_table(spans: dict[Partition, Span]) -> Table:
    table = Table("topic", title="Topics", title_justify="left")
    for heading in ("partitions", "messages", "of each partition"):
        table.add_column(heading, justify="right")
    by_topic: dict[str, list[int]] = defaultdict(list)
    for (topic, _), span in spans.items():
        by_topic[topic].append(span.high - span.low)
    for topic, counts in by_topic.items():
        each = " ".join(f"{count:,}" for count in counts)
        table.add_row(escape(topic), str(len(counts)), f"{sum(counts):,}", each)
    return table


def _group_table(
    committed: dict[tuple[str, str], dict[Partition, int]], spans: dict[Partition, Span]
) -> Table:
    table = Table("group", "state", "topic", title="Consumer groups", title_justify="left")
    table.add_column("lag", justify="right")
    for (group, state), offsets in committed.items():
        lag: dict[str, int] = defaultdict(int)
        for topic in {topic for topic, _ in offsets}:
            for place, span in spans.items():
                if place[0] == topic:
                    lag[topic] += max(0, span.high - max(span.low, offsets.get(place, span.low)))
        for topic, behind in sorted(lag.items()):
            table.add_row(escape(group), state, escape(topic), f"{behind:,}")
    return table


def _message_table(newest: dict[str, list[Message]]) -> Table:
    table = Table(title="Newest messages", title_justify="left")
    table.add_column(escape("topic[partition]@offset"), no_wrap=True)
    for heading in ("key", "value"):
        table.add_column(heading, no_wrap=True, overflow="ellipsis")
    for topic, messages in sorted(newest.items()):
        for message in messages:
            place = f"{topic}[{message.partition()}]@{message.offset()}"
            table.add_row(escape(place), _line(message.key()), _line(message.value()))
    return table


def _line(data: bytes | None) -> str:
    """Bytes as one line that a terminal can show; what cannot be shown is escaped."""
    if data is None:
        return "(null)"
    text = data[:VALUE_CHARACTERS].decode(errors="backslashreplace")
    return escape("".join(each if each.isprintable() else " " for each in text))
