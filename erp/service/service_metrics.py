"""What the recommendation service counts, for Prometheus."""

from typing import Any

from prometheus_client import Counter, Gauge

from erp.metrics import BatchHistogram

SALES = Counter("erp_reco_sales", "Sales read from Kafka")
ANSWERS = Counter("erp_reco_answers", "Sales answered: first, or improved by late lines", ["kind"])
PRODUCTS = Counter("erp_reco_recommendations", "Products recommended", ["source"])
INCOMPLETE = Counter("erp_reco_incomplete", "Sales answered with lines missing at the deadline")
REFUSED = Counter("erp_reco_refused", "Sales put among the dead letters", ["reason"])
UNSCORED = Counter("erp_reco_unscored", "Sales answered with nothing, by the error", ["error"])
OUTAGES = Counter("erp_reco_outages", "Tries that found Kafka or MongoDB away", ["service"])
WAITING = Gauge("erp_reco_waiting_sales", "Sales that wait for their lines")
LATE = Gauge("erp_reco_late_sales", "Incomplete answers that wait for late lines")
LAG = Gauge("erp_reco_lag_messages", "Sales in Kafka that were not read yet", ["partition"])
LATENCY = BatchHistogram(
    "erp_reco_latency_seconds",
    "From the sale in Kafka to its first answer",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)
SCORING = BatchHistogram(
    "erp_reco_scoring_seconds",
    "Scoring and enriching one sale",
    buckets=(0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.1),
)


def count_answers(answers: list[dict[str, Any]], kind: str) -> None:
    """Count answers that were given, and what was recommended in them."""
    ANSWERS.labels(kind).inc(len(answers))
    if kind == "first":
        INCOMPLETE.inc(sum(not answer["complete"] for answer in answers))
        LATENCY.observe(answer["latency_ms"] / 1000 for answer in answers)
    by_source: dict[str, int] = {}
    for answer in answers:
        for product in answer["recommendations"]:
            by_source[product["source"]] = by_source.get(product["source"], 0) + 1
    for source, products in by_source.items():
        PRODUCTS.labels(source).inc(products)


def count_scoring(sales: int, seconds: float) -> None:
    """Count what it took to score so many sales together."""
    SCORING.observe([seconds / sales] * sales)


def show(waiting: int, late: int, lag: dict[int, int]) -> None:
    """Set what can go up and down."""
    WAITING.set(waiting)
    LATE.set(late)
    LAG.clear()  # a partition may have gone to another copy
    for partition, messages in lag.items():
        LAG.labels(partition).set(messages)
