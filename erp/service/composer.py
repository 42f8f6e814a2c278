"""From sales with their lines to answers that are ready to be published."""

import logging
import time
from collections.abc import Callable
from typing import Any

from erp.service import sale_answers, service_metrics
from erp.service.baskets import Basket
from erp.service.publisher import Answer

log = logging.getLogger("erp.composer")

Refuse = Callable[[Basket, str, str], None]  # a sale, what is wrong in a word, and why


def compose(
    baskets: list[Basket], score: Callable[[list[Basket]], list[dict[str, Any]]], refuse: Refuse
) -> list[Answer]:
    """Each sale with its answer, as a document and as a message, but for those refused."""
    started = time.perf_counter()
    composed = []
    for basket, document in _scored(baskets, score, refuse):
        value = sale_answers.encode(document)
        if len(value) > sale_answers.MESSAGE_BYTES_MAX:
            refuse(basket, "too-large", "the answer does not fit a message")
        else:
            message = {"key": basket.sale.sale_id.encode(), "value": value}
            composed.append(Answer(basket, document, message))
    service_metrics.count_scoring(len(baskets), time.perf_counter() - started)
    return composed


def _scored(
    baskets: list[Basket], score: Callable[[list[Basket]], list[dict[str, Any]]], refuse: Refuse
) -> list[tuple[Basket, dict[str, Any]]]:
    """Each sale with its answer; one that cannot be scored is refused, not its neighbours."""
    try:
        return list(zip(baskets, score(baskets), strict=True))
    except Exception as error:
        if len(baskets) > 1:
            return [each for basket in baskets for each in _scored([basket], score, refuse)]
        for basket in baskets:
            log.exception("sale %s cannot be scored", basket.sale.sale_id)
            refuse(basket, "not-scored", repr(error))
        return []
