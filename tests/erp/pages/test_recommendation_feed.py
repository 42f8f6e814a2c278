"""The feed of recommendations against a real Kafka and a real wire MongoDB."""

import time
from contextlib import contextmanager
from datetime import timedelta

import pytest
from confluent_kafka.admin import AdminClient
from pymongo import MongoClient

from erp.kafka import ensure_topics
from erp.outbox import Outbox
from erp.pages import recommendation_feed
from erp.pages.recommendation_feed import Feed
from erp.process import Failure
from tests.recommendation_samples import START, document, message, recommendation
from tests.waiting import PATIENCE


@pytest.fixture
def hurry(monkeypatch):
    """An outage is noticed sooner than on a page, and a slow broker taken for one."""
    monkeypatch.setattr(recommendation_feed, "HEARTBEAT_SECONDS", 0.5)
    monkeypatch.setattr(recommendation_feed, "BACKUP_SECONDS", 0.5)
    monkeypatch.setattr(recommendation_feed, "ANSWER_SECONDS", 1.0)


@pytest.fixture
def topic(settings):
    """The test's own topic of recommendations, with three partitions."""
    name = f"{settings.topic_prefix}recommendations"
    ensure_topics(settings.kafka, [name], 3, 1)
    return name


@pytest.fixture
def send(settings, topic):
    """Publish recommendations, or raw messages."""

    def sending(*made):
        outbox = Outbox(settings.kafka)
        messages = [each if isinstance(each, dict) else message(each) for each in made]
        outbox.send(topic, messages)
        outbox.flush(PATIENCE)
        assert (len(made), 0) == (outbox.delivered, outbox.failed)

    return sending


@pytest.fixture
def feed(settings, topic, database):
    """Start a feed: `feed(size=10)`; all are closed at the end."""
    started = []

    def start(**options):
        kafka = options.pop("kafka", settings.kafka)
        get_database = options.pop("database", lambda: database)
        made = Feed(kafka, options.pop("topic", topic), get_database, **options).start()
        started.append(made)
        return made

    yield start
    for each in started:
        each.close()


def until(feed, wanted):
    """The feed's state once it is as wanted."""
    deadline = time.monotonic() + PATIENCE
    while not wanted(state := feed.state()):
        assert time.monotonic() < deadline, state
        time.sleep(0.05)
    return state


def sale_ids(state):
    return [r.sale_id for r in state.recommendations]


@contextmanager
def frozen(server):
    """The server does not answer for a while."""
    server.freeze()
    try:
        yield
    finally:
        server.thaw()


def test_what_is_there_is_read_and_the_answer_made_last_comes_first(feed, send):
    """Across partitions."""
    send(*(recommendation(n) for n in range(20)))
    running = feed()
    assert running.wait(PATIENCE)
    state = running.state()
    assert [f"s{n}" for n in reversed(range(20))] == sale_ids(state)
    assert "kafka" == state.source
    assert [0, 0, 0] == [partition.lag for partition in state.partitions]
    assert 20 == sum(partition.position for partition in state.partitions)


def test_a_new_recommendation_comes_by_itself(feed, send):
    """Whole, field for field."""
    running = feed()
    assert running.wait(PATIENCE)
    send(recommendation(1))
    state = until(running, lambda state: state.recommendations)
    assert (recommendation(1),) == state.recommendations


def test_an_improved_answer_takes_the_place_of_the_first(feed, send):
    """And an older one that is delivered again does not."""
    later = recommendation(1, created_at=START + timedelta(hours=1), complete=False)
    send(recommendation(1), later, recommendation(1), recommendation(2))
    running = feed()
    state = until(running, lambda state: state.read == 4)
    assert ["s1", "s2"] == sale_ids(state)
    assert not state.recommendations[0].complete


def test_memory_is_bounded_to_the_newest(feed, send):
    """Nothing is read that would be forgotten at once."""
    send(*(recommendation(n) for n in range(300)))
    running = feed(size=20)
    assert running.wait(PATIENCE)
    assert [f"s{n}" for n in range(299, 279, -1)] == sale_ids(running.state())
    assert 60 == running.state().read  # as many as fit, of each partition
    send(recommendation(300))
    state = until(running, lambda state: "s300" in sale_ids(state))
    assert 20 == len(state.recommendations)


def test_back_to_the_beginning_reads_everything_again(feed, send):
    """The partitions' first messages included."""
    send(*(recommendation(n) for n in range(300)))
    running = feed(size=20)
    assert running.wait(PATIENCE)
    before = running.state().read
    running.rewind()
    assert running.wait(PATIENCE)
    assert 300 == running.state().read - before
    assert [f"s{n}" for n in range(299, 279, -1)] == sale_ids(running.state())


def test_a_tombstone_takes_a_recommendation_away(feed, send):
    """A null value deletes what has its key."""
    send(recommendation(1), recommendation(2))
    running = feed()
    assert running.wait(PATIENCE)
    send({"key": b"s1", "value": None})
    assert ["s2"] == sale_ids(until(running, lambda state: len(state.recommendations) == 1))


@pytest.mark.parametrize("value", [b"not JSON", b"{}", b'{"sale_id": 7}', b"\xff"])
def test_a_message_without_sense_is_counted_and_blocks_nothing(feed, send, value):
    """It is named by its place."""
    send({"key": b"s1", "value": value}, recommendation(2))
    running = feed()
    assert running.wait(PATIENCE)
    state = running.state()
    assert ["s2"] == sale_ids(state)
    assert 1 == state.unreadable
    assert "recommendations[" in state.last_unreadable


def test_no_group_is_left_on_the_brokers(feed, send, settings, topic):
    """A page that is opened a thousand times leaves nothing behind."""
    send(recommendation(1))
    running = feed()
    assert running.wait(PATIENCE)
    admin = AdminClient(settings.kafka)  # its answers end with it
    groups = admin.list_consumer_groups().result(PATIENCE).valid
    assert [] == [group.group_id for group in groups if topic in group.group_id]


@pytest.mark.usefixtures("hurry")
def test_mongodb_answers_while_kafka_is_away_and_kafka_goes_on_where_it_was(
    feed, send, stack, database
):
    """Nothing is lost on the way there and back."""
    send(recommendation(1))
    running = feed()
    assert running.wait(PATIENCE)
    with frozen(stack.kafka):
        database.recommendations.insert_many([document(recommendation(n)) for n in (1, 2)])
        state = until(running, lambda state: len(state.recommendations) == 2)
        assert "mongo" == state.source
        assert "Kafka does not answer" in state.kafka_problem
        database.recommendations.insert_one(document(recommendation(3)))
        assert (
            "s3" == until(running, lambda s: len(s.recommendations) == 3).recommendations[0].sale_id
        )
    state = until(running, lambda state: state.source == "kafka")
    send(recommendation(4))
    until(running, lambda state: sale_ids(state) == ["s4", "s3", "s2", "s1"])


@pytest.mark.usefixtures("hurry")
def test_mongodb_answers_when_kafka_was_never_there(feed, database):
    """The newest documents, as many as fit."""
    database.recommendations.insert_many([document(recommendation(n)) for n in range(30)])
    running = feed(kafka={"bootstrap.servers": "127.0.0.1:1"}, size=10)
    state = until(running, lambda state: state.recommendations)
    assert "mongo" == state.source
    assert [f"s{n}" for n in range(29, 19, -1)] == sale_ids(state)
    assert recommendation(29) == state.recommendations[0]


@pytest.mark.usefixtures("hurry")
def test_mongodb_answers_while_the_topic_is_empty_or_missing(feed, send, database, topic):
    """Kafka forgets messages after a while; MongoDB keeps them."""
    database.recommendations.insert_one(document(recommendation(1)))
    empty, missing = feed(), feed(topic=f"{topic}-none")
    for running in (empty, missing):
        assert ["s1"] == sale_ids(until(running, lambda state: state.recommendations))
        assert "mongo" == running.state().source
    send(recommendation(2))
    state = until(empty, lambda state: state.source == "kafka" and len(state.recommendations) == 2)
    assert ["s2", "s1"] == sale_ids(state)


@pytest.mark.usefixtures("hurry")
def test_without_either_service_it_says_so_and_keeps_trying(feed, stack, settings):
    """And holds what comes when one of them is back."""

    def away():
        raise Failure("MongoDB does not answer at 127.0.0.1:1")

    answers = [away]

    def answer():
        return answers[-1]()

    running = feed(kafka={"bootstrap.servers": "127.0.0.1:1"}, database=answer)
    state = until(running, lambda state: "MongoDB does not answer" in (state.mongo_problem or ""))
    assert ("none", ()) == (state.source, state.recommendations)
    with MongoClient(stack.mongo_uri, tz_aware=True) as client:
        back = client[settings.mongo_database]
        back.recommendations.insert_one(document(recommendation(1)))
        answers.append(lambda: back)
        assert "mongo" == until(running, lambda state: state.recommendations).source


@pytest.mark.usefixtures("hurry")
def test_a_topic_that_is_made_again_is_read_from_its_beginning(feed, send, settings, topic):
    """As after a reset of the brokers."""
    send(*(recommendation(n) for n in range(30)))
    running = feed()
    assert running.wait(PATIENCE)
    admin = AdminClient(settings.kafka)
    admin.delete_topics([topic])[topic].result(PATIENCE)
    until(running, lambda state: state.source != "kafka")
    ensure_topics(settings.kafka, [topic], 1, 1)
    send(recommendation(100))
    state = until(running, lambda state: state.recommendations)
    assert ["s100"] == sale_ids(state)
    assert [(0, 1)] == [(each.number, each.position) for each in state.partitions]


def test_wrong_settings_of_kafka_are_one_line(settings, database):
    """The person reads what is wrong, not a traceback."""
    with pytest.raises(Failure, match=r"Kafka's settings are wrong: .+"):
        Feed({**settings.kafka, "security.protocol": "carrier-pigeon"}, "t", lambda: database)
