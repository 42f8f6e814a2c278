"""The model in service: replaced while running, and never without an answer.

The model file is loaded when it appears and again whenever it is replaced; one that cannot be
loaded changes nothing. Until there is one, what sells most is recommended, and until that is
counted nothing. Names and activity come from MongoDB's products, the customers' newest purchases
from the answers that were given since the model was trained, by this copy of the service and the
others.
"""

import logging
import threading
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import pymongo
from prometheus_client import Gauge
from pymongo import ASCENDING, DESCENDING
from pymongo.database import Database

from erp import contract, recommender
from erp.memory import set_aside
from erp.metrics import Health
from erp.recommender.artefact import ArtefactError
from erp.recommender.catalogue import Catalogue
from erp.recommender.customers import SALES_REMEMBERED
from erp.recommender.model import Model
from erp.repeats import OnceInAWhile
from erp.service import sale_answers
from erp.service.baskets import Basket, Line
from erp.service.bestsellers import Bestsellers
from erp.service.live_catalogue import LiveCatalogue

log = logging.getLogger("erp.live_model")
unseen_log = logging.getLogger("erp.live_model.unseen")
unseen_log.addFilter(OnceInAWhile())

START_PATIENCE = 5  # s for what sells to be counted, before sales are answered without
HISTORY_MAX = SALES_REMEMBERED  # newest sales read back
HISTORY_TIMEOUT = 60  # s to read them
BATCH = 1_000  # documents that the database hands over at once
OVERLAP = timedelta(seconds=30)  # clocks of other copies may differ by so much

AGE = Gauge("erp_reco_model_age_seconds", "Since the model in service was trained")
INFO = Gauge("erp_reco_model_info", "1 for the model in service", ["version", "algo"])

Document = dict[str, Any]
_SEEN = {
    "customer_id": 1,
    "timestamp": 1,
    "basket_products.product_id": 1,
    "basket_products.quantity": 1,
}
Seen = tuple[str, str | None, list[str], datetime]  # a sale as `Model.observe` takes it
Stamp = tuple[int, int, int] | None


class LiveModel:
    """Answers baskets; `refresh`, `refresh_catalogue` and `refresh_history` keep it up to date.

    The three are called by one other thread than `answers`.
    """

    def __init__(
        self,
        path: Path,
        top_n: int,
        never: Iterable[str],
        database: Database[Document],
        health: Health,
        control_share: float = 0.0,
    ) -> None:
        self._path, self._top_n, self._database, self._health = path, top_n, database, health
        self._never, self._control_share = frozenset(never), control_share
        self._catalogue = self._new_catalogue(self._never)
        self._model: Model | None = None
        self._stamp: Stamp = None
        self._bestsellers = Bestsellers(database[contract.SALES_ITEMS.name])
        self._counts: dict[str, int] = {}  # of which the model in service was made
        self._history_from: datetime | None = None
        self._was_alone = False  # when that was read
        self._observing = threading.Lock()
        self._meanwhile: list[Seen] | None = None  # seen while a model takes over from another
        AGE.set_function(self._age)

    @property
    def version(self) -> str:
        """Of the model in service."""
        return self._model.version if self._model else "none"

    def answers(self, baskets: list[Basket]) -> list[Document]:
        """The answer to each basket, as a document."""
        model = self._model
        if model is None:
            return sale_answers.nothing_known(baskets, self._catalogue.catalogue)
        return sale_answers.answers(model, baskets, self._top_n, self._control_share)

    def observe(self, baskets: list[Basket]) -> None:
        """Let the customers' histories know sales that were answered; from any thread.

        One that cannot be added is left out, its neighbours are not.
        """
        try:
            self._tell(
                [
                    (
                        basket.sale.sale_id,
                        basket.sale.customer_id,
                        sale_answers.bought(basket.lines.values()),
                        basket.sale.sale_datetime,
                    )
                    for basket in baskets
                ]
            )
        except Exception as error:  # noqa: BLE001  the answers were given
            if len(baskets) > 1:
                for basket in baskets:
                    self.observe([basket])
            else:
                kind = type(error).__name__
                unseen_log.error("a sale cannot be remembered: %s", kind, exc_info=error)

    def start(self) -> None:
        """Read the products and the model; raises the database's errors.

        Without a model what sells is counted, for a moment; then it is counted in the background.
        """
        self.refresh_catalogue()
        self.refresh(START_PATIENCE)
        if self._model is None:
            log.warning("no model, and nothing counted that sells: nothing is recommended yet")
        set_aside()
        self._health.report("model")

    def refresh(self, patience: float = 0.0) -> None:
        """Load the model if its file changed; without one, offer what sells by the newest count.

        patience : s that it may take to count
        """
        stamp = _stamp(self._path)
        if stamp != self._stamp:
            if stamp is None:
                log.warning("%s is gone, the model that was loaded stays", self._path.name)
            else:
                self._load()
            self._stamp = stamp
        if self._model is None or self._model.algo == "popularity":
            self._offer_what_sells(patience)

    def refresh_catalogue(self) -> None:
        """Take over changed products."""
        self._catalogue.refresh()

    def refresh_history(self, alone: bool = False) -> None:
        """Let the model know the sales that were answered since it was trained, by any copy.

        While this copy is `alone` it answers all of them itself, but what another one answered
        before that is read once more.
        """
        model = self._model
        if model is None or model.algo == "popularity":
            return
        began = datetime.now(UTC)
        if self._history_from is None:
            self._read_back(model)
        elif not (alone and self._was_alone):
            self._observe(model, "created_at", self._history_from - OVERLAP)
        self._was_alone = alone and self._history_from is not None
        self._history_from = began

    def _tell(self, seen: list[Seen]) -> None:
        with self._observing:
            if self._model is not None:
                self._model.observe_many(seen)
            if self._meanwhile is not None:
                self._meanwhile.extend(seen)

    def _read_back(self, model: Model) -> None:
        """Let a twin of the model in service, which goes on meanwhile, begin with the history."""
        twin = model.unobserved()
        new = self._observe(twin, "timestamp", datetime.fromisoformat(model.window[1]))
        self._succeed(twin)
        if new:
            log.info("%d sales since the model was trained are known again", new)

    def _observe(self, model: Model, field: str, since: datetime) -> int:
        """Of the answers whose `field` is a time since then the newest, the oldest of them first.

        So a model that can remember no more forgets the oldest.
        """
        answers = self._database[contract.RECOMMENDATIONS]
        with pymongo.timeout(HISTORY_TIMEOUT):
            times = answers.find({field: {"$gte": since}}, {field: 1, "_id": 0})
            for first in times.sort(field, DESCENDING).skip(HISTORY_MAX - 1).limit(1):
                since = first[field]
            found = answers.find({field: {"$gte": since}}, _SEEN, batch_size=BATCH)
            in_order = found.sort(field, ASCENDING)
            new = 0
            while part := list(islice(in_order, BATCH)):
                new += model.observe_many(map(_seen, part))
        return new

    def _load(self) -> None:
        try:
            model = recommender.load(self._path)
        except (ArtefactError, OSError) as error:
            stays = f"model {self.version} stays" if self._model else "what sells most is offered"
            log.error("the new model cannot be used, %s: %s", stays, error)
            return
        never = self._never.union(model.settings.never_recommend)
        if never != self._never:
            catalogue = self._new_catalogue(never)
            catalogue.refresh()  # while MongoDB is away this raises, and the model is loaded again
            self._catalogue, self._never = catalogue, never
        self._take_over(model)

    def _new_catalogue(self, never: frozenset[str]) -> LiveCatalogue:
        return LiveCatalogue(self._database[contract.PRODUCTS.name], Catalogue(never))

    def _offer_what_sells(self, patience: float) -> None:
        if (counted := self._bestsellers.newest(patience)) is None:
            return
        counts = dict.fromkeys(self._catalogue.catalogue.products, 0) | counted
        if counts != self._counts:
            self._take_over(recommender.popular(counts))
            self._counts = counts

    def _take_over(self, model: Model) -> None:
        before = self._model
        model.use(self._catalogue.catalogue)
        model.recommend_many([[]], n=self._top_n)  # builds what the first call builds
        model.customers.history.warm_up()
        self._succeed(model)
        self._counts = {}
        if before is not None:
            del before
            set_aside()
        INFO.clear()
        INFO.labels(model.version, model.algo).set(1)
        log.info(
            "model %s (%s, trained %s) in service", model.version, model.algo, model.trained_at
        )

    def _succeed(self, model: Model) -> None:
        """Let a model follow the one in service, with all that this one observed, each sale once.

        What is observed meanwhile comes last: nothing older has to make room before it was told.
        """
        with self._observing:
            before, self._meanwhile = self._model, []
        try:
            if before is not None:
                model.observe_from(before)
            with self._observing:
                model.observe_many(self._meanwhile)
                self._model = model
        finally:
            self._meanwhile = None

    def _age(self) -> float:
        if self._model is None:
            return float("nan")
        return (datetime.now(UTC) - datetime.fromisoformat(self._model.trained_at)).total_seconds()


def _seen(answer: Document) -> Seen:
    """A sale of the collection."""
    lines = [Line(**line) for line in answer["basket_products"]]
    return answer["_id"], answer["customer_id"], sale_answers.bought(lines), answer["timestamp"]


def _stamp(path: Path) -> Stamp:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
