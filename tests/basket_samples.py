"""Sales for the tests of the evaluation."""

from datetime import UTC, datetime, timedelta

from erp.recommender import training_data

START = datetime(2025, 1, 1, tzinfo=UTC)


def baskets_of(baskets, customers=None, stores=None, start=START, every=timedelta(hours=1)):
    """Sales of product ids, an hour apart; the commonest products have the first codes."""
    ids = [f"{n:05d}" for n in range(len(baskets))]
    lines = [(n, product) for n, basket in enumerate(baskets) for product in basket]
    return training_data.from_frames(
        {"sale_id": [ids[n] for n, _ in lines], "product_id": [p for _, p in lines]},
        {
            "sale_id": ids,
            "sale_datetime": [(start + n * every).isoformat() for n in range(len(baskets))],
            "customer_id": customers or [None] * len(baskets),
            "store_id": stores or ["1"] * len(baskets),
        },
    )
