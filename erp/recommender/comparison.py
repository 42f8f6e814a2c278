"""A model beside its peers: fitted on the older sales, asked about the newest ones."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from erp import recommender
from erp.recommender import evaluation
from erp.recommender.evaluation import DEPTH
from erp.recommender.model import ModelSettings

OURS, OURS_KNOWN = "this model", "this model, customer known"
GIVEN = 5  # recommendations whose confidence is held against what happened


class Comparison(NamedTuple):
    """What a comparison found.

    ranking : name -> hit@5, hit@10 (and its 95 % half-width), MRR@10, nDCG@10, coverage, novelty
    best_peer : the peer with the highest hit@10 without customers
    ratio : our hit@10 to its, with the 95 % interval of a paired bootstrap
    confidence : question ("next sale", "hidden half") -> error, skill, said, happened, bins
    """

    sales: int
    asked: int
    ranking: dict[str, dict[str, float]]
    best_peer: str
    ratio: tuple[float, float, float]
    confidence: dict[str, dict[str, Any]]


def compare(
    baskets, settings: ModelSettings, share: float = 0.1, most: int = 20_000
) -> Comparison | None:
    """Hide the newest `share` of the sales, fit on the others, ask about at most `most` of them.

    None where there are too few sales to ask about.
    """
    first = int(len(baskets) * (1 - share))
    hidden = evaluation.hidden_trial(baskets, first, most)
    if not len(hidden):
        return None
    past = baskets.between(0, first)
    model = recommender.fit_baskets(past, None, settings)
    codes = {
        name: evaluation.codes_of(
            model, evaluation.ask(model, baskets, hidden, DEPTH, known), DEPTH
        )
        for name, known in ((OURS, False), (OURS_KNOWN, True))
    }
    codes["popularity"] = evaluation.most_popular(past, hidden)
    codes["plain cosine"] = evaluation.plain_cosine(past, hidden)
    codes |= evaluation.implicit_peers(past, hidden)
    ranks = {name: evaluation.ranks_of(found, hidden) for name, found in codes.items()}
    sold = np.bincount(past.items, minlength=len(past.item_ids))
    ranking = {
        name: evaluation.ranking_metrics(ranks[name])
        | evaluation.variety_metrics(found, sold, len(past))
        for name, found in codes.items()
    }
    peers = [name for name in codes if name not in (OURS, OURS_KNOWN)]
    best = max(peers, key=lambda name: ranking[name]["hit@10"])
    ours, theirs = ranks[OURS] > 0, ranks[best] > 0
    ratio = float(ours.mean() / max(theirs.mean(), 1e-9))
    interval = evaluation.ratio_interval(ours, theirs)
    return Comparison(
        len(baskets),
        len(hidden),
        ranking,
        best,
        (ratio, *interval),
        _confidence(model, baskets, first, most),
    )


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
            found[name] = evaluation.calibration(evaluation.said(model, baskets, trial, answers))
    return found
