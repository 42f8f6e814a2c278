"""The wire server of the local stack, where it is more than the library that it is made of."""

import threading
from concurrent.futures import ThreadPoolExecutor

CLIENTS, TIMES = 4, 100


def test_a_collection_comes_and_goes_as_a_whole(database):
    """Whoever writes to it, counts it or looks into it while it is created or dropped."""
    over = threading.Event()

    def use(client):
        while not over.is_set():
            database["new"].insert_many([{} for _ in range(20)])
            database["new"].count_documents({})
            database["new"].find_one({"_id": client})

    with ThreadPoolExecutor(CLIENTS) as pool:
        uses = [pool.submit(use, number) for number in range(CLIENTS)]
        for _ in range(TIMES):
            database["new"].drop()
        over.set()
        for each in uses:
            each.result()
