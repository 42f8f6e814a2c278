"""Answers on their way to MongoDB and Kafka."""

import signal
from queue import Empty

import pytest
from pymongo.errors import BulkWriteError

from erp.contract import Sale
from erp.kafka import ensure_topics
from erp.metrics import Health
from erp.outbox import Outbox
from erp.process import Failure
from erp.service import publisher
from erp.service.baskets import Basket
from erp.service.publisher import Answer, AwayError, Publisher
from tests.service_shop import NOON
from tests.waiting import PATIENCE, until


@pytest.fixture
def health():
    """The health of a stage."""
    return Health([])


@pytest.fixture
def make(settings, database, stop, health):
    """A publisher to the test's own topic and collection, or another; notes what it published."""
    topic = settings.topic_prefix + "recommendations"
    ensure_topics(settings.kafka, [topic], 1, 1)

    def made(answers=None):
        noted = []
        answers = database.recommendations if answers is None else answers
        outbox = Outbox(settings.kafka)
        one = Publisher(answers, outbox, topic, noted.extend, lambda: None, stop, health)
        one.noted = noted
        return one

    return made


def answer(sale_id, value=b"{}"):
    """An answer to a sale."""
    basket = Basket(Sale(sale_id, NOON), 0)
    message = {"key": sale_id.encode(), "value": value}
    return Answer(basket, {"_id": sale_id, "text": value.decode()}, message)


def publish(one, batch, ours=lambda _: True, improved=False):
    """What became of a batch."""
    one.start(batch, ours, improved)
    return one.result(PATIENCE)


def keys(messages):
    """The keys of messages in their order."""
    return [message.key().decode() for message in messages]


def test_batch_is_in_both_places_before_it_counts_as_published(make, database, read_topic):
    """Documents and messages are there, in order; the sales are told to the histories."""
    one, batch = make(), [answer("a"), answer("b")]
    outcome = publish(one, batch)
    assert (batch, [], 0) == (outcome.published, outcome.refused, outcome.away)
    assert ["a", "b"] == sorted(each["_id"] for each in database.recommendations.find())
    assert ["a", "b"] == keys(read_topic("recommendations"))
    assert [each.basket for each in batch] == one.noted
    assert not one.done


def test_newer_answer_replaces_the_older(make, database, read_topic):
    """There is one document for a sale, and the last message is the newest."""
    one = make()
    assert set() == publish(one, [answer("a", b"1")]).replaced
    assert {"a"} == publish(one, [answer("a", b"2"), answer("b")]).replaced
    database.recommendations.delete_one({"_id": "b"})
    assert [{"_id": "a", "text": "2"}] == list(database.recommendations.find())
    assert [b"1", b"2", b"{}"] == [message.value() for message in read_topic("recommendations")]


def test_sale_that_went_to_another_copy_is_left_out(make, database, read_topic):
    """What is not ours any more is neither written nor sent."""
    batch = [answer("mine"), answer("theirs")]
    outcome = publish(make(), batch, ours=lambda basket: basket.sale.sale_id == "mine")
    assert batch[:1] == outcome.published
    assert ["mine"] == [each["_id"] for each in database.recommendations.find()]
    assert ["mine"] == keys(read_topic("recommendations"))


@pytest.mark.parametrize(("improved", "stands"), [(False, "new"), (True, "old")])
def test_document_of_an_improved_answer_waits_for_kafka(make, database, stack, improved, stands):
    """A first answer is stored first, as its offset holds it; an improved one once it was sent."""
    one = make()
    publish(one, [answer("a", b"old")])
    stack.kafka.freeze()
    try:
        one.start([answer("a", b"new")], lambda _: True, improved)
        with pytest.raises(Empty):
            one.result(1)
        until(lambda: [{"_id": "a", "text": stands}] == list(database.recommendations.find()))
    finally:
        stack.kafka.thaw()
    assert 1 == len(one.result(PATIENCE).published)
    assert [{"_id": "a", "text": "new"}] == list(database.recommendations.find())


def test_improved_answer_of_a_sale_that_was_deleted_stays_away(make, database):
    """By another copy, which reads the sale's partition now, while this one waited."""
    database.recommendations.insert_one({"_id": "b", "text": "old"})
    publish(make(), [answer("a"), answer("b", b"new")], improved=True)
    assert [{"_id": "b", "text": "new"}] == list(database.recommendations.find())


def test_improved_answer_is_sent_before_the_database_is_back(make, database, stack, read_topic):
    """While the document cannot be stored the message is out; the document follows when it can."""
    one = make()
    publish(one, [answer("a", b"old")])
    stack.mongo.freeze()
    try:
        one.start([answer("a", b"new")], lambda _: True, improved=True)
        with pytest.raises(Empty):
            one.result(1)
        assert [b"old", b"new"] == [message.value() for message in read_topic("recommendations")]
    finally:
        stack.mongo.thaw()
    assert 1 == len(one.result(PATIENCE).published)
    assert [{"_id": "a", "text": "new"}] == list(database.recommendations.find())


class Refusing:
    """A collection that refuses one document, as often as told, and takes the others.

    The wire server of the tests has no rule that refuses a document.
    """

    def __init__(self, collection, sale_id, code, times):
        self.collection, self.sale_id, self.code, self.times = collection, sale_id, code, times
        self.name, self.write_concern = collection.name, collection.write_concern
        self.database = self  # which takes the commands

    def command(self, command):
        """The database's `insert`."""
        given = command["documents"]
        others, errors = self._refuse(given, [each["_id"] for each in given])
        if others:
            self.collection.insert_many(others, ordered=False)
        return {"writeErrors": errors}

    def bulk_write(self, writes, ordered):
        """The driver's replacements."""
        others, errors = self._refuse(writes, [each._filter["_id"] for each in writes])
        if others:
            self.collection.bulk_write(others, ordered=ordered)
        if errors:
            raise BulkWriteError({"writeErrors": errors, "writeConcernErrors": []})

    def _refuse(self, given, ids):
        """What is taken, and an error for what is not."""
        if not self.times or self.sale_id not in ids:
            return given, []
        self.times -= 1
        at = ids.index(self.sale_id)
        errors = [{"index": at, "code": self.code, "errmsg": "not so"}]
        return given[:at] + given[at + 1 :], errors


def test_document_that_is_refused_holds_up_no_other(make, database, read_topic):
    """It is told with the reason and not sent; the rest of the batch is published."""
    batch = [answer("bad"), answer("good")]
    outcome = publish(make(Refusing(database.recommendations, "bad", 121, times=1)), batch)
    assert [(batch[0], "not so")] == outcome.refused
    assert batch[1:] == outcome.published
    assert ["good"] == keys(read_topic("recommendations"))


def test_document_that_another_copy_wrote_at_the_same_moment_is_replaced(make, database):
    """It stood when inserted, and again when replaced: that is no refusal."""
    batch = [answer("a"), answer("b")]
    outcome = publish(make(Refusing(database.recommendations, "a", 11_000, times=2)), batch)
    assert (batch, []) == (outcome.published, outcome.refused)
    assert 2 == database.recommendations.count_documents({})


def test_outage_of_the_database_costs_time_only(make, stack, database, health, monkeypatch):
    """It tries again until the database is back, and says for how long it was away."""
    monkeypatch.setattr(publisher, "WRITE_TIMEOUT", 0.5)
    one = make()
    publish(one, [answer("before")])
    stack.mongo.freeze()
    try:
        one.start([answer("during")], lambda _: True, improved=False)
        with pytest.raises(Empty):
            one.result(2)
        assert "answers: MongoDB is away" == health.unready()
    finally:
        stack.mongo.thaw()
    assert one.result(PATIENCE).away > 0.5
    assert health.unready() is None
    assert 2 == database.recommendations.count_documents({})


def test_signal_during_an_outage_gives_up(make, stack, stop, monkeypatch):
    """Asked to end while the database is away, it raises and leaves the batch to the next start."""
    monkeypatch.setattr(publisher, "WRITE_TIMEOUT", 0.5)
    one = make()
    stack.mongo.freeze()
    try:
        one.start([answer("a")], lambda _: True, improved=False)
        stop._on_signal(signal.SIGTERM, None)
        with pytest.raises(AwayError, match="MongoDB"):
            one.result(PATIENCE)
    finally:
        stack.mongo.thaw()


def test_message_that_kafka_refuses_ends_the_service(make):
    """A refusal for good is no outage: it is said in a line, nothing is committed."""
    with pytest.raises(Failure, match="Kafka refused 1 message"):
        publish(make(), [answer("huge", b"x" * 2_000_000)])
