"""Better answers to sales of which more lines came, or other ones, after they were answered."""

import time
from collections.abc import Callable
from typing import Any

from pymongo.collection import Collection
from pymongo.database import Database

from erp import contract
from erp.service import late_lines
from erp.service.baskets import Basket, WaitingSales
from erp.service.outages import Patience

EVERY = 0.5  # s between two looks


class Improver:
    """Follows the sales that were answered, and has them answered again where that is better.

    Parameters
    ----------
    database : Database
        Where the answers, the headers and the lines of the sales are.
    seconds : float
        How long a sale is followed after its answer; 0: not at all.
    waiting : WaitingSales
        The sales that are to be answered anyway, and so need no improvement.
    patience : Patience
        Outlasts outages.
    publish : callable
        Publishes sales of those followed, and returns when that is done.
    """

    def __init__(
        self,
        database: Database[Any],
        seconds: float,
        waiting: WaitingSales,
        patience: Patience,
        publish: Callable[[list[Basket], WaitingSales], None],
    ) -> None:
        self._answers: Collection[Any] = database[contract.RECOMMENDATIONS]
        self.followed = late_lines.Followed(database[contract.SALES_ITEMS.name], seconds)
        self.recall = late_lines.Recall(self._answers, database[contract.SALES.name], seconds)
        self._waiting, self._patience, self._publish = waiting, patience, publish
        self._looked_at = time.monotonic()

    def turn(self) -> None:
        """Follow what was recalled; every so often, look at what is followed."""
        while not self.recall.found.empty():
            for basket in self.recall.found.get():
                if not self._waiting.knows(basket.sale.sale_id):
                    self.followed.recall(basket)
        if self.followed.has_room_again():
            self.recall.want()
        now = time.monotonic()
        if now - self._looked_at >= EVERY:
            self._looked_at = now
            for kind in self.followed.kinds:
                self._look(kind)

    def _look(self, kind: WaitingSales) -> None:
        """Look once at sales that were answered; those with more lines get a better answer.

        The look was begun at the turn before, while the database had time.
        """
        corrected = kind is self.followed.corrected
        limit = late_lines.CORRECTED_AT_ONCE if corrected else late_lines.AT_ONCE
        seen = self._patience.outlast(lambda: kind.collect(limit), "looking for late lines")
        kind.look_ahead(limit)
        better = [basket for basket in seen if basket.improved]
        if better:
            better = self._patience.outlast(
                lambda: late_lines.not_answered_better(self._answers, better), "comparing answers"
            )
        self.followed.let_go(basket for basket in seen if basket not in better)
        if better:
            self._publish(better, kind)
