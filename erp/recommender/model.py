"""Recommendations for a basket: fit on data frames, save, load, recommend. No Kafka, no MongoDB.

    from erp import recommender
    model = recommender.fit(sales_items, sales, products)
    model.recommend(["840361", "862349"], customer="1228")
    model.save("models/item_sim.pkl")

`fit` takes data frames with the columns of the contract (pandas, polars, pyarrow, dict of lists).
"""

from __future__ import annotations

import datetime as dt
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np

from erp.memory import give_back
from erp.recommender import answers, artefact, learning, ranking, training_data
from erp.recommender.catalogue import Catalogue
from erp.recommender.history import History, HistoryRows, fit_history
from erp.recommender.kernel import Kernel
from erp.recommender.popularity import Popularity
from erp.recommender.shelves import CatalogueView, Shelves
from erp.recommender.similarity import Similarity

CHUNK = 1000  # baskets scored at once
SALES_REMEMBERED = 100_000  # newest observed sales, to tell those that come twice
HASHES_KEPT = 2_000_000  # newest sales of the training, to tell those that are in it


@dataclass(frozen=True)
class ModelSettings:
    """What a fit may vary; config.py has the same names and defaults."""

    min_support: int = 2  # sales that hold both products, at least
    top_sim_per_item: int = 100  # neighbours kept per product
    recency_halflife_months: float = 6.0  # of a sale's weight in the similarities
    item_exponent: float = 0.3  # a: 0 is P(j | i), 0.5 the cosine
    size_exponent: float = 1.2  # b: how much less a line of a big basket counts
    shrink: float = 1.0  # in weighted sales; damps what rests on few
    personal_weight: float = 1.0  # factor on the odds of what the customer has bought before
    personal_halflife_days: float = 60.0  # of a customer's own frequencies
    popularity_halflife_days: float = 30.0  # of the bestsellers
    max_per_category: int = 0  # recommendations of one category, 0: no cap
    never_recommend: tuple[str, ...] = ()  # ids, names or categories
    candidates: int = 60  # ordered by what was learned
    order_ridge: float = 3.0  # in baskets
    confidence_ridge: float = 10.0  # in observations
    threads: int = 2
    seed: int = 0


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
    """A model of `training_data.Baskets`; with none it answers from the catalogue alone."""
    settings = settings or ModelSettings()
    catalogue = catalogue or Catalogue(settings.never_recommend)
    names = [catalogue.get(key) for key in baskets.item_ids]
    categories = [product.category for product in names]
    give_back()
    heads = learning.learn(baskets, settings, categories)
    give_back()
    similarity, sold, _ = learning.fit_parts(baskets, settings, categories)
    give_back()
    newest = baskets.sale_ids[-HASHES_KEPT:]
    return Model(
        settings=settings,
        item_ids=baskets.item_ids,
        store_ids=baskets.store_ids,
        categories=categories,
        similarity=similarity,
        sold=sold,
        heads=heads,
        history=fit_history(baskets, settings.personal_halflife_days),
        trained_sales=np.sort(np.array([_hash(key) for key in newest.to_pylist()], np.uint64)),
        facts=_facts(baskets),
        catalogue=catalogue,
    )


def popular(counts: Mapping[str, float], catalogue: Catalogue | None = None) -> Model:
    """A model that knows only how often each product was sold: an answer until one is trained.

    Parameters
    ----------
    counts : sales (or lines) by product id
    """
    counts = {str(key): float(count) for key, count in counts.items() if key is not None}
    settings = ModelSettings()
    empty = training_data.empty(list(counts))
    similarity, sold, _ = learning.fit_parts(empty, settings, [None] * len(counts))
    volume = np.array(list(counts.values()), np.float32)
    sold = replace(sold, shares=volume / max(volume.sum(), 1))
    return Model(
        settings=settings,
        item_ids=empty.item_ids,
        store_ids=[],
        categories=[None] * len(counts),
        similarity=similarity,
        sold=sold,
        heads=learning.Heads(),
        history=fit_history(empty, settings.personal_halflife_days),
        trained_sales=np.zeros(0, np.uint64),
        facts=_facts(empty),
        catalogue=catalogue or Catalogue(),
    )


def _facts(baskets) -> dict:
    """What is said about a model beside its parts."""
    return {
        "algo": "item-cooccurrence" if len(baskets) else "popularity",
        "trained_at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "window": [_iso(baskets.times[0]), _iso(baskets.times[-1])] if len(baskets) else [],
        "counts": {key: int(value) for key, value in baskets.counts.items()},
        "metrics": {},
    }


def load(path: str | Path) -> Model:
    """A model that `Model.save` wrote.

    Raises
    ------
    ArtefactMissingError, ArtefactForeignError, ArtefactDamagedError or ArtefactNewerError,
    each an ArtefactError
    """
    content, digest = artefact.read(path)
    try:
        return Model.from_content(content, digest)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise artefact.ArtefactForeignError(
            f"{path} lacks a part of a model ({error!r}); run model_train_reco.py"
        ) from error


class Model:
    """A fitted recommender. Use `fit` or `load`.

    Attributes
    ----------
    version : str, its time and a short content hash; algo, trained_at : str
    window : [first, last] ISO times; counts, metrics : dict
    settings : ModelSettings; catalogue : Catalogue
    """

    def __init__(
        self,
        settings: ModelSettings,
        item_ids: list[str],
        store_ids: list[str],
        categories: list[str | None],
        similarity: Similarity,
        sold: Popularity,
        heads: learning.Heads,
        history: History,
        trained_sales: np.ndarray,
        facts: dict,
        catalogue: Catalogue,
        version: str = "",
    ):
        self.settings, self.item_ids, self.store_ids = settings, item_ids, store_ids
        self.similarity, self.sold, self.heads, self.history = similarity, sold, heads, history
        self.facts, self._version = facts, version
        self._categories, self._trained_sales = categories, trained_sales
        self._index = {key: code for code, key in enumerate(item_ids)}
        self._stores = {key: code for code, key in enumerate(store_ids)}
        facts_of_items = ranking.item_facts(sold.shares, similarity.sales, categories)
        self._kernel = Kernel(similarity, facts_of_items, heads)
        self._popular_chance = answers.PopularChances(heads, sold.per_sale)
        self._observed: OrderedDict[str, tuple[str | None, np.ndarray, float]] = OrderedDict()
        self._lock = threading.RLock()
        self.newest = history.origin  # seconds, the newest sale known
        self.use(catalogue)

    # ---------------------------------------------------------------- what it is

    algo = property(lambda self: self.facts["algo"])
    trained_at = property(lambda self: self.facts["trained_at"])
    window = property(lambda self: self.facts["window"])
    counts = property(lambda self: self.facts["counts"])
    metrics = property(lambda self: self.facts["metrics"])

    @property
    def version(self) -> str:
        """When it was trained and its content's hash, short: 20260131T120000Z-0123abcd."""
        if not self._version:
            self._version = artefact.content_hash(self.content())
        trained = dt.datetime.fromisoformat(self.trained_at).astimezone(dt.UTC)
        return f"{trained:%Y%m%dT%H%M%SZ}-{self._version[:8]}"

    # ---------------------------------------------------------------- the catalogue

    def use(self, catalogue: Catalogue) -> None:
        """Take names, categories and activity from this catalogue, now and as it changes."""
        view = CatalogueView(self.item_ids, self._index, catalogue)
        with self._lock:
            self.catalogue, self._view = catalogue, view
            self._shelves = Shelves(self.sold, self._stores, view)

    # ---------------------------------------------------------------- customers

    def observe(
        self, sale_id: str, customer_id: str | None, product_ids: Iterable[str], time=None
    ) -> bool:
        """Add a sale to its customer's history, once however often it comes.

        A sale that comes again with other products replaces its first version.

        Parameters
        ----------
        time : datetime, ISO 8601 text or seconds since 1970 UTC; None: the newest time known

        Returns
        -------
        bool, whether anything changed
        """
        if customer_id is None:
            return False
        sale_id, customer_id = str(sale_id), str(customer_id)
        codes = np.unique(np.array(self._codes(product_ids), np.int32))
        moment = self.newest if time is None else _seconds(time)
        with self._lock:
            before = self._observed.get(sale_id)
            if before is None and self._is_trained(sale_id):
                return False
            if before is not None:
                if before[0] == customer_id and np.array_equal(before[1], codes):
                    return False
                self.history.add(before[0], before[1], before[2], sign=-1.0)
            self.history.add(customer_id, codes, moment)
            self._observed[sale_id] = (customer_id, codes, moment)
            if len(self._observed) > SALES_REMEMBERED:
                self._observed.popitem(last=False)
            self.newest = max(self.newest, moment)
        return True

    def observe_from(self, other: Model) -> int:
        """Take over the sales that another (older) model observed; the number that were new."""
        with other._lock:
            sales = list(other._observed.items())
        return sum(
            self.observe(sale, customer, [other.item_ids[code] for code in codes.tolist()], time)
            for sale, (customer, codes, time) in sales
        )

    def _is_trained(self, sale_id: str) -> bool:
        key = np.uint64(_hash(sale_id))
        place = np.searchsorted(self._trained_sales, key)
        return place < len(self._trained_sales) and self._trained_sales[place] == key

    # ---------------------------------------------------------------- recommendations

    def recommend(
        self, basket: Sequence[str], customer=None, n: int = 5, store=None, time=None
    ) -> list[dict]:
        """The `n` products to offer with a basket.

        Parameters
        ----------
        basket : product ids; unknown ones are allowed, and none at all
        customer : id, or None where unknown
        n : how many
        store : id, or None
        time : of the sale (datetime, ISO 8601 text or seconds since 1970 UTC); None: the newest
            time known

        Returns
        -------
        list of dict with the fields of a recommendation in the contract; always `n`, none of them
        in the basket, as long as the catalogue has that many active products by name.
        confidence_percentage is the probability that the customer's next sale holds the product;
        where no customer is given, that it is in the hidden half of a basket of which the other
        half was shown. support is the number of past sales that hold both the product and the
        first of because_of. because_of shares are the similarities' parts and add up to 100; it is
        empty where the basket did not lead to the product (her own habit, category, popularity).
        """
        return self.recommend_many([basket], [customer], n, [store], [time])[0]

    def recommend_many(
        self,
        baskets: Sequence[Sequence[str]],
        customers: Sequence | None = None,
        n: int = 5,
        stores: Sequence | None = None,
        times: Sequence | None = None,
        histories: HistoryRows | None = None,
    ) -> list[list[dict]]:
        """`recommend` for many baskets, in their order.

        `histories` gives the customers' frequencies, one row per basket, instead of the model's.
        """
        self._view.refresh()
        result = []
        for first in range(0, len(baskets), CHUNK):
            part = slice(first, first + CHUNK)
            chunk = baskets[part]
            result.extend(
                self._answer(
                    [list(basket) for basket in chunk],
                    _texts(customers[part] if customers is not None else None, len(chunk)),
                    n,
                    _texts(stores[part] if stores is not None else None, len(chunk)),
                    self._moments(times[part] if times is not None else None, len(chunk)),
                    None if histories is None else histories[np.arange(first, first + len(chunk))],
                )
            )
        return result

    def similar_items(self, product_id: str, n: int = 10) -> list[dict]:
        """The most similar products: product_id, product_name, category, similarity, support."""
        self._view.refresh()
        code = self._index.get(_text(product_id))
        if code is None:
            return []
        lo, hi = self.similarity.indptr[code : code + 2]
        values = self.similarity.values[lo:hi]
        return [
            {
                "product_id": self.item_ids[other],
                "product_name": self._view.names[other],
                "category": self._view.categories[other],
                "similarity": float(value),
                "support": int(support),
            }
            for other, value, support in (
                (
                    self.similarity.indices[lo + place],
                    values[place],
                    self.similarity.support[lo + place],
                )
                for place in np.argsort(-values, kind="stable")[:n]
            )
        ]

    def _codes(self, product_ids: Iterable[str]) -> list[int]:
        get = self._index.get
        found = {get(key if type(key) is str else _text(key)) for key in product_ids}
        found.discard(None)
        return sorted(found)

    def _moments(self, times, rows: int) -> np.ndarray:
        if times is None:
            return np.full(rows, self.newest)
        return np.array([self.newest if one is None else _seconds(one) for one in times])

    def _score(self, baskets, customers, moments, history, n):
        """What the compiled code says of a batch, and the history it looked at."""
        coded = [self._codes(basket) for basket in baskets]
        indptr = np.zeros(len(coded) + 1, np.int64)
        np.cumsum([len(codes) for codes in coded], out=indptr[1:])
        items = np.array([code for codes in coded for code in codes], np.int32)
        if history is None:
            with self._lock:
                history = self.history.batch(customers, moments)
        view = self._view
        answer = self._kernel.answer(
            (indptr, items),
            history,
            np.array([customer is not None for customer in customers], bool),
            (view.active, view.name_codes, view.category_codes),
            self.settings,
            n,
        )
        return answer, history

    def _answer(self, baskets, customers, n, stores, moments, history) -> list[list[dict]]:
        answer, history = self._score(baskets, customers, moments, history, n)
        view = self._view
        rows = answers.compose(self.item_ids, view.names, view.categories, answer, n)
        for place in np.flatnonzero((answer[0] < 0).any(axis=1)).tolist():
            self._fill_up(
                rows[place],
                n,
                [_text(key) for key in baskets[place]],
                stores[place],
                customers[place] is not None,
                int(answer[4][place]),
                round(float(history.baskets[place]), 2),
            )
        return rows

    def _fill_up(self, row, n, basket, store, known, found, habit) -> None:
        """Add bestsellers of the basket's categories, of the store and of all, in this order."""
        cap, size = self.settings.max_per_category, len(set(basket))
        more = answers.top_up(
            row, basket, n, cap, lambda: self._shelves.offers(basket, store), self._view
        )

        def chance(share: float, source: str) -> float:
            return self._popular_chance(known, share, source, size, found, habit)

        answers.add_popular(row, more, chance, self._view)
        answers.numbered(row, n)

    # ---------------------------------------------------------------- the artefact

    def save(self, path: str | Path) -> str:
        """Write the artefact, whole or not at all; returns the version."""
        self._version = artefact.write(path, self.content())
        return self.version

    def content(self) -> dict:
        """Plain values and arrays: what the artefact holds."""
        view, history = self._view, self.history
        return {
            "facts": self.facts,
            "settings": asdict(self.settings)
            | {"never_recommend": list(self.settings.never_recommend)},
            "items": {
                "ids": self.item_ids,
                "names": [
                    name if name != key else None
                    for name, key in zip(view.names, self.item_ids, strict=True)
                ],
                "categories": self._categories,
                "active": view.active,
            },
            "stores": self.store_ids,
            "similarity": _arrays_of(self.similarity),
            "popularity": _arrays_of(self.sold),
            "heads": {
                field.name: None
                if (head := getattr(self.heads, field.name)) is None
                else _arrays_of(head)
                for field in fields(self.heads)
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
            "trained_sales": self._trained_sales,
        }

    @classmethod
    def from_content(cls, content: Mapping, digest: str) -> Model:
        """The inverse of `content`, with the catalogue that the artefact remembers."""
        settings = ModelSettings(
            **{
                **content["settings"],
                "never_recommend": tuple(content["settings"]["never_recommend"]),
            }
        )
        items, history = content["items"], content["history"]
        catalogue = Catalogue.from_products(
            (
                {"product_id": key, "name": name, "category": category, "active": active}
                for key, name, category, active in zip(
                    items["ids"],
                    items["names"],
                    items["categories"],
                    items["active"].tolist(),
                    strict=True,
                )
            ),
            settings.never_recommend,
        )
        return cls(
            settings=settings,
            item_ids=items["ids"],
            store_ids=content["stores"],
            categories=items["categories"],
            similarity=Similarity(**content["similarity"]),
            sold=Popularity(**content["popularity"]),
            heads=learning.Heads(
                **{
                    name: None if head is None else ranking.Weights(**head)
                    for name, head in content["heads"].items()
                }
            ),
            history=History(
                history["half_life_days"],
                history["origin"],
                {key: row for row, key in enumerate(history["customers"])},
                history["indptr"],
                history["items"],
                history["sums"],
                history["totals"],
            ),
            trained_sales=content["trained_sales"],
            facts=content["facts"],
            catalogue=catalogue,
            version=digest,
        )


def _arrays_of(part) -> dict:
    return {field.name: getattr(part, field.name) for field in fields(part)}


def _hash(sale_id: str) -> int:
    return int.from_bytes(
        hashlib.blake2b(sale_id.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little"
    )


def _iso(moment: float) -> str:
    return dt.datetime.fromtimestamp(float(moment), dt.UTC).isoformat(timespec="seconds")


def _seconds(time) -> float:
    if isinstance(time, str):
        return training_data.moment(time)
    if isinstance(time, dt.datetime):
        return (time if time.tzinfo else time.replace(tzinfo=dt.UTC)).timestamp()
    return float(time)


def _text(key) -> str:
    return key if type(key) is str else (training_data.id_text(key) or "")


def _texts(values, rows: int) -> list[str | None]:
    if values is None:
        return [None] * rows
    return [value if type(value) is str else training_data.id_text(value) for value in values]
