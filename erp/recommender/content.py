"""A model as plain values and arrays, and back: what its artefact holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields

import numpy as np

from erp.recommender import artefact, checks, learning, logistic
from erp.recommender.catalogue import Catalogue
from erp.recommender.history import SCALES
from erp.recommender.live_history import History
from erp.recommender.popularity import Popularity
from erp.recommender.settings import ModelSettings
from erp.recommender.similarity import Similarity


def content_of(model) -> dict:
    """Plain values and arrays of a Model."""
    view, history = model.view, model.customers.history
    return {
        "facts": model.facts,
        "settings": asdict(model.settings)
        | {"never_recommend": list(model.settings.never_recommend)},
        "items": {
            "ids": model.item_ids,
            "names": [
                name if name != key else None
                for name, key in zip(view.names, model.item_ids, strict=True)
            ],
            "categories": model.item_categories,
            "active": view.active,
        },
        "stores": model.store_ids,
        "similarity": _arrays_of(model.similarity),
        "popularity": _arrays_of(model.sold),
        "heads": {
            field.name: None
            if (head := getattr(model.heads, field.name)) is None
            else _arrays_of(head)
            for field in fields(model.heads)
        },
        "history": {
            "half_life_days": history.half_life_days,
            "origin": history.origin,
            "customers": list(history.rows),
            "indptr": history.indptr,
            "items": history.items,
            "sums": history.sums,
            "totals": history.totals,
        },
        "trained_sales": model.customers.trained,
    }


def hash_of(content: Mapping) -> str:
    """SHA-256 (hex) of a content but for when it was made: equal sales have equal hashes."""
    facts = {name: fact for name, fact in content["facts"].items() if name != "trained_at"}
    return artefact.content_hash({**content, "facts": facts})


def parts_of(content: Mapping) -> dict:
    """The inverse of `content_of`: what Model takes, with the catalogue that was remembered."""
    settings = ModelSettings(
        **{**content["settings"], "never_recommend": tuple(content["settings"]["never_recommend"])}
    )
    items, history = content["items"], content["history"]
    many = len(items["ids"])
    return {
        "settings": settings,
        "item_ids": items["ids"],
        "store_ids": content["stores"],
        "item_categories": items["categories"],
        "similarity": Similarity(**content["similarity"]).checked(many),
        "sold": Popularity(**content["popularity"]).checked(many, len(content["stores"])),
        "heads": learning.Heads(
            **{
                name: None if head is None else logistic.Weights(**head)
                for name, head in content["heads"].items()
            }
        ),
        "history": _history(history, many),
        "trained_sales": content["trained_sales"],
        "facts": content["facts"],
        "catalogue": Catalogue.from_products(_products(items), settings.never_recommend),
    }


def _history(held: Mapping, items: int) -> History:
    customers = {key: row for row, key in enumerate(held["customers"])}
    indptr, codes = checks.csr(held["indptr"], held["items"], len(customers), items, "histories")
    return History(
        held["half_life_days"],
        held["origin"],
        customers,
        indptr,
        codes,
        checks.array(held["sums"], np.float32, (len(codes), len(SCALES)), "histories' sums"),
        checks.array(held["totals"], np.float32, (len(customers), len(SCALES)), "totals"),
    )


def _products(items: Mapping):
    columns = (items["ids"], items["names"], items["categories"], items["active"].tolist())
    for key, name, category, active in zip(*columns, strict=True):
        yield {"product_id": key, "name": name, "category": category, "active": active}


def _arrays_of(part) -> dict:
    return {field.name: getattr(part, field.name) for field in fields(part)}
