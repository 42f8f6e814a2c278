"""A producer's job without Kafka, for the tests of its parts."""

from typing import Any

from erp.contract import PRODUCTS
from erp.ingest.checkpoint import Checkpoint
from erp.ingest.job import Job, Reading
from erp.ingest.tickets import Selection


def a_job(**fields: Any) -> Job:
    """A job for products.csv that wants everything; `stop`, `delivery` and others as given."""
    usual = {
        "tables": (PRODUCTS,),
        "reading": Reading("UTC"),
        "selection": Selection(),
        "strict": False,
        "largest": 10_000,
        "state": Checkpoint(),
        "rejects": None,
    }
    return Job(**(usual | fields))
