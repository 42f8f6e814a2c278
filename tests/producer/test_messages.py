"""The producer against the real broker: what is in the files is in the topics, once."""

import gzip
import json
import os
from collections import Counter

import pytest
from confluent_kafka.admin import AdminClient

from tests.producer.shop_files import SCRIPT, by_time, rows, write


@pytest.mark.usefixtures("shop")
def test_every_row_arrives_field_by_field(produce, read_topic):
    """Numbers as numbers, ids as text, times in UTC; keyed as the contract says."""
    result = produce()
    assert {"products": 2, "customers": 1, "sales": 3, "sales_items": 4} == {
        name: table["sent"] for name, table in result["tables"].items()
    }
    assert (0, None) == (result["undelivered"], result["rejects"])
    products = {message.key(): json.loads(message.value()) for message in read_topic("products")}
    nothing = {"subcategory", "unit_cost", "supplier_code", "created_at"}
    assert {
        "product_id": "007",
        "name": "Queso, curado",
        "category": "Lácteos",
        "unit_price": 10.5,
        "stock": 3.0,
        "active": True,
    } | dict.fromkeys(nothing) == products[b"007"]
    assert {"8", 0.9, "Pan", None} == set(products[b"8"].values())
    sales = {message.key(): json.loads(message.value()) for message in read_topic("sales")}
    assert "2024-03-03T09:00:00Z" == sales[b"c"]["sale_datetime"]
    assert ("012", 1, -0.9) == tuple(
        sales[b"c"][name] for name in ("store_id", "items_count", "total_amount")
    )
    lines = read_topic("sales_items")
    assert {b"a": 2, b"b": 1, b"c": 1} == Counter(message.key() for message in lines)
    assert [2, 1] == [json.loads(m.value())["line_n"] for m in lines if m.key() == b"a"]
    assert {-1.0, 1.5, 1.0, 2.0} == {row["quantity"] for row in rows(lines)}


@pytest.mark.usefixtures("shop")
def test_missing_topics_are_created_with_their_settings(produce, settings):
    """All topics of the contract, with as many partitions as the setting says."""
    produce(TOPIC_PARTITIONS=5)
    topics = AdminClient(settings.kafka).list_topics().topics
    names = ("products", "customers", "sales", "sales_items", "recommendations", "dead_letter")
    assert [5] * 6 == [len(topics[settings.topic_prefix + name].partitions) for name in names]


@pytest.mark.usefixtures("shop")
def test_times_without_an_offset_are_of_the_business(produce, read_topic):
    """Ten o'clock in Madrid in March is nine in UTC."""
    produce(BUSINESS_TIMEZONE="Europe/Madrid")
    times = {row["sale_id"]: row["sale_datetime"] for row in rows(read_topic("sales"))}
    assert {
        "a": "2024-03-01T09:00:00Z",
        "b": "2024-03-02T09:00:00Z",
        "c": "2024-03-03T09:00:00Z",
    } == times


def test_rows_that_break_the_contract_are_refused_and_told(settings, produce, read_topic):
    """Each is counted by its reason and stands in the rejects file; the rest is sent."""
    write(
        settings.csv_dir,
        "products.csv",
        ["product_id,unit_price", "1,5", "2,NaN", ",7", "3,1e400", "4", "1,6", "5,12 EUR"],
    )
    result = produce()
    assert {
        "not_finite": 2,
        "missing_value": 1,
        "too_few_fields": 1,
        "duplicate_key": 1,
        "not_a_number": 1,
    } == result["tables"]["products"]["rejected"]
    assert (7, 1) == tuple(result["tables"]["products"][name] for name in ("read", "sent"))
    refused = (settings.csv_dir / "rejects.csv").read_text().splitlines()
    assert str(settings.csv_dir / "rejects.csv") == result["rejects"]
    assert "products.csv,3,unit_price,NaN,not_finite" in refused
    assert [str(line) for line in range(3, 9)] == [row.split(",")[1] for row in refused[1:]]
    assert [b"1"] == [message.key() for message in read_topic("products")]


@pytest.mark.parametrize("flags", [[], ["--watch", "--idle-timeout", "3"]])
def test_names_that_are_no_utf8_are_told_escaped(settings, produce, flags):
    """As an archive from Windows leaves them: of a folder, of a file, of one without a header."""
    folder = settings.csv_dir / os.fsdecode(b"a\xf1o")
    write(folder, os.fsdecode(b"products-a\xf1o.csv"), ["product_id,unit_price", "1,5", "2,x"])
    if flags:
        write(folder, os.fsdecode(b"customers-a\xf1o.csv"), ["no", "1"])
    result = produce(*flags, CSV_DIR=str(folder))
    assert 1 == result["tables"]["products"]["sent"]
    assert result["rejects"].endswith(r"a\xf1o/rejects.csv")
    refused = (folder / "rejects.csv").read_text().splitlines()
    assert r"products-a\xf1o.csv,3,unit_price,x,not_a_number" in refused
    assert bool(flags) == any(row.startswith(r"customers-a\xf1o.csv,1,") for row in refused)


def test_the_result_is_a_table_for_people(shop, run_script):
    """Rows read, sent and rejected with the reason, the file of refused rows, undelivered."""
    with (shop / "products.csv").open("a") as file:
        file.write("9,x,y,one,,\n")
    done = run_script(SCRIPT)
    assert 0 == done.returncode
    lines = [[cell.strip() for cell in line.split("│")] for line in done.stdout.splitlines()]
    assert ["", "products", "3", "2", "0", "1", ""] in lines
    assert ["", "products", "not_a_number", "1", ""] in lines
    assert f"rejected rows: {shop / 'rejects.csv'}" in done.stdout
    assert "undelivered: 0" in done.stdout


def test_strict_stops_at_the_first_bad_row(settings, produce, read_topic):
    """One line names file, line, column, value and reason; nothing of its block is sent."""
    write(settings.csv_dir, "products.csv", ["product_id,unit_price", "1,5", "2,x", "3,5"])
    message = produce("--strict", code=1)
    assert "error: products.csv line 3: unit_price 'x': not_a_number (--strict)" in message
    assert [] == read_topic("products")


def test_a_message_over_the_limit_is_refused_not_fatal(settings, produce, read_topic):
    """A name of two megabytes does not fit the broker; the other rows arrive."""
    write(settings.csv_dir, "products.csv", ["product_id,name", "1,a", f"2,{'x' * 2**21}", "3,c"])
    result = produce()
    assert {"message_too_large": 1} == result["tables"]["products"]["rejected"]
    assert {b"1", b"3"} == {message.key() for message in read_topic("products")}


@pytest.mark.usefixtures("shop")
def test_live_sends_by_time_each_header_before_its_lines(produce, read_topic):
    """Tickets in the order of their time; the lines of each by their number."""
    result = produce("--mode", "live", "--rate", "20")
    assert 4 == result["tables"]["sales_items"]["sent"]
    sales = by_time(read_topic("sales"))
    assert [b"a", b"b", b"c"] == [message.key() for message in sales]
    lines = by_time(read_topic("sales_items"))
    assert [("a", 1), ("a", 2), ("b", 1), ("c", 1)] == [
        (row["sale_id"], row["line_n"]) for row in rows(lines)
    ]
    for header, line in zip(sales[1:], lines[2:], strict=True):
        assert header.timestamp()[1] <= line.timestamp()[1]
    assert sales[1].timestamp()[1] > lines[1].timestamp()[1]


def test_live_sends_once_what_stands_in_two_files(shop, read_topic, run_script):
    """Of exports that overlap the header and the line of the last one; the others are told."""
    for name, *rows_ in (
        ("sales-2.csv", "sale_id,sale_datetime,store_id", "a,2024-03-01T10:00:00,013"),
        ("sales_items-2.csv", "sale_id,line_n,product_id,quantity", "a,2,8,3", "z,1,8,1"),
    ):
        (shop / name.replace("-2", "")).rename(shop / name.replace("-2", "-1"))
        write(shop, name, rows_)
    done = run_script(SCRIPT, "--json", "--mode", "live", "--rate", "0")
    counts = json.loads(done.stdout)["tables"]
    assert {"sales": (4, 3, 1), "sales_items": (6, 4, 2)} == {
        name: tuple(counts[name][count] for count in ("read", "sent", "not_selected"))
        for name in ("sales", "sales_items")
    }
    assert "2 lines are of no sale that was sent, or stand in a later file anew" in done.stderr
    assert {"013"} == {
        row["store_id"] for row in rows(read_topic("sales")) if row["sale_id"] == "a"
    }
    lines = [row for row in rows(read_topic("sales_items")) if row["sale_id"] == "a"]
    assert [(1, 2), (2, 3)] == [(row["line_n"], row["quantity"]) for row in lines]


@pytest.mark.usefixtures("shop")
def test_history_and_live_share_the_sales_between_them(produce, read_topic):
    """--until and --since at the same moment send everything once."""
    moment = "2024-03-02T10:00:00"
    history = produce("--until", moment)
    live = produce(
        "--mode", "live", "--rate", "0", "--since", moment, "--tables", "sales,sales_items"
    )
    assert (1, 2) == (history["tables"]["sales"]["sent"], history["tables"]["sales_items"]["sent"])
    assert (2, 2) == (live["tables"]["sales"]["sent"], live["tables"]["sales_items"]["sent"])
    assert 2 == live["tables"]["sales_items"]["not_selected"]
    assert 2 == len(read_topic("products"))
    assert ["a", "b", "c"] == sorted(row["sale_id"] for row in rows(read_topic("sales")))
    assert 4 == len(read_topic("sales_items"))


@pytest.mark.usefixtures("shop")
def test_the_limit_is_on_sales_and_their_lines_follow(produce, read_topic):
    """Batch takes the first sale of the file, live the first by time."""
    produce("--limit", "1", "--tables", "sales,sales_items")
    produce("--limit", "1", "--mode", "live", "--tables", "sales,sales_items", "--rate", "0")
    assert ["b", "a"] == [row["sale_id"] for row in rows(by_time(read_topic("sales")))]
    assert {"b": 1, "a": 2} == Counter(row["sale_id"] for row in rows(read_topic("sales_items")))


@pytest.mark.usefixtures("shop")
def test_lines_can_be_chosen_without_sending_their_sales(produce, read_topic):
    """--tables sales_items with --since looks at the sales and sends none."""
    produce("--since", "2024-03-03", "--tables", "sales_items")
    assert ["c"] == [row["sale_id"] for row in rows(read_topic("sales_items"))]
    assert [] == read_topic("sales")


def test_sales_that_choose_nothing_are_not_looked_at(shop, produce, read_topic):
    """All lines are sent whatever sales.csv is like, as long as it chooses none of them."""
    (shop / "sales.csv").write_text("not,a,header\n")
    produce("--tables", "sales_items")
    assert 4 == len(read_topic("sales_items"))


def test_several_files_and_packed_ones_are_one_table(shop, produce, read_topic):
    """Files of a table are sent by name; the same content under another name only once."""
    march = "product_id;unit_price\n9;1,5\n"
    (shop / "products-2024-03.csv.gz").write_bytes(gzip.compress(march.encode("utf-16")))
    (shop / "products-2024-04.csv").write_bytes((shop / "products.csv").read_bytes())
    produce("--tables", "products")
    products = {row["product_id"]: row["unit_price"] for row in rows(read_topic("products"))}
    assert {"007": 10.5, "8": 0.9, "9": 1.5} == products
    assert 3 == len(read_topic("products"))


def test_an_export_that_returns_to_an_earlier_content_is_sent(shop, produce, read_topic):
    """A price of 10, 7 and 10 again ends at 10, and what did not change is not sent again."""
    write(shop, "products-2.csv", ["product_id", "9"])
    for price in (10, 7, 10, 10):
        write(shop, "products.csv", ["product_id,unit_price", f"1,{price}"])
        produce("--resume", "--tables", "products")
    messages = by_time(read_topic("products"))
    assert [10, 7, 10] == [row["unit_price"] for row in rows(messages) if row["product_id"] == "1"]
    assert 4 == len(messages)


def test_a_damaged_archive_is_told_and_the_rest_is_sent(shop, produce, read_topic):
    """What can be read is sent; what cannot is one refused row, also where a block ends with it."""
    rows_ = "".join(f"{n},{hash(str(n)):x}\n" for n in range(80_000))
    packed = gzip.compress(f"product_id,name\n{rows_}".encode())
    (shop / "products.csv").unlink()
    (shop / "products.csv.gz").write_bytes(packed[:-300])
    result = produce("--tables", "products")["tables"]["products"]
    assert {"damaged_file": 1} == result["rejected"]
    assert result["read"] - 1 == result["sent"] == len(read_topic("products")) > 0
    assert ",damaged_file" in (shop / "rejects.csv").read_text()


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (["--csv-dir", "/nowhere"], 1, "/nowhere is not a folder"),
        (["--since", "yesterday"], 2, "--since yesterday: not a time"),
        (["--until", "9999-12-31T23:59-05:00"], 2, "--until 9999-12-31T23:59-05:00: not a time"),
        (["--watch", "--mode", "live", "--csv-dir", "/nowhere"], 2, "--watch"),
        (["--tables", "sale"], 2, "unknown: sale"),
        (["--speed", "2", "--rate", "3"], 2, "not allowed with"),
        (["--speed", "60"], 2, "--mode live"),
        (["--rate", "0"], 2, "--mode live"),
        (["--idle-timeout", "3"], 2, "--watch"),
    ],
)
def test_what_cannot_be_asked_is_one_clear_line(produce, flags, code, words):
    """Exit code 2 for usage, 1 for a failure; the last line says what is wrong."""
    assert words in produce(*flags, code=code).splitlines()[-1]


@pytest.mark.usefixtures("shop")
def test_kafka_away_at_the_start_is_one_clear_line(produce):
    """It waits for a bounded time and then says what to do."""
    message = produce(
        code=1, KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1", STARTUP_TIMEOUT_SECONDS=1
    ).splitlines()[-1]
    assert "error: Kafka does not answer at 127.0.0.1:1" in message
    assert "make up" in message


def test_an_unusable_header_ends_the_run_before_anything_is_sent(shop, produce, settings):
    """The message names the file and what it lacks."""
    write(shop, "sales.csv", ["sale_id", "1"])
    assert "sales.csv has no column sale_datetime" in produce(code=1).splitlines()[-1]
    topics = AdminClient(settings.kafka).list_topics().topics
    assert settings.topic_prefix + "products" not in topics


def test_help_tells_what_it_reads_and_writes(run_script):
    """A newcomer finds the files, the topics and the lines to run."""
    help_text = run_script(SCRIPT, "--help").stdout
    for words in ("products.csv", "erp.sales_items", "rejects.csv", "--mode live", "--resume"):
        assert words in help_text
