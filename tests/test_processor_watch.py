"""The processor that stays: what it follows, and what a death in the middle leaves."""

import random
import re
import signal
import time
from collections import Counter
from datetime import UTC, datetime
from functools import partial

import pytest

from erp import contract
from erp.processor.aggregates import COLLECTIONS, FACTS
from erp.processor.performance import read_performance
from erp.processor.snapshots import STAMP_ID, read, read_facts, read_stamp
from tests.processor_runs import MADRID, SCRIPT, by_id, compute, known_shop, put_line, put_sale
from tests.processor_shop import RandomShop, Shop
from tests.recommendation_samples import document, recommendation, recommended
from tests.waiting import until


@pytest.fixture
def shop(database):
    """Two stores, three sales on two days, with the figures that the tests have by hand."""
    return known_shop(database)


def _watch(run_script, **changed):
    settings = {"BUSINESS_TIMEZONE": MADRID, "LOG_LEVEL": "DEBUG"} | changed
    return run_script.start(SCRIPT, "--watch", "0.2", **settings)


def test_watch_follows_changes(shop, database, run_script):
    """A late line, a corrected sale and deleted ones end up right without computing all anew."""
    watching = _watch(run_script)
    until(lambda: read_stamp(database))
    rounds = [
        (lambda: put_line(shop, "1", 3, "milk", net_amount=2.0), (5.6, 22.5)),
        (lambda: put_sale(shop, "3", 22, store_id="north", gross_amount=7.0), (12.6, 7.5)),
        (lambda: shop.delete("sales", "2"), (12.6,)),
        (lambda: put_sale(shop, "2", 23, store_id="south"), (12.6, 7.5)),
        (lambda: shop.delete("sales_items", "2:1"), (12.6, 9.0)),
        (lambda: put_sale(shop, "lost", 23), (12.6, 109.0)),
    ]

    for change, expected in rounds:
        change()
        until(partial(_nets_are, database, expected))

    assert 0 == watching.stop(signal.SIGTERM)
    kinds = re.findall(r"round \d+: (\w+)", watching.stderr)
    assert ("whole", {"changed"}) == (kinds[0], set(kinds[1:]))


def test_follows_up_recommendations_once_and_while_watching(database, run_script):
    """What was recommended on a day is counted when its days have passed, later ones as they come.

    The purchase of the third day was bread, as recommended on the first.
    """
    shop = Shop(database)
    for day, customer in ((1, "ana"), (3, "ana"), (9, "bob")):
        moment = datetime(2024, 3, day, 12, tzinfo=UTC)
        shop.put("sales", sale_id=f"{day}", sale_datetime=moment, customer_id=customer)
        put_line(shop, f"{day}", 1, "bread", quantity=1.0)
        made = recommendation(
            day,
            sale_id=f"{day}",
            customer_id=customer,
            timestamp=moment,
            recommendations=[recommended("bread"), recommended("milk", 2)],
        )
        database["recommendations"].insert_one(document(made))
    compute(run_script, ACCEPTANCE_DAYS=7)
    assert (1, 2, 1) == _model_arm(database)

    watching = _watch(run_script, ACCEPTANCE_DAYS=7)
    shop.put("sales", sale_id="end", sale_datetime=datetime(2024, 3, 11, 12, tzinfo=UTC))
    until(lambda: _model_arm(database) == (2, 4, 1))
    assert 0 == watching.stop()
    assert "recommendations: 1 days of sales followed up in" in watching.stderr


def _model_arm(database):
    """(answers, products, accepted) of the recommendations."""
    (arm,) = read_performance(database).of("arm")
    return arm.answers, arm.products, arm.accepted


def _nets_are(database, expected):
    return expected == tuple(day["net"] for day in read(database, contract.DAILY_SALES))


@pytest.mark.usefixtures("shop")
def test_watch_notices_what_nobody_noted(database, run_script):
    """A sale that is deleted by hand, without a word of the sink, goes as well."""
    watching = _watch(run_script)
    until(lambda: read_stamp(database))

    database["sales"].delete_one({"_id": "3"})

    until(lambda: read_stamp(database).sales == 2)
    assert 7.5 == read(database, contract.DAILY_SALES)[-1]["net"]
    assert 0 == watching.stop()


@pytest.mark.usefixtures("shop")
def test_another_time_zone_computes_everything_anew(database, run_script):
    """A run in another business time zone does not go on from the days of the old one."""
    compute(run_script)

    watching = _watch(run_script, BUSINESS_TIMEZONE="UTC")
    until(lambda: read_stamp(database).timezone == "UTC")

    assert ["2024-03-01"] == [d["_id"] for d in read(database, contract.DAILY_SALES)]
    watching.stop()


def test_readers_see_whole_rounds_while_it_is_killed(database, run_script):
    """Killed at random moments, it never shows an empty, half-built or mixed collection."""
    shop, draw = RandomShop(database, 3), random.Random(3)
    shop.open()
    for _ in range(60):
        _recommend(shop)
    compute(run_script, ACCEPTANCE_DAYS=10)
    assert _is_whole(database)

    for attempt in range(6):
        for _ in range(5):
            shop.change_something()
        mode = ["--once"] if attempt % 3 == 0 else ["--watch", "0.01"]
        running = run_script.start(SCRIPT, *mode, BUSINESS_TIMEZONE=MADRID, ACCEPTANCE_DAYS=10)
        death = time.monotonic() + 1 + draw.random() * 2  # it needs a second to start
        while time.monotonic() < death:
            shop.change_something()
            _recommend(shop)
            assert _is_whole(database)
        running.kill()
        assert _is_whole(database)

    watching = _watch(run_script, ACCEPTANCE_DAYS=10)
    until(lambda: watching.stderr.count("nothing") > 4)  # quiet for so long that it looks
    watching.stop()
    followed = _everything(database)
    compute(run_script, ACCEPTANCE_DAYS=10)
    assert followed == _everything(database)


def _recommend(shop):
    """Answer one of the shop's sales, for the first time or anew."""
    sale = shop.draw.choice(list(shop.database["sales"].find()))
    made = recommendation(
        0,
        sale_id=sale["sale_id"],
        customer_id=sale.get("customer_id"),
        timestamp=sale["sale_datetime"],
        created_at=datetime.now(UTC),
        recommendations=[
            recommended(f"p{shop.draw.randrange(shop.PRODUCTS)}", rank) for rank in (1, 2, 3)
        ],
    )
    found = document(made) | {"control": shop.draw.random() < 0.2}
    shop.database["recommendations"].replace_one({"_id": found["_id"]}, found, upsert=True)


def _everything(database):
    found = {name: by_id(database, name) for name in COLLECTIONS if name != FACTS}
    performance = database[contract.RECOMMENDATION_PERFORMANCE].find({}, {"computed_at": 0})
    return found | {"performance": {each["_id"]: each for each in performance}}


def _is_whole(database):
    """Every reading agrees with the stamp of the round it belongs to; None when that went by."""
    while True:
        stamp = read_stamp(database)
        sums = {
            name: sum(round(100 * document["net"]) for document in read(database, name))
            for name in (contract.DAILY_SALES, contract.STORES)
        }
        tickets, lines = read_facts(database)
        in_categories = sum(round(100 * c["net"]) for c in read(database, contract.CATEGORIES))
        if read_stamp(database).round == stamp.round:
            break
    assert {tickets["net"].sum()} == set(sums.values())
    assert lines["net"].sum() == in_categories
    assert (stamp.sales, stamp.lines) == (tickets.height, lines.height)
    groups = read_performance(database).groups
    assert groups
    products = Counter(dict.fromkeys(("rank", "source", "confidence", "version"), 0))
    for group in groups:
        products[group.by] += group.products if group.key != "control" else 0
    assert 1 == len(set(products.values()))
    return all(database[name].find_one() for name in COLLECTIONS)


@pytest.mark.usefixtures("shop")
def test_a_second_processor_is_refused(database, run_script):
    """While one is at work another ends with one line and exit 1; a dead one is no hindrance."""
    watching = _watch(run_script)
    until(lambda: read_stamp(database))

    refused = run_script(SCRIPT, "--once")
    assert (1, 1) == (refused.returncode, refused.stderr.count("error: another processor"))

    watching.kill()
    compute(run_script)


@pytest.mark.usefixtures("shop")
def test_finishes_what_a_killed_run_had_begun_to_show(database, run_script):
    """Changes that stand in the journal are seen at once and written by the next run."""
    compute(run_script)
    database["processor_journal"].insert_one(
        {"_id": 1, "collection": contract.STORES, "key": "south", "fields": {"net": 1.0}}
    )
    database["processor_state"].update_one({"_id": STAMP_ID}, {"$set": {"phase": "applying"}})
    assert 1.0 == by_id(database, contract.STORES)["south"]["net"]

    watching = _watch(run_script)
    until(lambda: "finishing round" in watching.stderr)
    until(lambda: database[contract.STORES].find_one({"_id": "south"})["net"] == 1.0)
    watching.stop()
