"""A model beside its peers: fitted on the older sales, asked about the newest ones."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np

from erp import intervals
from erp.intervals import Estimate
from erp.recommender import calibration, evaluation, peers
from erp.recommender.evaluation import DEPTH, Trial
from erp.recommender.fitting import fit_baskets
from erp.recommender.settings import ModelSettings

OURS, OURS_KNOWN = "this model", "this model, customer known"
GIVEN = 5  # recommendations whose confidence is held against what happened
FEWEST = 50  # baskets of a store that is told apart

Metrics = dict[str, Estimate | float]


class Comparison(NamedTuple):
    """What a comparison found; shares go from 0 to 1.

    Attributes
    ----------
    sales, learned_from, asked : how many there are, were fitted on, had a product hidden
    window : ISO times of the first and the last sale asked about
    settings : of the model
    ranking : name -> hit@5, hit@10, MRR@10, nDCG@10 (Estimates), coverage, novelty (bits), repeats,
        hit@10 repeat and hit@10 new (see `evaluation.repeat_metrics`)
    best_peer : the peer with the highest hit@10
    ratio : our hit@10 without customers to its
    known_ratio : our hit@10 with customers to that without
    groups : "size" or "store" -> group -> name (ours, and the best peer) -> hit@10
    sources : OURS or OURS_KNOWN -> source -> share of the recommendations
    confidence : question ("next sale", "hidden half") -> calibration, and in "by" that of its parts
    left_out : peer -> why it was not asked
    """

    sales: int
    learned_from: int
    asked: int
    window: tuple[str, str]
    settings: dict[str, Any]
    ranking: dict[str, Metrics]
    best_peer: str
    ratio: Estimate
    known_ratio: Estimate
    groups: dict[str, dict[str, dict[str, Estimate]]]
    sources: dict[str, dict[str, float]]
    confidence: dict[str, dict[str, Any]]
    left_out: dict[str, str]


def first_asked(baskets, share: float = 0.1) -> int:
    """The place of the first sale that `compare` keeps from the model."""
    return int(len(baskets) * (1 - share))


def compare(
    baskets, settings: ModelSettings, share: float = 0.1, most: int = 20_000
) -> Comparison | None:
    """Hide the newest `share` of the sales, fit on the others, ask about at most `most` of them.

    None where there are too few sales to ask about.
    """
    first = first_asked(baskets, share)
    hidden = evaluation.hidden_trial(baskets, first, most)
    if not len(hidden):
        return None
    past = baskets.between(0, first)
    model = fit_baskets(past, None, settings)
    answers = {
        name: evaluation.ask(model, baskets, hidden, DEPTH, known)
        for name, known in ((OURS, False), (OURS_KNOWN, True))
    }
    theirs, left_out = peers.all_peers(past, hidden, settings.threads)
    codes = {name: evaluation.codes_of(baskets, a, DEPTH) for name, a in answers.items()} | theirs
    ranks = {name: evaluation.ranks_of(found, hidden) for name, found in codes.items()}
    hits = {name: found > 0 for name, found in ranks.items()}
    best = max(theirs, key=lambda name: hits[name].sum())
    return Comparison(
        sales=len(baskets),
        learned_from=len(past),
        asked=len(hidden),
        window=(_iso(baskets.times[hidden.sales[0]]), _iso(baskets.times[hidden.sales[-1]])),
        settings=asdict(settings),
        ranking=_ranking(baskets, past, hidden, codes, ranks),
        best_peer=best,
        ratio=intervals.ratio(hits[OURS], hits[best]),
        known_ratio=intervals.ratio(hits[OURS_KNOWN], hits[OURS]),
        groups=_groups(baskets, hidden, {name: hits[name] for name in (OURS, OURS_KNOWN, best)}),
        sources={name: _sources(found) for name, found in answers.items()},
        confidence=_confidence(model, baskets, first, most),
        left_out=left_out,
    )


def _ranking(baskets, past, hidden: Trial, codes, ranks) -> dict[str, Metrics]:
    sold = np.bincount(past.items, minlength=len(past.item_ids))
    purchases = evaluation.Purchases(baskets)
    return {
        name: evaluation.ranking_metrics(ranks[name])
        | evaluation.variety_metrics(found, sold, len(past))
        | evaluation.repeat_metrics(found, ranks[name], hidden, purchases)
        for name, found in codes.items()
    }


def _groups(baskets, hidden: Trial, hits) -> dict[str, dict[str, dict[str, Estimate]]]:
    """hit@10 by products shown and by store."""
    stores = baskets.stores[hidden.sales]
    kinds = {
        "size": calibration.size_groups(hidden.sizes),
        "store": calibration.store_groups(stores, baskets.store_ids, FEWEST),
    }
    return {
        kind: {
            group: {
                name: intervals.share(int(found[rows].sum()), int(rows.sum()))
                for name, found in hits.items()
            }
            for group, rows in groups
            if rows.any()
        }
        for kind, groups in kinds.items()
    }


def _sources(answers: list[list[dict]]) -> dict[str, float]:
    counts = Counter(one["source"] for answer in answers for one in answer)
    return {source: counts[source] / counts.total() for source in calibration.SOURCES if counts}


def _confidence(model, baskets, first: int, most: int) -> dict[str, dict[str, Any]]:
    """Whether what was said happened, for known customers and for anonymous baskets."""
    questions = {
        "next sale": (evaluation.next_trial(baskets, first, most), True),
        "hidden half": (evaluation.half_trial(baskets, first, most), False),
    }
    found = {}
    for name, (trial, known) in questions.items():
        if len(trial):
            answers = evaluation.ask(model, baskets, trial, GIVEN, known)
            what = calibration.said(baskets, trial, answers)
            by = calibration.calibration_by(what, baskets.store_ids)
            found[name] = calibration.calibration(what) | {"by": by}
    return found


def _iso(moment: float) -> str:
    return dt.datetime.fromtimestamp(float(moment), dt.UTC).isoformat(timespec="seconds")
