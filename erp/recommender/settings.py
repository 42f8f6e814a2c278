"""What a fit may vary."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelSettings:
    """What a fit may vary; config.py has the same names and defaults."""

    min_support: int = 2  # sales that hold both products, at least
    top_sim_per_item: int = 100  # neighbours kept per product
    recency_halflife_months: float = 6.0  # of a sale's weight in the similarities
    item_exponent: float = 0.3  # a: 0 is P(j | i), 0.5 the cosine
    size_exponent: float = 0.5  # b: how much less a line of a big basket counts
    shrink: float = 1.0  # in weighted sales; damps what rests on few
    ridge: float = 50.0  # in weighted sales; damps what a product tells beside the others
    personal_weight: float = 1.0  # factor on the odds of what the customer has bought before
    personal_halflife_days: float = 60.0  # of a customer's own frequencies
    popularity_halflife_days: float = 30.0  # of the bestsellers
    max_per_category: int = 0  # recommendations of one category, 0: no cap
    never_recommend: tuple[str, ...] = ()  # ids, names or categories
    candidates: int = 60  # ordered by what was learned
    order_ridge: float = 3.0  # in baskets
    confidence_ridge: float = 10.0  # in observations
    threads: int = 2
    seed: int = 0
