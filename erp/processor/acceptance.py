"""Did it help: what customers bought after they were recommended something.

A recommended product is accepted when its customer buys it in a later sale, at most so many days
after the sale that was answered. Of customers who came back within these days it is also told
whether their next sale held it, because that is what confidence_percentage speaks of. Returns are
no purchases; the answers of unknown customers cannot be followed.

Answers marked `control` had bestsellers alone. They are kept apart from all the others: what is
accepted more often than there is what the model adds.

The counts are shares of products, and products of one answer are alike, so that the intervals
(Wilson) are somewhat narrow.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any, Final

import polars as pl
from msgspec import Struct

from erp import intervals
from erp.intervals import Estimate

BOUNDS: Final = (0, 1, 2, 3, 5, 7.5, 10, 15, 20, 30, 40, 60, 100)  # percent of confidence
VERSIONS_MOST: Final = 20  # newest model versions that are told apart
COUNTS: Final = ("answers", "hits", "products", "accepted", "returned", "next")

ANSWERS: Final[dict[str, Any]] = {
    "answer": pl.UInt32,
    "sale_id": pl.String,
    "customer_id": pl.String,
    "time": pl.Datetime("ms", "UTC"),
    "version": pl.String,
    "control": pl.Boolean,
}
OFFERS: Final[dict[str, Any]] = {
    "answer": pl.UInt32,
    "product_id": pl.String,
    "ranking": pl.Int64,
    "source": pl.String,
    "confidence": pl.Float64,  # percent
}
PURCHASES: Final[dict[str, Any]] = {
    "sale_id": pl.String,
    "customer_id": pl.String,
    "time": pl.Datetime("ms", "UTC"),
    "product_id": pl.String,
}


class Group(Struct):
    """Recommendations that have something in common, and what became of them."""

    by: str  # "arm", "rank", "source", "confidence" or "version"
    key: str  # "model" or "control"; the rank; the source; "7.5-10" percent; the version
    answers: int
    hits: int  # answers of which at least one product was accepted
    products: int  # recommended, each time counted
    accepted: int  # bought within the days
    returned: int  # products of answers whose customer came back within the days
    next: int  # of these, in the next sale
    said: float  # sum of the chances stated for `returned`, 0 to 1 each

    @property
    def acceptance(self) -> Estimate:
        """Share of the products that were accepted."""
        return intervals.share(self.accepted, self.products)

    @property
    def hit(self) -> Estimate:
        """Share of the answers with an accepted product."""
        return intervals.share(self.hits, self.answers)

    @property
    def bought_next(self) -> Estimate:
        """Share of the products that were in the next sale of those who came back."""
        return intervals.share(self.next, self.returned)

    @property
    def stated(self) -> float | None:
        """The mean chance that was stated for these, 0 to 1."""
        return self.said / self.returned if self.returned else None


class Performance(Struct):
    """recommendation_performance, the document "all"."""

    days: int  # after a sale, in which a later purchase counts
    computed_at: datetime
    first_day: str | None  # of the sales whose answers are counted, YYYY-MM-DD
    last_day: str | None  # those after it have not had their days yet
    anonymous: int  # answers whose customer is not known
    groups: list[Group]

    def of(self, by: str) -> list[Group]:
        """The groups of one kind, in their order."""
        return [group for group in self.groups if group.by == by]

    @property
    def lift(self) -> Estimate | None:
        """By how much more answers of the model have a hit than those of the control group."""
        arms = {group.key: group for group in self.of("arm")}
        if not {"model", "control"} <= arms.keys():
            return None
        return intervals.difference(arms["model"].hit, arms["control"].hit)


def bought(tickets: pl.DataFrame, lines: pl.DataFrame) -> pl.DataFrame:
    """PURCHASES of a ticket frame and a line frame (erp.processor.facts): returns left out."""
    known = tickets.filter(pl.col("day").is_not_null() & (pl.col("customer_id") != ""))
    return (
        lines.filter(pl.col("units") >= 0)
        .join(known.select("sale", "sale_id", "customer_id", "time"), on="sale")
        .select(pl.col("product_id").cast(pl.String), "sale_id", "customer_id", "time")
        .select(list(PURCHASES))
    )


def follow(
    answers: pl.DataFrame, offers: pl.DataFrame, purchases: pl.DataFrame, days: int
) -> pl.DataFrame:
    """The offers with `version`, `control`, and the flags accepted, returned and next.

    Parameters
    ----------
    answers : ANSWERS, of known customers
    offers : OFFERS
    purchases : PURCHASES that reach to `days` after the last answer
    """
    theirs = purchases.join(answers, on="customer_id", how="semi").sort("time", "sale_id")
    visits = theirs.select("customer_id", next_time="time", next_sale="sale_id").unique(
        maintain_order=True
    )
    until = pl.col("time") + timedelta(days=days)
    asked = (
        answers.sort("time")
        .join_asof(
            visits,
            left_on="time",
            right_on="next_time",
            by="customer_id",
            strategy="forward",
            allow_exact_matches=False,
            check_sortedness=False,
        )
        .with_columns(returned=(pl.col("next_time") <= until).fill_null(value=False))
    )
    bought_at = theirs.select("customer_id", "product_id", bought_at="time")
    held = theirs.select("product_id", next_sale="sale_id").unique().with_columns(held=True)
    return (
        offers.join(asked, on="answer")
        .sort("time")
        .join_asof(
            bought_at,
            left_on="time",
            right_on="bought_at",
            by=["customer_id", "product_id"],
            strategy="forward",
            allow_exact_matches=False,
            check_sortedness=False,
        )
        .join(held, on=["next_sale", "product_id"], how="left")
        .select(
            *OFFERS,
            "version",
            "control",
            accepted=(pl.col("bought_at") <= until).fill_null(value=False),
            returned="returned",
            next=pl.col("returned") & pl.col("held").fill_null(value=False),
        )
    )


def grouped(followed: pl.DataFrame) -> dict[date, list[Group]]:
    """By day of the sales, the groups of the offers that `follow` gave, with the column `day`."""
    names = [f"{low:g}-{high:g}" for low, high in pairwise(BOUNDS)]
    treated = followed.filter(~pl.col("control"))
    kinds = {
        "arm": (
            followed,
            pl.when("control").then(pl.lit("control")).otherwise(pl.lit("model")),
        ),
        "rank": (treated, pl.col("ranking").cast(pl.String)),
        "source": (treated, pl.col("source")),
        "confidence": (
            treated,
            pl.sum_horizontal(
                (pl.col("confidence") >= bound).cast(pl.Int64) for bound in BOUNDS[1:-1]
            ).replace_strict(dict(enumerate(names)), return_dtype=pl.String),
        ),
        "version": (treated, pl.col("version")),
    }
    groups: dict[date, list[Group]] = defaultdict(list)
    for by, (offers, key) in kinds.items():
        for row in _counts(offers, key).iter_rows(named=True):
            groups[row.pop("day")].append(Group(by=by, **row))
    return groups


def _counts(offers: pl.DataFrame, key: pl.Expr) -> pl.DataFrame:
    return (
        offers.group_by("day", key.alias("key"))
        .agg(
            answers=pl.col("answer").n_unique().cast(pl.Int64),
            hits=pl.col("answer").filter("accepted").n_unique().cast(pl.Int64),
            products=pl.len().cast(pl.Int64),
            accepted=pl.col("accepted").sum().cast(pl.Int64),
            returned=pl.col("returned").sum().cast(pl.Int64),
            next=pl.col("next").sum().cast(pl.Int64),
            said=(pl.col("confidence").filter("returned") / 100).sum(),
        )
        .sort("day", "key")
    )


def added(parts: Iterable[Iterable[Mapping[str, Any]]]) -> list[Group]:
    """The groups of several days together, in the order in which they are read."""
    sums: dict[tuple[str, str], Group] = {}
    for part in parts:
        for row in part:
            place = (row["by"], row["key"])
            total = sums.setdefault(place, Group(*place, 0, 0, 0, 0, 0, 0, 0.0))
            for name in (*COUNTS, "said"):
                setattr(total, name, getattr(total, name) + row[name])
    versions = sorted((key for by, key in sums if by == "version"), reverse=True)
    for key in versions[VERSIONS_MOST:]:
        del sums["version", key]
    return sorted(sums.values(), key=_order)


def _order(group: Group) -> tuple[Any, ...]:
    """Kinds by name; ranks and confidence as numbers, the newest version first."""
    if group.by == "rank":
        return (group.by, int(group.key))
    if group.by == "confidence":
        return (group.by, float(group.key.partition("-")[0]))
    if group.by == "version":
        return (group.by, [-ord(letter) for letter in group.key])
    return (group.by, group.key)
