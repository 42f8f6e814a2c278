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
complete because its items_count was too small, a better answer replaces the first. Offsets are
committed up to the oldest sale that still waits, so a restart reads that one again, and perhaps
some behind it: their answers replace themselves.
"""

import logging
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, TypeVar

from confluent_kafka import Message
from pymongo.database import Database
from pymongo.errors import PyMongoError

from config import Settings
from erp import contract, dead_letters, kafka, mongo
from erp.background import Background
from erp.kafka import Outbox
from erp.metrics import Health, serve
from erp.process import Failure, Stop, add_endless_flags, argument_parser, run, start_logging
from erp.service import late_lines, sale_answers, service_metrics
from erp.service.baskets import Basket, WaitingSales
from erp.service.live_model import LiveModel
from erp.service.publisher import Answer, AwayError, Outcome, Publisher, flush
from erp.service.source import Source
from erp.service.watch import watch
from erp.sink.deliveries import BadMessageError, Reader

log = logging.getLogger("erp.reco")

STAGE = "recommender"  # its name in the dead letters and of its consumer group
BATCH = 500  # sales read, looked at and answered at once
IDLE_TURN, FLIGHT_TURN = 0.2, 0.02  # s, the longest turn without and with a batch under way
PATIENCE = 1.0  # s for a batch to be published, after which something is away
PAUSES = (0.01, 1.0)  # s between two looks at a sale, at first and at most
COMMIT_EVERY, IMPROVE_EVERY, STATUS_EVERY = 0.5, 0.5, 10  # s
DRAIN_SECONDS, GRACE_SECONDS = 6, 9  # after a signal, of the 10 s that a supervisor grants

T = TypeVar("T")


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
        self.answer_topic = settings.topic_prefix + contract.RECOMMENDATIONS
        self.dead_letter_topic = settings.topic_prefix + contract.DEAD_LETTER
        self.answers = database[contract.RECOMMENDATIONS]
        self.headers = database[contract.SALES.name]
        items = database[contract.SALES_ITEMS.name]
        self.waiting = WaitingSales(
            items, settings.basket_deadline_seconds, settings.basket_quiet_seconds, PAUSES
        )
        self.late_seconds = settings.late_lines_seconds
        self.followed = late_lines.Followed(items, self.late_seconds)
        self.recalled: SimpleQueue[list[Basket]] = SimpleQueue()
        self.flight: Flight | None = None
        self.letters = dead_letters.outbox(settings.kafka)  # and deletions
        self.source = Source(
            settings.kafka,
            settings.consumer_group_prefix + STAGE,
            self.sales_topic,
            on_lost=self.forget,
            on_gained=self.look_for_answered,
            instance=settings.consumer_instance,
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
            self.answer_topic,
            self.model.observe,
            stop,
            health,
        )
        self.background = Background(
            [
                (settings.model_poll_seconds, self.model.refresh),
                (settings.catalogue_poll_seconds, self.model.refresh_catalogue),
                (
                    settings.history_poll_seconds,
                    lambda: self.model.refresh_history(self.source.alone),
                ),
            ]
        )
        self.reader = Reader(settings.topic_prefix)
        self.put_aside: list[Message] = []  # deleted or refused; done with once Kafka confirmed
        self.read_count = self.answer_count = 0
        self.committed_at = self.reported_at = self.improved_at = time.monotonic()
        self.reported_counts = (0, 0)

    def run(self) -> None:
        """Until a signal; or until enough was read, and all that was read is answered."""
        self.outlast(self.model.start, "reading the products")
        self.background.start()
        self.background.once(self.model.refresh_history)
        self.source.subscribe()
        self.stop.rest()  # compiling and loading the model is no idle time
        try:
            while not self.stop.requested and not (self.stop.due and not self.waiting):
                self.turn()
            self.drain()
        except AwayError as reason:
            log.warning("%s: what is in hand is read again at the next start", reason)
        self.source.commit(wait=True)
        self.source.close()
        self.report()

    def turn(self) -> None:
        """Once around: a batch of sales in, a batch of answers out."""
        self.health.beat()
        self.accept(self.read())
        self.answer(self.outlast(lambda: self.waiting.collect(BATCH), "looking for lines"))
        if self.publisher.done:
            self.land()
        self.improve()
        now = time.monotonic()
        if now - self.committed_at >= COMMIT_EVERY:
            self.source.commit()
            self.committed_at = now
        if now - self.reported_at >= STATUS_EVERY:
            self.report()

    def drain(self) -> None:
        """Answer what can be answered of the sales that still wait; the rest is read again."""
        self.land()
        for _ in range(0, len(self.waiting), BATCH):
            if self.stop.requested_for < DRAIN_SECONDS:
                found = self.outlast(
                    lambda: self.waiting.collect(BATCH, everyone=True), "looking for lines"
                )
                self.answer(found)
        self.land()

    def read(self) -> list[Message]:
        """The next sales, as many as there is room for, by when a waiting one is due again."""
        space = min(BATCH, self.capacity - len(self.waiting))
        if self.stop.remaining is not None:
            space = min(space, self.stop.remaining)
        following = self.waiting.next_look()
        pause = IDLE_TURN if following is None else following - time.monotonic()
        pause = min(max(pause, 0.0), FLIGHT_TURN if self.flight else IDLE_TURN)
        if space <= 0 or self.stop.due:
            self.source.stay(pause)
            return []
        messages = self.source.take(space, pause)
        self.stop.count(len(messages))
        self.read_count += len(messages)
        service_metrics.SALES.inc(len(messages))
        return messages

    def accept(self, messages: list[Message]) -> None:
        """Let the sales wait for their lines; what is no sale goes to the dead letters."""
        for message in messages:
            if message.value() is None:
                self.delete(message)
                continue
            try:
                sale = sale_answers.sale_in(message, self.reader)
            except BadMessageError as error:
                self.refuse(message, error.error_class, str(error))
                continue
            self.followed.discard(sale.sale_id)
            self.waiting.add(Basket(sale, message.timestamp()[1] / 1000, [message]))
        self.finish_put_aside()

    def finish_put_aside(self) -> None:
        """Let go of what was refused or deleted, once Kafka has it."""
        if self.put_aside:
            flush(self.letters, self.stop, self.health)
            self.source.release(self.put_aside)
            self.put_aside.clear()

    def delete(self, message: Message) -> None:
        """A sale that is deleted loses its answer."""
        self.land()
        sale_id = (message.key() or b"").decode(errors="replace")
        self.followed.discard(sale_id)
        if waited := self.waiting.discard(sale_id):
            self.source.release(waited.sources)
        self.outlast(lambda: self.answers.delete_one({"_id": sale_id}), "deleting an answer")
        self.letters.send(self.answer_topic, [{"key": message.key(), "value": None}])
        self.put_aside.append(message)

    def refuse(self, message: Message, kind: str, reason: str) -> None:
        """Put a message aside that cannot be answered; the ones behind it go on."""
        service_metrics.REFUSED.labels(kind).inc()
        log.warning("%s refused, %s: %s", kafka.position(message), kind, reason)
        dead_letters.send(self.letters, self.dead_letter_topic, message, kind, reason, stage=STAGE)
        self.put_aside.append(message)

    def refuse_sale(self, basket: Basket, kind: str, reason: str) -> None:
        """Put aside the message of a sale; an answer that stands already stays."""
        for message in basket.sources[-1:]:
            self.refuse(message, kind, reason)

    def answer(self, baskets: list[Basket]) -> None:
        """Give sales their first answer; it is published while the next ones are collected."""
        if baskets:
            self.publish(baskets, self.waiting, "first")

    def publish(self, baskets: list[Basket], owner: WaitingSales, kind: str) -> None:
        """Score sales, and send their answers off as soon as the batch before has landed."""
        batch = self.compose(baskets)
        self.land()
        self.publisher.start(batch, owner.__contains__)
        self.flight = Flight(baskets, owner, kind)

    def land(self) -> None:
        """Wait until the batch under way is published, then let go of its sales."""
        if self.flight is None:
            return
        outcome = self.outcome()
        baskets, owner, kind = self.flight
        self.flight = None
        self.waiting.extend(outcome.away)
        for answer, reason in outcome.refused:
            self.refuse_sale(answer.basket, "not-stored", reason)
        self.finish_put_aside()
        for basket in baskets:
            self.source.release(basket.sources)
            if basket in owner:
                self.followed.add(basket)
        owner.remove(baskets)
        self.answer_count += len(outcome.published)
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

    def improve(self) -> None:
        """Answer again where more lines came than were answered."""
        while not self.recalled.empty():
            for basket in self.recalled.get():
                if not self.waiting.knows(basket.sale.sale_id):
                    self.followed.recall(basket)
        now = time.monotonic()
        if now - self.improved_at >= IMPROVE_EVERY:
            self.improved_at = now
            for followed in self.followed.kinds:
                self.improve_among(followed)

    def improve_among(self, followed: WaitingSales) -> None:
        """Look once at sales that were answered; those with more lines get a better answer."""
        seen = self.outlast(lambda: followed.collect(BATCH), "looking for late lines")
        better = [basket for basket in seen if basket.improved]
        if better:
            better = self.outlast(
                lambda: late_lines.not_answered_better(self.answers, better), "comparing answers"
            )
        followed.remove(basket for basket in seen if basket not in better)
        if better:
            self.publish(better, followed, "improved")
            self.land()

    def compose(self, baskets: list[Basket]) -> list[Answer]:
        """Each sale with its answer, as a document and as a message."""
        started = time.perf_counter()
        composed = []
        for basket, document in self.scored(baskets):
            value = sale_answers.encode(document)
            if len(value) > sale_answers.MESSAGE_BYTES_MAX:
                self.refuse_sale(basket, "too-large", "the answer does not fit a message")
            else:
                message = {"key": basket.sale.sale_id.encode(), "value": value}
                composed.append(Answer(basket, document, message))
        service_metrics.count_scoring(len(baskets), time.perf_counter() - started)
        return composed

    def scored(self, baskets: list[Basket]) -> list[tuple[Basket, dict[str, Any]]]:
        """Each sale with its answer; one that cannot be scored is refused, not its neighbours."""
        try:
            return list(zip(baskets, self.model.answers(baskets), strict=True))
        except Exception as error:
            if len(baskets) > 1:
                return [each for basket in baskets for each in self.scored([basket])]
            for basket in baskets:
                log.exception("sale %s cannot be scored", basket.sale.sale_id)
                self.refuse_sale(basket, "not-scored", repr(error))
            return []

    def outlast(self, operation: Callable[[], T], doing: str) -> T:
        """Do something with MongoDB, after it came back if it is away."""
        began: float | None = None

        def wait(seconds: float) -> bool:
            nonlocal began
            began = began or time.monotonic()
            self.health.report("lines", "MongoDB is away")
            service_metrics.OUTAGES.labels("mongo").inc()
            until = time.monotonic() + seconds
            while time.monotonic() < until and not self.stop.requested:
                self.health.beat()
                self.source.stay(IDLE_TURN)
            return self.stop.requested

        try:
            result = mongo.outlast(operation, wait, doing)
        except PyMongoError as error:
            if mongo.is_outage(error):
                raise AwayError("MongoDB is away") from None
            raise Failure(f"MongoDB refuses {doing}: {mongo.first_line(error)}") from None
        if began is not None:
            self.health.report("lines")
            away = time.monotonic() - began
            self.waiting.extend(away)
            log.info("MongoDB is back after %.1f s", away)
        return result

    def forget(self, partitions: set[int]) -> None:
        """Let go of the waiting sales of partitions that another copy reads from now on."""
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
        if self.late_seconds:
            self.background.once(
                lambda: self.recalled.put(
                    late_lines.answered(self.answers, self.headers, self.late_seconds)
                )
            )

    def report(self) -> None:
        """One line of what happened since the last one, and the gauges."""
        now = time.monotonic()
        seconds = now - self.reported_at
        read, answered = self.read_count, self.answer_count
        read_before, answered_before = self.reported_counts
        lag = self.source.lag()
        service_metrics.show(len(self.waiting), len(self.followed.incomplete), lag)
        log.info(
            "read %d (%.0f/s), answered %d (%.0f/s), waiting %d, incomplete %d, lag %d, model %s",
            read, (read - read_before) / seconds,
            answered, (answered - answered_before) / seconds,
            len(self.waiting), len(self.followed.incomplete), sum(lag.values()), self.model.version,
        )  # fmt: skip
        self.reported_at, self.reported_counts = now, (read, answered)


def main() -> int | None:
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
    connect_kafka(settings)
    uri, patience = settings.mongo_uri.get_secret_value(), settings.startup_timeout_seconds
    database = mongo.connect(uri, settings.mongo_database, patience)
    mongo.ensure_recommendation_indexes(database, settings.recommendations_ttl_days)
    watch(settings.kafka, database, health)
    service = Service(settings, stop, database, health)
    if flags.new_only:
        service.source.skip_backlog()
    service.run()


def connect_kafka(settings: Settings) -> None:
    """Wait for the brokers and create the topics that are missing."""
    kafka.wait_for_kafka(settings.kafka, settings.startup_timeout_seconds)
    names = (contract.SALES.name, contract.RECOMMENDATIONS, contract.DEAD_LETTER)
    topics = [settings.topic_prefix + name for name in names]
    kafka.ensure_topics(
        settings.kafka, topics, settings.topic_partitions, settings.topic_replication_factor
    )


if __name__ == "__main__":
    run(main)
