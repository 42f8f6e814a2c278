"""Each query has its index, the document lists them, and recommendations end when they should."""

import os
import re
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest

from erp import contract, mongo
from tests.conftest import ROOT

NOW = datetime.now(UTC)
HOUR_AGO = {"$gte": NOW - timedelta(hours=1)}
SALES, ITEMS = contract.SALES.name, contract.SALES_ITEMS.name
ANSWERS = contract.RECOMMENDATIONS


class Query(NamedTuple):
    """What a stage asks: a filter, an order, and the index that must serve both."""

    collection: str
    index: str
    query: dict[str, Any]
    sort: dict[str, int] = {}  # noqa: RUF012  nobody changes it


QUERIES = [
    Query(SALES, "sale_datetime_-1", {"sale_datetime": HOUR_AGO}, {"sale_datetime": -1}),
    Query(
        SALES,
        "store_id_1_sale_datetime_-1",
        {"store_id": {"$in": ["s1"]}, "sale_datetime": HOUR_AGO},
        {"sale_datetime": -1},
    ),
    Query(SALES, "stored_at_1", {"stored_at": HOUR_AGO}),
    Query(ITEMS, "sale_id_1", {"sale_id": {"$in": ["1", "2"]}}),
    Query(ITEMS, "stored_at_1", {"stored_at": HOUR_AGO}),
    Query(contract.PRODUCTS.name, "stored_at_1", {"stored_at": HOUR_AGO}),
    Query(contract.CUSTOMERS.name, "stored_at_1", {"stored_at": HOUR_AGO}),
    Query(contract.DELETIONS, "stored_at_1", {"stored_at": HOUR_AGO}),
    Query(ANSWERS, "created_at_-1", {"created_at": HOUR_AGO}, {"created_at": -1}),
    Query(ANSWERS, "timestamp_-1", {"timestamp": HOUR_AGO}, {"timestamp": -1}),
    Query(ANSWERS, "timestamp_-1", {"timestamp": HOUR_AGO | {"$type": "date"}}, {"timestamp": 1}),
    Query(ANSWERS, "customer_id_1_timestamp_-1", {"customer_id": "c1"}, {"timestamp": -1}),
    Query(
        ANSWERS,
        "customer_id_1_timestamp_-1",
        {"customer_id": {"$in": ["c1", "c2"]}, "timestamp": HOUR_AGO},
    ),
    Query(
        ANSWERS, "incomplete", {"complete": False, "created_at": HOUR_AGO}, {"created_at": -1}
    ),
]  # fmt: skip


def test_the_document_lists_the_indexes_and_each_one_has_a_query():
    """docs/scale.md, the definitions and the queries name the same indexes."""
    text = (ROOT / "docs" / "scale.md").read_text()
    rows = re.findall(r"^\| (\w+) \| ([\w, -]* -?1) \| [^|]+ \|$", text, re.MULTILINE)
    defined = {
        (name, ", ".join(f"{key} {way}" for key, way in model.document["key"].items()))
        for name, models in mongo.INDEXES.items()
        for model in models
    }
    assert defined == set(rows)
    named = {
        (name, model.document["name"]) for name, models in mongo.INDEXES.items() for model in models
    }
    assert named == {(asked.collection, asked.index) for asked in QUERIES}


@pytest.fixture
def filled(stack):
    """A database with the indexes and some documents: MONGO_URI's where one is given."""
    uri = os.environ.get("MONGO_URI", stack.mongo_uri)
    database = mongo.connect(uri, f"test_{uuid.uuid4().hex[:10]}", timeout=20)
    mongo.ensure_indexes(database, list(mongo.INDEXES))
    for number in range(500):
        then = NOW - timedelta(minutes=number)
        ids = {"sale_id": str(number), "store_id": f"s{number % 9}", "customer_id": f"c{number}"}
        times = dict.fromkeys(("sale_datetime", "stored_at", "created_at", "timestamp"), then)
        document = ids | times | {"_id": str(number), "complete": number % 50 > 0}
        for name in mongo.INDEXES:
            database[name].insert_one(document)
    yield database
    database.client.drop_database(database.name)
    database.client.close()


def test_queries_are_answered_through_their_index(filled):
    """A real MongoDB explains it; a server without explain gives at least the right answers."""
    for asked in QUERIES:
        found = list(filled[asked.collection].find(asked.query, sort=asked.sort or None))
        assert found, asked
        assert asked.index in filled[asked.collection].index_information()
        if "MONGO_URI" in os.environ:
            order = {"sort": asked.sort} if asked.sort else {}
            told = filled.command("explain", {"find": asked.collection, "filter": asked.query,
                                              **order})  # fmt: skip
            stages = dict(stages_of(told["queryPlanner"]["winningPlan"]))
            assert asked.index == stages.get("IXSCAN"), (asked, stages)
            assert "COLLSCAN" not in stages, asked


def stages_of(plan):
    """Stage and index of every step of a plan."""
    plan = plan.get("queryPlan", plan)
    yield plan["stage"], plan.get("indexName")
    for step in [plan.get("inputStage"), *plan.get("inputStages", ())]:
        if step:
            yield from stages_of(step)


def test_writes_are_acknowledged_by_a_majority_from_the_journal(settings):
    """That is so unless the connection string says otherwise."""
    uri = settings.mongo_uri.get_secret_value()
    asked = mongo.connect(uri, settings.mongo_database).write_concern
    assert {"w": "majority", "j": True} == asked.document
    joined = "&" if "?" in uri else "/?"
    asked = mongo.connect(f"{uri.rstrip('/')}{joined}w=1", settings.mongo_database).write_concern
    assert {"w": 1} == asked.document


def expiry(database):
    """Index -> seconds after which it deletes, of those that begin with created_at."""
    return {
        name: told.get("expireAfterSeconds")
        for name, told in database[ANSWERS].index_information().items()
        if told["key"][0][0] == "created_at"
    }


def test_recommendations_end_after_so_many_days(database):
    """The index that deletes them is made, changed and dropped as the setting says."""
    for days, expected in (
        (0, {"created_at_-1": None}),
        (30, {"expires": 30 * 86_400}),
        (30, {"expires": 30 * 86_400}),
        (7, {"expires": 7 * 86_400}),
        (0, {"created_at_-1": None}),
    ):
        mongo.ensure_recommendation_indexes(database, days)
        assert expected == expiry(database)


def test_a_real_server_is_told_to_change_the_end(monkeypatch, database):
    """The index is not built anew where the server knows collMod."""
    mongo.ensure_recommendation_indexes(database, 30)
    told = []
    monkeypatch.setattr(type(database), "command", lambda _, *a, **k: told.append((a, k)))
    mongo._change_expiry(database[ANSWERS], 86_400)
    change = {"name": "expires", "expireAfterSeconds": 86_400}
    assert [(("collMod", ANSWERS), {"index": change})] == told
