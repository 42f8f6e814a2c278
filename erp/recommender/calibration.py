"""Whether a confidence was true: what was said beside what happened."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from erp import intervals
from erp.recommender.evaluation import SIZES, Trial

FEWEST = 500  # recommendations of a store whose calibration is told apart
MOST_STORES = 20
SOURCES = ("model", "category", "popular")


@dataclass(frozen=True)
class Said:
    """What was said and what happened, one entry per recommendation."""

    chance: np.ndarray
    happened: np.ndarray
    size: np.ndarray
    source: np.ndarray
    store: np.ndarray

    def __getitem__(self, rows) -> Said:
        return Said(
            self.chance[rows], self.happened[rows], self.size[rows], self.source[rows],
            self.store[rows],
        )  # fmt: skip


def said(baskets, trial: Trial, answers: list[list[dict]]) -> Said:
    """Probabilities and outcomes of recommendations."""
    chance, happened, size, source, store = [], [], [], [], []
    item_ids = np.array(baskets.item_ids, dtype=object)
    indptr, items = trial.answers
    for row, answer in enumerate(answers):
        right = set(item_ids[items[indptr[row] : indptr[row + 1]]].tolist())
        for one in answer:
            chance.append(one["confidence_percentage"] / 100)
            happened.append(one["product_id"] in right)
            source.append(one["source"])
            size.append(int(trial.sizes[row]))
            store.append(int(baskets.stores[trial.sales[row]]))
    return Said(
        np.array(chance, float),
        np.array(happened, bool),
        np.array(size, int),
        np.array(source, str),
        np.array(store, int),
    )


def calibration(what: Said, bins: int = 10) -> dict:
    """Error (mean gap of equally filled bins), Brier skill over the mean, and the bins.

    by_chance is the error to be expected of what is said if it were exactly true and each
    recommendation came true by itself: √(2/π) of a normal deviation. An error that is not above it
    tells nothing against what was said.

    A constant is calibrated too, and has a skill of 0: error and skill belong together. Expected
    calibration error: Naeini et al., 2015; Brier skill score: Murphy, 1973.
    """
    if not len(what.chance):
        nothing = ("error", "by_chance", "skill", "said", "happened")
        return {"recommendations": 0, **dict.fromkeys(nothing, 0.0), "bins": []}
    order = np.argsort(what.chance, kind="stable")
    table, gaps, chance = [], 0.0, 0.0
    for part in np.array_split(order, bins):
        if len(part):
            happened = intervals.share(int(what.happened[part].sum()), len(part))
            told = float(what.chance[part].mean())
            table.append({"said": told, "happened": happened, "count": len(part)})
            gaps += abs(told - happened.value) * len(part)
            chance += float(np.sqrt((what.chance[part] * (1 - what.chance[part])).sum()))
    rate = float(what.happened.mean())
    constant = rate * (1 - rate)
    brier = float(np.square(what.chance - what.happened).mean())
    return {
        "recommendations": len(order),
        "error": gaps / len(order),
        "by_chance": math.sqrt(2 / math.pi) * chance / len(order),
        "skill": 1 - brier / constant if constant > 0 else 0.0,
        "said": float(what.chance.mean()),
        "happened": rate,
        "bins": table,
    }


def calibration_by(what: Said, store_ids: list[str]) -> dict[str, dict]:
    """Calibration by basket size, by source and by store (the largest ones)."""
    parts = {}
    for name, rows in size_groups(what.size):
        parts[f"size {name}"] = rows
    for source in SOURCES:
        parts[f"source {source}"] = what.source == source
    for name, rows in store_groups(what.store, store_ids, FEWEST):
        parts[f"store {name}"] = rows
    return {name: calibration(what[rows]) for name, rows in parts.items() if rows.any()}


def size_groups(sizes: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Names and rows of the groups of basket sizes."""
    for low, high in SIZES:
        name = f"{low}+" if high is None else f"{low}-{high}" if high > low else str(low)
        yield name, (sizes >= low) & (sizes <= (high or np.inf))


def store_groups(
    stores: np.ndarray, store_ids: list[str], fewest: int
) -> Iterator[tuple[str, np.ndarray]]:
    """Names and rows of the largest stores, of at least `fewest` rows, MOST_STORES at most."""
    codes, counts = np.unique(stores[stores >= 0], return_counts=True)
    for place in np.argsort(-counts, kind="stable")[:MOST_STORES]:
        if counts[place] >= fewest:
            yield store_ids[codes[place]], stores == codes[place]
