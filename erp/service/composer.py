"""From sales with their lines to answers that are ready to be published."""

import logging
import time
from collections.abc import Callable
from typing import Any

from erp.repeats import OnceInAWhile
from erp.service import sale_answers, service_metrics
from erp.service.baskets import Basket
from erp.service.publisher import Answer

log = logging.getLogger("erp.composer")
log.addFilter(OnceInAWhile())

Score = Callable[[list[Basket]], list[dict[str, Any]]]
Refuse = Callable[[Basket, str, str], None]  # a sale, what is wrong in a word, and why


def compose(baskets: list[Basket], score: Score, refuse: Refuse) -> list[Answer]:
    """Each sale with its answer, as a document and as a message, but for those refused."""
    started = time.perf_counter()
    composed = []
    for answer in _answers(baskets, score, refuse):
        if len(answer.message["value"]) > sale_answers.MESSAGE_BYTES_MAX:
            refuse(answer.basket, "too-large", "the answer does not fit a message")
        else:
            composed.append(answer)
    service_metrics.count_scoring(len(baskets), time.perf_counter() - started)
    return composed


def _answers(baskets: list[Basket], score: Score, refuse: Refuse) -> list[Answer]:
    """The answers; a sale that can have none, not even an empty one, is refused by itself."""
    try:
        return [
            Answer(basket, document, _message(basket, document))
            for basket, document in zip(baskets, score(baskets), strict=True)
        ]
    except Exception as error:
        if len(baskets) > 1:
            return [each for basket in baskets for each in _answers([basket], score, refuse)]
        for basket in baskets:
            kind = type(error).__name__
            log.error("a sale can have no answer: %s", kind, exc_info=error)
            refuse(basket, "not-scored", repr(error))
        return []


def _message(basket: Basket, document: dict[str, Any]) -> dict[str, bytes]:
    return {"key": basket.sale.sale_id.encode(), "value": sale_answers.fit(document)}
