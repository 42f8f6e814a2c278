"""The model is a function of the set of sales: the order of the input leaves no trace."""

import datetime as dt
import random
from collections import Counter

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from erp import recommender
from erp.recommender import sampling, training_data


@pytest.fixture(scope="module")
def shop():
    """Enough sales to learn an order and probabilities from; a dozen share each moment."""
    rng = random.Random(8)
    start = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
    sales, lines = [], []
    for number in range(900):
        first = rng.randrange(30)
        basket = {first, (first + 1) % 30, rng.randrange(30)}
        sales.append(
            {
                "sale_id": f"s{number}",
                "sale_datetime": start + dt.timedelta(days=number // 12),
                "customer_id": f"c{rng.randrange(60)}" if number % 4 else None,
                "store_id": f"t{number % 3}",
            }
        )
        lines += [{"sale_id": f"s{number}", "product_id": f"p{item}"} for item in basket]
    return pl.DataFrame(lines), pl.DataFrame(sales)


def test_shuffled_sales_and_lines_give_the_same_model(shop):
    """Similarities, learned weights, histories and popularity, to the bit."""
    lines, sales = shop
    products = [
        {"product_id": f"p{i}", "name": f"P{i}", "category": f"k{i % 4}"} for i in range(30)
    ]
    first = recommender.fit(lines, sales, products)
    assert first.heads.order is not None
    assert first.heads.next_sale is not None
    for seed in (1, 2):
        again = recommender.fit(
            lines.sample(fraction=1, shuffle=True, seed=seed),
            sales.sample(fraction=1, shuffle=True, seed=seed),
            random.Random(seed).sample(products, len(products)),
        )
        assert first.content_hash == again.content_hash


def test_another_sale_gives_another_hash(shop):
    """One line more or less is another model."""
    lines, sales = shop
    assert (
        recommender.fit(lines, sales).content_hash
        != recommender.fit(lines.slice(1), sales).content_hash
    )


def test_baskets_are_in_the_order_of_time_and_id(shop):
    """Products by the lines they sold, sorted ones within a sale, equal times by id."""
    lines, sales = shop
    baskets = training_data.from_frames(lines.reverse(), sales.reverse())
    sold = Counter(lines["product_id"].to_list())
    assert sorted(sold, key=lambda product: (-sold[product], product)) == baskets.item_ids
    keys = list(zip(baskets.times.tolist(), baskets.sale_ids.to_pylist(), strict=True))
    assert sorted(keys) == keys
    for first, last in zip(baskets.indptr[:-1], baskets.indptr[1:], strict=True):
        assert (np.diff(baskets.items[first:last]) > 0).all()


def test_a_draw_is_of_the_text_alone():
    """Wherever it stands, one by one, in a column or in a list; evenly spread."""
    texts = [f"sale {number}" for number in range(2000)] + ["", "ñ€"]
    column = pa.array(["before", *texts])[1:]
    keys = sampling.keys_of(column)
    alone = np.concatenate([sampling.keys_of(pa.array([text])) for text in texts])
    assert alone.tolist() == keys.tolist()
    assert sampling.keys_of_texts(texts).tolist() == keys.tolist()
    assert [] == sampling.keys_of_texts([]).tolist()
    assert len(texts) == len(set(keys.tolist()))
    draws = sampling.uniform(keys, 3)
    assert (draws[::-1] == sampling.uniform(keys[::-1], 3)).all()
    assert 0.27 < np.std(draws) < 0.31
    assert abs(np.corrcoef(draws, sampling.uniform(keys, 4))[0, 1]) < 0.06


def test_one_line_and_half_of_each_basket_are_hidden():
    """The smaller half of an odd basket; nothing of an empty one."""
    indptr = np.array([0, 1, 3, 3, 8])
    lines = sampling.uniform(sampling.line_keys(np.arange(4, dtype=np.uint64), indptr), 0)
    hidden = sampling.half_hidden(lines, indptr)
    assert [0, 1, 0, 2] == [int(part.sum()) for part in np.split(hidden, indptr[1:-1])]
    one = sampling.one_hidden(np.array([0.0, 0.999999, 0.5, 0.2]), indptr)
    assert [1, 1, 0, 1] == [int(part.sum()) for part in np.split(one, indptr[1:-1])]
    assert one[2]
    assert one[4]
