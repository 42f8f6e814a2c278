"""One processor at a time: a lease in `processor_state` that says who is at work, and until when.

A lease that has run out, or whose process on this machine is gone, is taken over.
"""

import os
import socket
from datetime import timedelta
from typing import Any

from pymongo import ReturnDocument
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from erp.process import Failure
from erp.processor.aggregates import STATE
from erp.processor.snapshots import now

Document = dict[str, Any]

LEASE_ID = "lease"
LENGTH = timedelta(minutes=10)  # longer than any round


def hold(database: Database[Document]) -> None:
    """Take the lease or renew it; Failure when another processor has it."""
    found = database[STATE].find_one({"_id": LEASE_ID})
    mine = {"host": socket.gethostname(), "pid": os.getpid(), "until": now() + LENGTH}
    if found is None:
        try:
            database[STATE].insert_one({"_id": LEASE_ID} | mine)
            return
        except DuplicateKeyError:
            found = database[STATE].find_one({"_id": LEASE_ID}) or mine
    if _at_work(found):
        raise _refusal(found)
    unchanged = {"_id": LEASE_ID, "until": found["until"], "pid": found["pid"]}
    if (
        database[STATE].find_one_and_update(
            unchanged, {"$set": mine}, return_document=ReturnDocument.AFTER
        )
        is None
    ):
        raise _refusal(database[STATE].find_one({"_id": LEASE_ID}) or mine)


def release(database: Database[Document]) -> None:
    """Give the lease back."""
    mine = {"_id": LEASE_ID, "host": socket.gethostname(), "pid": os.getpid()}
    database[STATE].delete_one(mine)


def _at_work(lease: Document) -> bool:
    if lease["until"] < now():
        return False
    if lease["host"] != socket.gethostname():
        return True
    return lease["pid"] != os.getpid() and _runs(lease["pid"])


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _refusal(lease: Document) -> Failure:
    return Failure(
        f"another processor is at work (process {lease['pid']} on {lease['host']}): stop it, or"
        f" wait until {lease['until']:%H:%M:%S} UTC if it is gone"
    )
