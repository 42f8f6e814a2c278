"""A message that means harm, read: a value of the contract or a refusal, nothing else."""

import json
from datetime import UTC, datetime

import pytest

from erp.contract import ID_LENGTH_MAX
from erp.sink.deliveries import BadMessageError, Origin, Reader

READER = Reader("erp.")
MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
SALE = {"sale_id": "1", "sale_datetime": "2026-01-01T00:00:00Z"}
ORIGIN = Origin("erp.sales", 0, 7, MOMENT)


def read(value, key=b"1"):
    """What the sink makes of a sale's message."""
    return READER.read(
        key, value if isinstance(value, bytes) else json.dumps(value).encode(), ORIGIN
    )


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_a_value_nested_without_end_is_refused(opening):
    """It would cost the program its stack; the messages behind it would wait for ever."""
    deep = json.dumps(SALE).encode()[:-1] + b',"x":' + opening * 100_000
    with pytest.raises(BadMessageError, match="nested too deeply") as refused:
        read(deep)
    assert "not-json" == refused.value.error_class


def test_an_operator_of_mongodb_never_reaches_it():
    """Unknown fields are left out, and a field of the contract has a value, not a document."""
    assert {"_id", *SALE} == set(read(SALE | {"$where": "sleep(1000)"}).document)
    for field in ("sale_id", "customer_id", "total_amount"):
        with pytest.raises(BadMessageError, match=f"at `\\$.{field}`"):
            read(SALE | {field: {"$gt": ""}})


def test_a_text_that_looks_like_a_path_of_mongodb_is_a_text():
    """$$ROOT is no customer of the shop, and no harm either."""
    assert "$$ROOT" == read(SALE | {"customer_id": "$$ROOT"}).document["customer_id"]


def test_ids_have_a_length():
    """Some hundred are asked of MongoDB at once, and a query has a largest size as well."""
    longest = "x" * ID_LENGTH_MAX
    assert longest == read(SALE | {"sale_id": longest}, longest.encode()).key
    for value in (SALE, None):  # a deletion too
        with pytest.raises(BadMessageError, match="1001 characters"):
            READER.read(b"x" * 1001, value and json.dumps(value).encode(), ORIGIN)
    for field in ("customer_id", "store_id"):
        with pytest.raises(BadMessageError, match=f"length <= 1000.*at `\\$.{field}`"):
            read(SALE | {field: "x" * 1001})


def test_a_refusal_is_one_line_whatever_the_message_holds():
    """No line of the log is forged by a key."""
    with pytest.raises(BadMessageError) as refused:
        read(SALE, b"1\n2026-01-01 00:00:00 INFO erp.sink: all is well")
    assert 1 == len(str(refused.value).splitlines())
