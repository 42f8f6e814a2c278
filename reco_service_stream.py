"""Recommendations in real time: an answer for every sale, as soon as its lines are stored.

Reads   the topic erp.sales, and from MongoDB sales_items (the basket) and products (names);
        the model that model_train_reco.py wrote (MODEL_PATH), again whenever it is replaced;
        without a model it recommends what sells most.
Writes  the topic erp.recommendations, keyed by sale_id, and the collection recommendations.

Who runs it, and when: one process or several, always on, beside the sink (erp_kafka_to_mongo.py),
which stores the lines. Copies share the partitions of erp.sales; when one dies the others take
over its sales. Ctrl-C or SIGTERM finishes and commits what is in hand.

    python reco_service_stream.py
    python reco_service_stream.py --metrics-port 9102      # /metrics, /healthz, /readyz
    python reco_service_stream.py --new-only               # answer nothing that was sold before
    python reco_service_stream.py --idle-timeout 10        # end when nothing has come for 10 s

What it promises: one document and, by key, one latest message for every sale. A sale is answered
as soon as all its lines are there, or after BASKET_DEADLINE_SECONDS from those that are, with
`complete` false. If others come within LATE_LINES_SECONDS after that, also of a sale that seemed
complete because its items_count was too small, a better answer replaces the first. So it does when
the lines of a sale that was sent again change only after it was answered again. Offsets are
committed up to the oldest sale that still waits, so a restart reads that one again, and perhaps
some behind it: their answers replace themselves.
"""

import logging
import time
from contextlib import closing
from dataclasses import replace
from queue import Empty
from typing import Any, NamedTuple

import pymongo
from confluent_kafka import Message
from pymongo.database import Database

from config import Settings
from erp import contract, dead_letters, kafka, mongo
from erp.background import Background
from erp.metrics import Health, serve
from erp.outbox import Outbox
from erp.process import Stop, add_endless_flags, argument_parser, run, start_logging
from erp.service import sale_answers, service_metrics
from erp.service.baskets import QUERY_TIMEOUT, Basket, WaitingSales
from erp.service.composer import compose
from erp.service.improver import Improver
from erp.service.live_model import LiveModel
from erp.service.outages import Patience
from erp.service.publisher import AwayError, Outcome, Publisher
from erp.service.refusals import Refusals
from erp.service.source import Source
from erp.service.status import Status
from erp.sink.deliveries import BadMessageError, Reader, key_text
from erp.watch import watch

log = logging.getLogger("erp.reco")

STAGE = "recommender"  # its name in the dead letters and of its consumer group
BATCH = 1_000  # sales read, looked at and answered at once
IDLE_TURN, FLIGHT_TURN = 0.2, 0.02  # s, the longest turn without and with a batch under way
PATIENCE = 1.0  # s for a batch to be published, after which something is away
PAUSES = (0.01, 1.0)  # s between two looks at a sale, at first and at most
COMMIT_EVERY, STATUS_EVERY = 0.5, 10  # s
RECALL_EVERY = 5  # s, once more while the database cannot be asked for the answers of other copies
DRAIN_SECONDS, GRACE_SECONDS = 6, 9  # after a signal, of the 10 s that a supervisor grants


class Flight(NamedTuple):
    """A batch that is being published: its sales, among whom they wait, and what kind it is."""

    baskets: list[Basket]
    owner: WaitingSales
    kind: str


class Service:
    """The loop: read sales, collect their lines, answer those that can be answered, commit."""

    def __init__(
        self, settings: Settings, stop: Stop, database: Database[Any], health: Health
    ) -> None:
        self.stop, self.health, self.capacity = stop, health, settings.waiting_sales_max
        self.sales_topic = settings.topic_prefix + contract.SALES.name
        answer_topic = settings.topic_prefix + contract.RECOMMENDATIONS
        self.answers = database[contract.RECOMMENDATIONS]
        self.waiting = WaitingSales(
            database[contract.SALES_ITEMS.name],
            settings.basket_deadline_seconds,
            settings.basket_quiet_seconds,
            PAUSES,
        )
        self.flight: Flight | None = None
        self.source = Source(
            settings.kafka,
            settings.consumer_group_prefix + STAGE,
            self.sales_topic,
            on_lost=self.forget,
            on_gained=self.look_for_answered,
            instance=settings.consumer_instance,
        )
        self.patience = Patience(self.source, self.waiting, stop, health)
        self.improver = Improver(
            database, settings.late_lines_seconds, self.waiting, self.patience, self.improve
        )
        self.refusals = Refusals(
            dead_letters.outbox(settings.kafka),
            settings.topic_prefix + contract.DEAD_LETTER,
            answer_topic,
            STAGE,
            self.source,
            stop,
            health,
        )
        self.model = LiveModel(
            settings.model_path,
            settings.top_n,
            settings.never_recommend,
            database,
            health,
            settings.control_share,
        )
        self.publisher = Publisher(
            self.answers,
            Outbox(settings.kafka),
            answer_topic,
            self.model.observe,
            self.source.membership.wait,
            stop,
            health,
        )
        self.background = Background(
            [
                (settings.model_poll_seconds, self.model.refresh),
                (settings.catalogue_poll_seconds, self.model.refresh_catalogue),
                (RECALL_EVERY, self.improver.recall.read),
                (
                    settings.history_poll_seconds,
                    lambda: self.model.refresh_history(self.source.alone),
                ),
            ]
        )
        self.reader = Reader(settings.topic_prefix)
        self.status = Status()
        self.committed_at = time.monotonic()

    def run(self) -> None:
        """Until a signal; or until enough was read, and all that was read is answered."""
        with closing(self.source):  # also when it fails, so that the others need not wait
            try:
                self.patience.outlast(self.model.start, "reading the products")
                self.background.start()
                self.background.once(self.model.refresh_history)
                self.source.subscribe()
                self.stop.rest()  # compiling and loading the model is no idle time
                while not self.stop.requested and not (self.stop.due and not self.waiting):
                    self.turn()
                self.drain()
            except AwayError as reason:
                log.warning("%s: what is in hand is read again at the next start", reason)
            self.source.commit(wait=True)
        self.report()

    def turn(self) -> None:
        """Once around: a batch of sales in, a batch of answers out."""
        self.health.beat()
        if self.waiting or not self.source.joined:
            self.stop.rest()  # idle is who could read and has nothing in hand
        self.accept(self.read())
        if found := self.patience.outlast(lambda: self.waiting.collect(BATCH), "looking for lines"):
            # the database reads the next lines while these sales are scored
            following = self.waiting.next_look()
            if following is None or following > time.monotonic():
                self.accept(self.read(at_once=True))
            self.waiting.look_ahead(BATCH)
            self.answer(found)
        if self.publisher.done:
            self.land()
        self.improver.turn()
        now = time.monotonic()
        if now - self.committed_at >= COMMIT_EVERY:
            self.source.commit()
            self.committed_at = now
        if self.status.age >= STATUS_EVERY:
            self.report()

    def drain(self) -> None:
        """Answer what can be answered of the sales that still wait; the rest is read again."""
        self.land()
        for _ in range(0, len(self.waiting) + BATCH, BATCH):  # one look may be under way
            if self.stop.requested_for < DRAIN_SECONDS:
                found = self.patience.outlast(
                    lambda: self.waiting.collect(BATCH, everyone=True), "looking for lines"
                )
                self.answer(found)
        self.land()

    def read(self, at_once: bool = False) -> list[Message]:
        """The next sales, as many as there is room for, by when a waiting one is due again."""
        space = min(BATCH, self.capacity - len(self.waiting))
        if self.stop.remaining is not None:
            space = min(space, self.stop.remaining)
        following = self.waiting.next_look()
        pause = IDLE_TURN if following is None else following - time.monotonic()
        longest = 0.0 if at_once else FLIGHT_TURN if self.flight else IDLE_TURN
        pause = min(max(pause, 0.0), longest)
        if space <= 0 or self.stop.due:
            self.source.stay(pause)
            return []
        messages = self.source.take(space, pause)
        self.stop.count(len(messages))
        self.status.read += len(messages)
        service_metrics.SALES.inc(len(messages))
        return messages

    def accept(self, messages: list[Message]) -> None:
        """Let the sales wait for their lines; what is no sale goes to the dead letters."""
        for message in messages:
            if not self.source.holds(message):
                continue  # its partition went while an answer before it was deleted
            try:
                if message.value() is None:
                    self.delete(message, key_text(message.key()))
                    continue
                sale = sale_answers.sale_in(message, self.reader)
            except BadMessageError as error:
                self.refusals.refuse(message, error.error_class, str(error))
                continue
            self.improver.followed.discard(sale.sale_id)
            basket = Basket(sale, message.timestamp()[1] / 1000, [message])
            self.source.release(self.waiting.add(basket))
        self.refusals.finish()

    def delete(self, message: Message, sale_id: str) -> None:
        """A sale that is deleted loses its answer."""
        self.land()
        self.improver.followed.discard(sale_id)
        if waited := self.waiting.discard(sale_id):
            self.source.release(waited.sources)

        def drop() -> None:
            # while the database is away the partition may go to another copy, which may have
            # answered the sale anew since
            if self.still_holds(message):
                with pymongo.timeout(QUERY_TIMEOUT):
                    self.answers.delete_one({"_id": sale_id})

        self.patience.outlast(drop, "deleting an answer")
        if self.still_holds(message):
            self.refusals.delete_answer(message)

    def still_holds(self, message: Message) -> bool:
        """Whether a message is ours, once the group was asked if this copy was silent for long."""
        while not self.source.membership.certain:
            if self.stop.requested_for > DRAIN_SECONDS:
                raise AwayError("Kafka is away")
            self.health.beat()
            self.source.stay(IDLE_TURN)
        return self.source.holds(message)

    def answer(self, baskets: list[Basket]) -> None:
        """Give sales their first answer; it is published while the next ones are collected."""
        if baskets:
            self.publish(baskets, self.waiting, "first")

    def improve(self, baskets: list[Basket], owner: WaitingSales) -> None:
        """Give sales a better answer."""
        self.publish(baskets, owner, "improved")
        self.land()

    def publish(self, baskets: list[Basket], owner: WaitingSales, kind: str) -> None:
        """Score sales, and send their answers off as soon as the batch before has landed."""
        batch = compose(baskets, self.model.answers, self.refusals.refuse_sale)
        self.land()
        self.publisher.start(batch, owner.__contains__, kind == "improved")
        self.flight = Flight(baskets, owner, kind)

    def land(self) -> None:
        """Wait until the batch under way is published, then let go of its sales."""
        if self.flight is None:
            return
        outcome = self.outcome()
        baskets, owner, kind = self.flight
        self.flight = None
        now = time.monotonic()
        self.waiting.extend(now - outcome.away, now)
        for answer, reason in outcome.refused:
            self.refusals.refuse_sale(answer.basket, "not-stored", reason)
        self.refusals.finish()
        # of others the partition went, and perhaps came back, or a newer header took the place:
        # their messages are held for whoever answers them now
        ours = [basket for basket in baskets if basket in owner]
        owner.remove(ours)
        for basket in ours:
            self.source.release(basket.sources)
            self.improver.followed.add(basket, basket.sale.sale_id in outcome.replaced)
        self.status.answered += len(outcome.published)
        service_metrics.count_answers([each.document for each in outcome.published], kind)

    def outcome(self) -> Outcome:
        """What became of the batch under way; a member of the group however long that takes."""
        while True:
            try:
                return self.publisher.result(PATIENCE)
            except Empty:
                if self.stop.requested_for > DRAIN_SECONDS:
                    raise AwayError("Kafka or MongoDB is away") from None
                self.health.beat()
                self.source.stay(0)

    def forget(self, partitions: set[int]) -> None:
        """Let go of the waiting sales of partitions that another copy reads from now on.

        It may answer those that are being improved as well: they are compared anew.
        """
        if self.flight and self.flight.owner is not self.waiting:
            for basket in self.flight.baskets:
                self.flight.owner.add(replace(basket))
        self.waiting.remove(
            [
                basket
                for basket in self.waiting
                if any(message.partition() in partitions for message in basket.sources)
            ]
        )

    def look_for_answered(self, _partitions: set[int]) -> None:
        """Take over the improvable answers of a copy that may have died."""
        self.stop.rest()
        self.improver.recall.want()
        self.background.once(self.improver.recall.read)

    def report(self) -> None:
        """One line of what happened since the last one, and the gauges."""
        self.status.report(
            self.refusals.count,
            len(self.waiting),
            len(self.improver.followed.incomplete),
            self.source.lag(),
            self.model.version,
        )


def main() -> None:
    """Read the flags, connect, serve until the end."""
    parser = argument_parser(__doc__)
    parser.add_argument(
        "--new-only",
        action="store_true",
        help="at the very first start, skip the sales that are in the topic already",
    )
    add_endless_flags(parser)
    flags = parser.parse_args()
    settings = Settings.load()
    start_logging("reco_service_stream", settings.log_level, settings.describe())
    stop = Stop(flags.max_messages, flags.idle_timeout, GRACE_SECONDS)
    health = Health(["kafka", "mongo", "model"])
    if flags.metrics_port is not None:
        serve(flags.metrics_port, health)
    with stop.starting():
        connect_kafka(settings)
        database = connect_mongo(settings)
    watch(settings.kafka, database, health)
    service = Service(settings, stop, database, health)
    if flags.new_only:
        service.source.skip_backlog()
    service.run()


def connect_kafka(settings: Settings) -> None:
    """Wait for the brokers and create the topics that are missing."""
    names = (contract.SALES.name, contract.RECOMMENDATIONS, contract.DEAD_LETTER)
    topics = [settings.topic_prefix + name for name in names]
    kafka.ensure_topics(
        settings.kafka,
        topics,
        settings.topic_partitions,
        settings.topic_replication_factor,
        settings.startup_timeout_seconds,
    )


def connect_mongo(settings: Settings) -> Database[Any]:
    """Wait for the database and create the indexes that are missing."""
    uri, patience = settings.mongo_uri.get_secret_value(), settings.startup_timeout_seconds
    database = mongo.connect(uri, settings.mongo_database, patience)
    mongo.ensure_recommendation_indexes(database, settings.recommendations_ttl_days, patience)
    return database


if __name__ == "__main__":
    run(main)
