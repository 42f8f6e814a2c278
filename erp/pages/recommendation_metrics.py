"""Figures of the recommendations at hand."""

import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np

from erp.contract import Recommendation


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
