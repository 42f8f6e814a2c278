"""May a new model take the place of the one in service? Both are asked about the newest sales.

One product of each sale of a slice is hidden, with the customer known, and looked for among ten
recommendations. The candidate that is compared learns from the sales before the slice alone. The
model in service is asked as it is where enough sales are newer than all it learned from; else it
has seen the slice, and its settings are fitted anew on what the candidate learns from, so that the
comparison is one of settings.
"""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple

import numpy as np

from erp import intervals
from erp.decisions import Decision
from erp.recommender import evaluation, learning
from erp.recommender.catalogue import Catalogue
from erp.recommender.evaluation import DEPTH, Trial
from erp.recommender.fitting import fit_baskets
from erp.recommender.model import Model
from erp.recommender.settings import ModelSettings

MARGIN = 0.02  # share by which the candidate may be worse
MOST = 10_000  # sales asked about
ENOUGH = 300  # sales with a product to hide that tell something
FEWEST = 20  # below which nothing is decided, and the model in service stays
SLICE_SALES = 500  # of the slice, at least, as long as that is not over half of them


class Contest(NamedTuple):
    """The sales that decide: from place `first` on, and whether the model in service saw them."""

    first: int
    trial: Trial
    seen: bool


def slice_of(baskets) -> int:
    """The place of the first sale that may decide."""
    return learning.slice_start(len(baskets), fewest=SLICE_SALES)


def contest(baskets, in_service: Model) -> Contest:
    """The newest slice, or what the model in service has not seen of it, if that is enough."""
    start = slice_of(baskets)
    unseen = max(start, int(np.searchsorted(baskets.times, _known_until(in_service))))
    trial = evaluation.hidden_trial(baskets, unseen, MOST)
    if len(trial) >= ENOUGH:
        return Contest(unseen, trial, seen=False)
    return Contest(start, evaluation.hidden_trial(baskets, start, MOST), seen=True)


def _known_until(model: Model) -> float:
    """Seconds since 1970 UTC that end after the last sale the model learned from."""
    if not model.window:
        return -np.inf
    return dt.datetime.fromisoformat(model.window[1]).timestamp() + 1  # it says whole seconds


def judge(
    baskets,
    catalogue: Catalogue,
    settings: ModelSettings,
    in_service: Model,
    asked: Contest,
    margin: float = MARGIN,
) -> Decision:
    """Compare a candidate of these settings with the model in service.

    Parameters
    ----------
    settings : of the candidate; they may have been chosen by the sales before `asked.first`, not by
        those after it
    asked : of `contest`, for the same baskets and model
    margin : the candidate gets in unless its hit@10 is below (1 - margin) times the other's
    """
    if len(asked.trial) < FEWEST:
        return decision(False, "too few sales", baskets, margin, in_service)
    past = baskets.between(0, asked.first)
    candidate = fit_baskets(past, catalogue, settings)
    if not asked.seen:
        rival = in_service
        rival.use(catalogue)
    elif in_service.settings == settings:
        rival = candidate
    else:
        rival = fit_baskets(past, catalogue, in_service.settings)
    ours = _hits(candidate, baskets, asked.trial)
    theirs = ours if rival is candidate else _hits(rival, baskets, asked.trial)
    fine = bool(ours.sum() >= (1 - margin) * theirs.sum())
    ratio = intervals.ratio(ours, theirs)
    return decision(
        fine,
        "not worse" if fine else "worse",
        baskets,
        margin,
        in_service,
        compared="fitted anew" if asked.seen else "as it is",
        learned_from=len(past),
        asked=len(asked.trial),
        candidate=float(ours.mean()),
        in_service=float(theirs.mean()),
        ratio=ratio.value,
        low=ratio.low,
        high=ratio.high,
    )


def decision(
    replaced: bool, reason, baskets, margin: float, before: Model | None = None, **measured
) -> Decision:
    """A decision of now; without `measured`, one that needed no comparison."""
    return Decision(
        replaced=replaced,
        reason=reason,
        decided_at=dt.datetime.now(dt.UTC).replace(microsecond=0),
        margin=margin,
        sales=len(baskets),
        version_before=before.version if before else None,
        **({"compared": "nothing"} | measured),
    )


def _hits(model: Model, baskets, trial: Trial) -> np.ndarray:
    answers = evaluation.ask(model, baskets, trial, DEPTH, known=True)
    return evaluation.ranks_of(evaluation.codes_of(baskets, answers, DEPTH), trial) > 0


def in_words(made: Decision) -> str:
    """One line for a person."""
    what = "replaced" if made.replaced else "kept"
    if made.candidate is None or made.in_service is None:
        why = {
            "no model": "there was none",
            "unusable model": "the one before could not be used",
            "too few sales": f"too few of {made.sales:,} sales have two products to compare models",
        }
        return f"the model in service is {what}: {why[made.reason]}"
    return (
        f"the model in service is {what}: of {made.asked:,} hidden products of the newest sales the"
        f" new one finds {100 * made.candidate:.2f} %, the one in service ({made.compared})"
        f" {100 * made.in_service:.2f} %; ratio {made.ratio:.3f} ({made.low:.3f} to"
        f" {made.high:.3f}), at least {1 - made.margin:.3f} is wanted"
    )
