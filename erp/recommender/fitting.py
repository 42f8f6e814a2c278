"""A model of past sales: of data frames, of baskets, or of nothing but what sells.

`fit` takes data frames with the columns of the contract (pandas, polars, pyarrow, dict of lists).
The same set of sales gives the same model, in whatever order sales and lines come.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from erp.memory import give_back
from erp.recommender import learning, sampling, training_data
from erp.recommender.catalogue import Catalogue
from erp.recommender.live_history import fit_history
from erp.recommender.model import Model
from erp.recommender.settings import ModelSettings

HASHES_KEPT = 2_000_000  # newest sales of the training, to tell those that are in it


def fit(sales_items, sales, products=None, *, timezone: str = "UTC", **settings) -> Model:
    """A model of data frames.

    Parameters
    ----------
    sales_items : frame with sale_id, product_id and, if known, quantity (negative: a return)
    sales : frame with sale_id, sale_datetime and, if known, customer_id and store_id
    products : frame with product_id, name, category, active, or None
    timezone : the zone of times without an offset
    settings : fields of ModelSettings

    Raises
    ------
    TrainingDataError
        A required column is missing.
    """
    chosen = ModelSettings(**settings)
    baskets = training_data.from_frames(sales_items, sales, timezone)
    rows = [] if products is None else training_data.as_table(products).to_pylist()
    return fit_baskets(baskets, Catalogue.from_products(rows, chosen.never_recommend), chosen)


def fit_baskets(
    baskets, catalogue: Catalogue | None = None, settings: ModelSettings | None = None
) -> Model:
    """A model of `training_data.Baskets`; with none it answers from the catalogue alone.

    Raises
    ------
    ValueError
        The baskets were not made by `training_data` and do not fit together.
    """
    baskets, settings = baskets.checked(), settings or ModelSettings()
    catalogue = catalogue or Catalogue(settings.never_recommend)
    names = [catalogue.get(key) for key in baskets.item_ids]
    categories = [product.category for product in names]
    heads = learning.learn(baskets, settings, categories)
    give_back()
    similarity, sold, _ = learning.fit_parts(baskets, settings, categories)
    return Model(
        settings=settings,
        item_ids=baskets.item_ids,
        store_ids=baskets.store_ids,
        item_categories=categories,
        similarity=similarity,
        sold=sold,
        heads=heads,
        history=fit_history(baskets, settings.personal_halflife_days),
        trained_sales=np.sort(sampling.keys_of(baskets.sale_ids[-HASHES_KEPT:])),
        facts=facts_of(baskets.times[[0, -1]] if len(baskets) else [], baskets.counts),
        catalogue=catalogue,
    )


def popular(counts: Mapping[str, float], catalogue: Catalogue | None = None) -> Model:
    """A model that knows only how often each product was sold: an answer until one is trained.

    Parameters
    ----------
    counts : sales (or lines) by product id
    """
    counts = {str(key): float(counts[key]) for key in counts if key is not None}
    counts = dict(sorted(counts.items()))
    settings = ModelSettings()
    empty = training_data.empty(list(counts))
    similarity, sold, _ = learning.fit_parts(empty, settings, [None] * len(counts))
    volume = np.array(list(counts.values()), np.float32)
    sold = replace(sold, shares=volume / max(volume.sum(), 1))
    return Model(
        settings=settings,
        item_ids=empty.item_ids,
        store_ids=[],
        item_categories=[None] * len(counts),
        similarity=similarity,
        sold=sold,
        heads=learning.Heads(),
        history=fit_history(empty, settings.personal_halflife_days),
        trained_sales=np.zeros(0, np.uint64),
        facts=facts_of([], empty.counts),
        catalogue=catalogue or Catalogue(),
    )


def facts_of(window, counts: Mapping[str, int]) -> dict:
    """What is said about a model beside its parts.

    Parameters
    ----------
    window : seconds of the first and the last sale; empty where there are none
    """
    return {
        "algo": "item-cooccurrence" if len(window) else "popularity",
        "trained_at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "window": [_iso(moment) for moment in window],
        "counts": {key: int(value) for key, value in counts.items()},
        "metrics": {},
    }


def _iso(moment: float) -> str:
    return dt.datetime.fromtimestamp(float(moment), dt.UTC).isoformat(timespec="seconds")
