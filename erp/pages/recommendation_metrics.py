"""How the recommender does, from the recommendations at hand and from what was bought after them.

Confidence is checked against the facts: of the products recommended at 20 %, about 20 % must turn
up in the customer's next sale.
"""

import re
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
from pymongo.database import Database

from erp import contract
from erp.contract import Recommendation

HORIZON = timedelta(days=30)  # after a sale, in which a later purchase counts
SAMPLE = 300  # recommendations followed up at most
LATER_SALES = 5  # of one customer followed up at most
LOOKUP = 200  # _ids, or customers, in one query
LONGEST_SALE = 200  # lines of a later sale that are looked at


class Summary(NamedTuple):
    """Figures of some recommendations; percentages go from 0 to 100."""

    answers: int
    products: int  # recommended, each time counted
    distinct_products: int
    by_source: dict[str, int]  # products recommended, the commonest source first
    confidence: np.ndarray  # of each product recommended
    relevance: np.ndarray  # relevancia of each product recommended
    latency_ms: np.ndarray  # of each answer
    incomplete: int  # answers whose sale lacked lines
    versions: dict[str, int]  # answers by model version, the version of the last answer first


def summarize(recommendations: Sequence[Recommendation]) -> Summary:
    """The figures of recommendations, of which the answer made last comes first."""
    products = [product for r in recommendations for product in r.recommendations]
    return Summary(
        answers=len(recommendations),
        products=len(products),
        distinct_products=len({product.product_id for product in products}),
        by_source=dict(Counter(product.source for product in products).most_common()),
        confidence=np.array([product.confidence_percentage for product in products], float),
        relevance=np.array([product.relevancia for product in products], float),
        latency_ms=np.array([r.latency_ms for r in recommendations], float),
        incomplete=sum(not r.complete for r in recommendations),
        versions=dict(Counter(r.model_version for r in recommendations)),
    )


def trained_at(version: str) -> datetime | None:
    """When a model was trained, if its version begins with that.

    >>> trained_at("20260131T120000Z-0123abcd")
    datetime.datetime(2026, 1, 31, 12, 0, tzinfo=datetime.timezone.utc)
    """
    found = re.match(r"\d{8}T\d{6}Z", version)
    try:
        return found and datetime.strptime(found[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None


class FollowUp(NamedTuple):
    """A recommended product and what became of it."""

    sale_id: str
    source: str
    confidence: float  # percent
    bought_next: bool  # in the customer's next sale
    bought_later: bool  # in any of the customer's sales within HORIZON


def follow_up(
    database: Database[dict[str, Any]], recommendations: Sequence[Recommendation]
) -> list[FollowUp]:
    """What customers bought after some recommendations, the oldest of those at hand.

    Only customers who came back within HORIZON count; the others may yet.
    """
    known = sorted((r for r in recommendations if r.customer_id), key=lambda r: r.timestamp)
    known = known[: 2 * SAMPLE]  # half of the customers come back, or more
    later = _later_sales(database, known)
    followed = [(r, sales) for r in known if (sales := _after(r, later[r.customer_id]))][:SAMPLE]
    bought = _products_of(database, [sale for _, sales in followed for sale in sales])
    found = []
    for r, sales in followed:
        baskets = [bought[sale["sale_id"]] for sale in sales]
        if not baskets[0]:
            continue  # its lines have not come yet
        ever = set().union(*baskets)
        found += [
            FollowUp(
                r.sale_id,
                product.source,
                product.confidence_percentage,
                product.product_id in baskets[0],
                product.product_id in ever,
            )
            for product in r.recommendations
        ]
    return found


def _later_sales(
    database: Database[dict[str, Any]], known: Sequence[Recommendation]
) -> dict[str | None, list[dict[str, Any]]]:
    """Sales by customer after the first of the recommendations, in the order of time."""
    sales: dict[str | None, list[dict[str, Any]]] = defaultdict(list)
    if not known:
        return sales
    span = {"$gt": known[0].timestamp, "$lte": known[-1].timestamp + HORIZON}
    customers = sorted({r.customer_id for r in known if r.customer_id})
    fields = {"_id": 0, "sale_id": 1, "customer_id": 1, "sale_datetime": 1, "items_count": 1}
    for start in range(0, len(customers), LOOKUP):
        query = {"sale_datetime": span, "customer_id": {"$in": customers[start : start + LOOKUP]}}
        for sale in database[contract.SALES.name].find(query, fields):
            sales[sale["customer_id"]].append(sale)
    for of_customer in sales.values():
        of_customer.sort(key=lambda sale: sale["sale_datetime"])
    return sales


def _after(r: Recommendation, sales: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    first = bisect_right(sales, r.timestamp, key=lambda sale: sale["sale_datetime"])
    until = r.timestamp + HORIZON
    later = [sale for sale in sales[first:] if sale["sale_datetime"] <= until]
    return [sale for sale in later if sale["sale_id"] != r.sale_id][:LATER_SALES]


def _products_of(
    database: Database[dict[str, Any]], sales: Sequence[dict[str, Any]]
) -> dict[str, set[str]]:
    """The products that were bought (returns left out) in each of these sales."""
    bought: dict[str, set[str]] = {sale["sale_id"]: set() for sale in sales}
    unique = {sale["sale_id"]: sale for sale in sales}.values()
    ids = [
        contract.item_id(sale["sale_id"], line)
        for sale in unique
        for line in range(1, min(sale.get("items_count") or 20, LONGEST_SALE) + 1)
    ]
    fields = {"_id": 0, "sale_id": 1, "product_id": 1, "quantity": 1}
    for start in range(0, len(ids), LOOKUP):
        for line in database[contract.SALES_ITEMS.name].find(
            {"_id": {"$in": ids[start : start + LOOKUP]}}, fields
        ):
            if (line.get("quantity") or 1) > 0:
                bought[line["sale_id"]].add(line["product_id"])
    return bought


class Band(NamedTuple):
    """Products of like confidence: what was said and what happened, in percent."""

    products: int
    said: float
    happened: float


def calibration(followed: Sequence[FollowUp], bands: int = 6) -> list[Band]:
    """Said and happened in up to so many bands with about as many products in each."""
    ordered = sorted(followed, key=lambda f: f.confidence)
    parts = np.array_split(np.arange(len(ordered)), min(bands, max(1, len(ordered) // 20)))
    return [
        Band(
            len(part),
            float(np.mean([ordered[i].confidence for i in part])),
            100 * float(np.mean([ordered[i].bought_next for i in part])),
        )
        for part in parts
        if len(part)
    ]
