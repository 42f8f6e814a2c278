"""A fitted model: recommendations for a basket, similar products, save and load."""

from __future__ import annotations

import copy
import datetime as dt
import math
import operator
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate, chain
from pathlib import Path

import numpy as np

from erp.memory import uncollected
from erp.recommender import answers, artefact, columns, content, learning
from erp.recommender.candidates import Candidates, item_facts
from erp.recommender.catalogue import Catalogue
from erp.recommender.customers import Customers
from erp.recommender.history import HistoryRows
from erp.recommender.kernel import Answer, Kernel
from erp.recommender.live_history import History
from erp.recommender.popularity import Popularity
from erp.recommender.sampling import Csr, distinct, keys_of_texts
from erp.recommender.settings import ModelSettings
from erp.recommender.shelves import CatalogueView, Shelves
from erp.recommender.similarity import Similarity

CHUNK = 1000  # baskets scored at once
SCORERS = min(4, os.cpu_count() or 1)  # threads: compiled code runs beside the interpreter


def load(path: str | Path) -> Model:
    """A model that `Model.save` wrote.

    Raises
    ------
    ArtefactMissingError, ArtefactForeignError, ArtefactDamagedError or ArtefactNewerError,
    each an ArtefactError
    """
    held, _ = artefact.read(path)
    try:
        return Model(**content.parts_of(held))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise artefact.ArtefactForeignError(
            f"{path} lacks a part of a model ({error!r}); run model_train_reco.py"
        ) from error


class Model:
    """A fitted recommender. Use `fit` or `load`.

    Attributes
    ----------
    version : str, its time and a short content hash; algo, trained_at : str
    content_hash : str, of everything but when it was trained: equal for equal sales
    window : [first, last] ISO times; counts, metrics : dict
    settings : ModelSettings; catalogue : Catalogue; customers : Customers
    """

    def __init__(
        self,
        settings: ModelSettings,
        item_ids: list[str],
        store_ids: list[str],
        item_categories: list[str | None],
        similarity: Similarity,
        sold: Popularity,
        heads: learning.Heads,
        history: History,
        trained_sales: np.ndarray,
        facts: dict,
        catalogue: Catalogue,
    ):
        self.settings, self.item_ids, self.store_ids = settings, item_ids, store_ids
        self.similarity, self.sold, self.heads, self.facts = similarity, sold, heads, facts
        self.customers = Customers(history, trained_sales)
        self.item_categories = item_categories  # as it was trained
        self._index = {key: code for code, key in enumerate(item_ids)}
        self._stores = {key: code for code, key in enumerate(store_ids)}
        facts_of_items = item_facts(sold.shares, similarity.sales, item_categories)
        self._kernel = Kernel(Candidates(similarity, facts_of_items), heads)
        self._popular_chance = answers.PopularChances(heads, sold.per_sale)
        self.use(catalogue)
        self.content_hash = content.hash_of(content.content_of(self))

    # ---------------------------------------------------------------- what it is

    algo = property(lambda self: self.facts["algo"])
    trained_at = property(lambda self: self.facts["trained_at"])
    window = property(lambda self: self.facts["window"])
    counts = property(lambda self: self.facts["counts"])
    metrics = property(lambda self: self.facts["metrics"])

    @property
    def version(self) -> str:
        """When it was trained and its content's hash, short: 20260131T120000Z-0123abcd."""
        trained = dt.datetime.fromisoformat(self.trained_at).astimezone(dt.UTC)
        return f"{trained:%Y%m%dT%H%M%SZ}-{self.content_hash[:8]}"

    # ---------------------------------------------------------------- the catalogue

    def use(self, catalogue: Catalogue) -> None:
        """Take names, categories and activity from this catalogue, now and as it changes."""
        self.catalogue = catalogue
        self.view = CatalogueView(self.item_ids, self._index, catalogue)
        self._shelves = Shelves(self.sold, self._stores, self.view)

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
        return self.observe_many([(sale_id, customer_id, product_ids, time)]) == 1

    def observe_many(self, sales: Iterable[tuple]) -> int:
        """`observe` for many sales, its parameters as tuples; the number that changed anything."""
        known = [sale for sale in sales if sale[1] is not None]
        return self.customers.observe(
            keys_of_texts([str(sale[0]) for sale in known]),
            [str(sale[1]) for sale in known],
            self._coded([list(sale[2]) for sale in known]),
            [None if sale[3] is None else _seconds(sale[3]) for sale in known],
        )

    def observe_from(self, other: Model) -> int:
        """Take over the sales that another (older) model observed; the number that were new.

        Before this one observes others: a full memory lets go of the oldest, which then seem new.
        """
        codes = np.array([self._index.get(item, -1) for item in other.item_ids], np.int32)
        return self.customers.observe_from(other.customers, codes)

    def unobserved(self) -> Model:
        """The same model before it observed a sale; all but what customers bought is shared."""
        twin = copy.copy(self)
        twin.customers = Customers(self.customers.history.untouched(), self.customers.trained)
        return twin

    # ---------------------------------------------------------------- recommendations

    def recommend(
        self,
        basket: Sequence[str],
        customer=None,
        n: int = 5,
        store=None,
        time=None,
        bestsellers: bool = False,
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
        bestsellers : offer what sells most in the store and in all, whatever is in the basket

        Returns
        -------
        list of dict with the fields of a recommendation in the contract; always `n`, none of them
        in the basket, as long as the catalogue has that many active products by name.
        confidence_percentage is the probability that the customer's next sale holds the product;
        where no customer is given, that it is in the hidden half of a basket of which the other
        half was shown. support is the number of past sales that hold both the product and the
        first of because_of. because_of shares are the strengths' parts and add up to 100; it is
        empty where the basket did not lead to the product (her own habit, category, popularity).
        """
        return self.recommend_many([basket], [customer], n, [store], [time], None, [bestsellers])[0]

    def recommend_many(
        self,
        baskets: Sequence[Sequence[str]],
        customers: Sequence | None = None,
        n: int = 5,
        stores: Sequence | None = None,
        times: Sequence | None = None,
        histories: HistoryRows | None = None,
        bestsellers: Sequence[bool] | None = None,
    ) -> list[list[dict]]:
        """`recommend` for many baskets, in their order.

        `histories` gives the customers' frequencies, one row per basket, instead of the model's.

        Raises
        ------
        ValueError
            There is not one customer, store, time or history for each basket, `n` is below 1, a
            time is none, or a history is not one of this model's products.
        TypeError
            A basket is a text, not a list of product ids.
        """
        n, many = operator.index(n), len(baskets)
        if n < 1:
            raise ValueError(f"n is {n}: at least one recommendation is wanted")
        given = {"customers": customers, "stores": stores, "times": times}
        for name, values in (given | {"bestsellers": bestsellers}).items():
            if values is not None and len(values) != many:
                raise ValueError(f"{len(values)} {name} for {many} baskets")
        if histories is not None:
            histories = histories.checked(many, len(self.item_ids))
        self.view.refresh()
        listed = [_listed(basket) for basket in baskets]

        def of(values: Sequence | None, part: slice) -> list:
            return _texts(None if values is None else values[part], len(listed[part]))

        def score(part: slice) -> tuple[Answer, HistoryRows]:
            chunk = listed[part]
            moments = self._moments(None if times is None else times[part], len(chunk))
            given = None if histories is None else histories[np.arange(many)[part]]
            return self._score(chunk, of(customers, part), moments, given, n)

        def compose(part: slice, scored: tuple[Answer, HistoryRows]) -> list[list[dict]]:
            only_best = [False] * many if bestsellers is None else bestsellers
            return self._compose(
                listed[part], of(customers, part), n, of(stores, part), *scored, only_best[part]
            )

        parts = [slice(first, first + CHUNK) for first in range(0, many, CHUNK)]
        if len(parts) == 1:
            return compose(parts[0], score(parts[0]))
        with ThreadPoolExecutor(SCORERS) as pool, uncollected():
            answered = zip(parts, pool.map(score, parts), strict=True)
            return [row for part, scored in answered for row in compose(part, scored)]

    def similar_items(self, product_id: str, n: int = 10) -> list[dict]:
        """The most similar products: product_id, product_name, category, similarity, support."""
        self.view.refresh()
        code = self._index.get(_text(product_id))
        if code is None:
            return []
        lo, hi = self.similarity.indptr[code : code + 2]
        values = self.similarity.values[lo:hi]
        return [
            {
                "product_id": self.item_ids[other],
                "product_name": self.view.names[other],
                "category": self.view.categories[other],
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

    def _coded(self, baskets: list[list]) -> Csr:
        """The products of each basket that the model knows, each once, ascending."""
        indptr = np.fromiter(accumulate(map(len, baskets), initial=0), np.int64, len(baskets) + 1)
        known, lines = self._index.get, list(chain.from_iterable(baskets))
        items = np.array([known(key, -1) for key in lines], np.int32)
        for at in np.flatnonzero(items < 0).tolist():  # unknown, or not text yet
            items[at] = known(_text(lines[at]), -1)
        return distinct(indptr, items)

    def _moments(self, times, rows: int) -> np.ndarray:
        if times is None:
            return np.full(rows, self.customers.newest)
        return np.array([self.customers.newest if one is None else _seconds(one) for one in times])

    def _score(self, baskets, customers, moments, history, n):
        """What the compiled code says of a batch, and the history it looked at."""
        coded = self._coded(baskets)
        if history is None:
            history = self.customers.frequencies(customers, moments)
        view = self.view
        answer = self._kernel.answer(
            coded,
            history,
            np.array([customer is not None for customer in customers], bool),
            (view.active, view.name_codes, view.category_codes),
            self.settings,
            n,
        )
        return answer, history

    def _compose(
        self, baskets, customers, n, stores, answer, history, bestsellers
    ) -> list[list[dict]]:
        """The rows of a scored batch, filled up where the basket led to too few."""
        view = self.view
        rows = answers.compose(self.item_ids, view.names, view.categories, answer, n)
        for place, row in enumerate(rows):
            if bestsellers[place]:
                row.clear()
            if len(row) == n:
                continue
            self._fill_up(
                row,
                n,
                [_text(key) for key in baskets[place]],
                stores[place],
                customers[place] is not None,
                int(answer.found[place]),
                round(float(history.baskets[place]), 2),
                bestsellers[place],
            )
        return rows

    def _fill_up(self, row, n, basket, store, known, found, habit, bestsellers) -> None:
        """Add bestsellers of the basket's categories, of the store and of all, in this order.

        With `bestsellers` the categories are left out.
        """
        cap, size = self.settings.max_per_category, len(set(basket))
        led_by = [] if bestsellers else basket
        more = answers.top_up(
            row, basket, n, cap, lambda: self._shelves.offers(led_by, store), self.view
        )

        def chance(key: str, source: str) -> float:
            # of all lines, as it was learned: in a store that sells little else it is near 1
            code = self._index.get(key)
            share = 0.0 if code is None else float(self.sold.shares[code])
            return self._popular_chance(known, share, source, size, found, habit)

        answers.add_popular(row, more, chance, self.view)
        answers.numbered(row, n)

    # ---------------------------------------------------------------- the artefact

    def save(self, path: str | Path) -> str:
        """Write the artefact, whole or not at all; returns the version."""
        held = content.content_of(self)
        artefact.write(path, held)
        self.content_hash = content.hash_of(held)
        return self.version


def _listed(basket) -> list:
    if isinstance(basket, (str, bytes)):
        raise TypeError(f"a basket is a list of product ids, not {basket!r}")
    return list(basket)


def _seconds(time) -> float:
    if isinstance(time, str):
        return columns.moment(time)
    if isinstance(time, dt.datetime):
        return (time if time.tzinfo else time.replace(tzinfo=dt.UTC)).timestamp()
    seconds = float(time)
    if not math.isfinite(seconds):
        raise ValueError(f"a sale's time is {time}")
    return seconds


def _text(key) -> str:
    return key if type(key) is str else (columns.id_text(key) or "")


def _texts(values, rows: int) -> list[str | None]:
    if values is None:
        return [None] * rows
    return [value if type(value) is str else columns.id_text(value) for value in values]
