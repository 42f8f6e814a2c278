"""Reading a topic of which messages are done with long after they were read."""

import time
from threading import Timer

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions

from erp.kafka import ensure_topics
from erp.outbox import Outbox
from erp.process import Failure
from erp.service.source import Source
from tests import waiting
from tests.waiting import PATIENCE


@pytest.fixture
def topic(settings):
    """A topic of two partitions."""
    name = settings.topic_prefix + "sales"
    ensure_topics(settings.kafka, [name], partitions=2, replication=1)
    return name


@pytest.fixture
def member(settings, topic):
    """Make members of one group; what they lost and gained is in their lists."""
    made = []

    def make(instance=None):
        lost, gained = [], []
        group = f"{settings.consumer_group_prefix}x"
        source = Source(settings.kafka, group, topic, lost.append, gained.append, instance)
        source.lost, source.gained = lost, gained
        made.append(source)
        source.subscribe()
        return source

    yield make
    for source in made:
        source.close()


def send(settings, topic, values):
    """Send messages, each keyed by its own value."""
    outbox = Outbox(settings.kafka)
    outbox.send(topic, [{"key": value.encode(), "value": value.encode()} for value in values])
    outbox.flush()


def take(source, count):
    """Messages until there are so many."""
    messages = []
    until = time.monotonic() + PATIENCE
    while len(messages) < count and time.monotonic() < until:
        messages += source.take(count - len(messages), 0.1)
    assert count == len(messages)
    return messages


def committed(settings, topic):
    """What the group committed, partition to offset, where anything was."""
    reader = Consumer(settings.kafka | {"group.id": f"{settings.consumer_group_prefix}x"})
    try:
        partitions = reader.committed([TopicPartition(topic, n) for n in (0, 1)], timeout=PATIENCE)
        return {each.partition: each.offset for each in partitions if each.offset >= 0}
    finally:
        reader.close()


def values(messages):
    """The texts of messages, sorted."""
    return sorted(message.value().decode() for message in messages)


def test_commit_stays_before_the_oldest_held_message(settings, topic, member):
    """However many later ones are released, the oldest held message is read again."""
    names = [f"m{n}" for n in range(10)]
    send(settings, topic, names)
    source = member()
    messages = take(source, 10)
    held = next(message for message in messages if message.partition() == 0)
    source.release(message for message in messages if message is not held)
    source.commit(wait=True)
    ends = {p: sum(message.partition() == p for message in messages) for p in (0, 1)}
    assert {0: 0, 1: ends[1]} == committed(settings, topic)
    source.release([held])
    source.commit(wait=True)
    assert ends == committed(settings, topic)


def test_member_that_leaves_hands_over_what_it_holds(settings, topic, member):
    """The messages that a leaving member held are read by the one that stays, no others."""
    send(settings, topic, [f"m{n}" for n in range(20)])
    first = member()
    messages = take(first, 20)
    held = [message for message in messages if message.offset() >= 3]
    first.release(message for message in messages if message.offset() < 3)
    first.close()
    second = member()
    assert values(held) == values(take(second, len(held)))
    assert [] == second.take(1, 0.5)


def test_partitions_are_shared_with_a_member_that_joins(member):
    """A second member gets one of two partitions, the first is told which it lost."""
    first = member()
    until = time.monotonic() + PATIENCE
    while first.partitions != {0, 1} and time.monotonic() < until:
        first.take(1, 0.1)
    second = member()
    while not (first.lost and second.partitions) and time.monotonic() < until:
        first.take(1, 0.1)
        second.take(1, 0.1)
    assert first.lost == second.gained
    assert {0, 1} == first.partitions | second.partitions
    assert set() == first.partitions & second.partitions


def test_group_confirms_its_members_only(settings, topic, member):
    """A member may commit where it is; who is none, as after a long freeze, may not."""
    send(settings, topic, [f"m{n}" for n in range(20)])
    inside = member()
    take(inside, 20)
    assert inside._confirm()
    outside = Source(settings.kafka, f"{settings.consumer_group_prefix}x", topic, print, print)
    assert outside._confirm()  # there is nothing to lose
    outside._offsets.read(0, 4, hold=True)
    assert not outside._confirm()
    assert {0: 0, 1: 0} == committed(settings, topic)
    outside.close()


def test_group_that_does_not_answer_confirms_nothing(settings, topic, member, stack):
    """Who asks hears it soon: it is the loop, which has to turn."""
    send(settings, topic, ["m"])
    source = member()
    take(source, 1)
    thawing = Timer(15, stack.kafka.thaw)
    stack.kafka.freeze()
    thawing.start()
    try:
        assert not source._confirm()
        assert thawing.is_alive()
    finally:
        thawing.cancel()
        stack.kafka.thaw()


@pytest.mark.parametrize("step", [Source.subscribe, Source.skip_backlog])
def test_kafka_that_is_away_at_the_start_is_waited_for(settings, topic, monkeypatch, step):
    """It may go after the service found it there, while the model is loaded."""
    source = Source(settings.kafka, f"{settings.consumer_group_prefix}x", topic, print, print)
    away = [KafkaException(KafkaError(KafkaError._TRANSPORT))] * 2

    class Flaky:
        """The client, but for its first two questions."""

        def __getattr__(self, name):
            if name in ("list_topics", "committed") and away:
                raise away.pop()
            return getattr(client, name)

    client = source._consumer
    monkeypatch.setattr(source, "_consumer", Flaky())
    step(source)
    assert [] == away
    source.close()


def test_nothing_is_read_while_it_stays(settings, topic, member):
    """A paused member reads nothing and loses nothing."""
    source = member()
    send(settings, topic, ["before"])
    take(source, 1)
    source.stay(0.1)
    send(settings, topic, ["one", "two"])
    for _ in range(5):
        source.stay(0.1)
    assert ["one", "two"] == values(take(source, 2))


def test_staying_ends_when_another_copy_took_the_name_over(member):
    """Who has been replaced hears of it also while it reads nothing, as in an outage."""
    first = member("one")
    waiting.until(lambda: first.take(1, 0.1) or first.partitions)
    second = member("one")
    waiting.until(lambda: second.take(1, 0.1) or second.partitions)
    with pytest.raises(Failure, match="CONSUMER_INSTANCE"):
        waiting.until(lambda: first.stay(0.1))


def test_backlog_is_skipped_only_by_a_group_that_never_committed(settings, topic, member):
    """With nothing committed the group starts at the end; afterwards skipping changes nothing."""
    send(settings, topic, [f"old{n}" for n in range(6)])
    options = (settings.kafka, f"{settings.consumer_group_prefix}x", topic, print, print)
    for _ in range(2):
        source = Source(*options)
        source.skip_backlog()
        source.close()
        send(settings, topic, ["new"])
    assert ["new", "new"] == values(take(member(), 2))


def test_a_partition_that_was_added_since_is_no_backlog(settings, topic):
    """A service that always starts with --new-only would lose the sales in it."""
    send(settings, topic, [f"old{n}" for n in range(6)])
    source = Source(settings.kafka, f"{settings.consumer_group_prefix}x", topic, print, print)
    place = TopicPartition(topic, 0, 1)
    source._consumer.commit(offsets=[place], asynchronous=False)
    source.skip_backlog()
    assert {0: 1} == {n: at for n, at in committed(settings, topic).items() if at >= 0}
    source.close()


def test_a_member_without_a_partition_has_joined_too(member):
    """Of more copies than partitions some have none, and are idle all the same."""
    copies = [member() for _ in range(3)]
    waiting.until(lambda: all(not each.stay(0.05) and each.joined for each in copies))
    assert any(not each.partitions for each in copies)


def test_lag_counts_what_was_not_read(settings, topic, member):
    """The lag is what stands behind the last message that was read."""
    send(settings, topic, [f"m{n}" for n in range(12)])
    source = member()
    take(source, 12)
    assert {0: 0, 1: 0} == source.lag()


def test_alone_is_who_reads_all_partitions(settings, topic):
    """Nobody is before joining the group, when there may be any number of others."""
    group = f"{settings.consumer_group_prefix}x"
    source = Source(settings.kafka, group, topic, lambda _: None, lambda _: None)
    assert not source.alone
    source.subscribe()
    send(settings, topic, "a")
    take(source, 1)
    assert source.alone
    admin = AdminClient(settings.kafka)
    (grown,) = admin.create_partitions([NewPartitions(topic, 3)]).values()
    grown.result(PATIENCE)
    source._on_assign(source._consumer, [])  # as when the new one goes to another member
    source.stay(0)
    assert not source.alone
    source.close()
