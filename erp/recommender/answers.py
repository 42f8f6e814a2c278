"""From ranked products to recommendations with the fields of the contract."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate, cycle, pairwise

import numpy as np

from erp.recommender.kernel import SMALLEST, Answer
from erp.recommender.learning import Heads, popular_features


def compose(ids, names, categories, answer: Answer, n: int) -> list[list[dict]]:
    """The recommendations of a batch; ids, names, categories are lists by item code."""
    places = [(rank + 1, round(100 * (n - rank) / n, 2)) for rank in range(n)]
    starts = answer.starts.tolist()
    because = answer.because[: starts[-1]].tolist()
    reasons = [
        {"product_id": ids[one], "product_name": names[one], "share": share}
        for one, share in zip(because, answer.shares[: starts[-1]].tolist(), strict=True)
    ]
    columns = (
        answer.picked, answer.relevance, answer.relative, answer.chance, answer.support,
        answer.joined,
    )  # fmt: skip
    values = (column.ravel().tolist() for column in columns)
    found = [
        {
            "product_id": ids[code],
            "product_name": names[code],
            "category": categories[code],
            "relevancia": score,
            "relevancia_percentage": relative,
            "confidence_percentage": chance,
            "ranking": place[0],
            "ranking_percentage": place[1],
            "support": count,
            "source": "popular" if joined else "model",
            "because_of": reasons[first:end],
        }
        for code, score, relative, chance, count, joined, (first, end), place in zip(
            *values, pairwise(starts), cycle(places), strict=False
        )
        if code >= 0
    ]
    ends = accumulate(answer.many.tolist(), initial=0)
    return [found[first:end] for first, end in pairwise(ends)]


def top_up(
    row: list[dict],
    basket: Iterable[str],
    n: int,
    cap: int,
    offers: Callable[[], Iterator[tuple[str, float, str]]],
    view,
) -> list[tuple[str, float, str]]:
    """More products for a row that has too few, from the shelves; a full category yields last.

    Parameters
    ----------
    row : recommendations so far; basket : product ids
    offers : gives (product id, share, source), best first; called once for each pass
    view : CatalogueView
    """
    answer = [one["product_id"] for one in row]
    more: list[tuple[str, float, str]] = []
    taken = set(answer) | set(basket)
    names = {view.name(key).casefold() for key in answer}
    counts: dict[str | None, int] = {}
    for key in answer:
        counts[view.category(key)] = counts.get(view.category(key), 0) + 1
    for limit in (cap, 0) if cap > 0 else (0,):
        for key, share, source in offers():
            if len(answer) + len(more) >= n:
                return more
            if key in taken:
                continue
            name, category = view.name(key).casefold(), view.category(key)
            if name in names or (limit and category and counts.get(category, 0) >= limit):
                continue
            more.append((key, share, source))
            taken.add(key)
            names.add(name)
            counts[category] = counts.get(category, 0) + 1
    return more


class PopularChances:
    """The probability of a recommendation by category or popularity; remembers what it said."""

    REMEMBERED = 50_000

    def __init__(self, heads: Heads, per_sale: float):
        self._heads = (heads.half_popular, heads.next_popular)
        self._per_sale = per_sale
        self._said: dict[tuple, float] = {}

    def __call__(self, known: bool, share: float, source: str, size: int, found: int, habit: float):
        """A probability in per cent; without a head the product's share of a basket."""
        head = self._heads[known]
        if head is None:
            return round(100 * min(share * self._per_sale, 0.95), 2)
        key = (known, share, source, size, found, habit)
        if key not in self._said:
            if len(self._said) > self.REMEMBERED:
                self._said.clear()
            seen = popular_features(share, source == "category", size, found, habit)
            self._said[key] = round(float(100 / (1 + np.exp(-head.logit(seen)))), 2)
        return self._said[key]


def add_popular(row: list[dict], more, chance: Callable[[str, str], float], view) -> None:
    """Append products from the shelves; their relevance never exceeds the last one's.

    chance : gives the probability in per cent of (product id, source)
    """
    least = row[-1]["relevancia"] if row else 1.0
    for key, share, source in more:
        least = max(min(least, share), SMALLEST)
        row.append(
            {
                "product_id": key,
                "product_name": view.name(key),
                "category": view.category(key),
                "relevancia": least,
                "relevancia_percentage": 0.0,
                "confidence_percentage": chance(key, source),
                "ranking": 0,
                "ranking_percentage": 0.0,
                "support": 0,
                "source": source,
                "because_of": [],
            }
        )


def numbered(rows: list[dict], n: int) -> list[dict]:
    """Fill in the percentages that depend on the place and on the best one."""
    best = rows[0]["relevancia"] if rows else 1.0
    for place, row in enumerate(rows):
        row["relevancia_percentage"] = round(100 * row["relevancia"] / best, 2)
        row["ranking"] = place + 1
        row["ranking_percentage"] = round(100 * (n - place) / n, 2)
    return rows
