"""The answer to a sale, as it goes to the topic and to the collection."""

import logging
from collections.abc import Collection
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, cast

import msgspec
from confluent_kafka import Message

from erp.contract import Recommendation, Sale
from erp.recommender.answers import numbered
from erp.recommender.catalogue import Catalogue
from erp.recommender.model import Model
from erp.repeats import OnceInAWhile
from erp.service import service_metrics
from erp.service.baskets import Basket, Line
from erp.sink.deliveries import BadMessageError, Reader

log = logging.getLogger("erp.sale_answers")
log.addFilter(OnceInAWhile())

BASKET_LINES_MAX = 2_000  # of a basket shown in an answer, so that it stays a message that fits
MESSAGE_BYTES_MAX = 900_000  # Kafka's brokers take a little over 1,000,000 by default

Document = dict[str, Any]

_FIELDS = Recommendation.__struct_fields__


def sale_in(message: Message, reader: Reader) -> Sale:
    """The sale that a message with a value holds; raises BadMessageError when it is none."""
    sale = cast(Sale, reader.record(message.key(), message.value(), message.topic()))
    try:
        sale.sale_datetime = in_milliseconds(sale.sale_datetime)
    except OverflowError:
        raise BadMessageError("breaks-contract", "sale_datetime leaves the calendar") from None
    return sale


def bought(lines: Collection[Line]) -> list[str]:
    """The products that the customer took home: a negative quantity is a return."""
    try:
        return [product for product, quantity, _ in lines if quantity is None or quantity > 0]
    except TypeError:  # another program stored quantities that are no numbers
        numbers = (int, float)
        return [
            line.product_id
            for line in lines
            if not isinstance(line.quantity, numbers) or line.quantity > 0
        ]


def in_control(sale_id: str, share: float) -> bool:
    """Whether a sale is among the `share` (0 to 1) that gets bestsellers only; always the same."""
    if not share:
        return False
    hashed = blake2b(sale_id.encode(), digest_size=8).digest()
    return int.from_bytes(hashed) < share * 2**64


def answers(
    model: Model, baskets: list[Basket], n: int, control_share: float = 0.0
) -> list[Document]:
    """The answers to sales, scored together, with `n` products each, none of them on its lines.

    Bestsellers go to `control_share` (0 to 1) of the sales. One that cannot be scored is answered
    with nothing, its neighbours as ever. A document is the message with an `_id`. Times are whole
    milliseconds.
    """
    try:
        return _scored(model, baskets, n, control_share)
    except Exception as error:
        if len(baskets) > 1:
            return [
                each for basket in baskets for each in answers(model, [basket], n, control_share)
            ]
        error.add_note(f"sale {baskets[0].sale.sale_id}")
        kind = type(error).__name__
        service_metrics.UNSCORED.labels(kind).inc()
        log.error("a sale cannot be scored, nothing is recommended: %s", kind, exc_info=error)
        return nothing_known(baskets, model.catalogue)


def nothing_known(baskets: list[Basket], catalogue: Catalogue) -> list[Document]:
    """The answers of a shop without model and sales: nothing to offer."""
    nothing: list[list[Document]] = [[] for _ in baskets]
    return _documents(baskets, nothing, catalogue, "none", "none", [False] * len(baskets))


def encode(answer: Document) -> bytes:
    """The message of an answer."""
    return msgspec.json.encode({name: answer[name] for name in _FIELDS})


def fit(answer: Document) -> bytes:
    """The message of an answer, which shows fewer lines where they would not fit into one.

    Its other fields alone may be more than MESSAGE_BYTES_MAX.
    """
    message = encode(answer)
    while len(message) > MESSAGE_BYTES_MAX and (shown := answer["basket_products"]):
        answer["basket_products"] = shown[: len(shown) * MESSAGE_BYTES_MAX // len(message)]
        message = encode(answer)
    return message


def in_milliseconds(moment: datetime) -> datetime:
    """The moment in UTC as MongoDB keeps it, so that message and document say the same.

    Raises OverflowError where UTC would leave the calendar.
    """
    moment = moment.astimezone(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _scored(model: Model, baskets: list[Basket], n: int, control_share: float) -> list[Document]:
    taken = [bought(basket.lines.values()) for basket in baskets]
    control = [in_control(basket.sale.sale_id, control_share) for basket in baskets]
    recommended = model.recommend_many(
        taken,
        [basket.sale.customer_id for basket in baskets],
        n,
        [basket.sale.store_id for basket in baskets],
        [basket.sale.sale_datetime for basket in baskets],
        bestsellers=control,
    )
    for index, (basket, products) in enumerate(zip(baskets, taken, strict=True)):
        if len(products) < len(basket.lines):
            returned = {line.product_id for line in basket.lines.values()}.difference(products)
            recommended[index] = _without(returned, model, basket, products, n, control[index])
    return _documents(baskets, recommended, model.catalogue, model.algo, model.version, control)


def _without(
    returned: set[str], model: Model, basket: Basket, products: list[str], n: int, control: bool
) -> list[Document]:
    """The best `n` but for what the customer just brought back."""
    sale = basket.sale
    more = model.recommend(
        products, sale.customer_id, n + len(returned), sale.store_id, sale.sale_datetime, control
    )
    return numbered([each for each in more if each["product_id"] not in returned][:n], n)


def _documents(
    baskets: list[Basket],
    recommended: list[list[Document]],
    catalogue: Catalogue,
    algo: str,
    model_version: str,
    control: list[bool],
) -> list[Document]:
    now = datetime.now(UTC)
    created_at, seconds = in_milliseconds(now), now.timestamp()
    return [
        {
            "_id": basket.sale.sale_id,
            "sale_id": basket.sale.sale_id,
            "customer_id": basket.sale.customer_id,
            "store_id": basket.sale.store_id,
            "payment_type": basket.sale.payment_type,
            "timestamp": basket.sale.sale_datetime,
            "created_at": created_at,
            "algo": "popularity" if control_arm else algo,
            "model_version": model_version,
            "complete": basket.complete,
            "latency_ms": round(max(0.0, seconds - basket.entered) * 1000, 1),
            "basket_products": _shown(basket.lines, catalogue),
            "recommendations": products,
            "control": control_arm,
        }
        for basket, products, control_arm in zip(baskets, recommended, control, strict=True)
    ]


def _shown(lines: dict[int, Line], catalogue: Catalogue) -> list[Document]:
    known = catalogue.products.get  # a line's product is in the catalogue, but for a few
    shown = []
    for number in sorted(lines)[:BASKET_LINES_MAX]:
        product_id, quantity, net_amount = lines[number]
        name, category, _ = known(product_id) or catalogue.get(product_id)
        shown.append(
            {
                "product_id": product_id,
                "product_name": name or product_id,
                "category": category,
                "quantity": quantity,
                "net_amount": net_amount,
            }
        )
    return shown
