"""What comes from outside is looked at before compiled code follows it."""

import math
from dataclasses import replace

import numpy as np
import pytest

from erp import recommender
from erp.recommender import artefact, checks, content
from erp.recommender.artefact import ArtefactForeignError
from erp.recommender.history import HistoryRows
from tests.basket_samples import baskets_of

BASKETS = baskets_of([["a", "b"], ["b", "c"], ["a", "b", "c"]] * 40, ["anna", "ben", None] * 40)


@pytest.fixture(scope="module")
def model():
    """A small model; products a, b and c."""
    return recommender.fit_baskets(BASKETS)


def rows(**changed):
    """The history of one customer who bought a and c, with some of it changed."""
    return replace(
        HistoryRows(
            np.array([0, 2]),
            np.array([0, 2], np.int32),
            np.full((2, 3), 0.5, np.float32),
            np.ones(1, np.float32),
        ),
        **changed,
    )


def held(array):
    """How an array may be held, beside contiguous and one's own."""
    wide = np.repeat(array, 2, axis=0)[::2]
    fixed = array.copy()
    fixed.setflags(write=False)
    return [wide, fixed, array.astype(array.dtype.newbyteorder()), array.tolist()]


@pytest.mark.parametrize(
    "wrong",
    [
        {"items": np.array([0, 3], np.int32)},
        {"items": np.array([-1, 2], np.int32)},
        {"items": np.array([0, 2**32], np.int64)},
        {"items": np.array([0.0, 2.0])},
        {"items": np.array([[0, 2]])},
        {"indptr": np.array([0, 1])},
        {"indptr": np.array([0, 3])},
        {"indptr": np.array([0, 2, 2])},
        {"indptr": np.array([1, 2])},
        {"indptr": np.zeros(0, int)},
        {"frequencies": np.full((2, 2), 0.5, np.float32)},
        {"frequencies": np.full((1, 3), 0.5, np.float32)},
        {"frequencies": np.full((2, 3), math.nan, np.float32)},
        {"frequencies": np.full((2, 3), 1.5, np.float32)},
        {"frequencies": np.full((2, 3), "x")},
        {"baskets": np.ones(2, np.float32)},
        {"baskets": np.full(1, -1, np.float32)},
    ],
)
def test_a_history_that_does_not_fit_the_model_is_refused(model, wrong):
    """A code of no product, rows that do not add up, figures that are no frequencies."""
    with pytest.raises(ValueError, match=r"histories|frequencies|decayed"):
        model.recommend_many([["b"]], histories=rows(**wrong))


def test_a_history_is_taken_however_its_arrays_are_held(model):
    """Views, read-only arrays, the other order of bytes, lists: the answer is that of the plain."""
    plain = model.recommend_many([["b"]], ["anna"], histories=rows())
    for name in ("indptr", "items", "frequencies", "baskets"):
        for other in held(getattr(rows(), name)):
            found = model.recommend_many([["b"]], ["anna"], histories=rows(**{name: other}))
            assert plain == found


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"customers": ["anna"]}, ValueError, "1 customers for 2 baskets"),
        ({"stores": ["1"] * 3}, ValueError, "3 stores for 2 baskets"),
        ({"times": []}, ValueError, "0 times for 2 baskets"),
        ({"times": [math.nan, 0]}, ValueError, "a sale's time is nan"),
        ({"times": ["yesterday", 0]}, ValueError, "yesterday"),
        ({"n": 0}, ValueError, "n is 0"),
        ({"n": -3}, ValueError, "n is -3"),
        ({"n": 2.5}, TypeError, "float"),
        ({"histories": rows()}, ValueError, "histories"),
    ],
)
def test_what_does_not_go_with_the_baskets_is_refused(model, given, error, said):
    """One customer, store and time for each, a number of recommendations, times that are."""
    with pytest.raises(error, match=said):
        model.recommend_many([["a"], ["b"]], **given)


def test_a_basket_is_a_list(model):
    """The characters of a text are no products."""
    with pytest.raises(TypeError, match="a list of product ids, not 'abc'"):
        model.recommend("abc")


def test_more_recommendations_than_there_are_products_are_those_there_are(model):
    """Of three products one is in the basket."""
    assert 2 == len(model.recommend(["b"], n=1000))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"items": np.full(len(BASKETS.items), 3, np.int32)}, "codes 3 to 3, there are 3"),
        ({"items": BASKETS.items[:-1]}, "does not cut"),
        ({"indptr": BASKETS.indptr[::-1]}, "does not cut"),
        (
            {"customers": np.full(len(BASKETS), 2, np.int32)},
            "customers of sales: codes 2 to 2",
        ),
        ({"customers": BASKETS.customers[1:]}, "customers of sales"),
        (
            {"stores": np.full(len(BASKETS), -2, np.int32)},
            "stores of sales: codes -2 to -2",
        ),
        ({"times": BASKETS.times[::-1]}, "do not ascend"),
        ({"times": np.full(len(BASKETS), math.nan)}, "do not ascend"),
    ],
)
def test_baskets_that_do_not_fit_together_are_refused(wrong, said):
    """Codes of nothing, parts of another length, sales that are not in time order."""
    with pytest.raises(ValueError, match=said):
        recommender.fit_baskets(replace(BASKETS, **wrong))


@pytest.mark.parametrize(
    ("part", "name", "change"),
    [
        ("similarity", "indices", lambda array: array + 1),
        ("similarity", "indptr", lambda array: array[:-1]),
        ("similarity", "values", lambda array: array[1:]),
        ("similarity", "strengths", lambda array: array[1:]),
        ("similarity", "support", lambda array: array[1:]),
        ("similarity", "sales", lambda array: array[1:]),
        ("popularity", "shares", lambda array: array[1:]),
        ("popularity", "store_items", lambda array: array - 1),
        ("history", "items", lambda array: array + 1),
        ("history", "indptr", lambda array: array + 1),
        ("history", "sums", lambda array: array[:, :2]),
        ("history", "totals", lambda array: array[1:]),
    ],
)
def test_a_model_file_whose_arrays_do_not_fit_together_is_refused(
    model, tmp_path, part, name, change
):
    """Right in form and hash: whoever wrote it, no answer may follow a code into nowhere."""
    path = tmp_path / "item_sim.pkl"
    whole = content.content_of(model)
    whole[part][name] = np.ascontiguousarray(change(whole[part][name]))
    artefact.write(path, whole)
    with pytest.raises(ArtefactForeignError, match="lacks a part of a model"):
        recommender.load(path)


def test_rows_of_codes_come_back_as_compiled_code_reads_them():
    """int64 and int32, contiguous; no rows at all are fine."""
    indptr, codes = checks.csr([0, 1, 3], np.array([2, 9, 0, 9, 1, 9])[::2], 2, 3, "these")
    assert ([0, 1, 3], [2, 0, 1]) == (indptr.tolist(), codes.tolist())
    assert (np.int64, np.int32, True) == (indptr.dtype, codes.dtype, codes.flags.c_contiguous)
    indptr, codes = checks.csr([0], [], 0, 0, "these")
    assert ([0], []) == (indptr.tolist(), codes.tolist())
