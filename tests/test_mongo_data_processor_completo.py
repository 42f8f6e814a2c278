"""The processor against the wire MongoDB."""

import random
import re
import signal
import time
from collections import Counter
from datetime import UTC, datetime
from functools import partial

import msgspec
import pytest

from erp import contract
from erp.processor import aggregates
from erp.processor.aggregates import COLLECTIONS, FACTS
from erp.processor.performance import read_performance
from erp.processor.snapshots import STAMP_ID, read, read_facts, read_stamp
from tests.processor_shop import RandomShop, Shop, count
from tests.recommendation_samples import document, recommendation, recommended

SCRIPT = "mongo_data_processor_completo.py"
MADRID = "Europe/Madrid"
PATIENCE_SECONDS = 60


@pytest.fixture
def shop(database):
    """Two stores, three sales on two days of Madrid, and what real exports get wrong."""
    shop = Shop(database)
    shop.put("products", product_id="bread", name="Pan", category="Bakery", unit_cost=0.5)
    shop.put("products", product_id="milk", name="Leche", category="Dairy", subcategory="Fresh")
    shop.put("customers", customer_id="ana", first_name="Ana")
    # 22:30 UTC on Friday the 1st of March is 23:30 in Madrid; 23:30 UTC is Saturday there.
    _sale(shop, "1", 22, customer_id="ana", store_id="north", payment_type="card", tax=0.4)
    _line(shop, "1", 1, "bread", quantity=2.0, gross_amount=3.0, line_discount=0.5, net_amount=2.5)
    _line(shop, "1", 2, "milk", quantity=1.0, gross_amount=1.1, net_amount=1.1)
    _sale(shop, "2", 23, customer_id="ana", store_id="south", payment_type="cash")
    _line(shop, "2", 1, "bread", quantity=-1.0, unit_price=1.5)
    _line(shop, "2", 2, "nobody knows", quantity=3.0, gross_amount=9.0, net_amount=9.0)
    _sale(shop, "3", 23, store_id="south", gross_amount=20.0, discount_header=5.0)
    _line(shop, "lost", 1, "milk", quantity=1.0, net_amount=100.0)
    return shop


def _sale(shop, sale_id, hour, **fields):
    moment = datetime(2024, 3, 1, hour, 30, tzinfo=UTC)
    shop.put("sales", sale_id=sale_id, sale_datetime=moment, **fields)


def _line(shop, sale_id, line_n, product_id, **fields):
    shop.put("sales_items", sale_id=sale_id, line_n=line_n, product_id=product_id, **fields)


def _compute(run_script, **changed):
    done = run_script(SCRIPT, "--once", **({"BUSINESS_TIMEZONE": MADRID} | changed))
    assert done.returncode == 0, done.stderr
    return done


def _documents(database, collection):
    return {document["_id"]: document for document in read(database, collection)}


@pytest.mark.usefixtures("shop")
def test_days_of_a_shop_with_known_answers(database, run_script):
    """A day is the business zone's; returns lower it; absent amounts come from the others."""
    _compute(run_script)

    days = _documents(database, contract.DAILY_SALES)

    assert {"2024-03-01", "2024-03-02"} == days.keys()
    friday, saturday = days["2024-03-01"], days["2024-03-02"]
    assert (1, 2, 3.0, 4.1, 0.5, 3.6, 0.4) == tuple(
        friday[f] for f in ("tickets", "lines", "units", "gross", "discount", "net", "tax")
    )
    assert (4, 23) == (friday["weekday"], friday["by_hour"][0]["key"])
    # the return -1.5, the unknown product 9.0, and the header without lines 20.0 less 5.0
    assert (2, 2, 2.0, 27.5, 5.0, 5.0, 22.5, 11.25) == tuple(
        saturday[f]
        for f in (
            "tickets", "lines", "units", "gross", "discount", "header_discount", "net",
            "average_ticket",
        )
    )  # fmt: skip
    assert (1, 1, 1, 1, 1.0, 1.5) == tuple(
        saturday[f]
        for f in (
            "customers", "anonymous_tickets", "tickets_without_lines", "return_lines",
            "returned_units", "returned",
        )
    )  # fmt: skip
    assert [0, 0, 1, 1] == saturday["ticket_histogram"][:4]
    assert 2 == sum(saturday["ticket_histogram"])


@pytest.mark.usefixtures("shop")
def test_entities_of_a_shop_with_known_answers(database, run_script):
    """Stores, products, customers and categories of the same shop have the figures by hand."""
    _compute(run_script)

    stores = _documents(database, contract.STORES)
    products = _documents(database, contract.TOP_PRODUCTS)
    customers = _documents(database, contract.CUSTOMER_ANALYSIS)
    categories = _documents(database, contract.CATEGORIES)

    assert (1, 22.5, 0.862069) == tuple(stores["south"][f] for f in ("rank", "net", "share"))
    assert (1.0, 0.5) == tuple(products["bread"][f] for f in ("revenue", "margin"))
    assert (1, 9.0, None, "") == tuple(
        products["nobody knows"][f] for f in ("rank", "revenue", "name", "category")
    )
    assert ["ana"] == list(customers)
    assert (2, 11.1, 0, "2024-03-01", "2024-03-02", "Bakery") == tuple(
        customers["ana"][f]
        for f in (
            "frequency", "monetary", "recency", "first_purchase", "last_purchase",
            "favourite_category",
        )
    )  # fmt: skip
    assert {"": 9.0, "Bakery": 1.0, "Dairy": 1.1} == {k: c["net"] for k, c in categories.items()}


@pytest.mark.usefixtures("shop")
def test_documents_have_the_fields_that_are_written_down(database, run_script):
    """Those of erp.processor.aggregates, each in its type, and no others."""
    _compute(run_script)

    for name, described in {
        contract.DAILY_SALES: aggregates.DailySales,
        contract.STORES: aggregates.Store,
        contract.TOP_PRODUCTS: aggregates.TopProduct,
        contract.CUSTOMER_ANALYSIS: aggregates.CustomerRow,
        contract.CATEGORIES: aggregates.Category,
    }.items():
        documents = read(database, name)
        found = msgspec.convert(documents, list[described], strict=True)
        assert documents == msgspec.to_builtins(found)


@pytest.mark.usefixtures("shop")
def test_stamp_says_up_to_where(database, run_script):
    """The stamp has the newest sale, the days, the counts, and the lines without a sale apart."""
    before = datetime.now(UTC).replace(microsecond=0)

    _compute(run_script)

    stamp = read_stamp(database)
    assert ("3", "2024-03-01", "2024-03-02") == (stamp.up_to_sale, stamp.first_day, stamp.last_day)
    assert (3, 4, 1) == (stamp.sales, stamp.lines, stamp.orphan_lines)
    assert before <= stamp.computed_at <= datetime.now(UTC)


@pytest.mark.usefixtures("shop")
def test_facts_answer_for_the_page(database, run_script):
    """The facts of a range hold its tickets and lines, in cents, with the ids a page filters by."""
    _compute(run_script)

    sales, lines = read_facts(database, "2024-03-02", "2024-03-02")

    assert [("2", 750), ("3", 1500)] == sales.select("sale_id", "net").rows()
    assert [("bread", "Bakery", -150), ("nobody knows", "", 900)] == sorted(
        lines.select("product_id", "category", "net").cast({"product_id": str}).rows()
    )


@pytest.mark.parametrize("seed", [1, 2])
def test_every_figure_equals_a_second_count(seed, database, run_script, tmp_path):
    """A random shop's figures equal those that pandas and Decimal count from its CSV files."""
    shop = RandomShop(database, seed)
    shop.open()
    shop.write_csv(tmp_path / "csv")

    _compute(run_script)

    for collection, expected in count(tmp_path / "csv", MADRID).items():
        found = _documents(database, collection)
        assert expected.keys() == found.keys(), collection
        for key, row in expected.items():
            assert row == {field: found[key][field] for field in row}, (collection, key)


def test_first_run_on_an_empty_database_and_the_next(database, run_script):
    """Nothing sold gives empty collections and a stamp; the next run has what was sold since."""
    _compute(run_script)
    assert (0, None) == (read_stamp(database).sales, read_stamp(database).last_day)

    shop = Shop(database)
    _sale(shop, "1", 10, total_amount=5.0)
    _compute(run_script)

    assert (1, 5.0) == (read_stamp(database).sales, read(database, contract.STORES)[0]["net"])


def test_watch_follows_changes(shop, database, run_script):
    """A late line, a corrected sale and deleted ones end up right without computing all anew."""
    watching = _watch(run_script)
    _wait_for(lambda: read_stamp(database))
    rounds = [
        (lambda: _line(shop, "1", 3, "milk", net_amount=2.0), (5.6, 22.5)),
        (lambda: _sale(shop, "3", 22, store_id="north", gross_amount=7.0), (12.6, 7.5)),
        (lambda: shop.delete("sales", "2"), (12.6,)),
        (lambda: _sale(shop, "2", 23, store_id="south"), (12.6, 7.5)),
        (lambda: shop.delete("sales_items", "2:1"), (12.6, 9.0)),
        (lambda: _sale(shop, "lost", 23), (12.6, 109.0)),
    ]

    for change, expected in rounds:
        change()
        _wait_for(partial(_nets_are, database, expected))

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
        _line(shop, f"{day}", 1, "bread", quantity=1.0)
        made = recommendation(
            day,
            sale_id=f"{day}",
            customer_id=customer,
            timestamp=moment,
            recommendations=[recommended("bread"), recommended("milk", 2)],
        )
        database["recommendations"].insert_one(document(made))
    _compute(run_script, ACCEPTANCE_DAYS=7)
    assert (1, 2, 1) == _model_arm(database)

    watching = _watch(run_script, ACCEPTANCE_DAYS=7)
    shop.put("sales", sale_id="end", sale_datetime=datetime(2024, 3, 11, 12, tzinfo=UTC))
    _wait_for(lambda: _model_arm(database) == (2, 4, 1))
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
    _wait_for(lambda: read_stamp(database))

    database["sales"].delete_one({"_id": "3"})

    _wait_for(lambda: read_stamp(database).sales == 2)
    assert 7.5 == read(database, contract.DAILY_SALES)[-1]["net"]
    assert 0 == watching.stop()


@pytest.mark.usefixtures("shop")
def test_another_time_zone_computes_everything_anew(database, run_script):
    """A run in another business time zone does not go on from the days of the old one."""
    _compute(run_script)

    watching = _watch(run_script, BUSINESS_TIMEZONE="UTC")
    _wait_for(lambda: read_stamp(database).timezone == "UTC")

    assert ["2024-03-01"] == [d["_id"] for d in read(database, contract.DAILY_SALES)]
    watching.stop()


def test_readers_see_whole_rounds_while_it_is_killed(database, run_script):
    """Killed at random moments, it never shows an empty, half-built or mixed collection."""
    shop, draw = RandomShop(database, 3), random.Random(3)
    shop.open()
    for _ in range(60):
        _recommend(shop)
    _compute(run_script, ACCEPTANCE_DAYS=10)
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
    _wait_for(lambda: watching.stderr.count("nothing") > 4)  # quiet for so long that it looks
    watching.stop()
    followed = _everything(database)
    _compute(run_script, ACCEPTANCE_DAYS=10)
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
    found = {name: _documents(database, name) for name in COLLECTIONS if name != FACTS}
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
    _wait_for(lambda: read_stamp(database))

    refused = run_script(SCRIPT, "--once")
    assert (1, 1) == (refused.returncode, refused.stderr.count("error: another processor"))

    watching.kill()
    _compute(run_script)


def test_no_database_is_one_line(run_script):
    """Without MongoDB it ends with exit 1 and says what to do."""
    done = run_script(
        SCRIPT, "--once", MONGO_URI="mongodb://127.0.0.1:9", STARTUP_TIMEOUT_SECONDS=0
    )

    assert 1 == done.returncode
    assert re.search(r"^error: MongoDB does not answer at 127.0.0.1:9", done.stderr, re.MULTILINE)
    assert "Traceback" not in done.stderr


def test_a_mode_is_required(run_script):
    """Neither --once nor --watch is a usage error."""
    assert 2 == run_script(SCRIPT).returncode


def _watch(run_script, **changed):
    settings = {"BUSINESS_TIMEZONE": MADRID, "LOG_LEVEL": "DEBUG"} | changed
    return run_script.start(SCRIPT, "--watch", "0.2", **settings)


def _wait_for(holds):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


@pytest.mark.usefixtures("shop")
def test_finishes_what_a_killed_run_had_begun_to_show(database, run_script):
    """Changes that stand in the journal are seen at once and written by the next run."""
    _compute(run_script)
    database["processor_journal"].insert_one(
        {"_id": 1, "collection": contract.STORES, "key": "south", "fields": {"net": 1.0}}
    )
    database["processor_state"].update_one({"_id": STAMP_ID}, {"$set": {"phase": "applying"}})
    assert 1.0 == _documents(database, contract.STORES)["south"]["net"]

    watching = _watch(run_script)
    _wait_for(lambda: "finishing round" in watching.stderr)
    _wait_for(lambda: database[contract.STORES].find_one({"_id": "south"})["net"] == 1.0)
    watching.stop()
