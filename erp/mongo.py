"""MongoDB as the stages use it: connecting, indexes, writes that outlive an outage."""

import logging
import re
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

from pymongo import ASCENDING, DESCENDING, IndexModel, MongoClient
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    ConfigurationError,
    ConnectionFailure,
    DocumentTooLarge,
    OperationFailure,
    PyMongoError,
)
from pymongo.write_concern import WriteConcern

from erp import contract
from erp.process import Failure

log = logging.getLogger("erp.mongo")

Document = dict[str, Any]
T = TypeVar("T")

# Away or refusing for now, so that the same write may succeed later. Codes of the server's
# error_codes.yml: host unreachable, not primary, shutting down, stepping down, time limits, no
# space (14031), and a user who may only read (13; Atlas says 8000, also over its quota of space).
_PASSING_CODES = {
    6, 7, 13, 50, 89, 91, 133, 134, 189, 202, 211, 262, 317, 358, 8000, 9001, 10058, 10107, 11600,
    11602, 13435, 13436, 14031,
}  # fmt: skip
COMMAND_NOT_FOUND, DUPLICATE_KEY = 59, 11000  # codes of the server's errors
_CREDENTIAL_CODES = {18, 13, 8000}  # AuthenticationFailed, Unauthorized, AtlasError

# What the queries of the stages need beside _id: collection -> indexes. Which query needs which is
# told in docs/scale.md; each one costs every write, so none is here for a query that nobody asks.
INDEXES: dict[str, list[IndexModel]] = {
    contract.SALES.name: [
        IndexModel([("sale_datetime", DESCENDING)]),
        IndexModel([("store_id", ASCENDING), ("sale_datetime", DESCENDING)]),
        IndexModel([("stored_at", ASCENDING)]),
    ],
    contract.SALES_ITEMS.name: [
        IndexModel([("sale_id", ASCENDING)]),
        IndexModel([("stored_at", ASCENDING)]),
    ],
    contract.PRODUCTS.name: [IndexModel([("stored_at", ASCENDING)])],
    contract.CUSTOMERS.name: [IndexModel([("stored_at", ASCENDING)])],
    contract.DELETIONS: [IndexModel([("stored_at", ASCENDING)])],
    contract.RECOMMENDATIONS: [
        IndexModel([("created_at", DESCENDING)]),
        IndexModel([("timestamp", DESCENDING)]),
        IndexModel([("customer_id", ASCENDING), ("timestamp", DESCENDING)]),
        IndexModel(
            [("complete", ASCENDING), ("created_at", DESCENDING)],
            name="incomplete",
            partialFilterExpression={"complete": False},  # of all answers few
        ),
    ],
}
KEPT, EXPIRING = "created_at_-1", "expires"  # the index of created_at, without and with an end
DAY = 86_400  # seconds
CREATION_TRIES, CREATION_PAUSE = 4, 0.5  # of indexes that another stage creates too; s
ESCAPING = (
    "user and password must be escaped as in an address (%2F for /, %40 for @, %3A for :); behind"
    " the hosts come /, perhaps a database, ? and name=value"
)
LASTING = WriteConcern(w="majority", j=True)  # an acknowledged write outlives a crash


class RefusedError(Failure):
    """A MongoDB that answers and is not to be used so, or an address that is none."""


def connect(uri: str, database: str, timeout: float = 60) -> Database[Document]:
    """The database, once it answers; times are aware and in UTC.

    Writes are acknowledged by a majority, from the journal, unless `uri` says otherwise (w, journal
    or wtimeoutMS); not to be told at all, w=0, is refused.
    Waits up to `timeout` seconds with a word in the log. Raises Failure when it stays away, and
    RefusedError when waiting does not help; neither message holds the password.
    """
    try:
        client: MongoClient[Document] = MongoClient(
            uri, tz_aware=True, appname="erp-stream", serverSelectionTimeoutMS=2_000
        )
    except (ConfigurationError, ValueError) as error:
        # the driver quotes what it cannot read, such as all that follows a "/" in a password
        why = ESCAPING if "@" in uri else str(error)
        raise RefusedError(f"MONGO_URI is not a connection string: {why}") from None
    if not client.write_concern.acknowledged:
        raise RefusedError("MONGO_URI says w=0, so that nobody hears of a lost write: leave it out")
    deadline = time.monotonic() + timeout
    while True:
        try:
            client.admin.command("ping")
            # ping needs no rights; this does, so that a wrong password shows here
            client[database].list_collection_names()
            concern = client.write_concern if client.write_concern.document else LASTING
            return client.get_database(database, write_concern=concern)
        except OperationFailure as error:
            if error.code in _CREDENTIAL_CODES:
                raise RefusedError(
                    f"MongoDB at {address(uri)} refuses this user: check MONGO_URI"
                ) from None
            raise RefusedError(f"MongoDB at {address(uri)}: {error}") from None
        except ConnectionFailure:
            if time.monotonic() >= deadline:
                raise Failure(
                    f"MongoDB does not answer at {address(uri)}: start it (make up, or docker"
                    " compose up -d) or set MONGO_URI"
                ) from None
            log.info("waiting for MongoDB at %s", address(uri))
            time.sleep(1)


class Lazily:
    """A database that is connected to when it is first asked for, and one client from then on.

    While it is away the one who asks waits once; others hear of it at once for `patience` seconds.
    """

    def __init__(self, uri: str, database: str, patience: float = 5) -> None:
        self._place, self._patience = (uri, database), patience
        self._lock = threading.Lock()
        self._database: Database[Document] | None = None
        self._failure: Failure | None = None
        self._failed_at = 0.0

    def get(self) -> Database[Document]:
        """The database; raises Failure while it is away or refuses."""
        with self._lock:
            if self._database is None:
                if self._failure and time.monotonic() - self._failed_at < self._patience:
                    raise self._failure
                try:
                    self._database = connect(*self._place, timeout=0)
                except Failure as failure:
                    self._failure, self._failed_at = failure, time.monotonic()
                    raise
            return self._database


def address(uri: str) -> str:
    """The host part of a connection string, without user, password and options."""
    return re.sub(r"^.*@|[/?].*$", "", uri.split("://", 1)[-1])


def is_outage(error: Exception) -> bool:
    """True when the database is away, or refuses for now: wait, the same write may succeed."""
    if isinstance(error, AutoReconnect):
        return True
    if isinstance(error, BulkWriteError):
        return bool(_passing(error))
    if isinstance(error, OperationFailure) and error.code is None:
        return True  # a server that fails without saying why, as the embedded one for a moment
    return isinstance(error, PyMongoError) and (
        getattr(error, "code", None) in _PASSING_CODES or bool(error.timeout)
    )


def _passing(error: BulkWriteError) -> list[Document]:
    """What a bulk write met that may pass: dicts of code and errmsg."""
    problems = [each for each in error.details["writeErrors"] if each["code"] in _PASSING_CODES]
    return [*error.details.get("writeConcernErrors", []), *problems]


def write_errors(write: Callable[[], object]) -> list[Document]:
    """What the server refused of an unordered bulk write: dicts of index, code and errmsg.

    Raises the driver's error when the database is away or refuses for now (`is_outage`).
    """
    try:
        write()
    except BulkWriteError as error:
        if is_outage(error):
            raise
        return cast(list[Document], error.details["writeErrors"])
    return []


def insert(collection: Collection[Document], documents: list[Document]) -> list[Document]:
    """Insert documents that have an `_id`, in no order; what the server refused, as `write_errors`.

    The server's own command, since `insert_many` looks at each document in Python and so takes
    twice the time; it is left to split what is too much for one command. Raises the driver's error
    when the database is away or refuses for now (`is_outage`), or a document cannot be encoded.
    """
    command = {"insert": collection.name, "ordered": False, "documents": documents}
    if concern := collection.write_concern.document:
        command["writeConcern"] = concern
    try:
        reply = collection.database.command(command)
    except DocumentTooLarge:  # all of them together, found before they are sent
        return write_errors(lambda: collection.insert_many(documents, ordered=False))
    problems = reply.get("writeErrors", [])
    concerns = [reply["writeConcernError"]] if "writeConcernError" in reply else []
    error = BulkWriteError({"writeErrors": problems, "writeConcernErrors": concerns})
    if is_outage(error):
        raise error
    return problems


def outlast(
    operation: Callable[[], T], wait: Callable[[float], bool], doing: str, longest: float = 10
) -> T:
    """Call `operation` again until the database is back, with growing pauses up to `longest` s.

    `wait(seconds)` sleeps and says True to give up, upon which the outage is raised.
    """
    pause = 0.2
    while True:
        try:
            return operation()
        except PyMongoError as error:
            if not is_outage(error):
                raise
            log.warning("MongoDB is away, %s in %.1f s: %s", doing, pause, first_line(error))
            if wait(pause):
                raise
            pause = min(pause * 2, longest)


def first_line(error: Exception) -> str:
    """The head of an error of the driver, whose text can be a page."""
    text = str(error)
    if isinstance(error, BulkWriteError):  # of whose text the page is the part that tells
        text = str([*_passing(error), *error.details["writeErrors"]][0]["errmsg"])
    return text.split("\n", 1)[0].split(", Timeout:", 1)[0].split(", full error:", 1)[0][:200]


def ensure_indexes(
    database: Database[Document], collections: Sequence[str], timeout: float = 0
) -> None:
    """Create the indexes of these collections; nothing happens to those that stand.

    A database that refuses to write for now is waited for, up to `timeout` s. Raises Failure.
    """

    def create() -> None:
        for name in collections:
            if models := INDEXES.get(name):
                database[name].create_indexes(models)

    _create_patiently(create, timeout)


def _create_patiently(create: Callable[[], None], timeout: float) -> None:
    """Try again while the database is away, and a few times where another stage creates, too."""
    deadline = time.monotonic() + timeout

    def wait(seconds: float) -> bool:
        left = deadline - time.monotonic()
        time.sleep(max(0.0, min(seconds, left)))
        return left <= 0

    for tries_left in reversed(range(CREATION_TRIES)):
        try:
            outlast(create, wait, "creating the indexes")
            return
        except PyMongoError as error:
            if is_outage(error) or not tries_left:
                raise Failure(
                    f"MongoDB does not create indexes ({first_line(error)}): check that MONGO_URI"
                    " leads to the primary and that its user may write"
                ) from None
            log.info("creating the indexes again, another stage may be at it: %s", error)
            time.sleep(CREATION_PAUSE)


def ensure_recommendation_indexes(
    database: Database[Document], days: int, timeout: float = 0
) -> None:
    """The indexes of the recommendations, which are deleted after so many days; 0: never.

    A database that refuses to write for now is waited for, up to `timeout` s. Raises Failure.
    """
    models = [
        model for model in INDEXES[contract.RECOMMENDATIONS] if model.document["name"] != KEPT
    ]

    def create() -> None:
        database[contract.RECOMMENDATIONS].create_indexes(models)
        expire_recommendations(database, days)

    _create_patiently(create, timeout)


def expire_recommendations(database: Database[Document], days: int) -> None:
    """Have the server delete recommendations so many days after they were made; 0: never.

    The index of created_at does it. It is created, changed or dropped as needed, the new one before
    the old one goes, so that no query is without.
    """
    collection = database[contract.RECOMMENDATIONS]
    standing = collection.index_information()
    if not days:
        collection.create_index([("created_at", DESCENDING)], name=KEPT)
        if EXPIRING in standing:
            collection.drop_index(EXPIRING)
            log.info("recommendations are kept for ever")
        return
    seconds = days * DAY
    before = standing.get(EXPIRING, {}).get("expireAfterSeconds")
    if before is not None and before != seconds:
        _change_expiry(collection, seconds)
    collection.create_index([("created_at", ASCENDING)], name=EXPIRING, expireAfterSeconds=seconds)
    if KEPT in standing:
        collection.drop_index(KEPT)
    if before != seconds:
        log.info("recommendations are deleted after %d days", days)


def _change_expiry(collection: Collection[Document], seconds: int) -> None:
    change = {"name": EXPIRING, "expireAfterSeconds": seconds}
    try:
        collection.database.command("collMod", collection.name, index=change)
    except OperationFailure as error:
        if error.code != COMMAND_NOT_FOUND:
            raise
        collection.drop_index(EXPIRING)  # a server of tests
