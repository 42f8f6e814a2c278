"""Connecting to MongoDB and inserting into it: what is said when it can't be."""

import pytest
from pymongo.errors import BulkWriteError

from erp import mongo
from erp.process import Failure

NO_SPACE = {"code": 14031, "errmsg": "no space left"}


@pytest.mark.parametrize(
    "rest",
    ["Secr3t/w0rd@localhost:27017/erp", "Secr3t:w0rd@localhost", "Secr3t%w0rd@h", "Secr3t?w0rd@h"],
)
def test_an_unescaped_password_is_explained_and_not_shown(rest):
    """Also the part of it that the driver takes for a database or an option."""
    with pytest.raises(Failure, match="must be escaped") as raised:
        mongo.connect(f"mongodb://admin:{rest}", "erp", timeout=0)
    assert "w0rd" not in str(raised.value)
    assert "Secr3t" not in str(raised.value)


def test_a_mistake_without_a_password_is_quoted():
    """The driver says best what it can't read."""
    with pytest.raises(Failure, match="Port"):
        mongo.connect("mongodb://localhost:port", "erp", timeout=0)


def test_writes_that_nobody_acknowledges_are_refused():
    """With w=0 the server tells of no error: what it did not take would be lost without a word."""
    with pytest.raises(Failure, match="w=0"):
        mongo.connect("mongodb://127.0.0.1:9/?w=0", "erp", timeout=0)


@pytest.mark.parametrize(
    ("problems", "said"),
    [
        ({"writeErrors": [{"code": 11000, "errmsg": "E11000"}, NO_SPACE]}, "no space left"),
        ({"writeErrors": [], "writeConcernErrors": [{"code": 64, "errmsg": "timed out"}]}, "timed"),
        ({"writeErrors": [{"code": 121, "errmsg": "breaks the rule"}]}, "breaks the rule"),
    ],
)
def test_the_head_of_a_bulk_writes_error_says_what_is_wrong(problems, said):
    """Why it is an outage, if it is one; the driver says of all of them the same."""
    assert said in mongo.first_line(BulkWriteError({"writeConcernErrors": []} | problems))


def test_an_insert_tells_what_stood_already_and_stores_the_rest(database):
    """By its place among the documents."""
    database["x"].insert_one({"_id": 1})
    problems = mongo.insert(database["x"], [{"_id": n} for n in range(3)])
    assert [(1, mongo.DUPLICATE_KEY)] == [(p["index"], p["code"]) for p in problems]
    assert {0, 1, 2} == set(database["x"].distinct("_id"))


def test_documents_that_are_too_much_together_are_stored_too(database):
    """A command may have 16 MB, as a document may."""
    database["x"].insert_one({"_id": 1})
    problems = mongo.insert(database["x"], [{"_id": n, "a": "x" * 9_000_000} for n in range(3)])
    assert [(1, mongo.DUPLICATE_KEY)] == [(p["index"], p["code"]) for p in problems]
    assert 3 == database["x"].count_documents({})


class Replying:
    """A collection of a server that answers so, as the one of these tests never does."""

    name = "x"
    write_concern = mongo.LASTING

    def __init__(self, reply):
        self.reply, self.database = reply, self

    def command(self, command):
        """What was asked is kept."""
        self.asked = command
        return self.reply


@pytest.mark.parametrize(
    "reply",
    [
        {"writeErrors": [{"index": 0, "code": 11602, "errmsg": "stepping down"}]},
        {"writeConcernError": {"code": 64, "errmsg": "not yet on a majority"}},
    ],
)
def test_an_insert_that_is_refused_for_now_is_an_outage(reply):
    """Whether the document or its copies on other servers are in question."""
    collection = Replying(reply)
    with pytest.raises(BulkWriteError) as raised:
        mongo.insert(collection, [{"_id": 1}])
    assert mongo.is_outage(raised.value)
    assert {"w": "majority", "j": True} == collection.asked["writeConcern"]
