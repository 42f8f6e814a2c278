"""What the page of recommendations asks MongoDB for besides the recommendations it has."""

from collections.abc import Sequence
from typing import Any

import msgspec
from pymongo import DESCENDING
from pymongo.database import Database

from erp import contract
from erp.contract import Recommendation

Document = dict[str, Any]

LOOKUP = 200  # _ids in one query


def active_products(database: Database[Document]) -> int:
    """Products that may be recommended; those that do not say so are active."""
    products = database[contract.PRODUCTS.name]
    return products.estimated_document_count() - products.count_documents({"active": False})


def customer_names(database: Database[Document], ids: Sequence[str]) -> dict[str, str | None]:
    """First and last name of each customer; None where unknown."""
    names: dict[str, str | None] = dict.fromkeys(ids)
    fields = {"first_name": 1, "last_name": 1}
    for start in range(0, len(ids), LOOKUP):
        wanted = {"$in": list(ids[start : start + LOOKUP])}
        for customer in database[contract.CUSTOMERS.name].find({"_id": wanted}, fields):
            parts = (customer.get("first_name"), customer.get("last_name"))
            names[customer["_id"]] = " ".join(part for part in parts if part) or None
    return names


def of_sale_or_customer(
    database: Database[Document], identifier: str, limit: int
) -> list[Recommendation]:
    """The stored recommendation of this sale, or the newest ones of this customer."""
    stored = database[contract.RECOMMENDATIONS]
    found = list(stored.find({"_id": identifier})) or list(
        stored.find({"customer_id": identifier}, sort=[("timestamp", DESCENDING)], limit=limit)
    )
    readable = []
    for document in found:
        try:
            readable.append(msgspec.convert(document, Recommendation))
        except msgspec.ValidationError:
            continue  # the feed counts and names what cannot be read
    return readable
