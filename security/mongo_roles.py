"""Print what each script may do in MongoDB, as a script of mongosh.

Reads   MONGO_DATABASE
Writes  createRole and createUser commands to stdout; nothing is sent to the server
Run by  an administrator, once for each shop

    python -m security.mongo_roles > roles.js
    mongosh "mongodb://administrator@db.example.com/admin" roles.js

mongosh asks for the password of each user; it goes into the MONGO_URI of its script. On Atlas
make the roles of the printed actions under Database Access, where mongosh may not.
"""

import json
from typing import Any

from config import Settings
from erp import contract
from erp.process import argument_parser, run
from erp.processor.aggregates import COLLECTIONS, JOURNAL, STATE
from erp.processor.snapshots import NEXT

READ = ["find"]
KEEP = ["find", "insert", "update", "remove", "createIndex"]  # a collection of its own
EVERYTHING = ""  # MongoDB's word for every collection of the database, and for the database


def privileges(database: str) -> dict[str, list[dict[str, Any]]]:
    """What each role may do, as MongoDB's createRole takes it: resource and actions."""
    tables = [table.name for table in contract.TABLES]
    history = [contract.SALES.name, contract.SALES_ITEMS.name, contract.PRODUCTS.name]
    built = [*COLLECTIONS, *(name + NEXT for name in COLLECTIONS), STATE, JOURNAL]
    built.append(contract.RECOMMENDATION_PERFORMANCE)
    wanted: dict[str, list[tuple[list[str], list[str]]]] = {
        "sink": [([*tables, contract.DELETIONS], KEEP)],
        "trainer": [(history, READ)],
        "recommender": [
            (history, READ),
            # how long recommendations are kept is an index, which may change
            ([contract.RECOMMENDATIONS], [*KEEP, "listIndexes", "dropIndex", "collMod"]),
        ],
        "processor": [
            ([*tables, contract.DELETIONS], [*READ, "createIndex"]),
            ([contract.RECOMMENDATIONS], READ),
            (built, [*KEEP, "createCollection", "dropCollection"]),
            ([EVERYTHING], ["renameCollectionSameDB"]),  # takes a round's place in one step
        ],
        "page": [([EVERYTHING], READ)],
    }
    return {
        role: [
            {"resource": {"db": database, "collection": name}, "actions": actions}
            for names, actions in [*parts, ([EVERYTHING], ["listCollections"])]
            for name in names
        ]
        for role, parts in wanted.items()
    }


def script(database: str) -> list[str]:
    """The lines for mongosh: each role, then a user that has it and nothing else."""
    lines = [f"const shop = db.getSiblingDB({json.dumps(database)});"]
    for role, granted in privileges(database).items():
        name = f"{database}-{role}"
        described = {"role": name, "privileges": granted, "roles": []}
        lines.append(f"shop.createRole({json.dumps(described, indent=2)});")
        user = f"user: {json.dumps(name)}, pwd: passwordPrompt(), roles: [{json.dumps(name)}]"
        lines.append(f'print("password of {name}:"); shop.createUser({{{user}}});')
    return lines


def main() -> None:
    """Print them."""
    argument_parser(__doc__).parse_args()
    print(*script(Settings.load().mongo_database), sep="\n")


if __name__ == "__main__":
    run(main)
