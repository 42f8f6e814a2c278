"""Settings found for a shop: a bounded search, judged on the newest tenth of the given sales.

The sales are cut by time: models learn from the older nine tenths and are asked about the newest,
the validation slice. What is to be measured or decided later must not be among the given sales. One
setting after the other is varied (coordinate descent); a change is taken where the products that it
finds in addition outnumber those that it loses by more than chance: the difference exceeds its own
standard error, sqrt(found + lost) as in McNemar's test, 1947. A small shop keeps its settings.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import numpy as np

from erp.recommender import evaluation
from erp.recommender.catalogue import Catalogue
from erp.recommender.evaluation import DEPTH
from erp.recommender.fitting import fit_baskets
from erp.recommender.settings import ModelSettings

SLICE = 0.1  # of the given sales
ASKED = 5_000  # baskets of the slice, at most
FEWEST = 100  # below which nothing can be told
SECONDS = 600.0  # for the whole search
VARIED: dict[str, tuple[float, ...]] = {  # in this order
    "size_exponent": (0.0, 0.25, 0.75, 1.0, 1.5),
    "ridge": (10.0, 25.0, 100.0, 200.0, 500.0),
    "recency_halflife_months": (2.0, 12.0, 24.0),
    "item_exponent": (0.1, 0.5),
    "shrink": (0.0, 5.0, 20.0),
    "personal_halflife_days": (30.0, 120.0, 240.0),
    "popularity_halflife_days": (14.0, 60.0, 120.0),
}
TRIALS = sum(map(len, VARIED.values()))


@dataclass(frozen=True)
class Tuned:
    """What a search found.

    settings : the best; changed : {name: value} of those that differ from where it started
    asked : baskets of the validation slice; before, after : hit@10 there, 0 to 1, over baskets
        alone and, where there are customers, baskets with the customer known
    trials : settings that were tried, of TRIALS
    """

    settings: ModelSettings
    changed: dict[str, float]
    asked: int
    before: float
    after: float
    trials: int

    @property
    def facts(self) -> dict:
        """Plain values, to be kept with the model."""
        return {name: value for name, value in asdict(self).items() if name != "settings"}


def tune(
    baskets,
    catalogue: Catalogue | None,
    settings: ModelSettings,
    seconds: float = SECONDS,
    tried: Callable[[], None] = lambda: None,
) -> Tuned | None:
    """The best settings found from these ones; None where there are too few sales to tell.

    The same sales and settings give the same answer where `seconds` are enough for all TRIALS; what
    is tried in less is the beginning of the same list.

    Parameters
    ----------
    seconds : after which no other setting is tried
    tried : called after each trial
    """
    deadline = time.monotonic() + seconds
    first = int(len(baskets) * (1 - SLICE))
    trial = evaluation.hidden_trial(baskets, first, ASKED, settings.seed)
    if len(trial) < FEWEST:
        return None
    past = baskets.between(0, first)
    kinds = (False, True) if (baskets.customers[trial.sales] >= 0).any() else (False,)

    def hits(chosen: ModelSettings) -> np.ndarray:
        model = fit_baskets(past, catalogue, chosen)
        answers = (evaluation.ask(model, baskets, trial, DEPTH, known) for known in kinds)
        codes = (evaluation.codes_of(baskets, answer, DEPTH) for answer in answers)
        return np.concatenate([evaluation.ranks_of(found, trial) > 0 for found in codes])

    best, start = settings, hits(settings)
    found, trials = start, 0
    for name, values in VARIED.items():
        for value in values:
            if value == getattr(best, name):
                tried()
                continue
            if time.monotonic() >= deadline:
                break
            candidate = replace(best, **{name: value})  # type: ignore[arg-type]  # all floats
            theirs = hits(candidate)
            trials += 1
            tried()
            if _better(theirs, found):
                best, found = candidate, theirs
    changed = {
        name: getattr(best, name)
        for name in VARIED
        if getattr(best, name) != getattr(settings, name)
    }
    return Tuned(best, changed, len(trial), float(start.mean()), float(found.mean()), trials)


def _better(theirs: np.ndarray, ours: np.ndarray) -> bool:
    """Whether hits exceed others, bool (questions) each, by more than the standard error."""
    gained, lost = np.count_nonzero(theirs & ~ours), np.count_nonzero(ours & ~theirs)
    return bool(gained - lost > np.sqrt(gained + lost))


def in_words(found: Tuned | None) -> str:
    """One line for a person."""
    if found is None:
        return f"too few sales to tune: fewer than {FEWEST} of the newest tenth have two products"
    changes = ", ".join(f"{name} {value:g}" for name, value in found.changed.items())
    return (
        f"tuned by {found.trials} of {TRIALS} trials on {found.asked:,} sales:"
        f" {changes or 'nothing changed'}; hit@10 there {100 * found.before:.2f} % before,"
        f" {100 * found.after:.2f} % after"
    )
