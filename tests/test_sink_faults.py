"""Producer and sink while everything breaks: nothing is lost, nothing is there twice."""

import csv
import time

import pytest

from bench._sink_faults import Difference, Flow, compare
from local_stack.stack import Stack, free_ports
from tests.waiting import until

SALES, LINES = 1000, 3  # and lines of each


@pytest.fixture
def stack(tmp_path):
    """Servers of its own, which may be killed; the database is on a file, to outlive a restart."""
    ports = free_ports(3)
    with Stack(tmp_path / "stack", *ports, mongo_backend="file", quick_start=True) as running:
        yield running


def test_every_confirmed_line_is_stored_once_whatever_breaks(stack, database, run_script, tmp_path):
    """Kills of producer, sink and broker, restarts and a freeze of the database, at random."""
    write_sales(tmp_path / "csv_out")
    flags = ("--mode", "live", "--rate", "60", "--tables", "sales,sales_items")

    def start(script, *arguments):
        return run_script.start(script, *arguments, SINK_BATCH_SIZE=200).process

    flow = Flow(stack, database, start, flags, seed=3, freeze_seconds=2)
    flow.break_things(len(flow.kinds))
    flow.finish(SALES, SALES * LINES)
    assert set(flow.kinds) == {fault.what for fault in flow.done}
    assert {
        "sales": Difference(SALES, missing=0, unknown=0, differing=0),
        "sales_items": Difference(SALES * LINES, missing=0, unknown=0, differing=0),
    } == compare(database, tmp_path / "csv_out")


def test_a_frozen_database_is_no_idle_time(stack, database, run_script, tmp_path):
    """--idle-timeout counts from when there is nothing in hand, however long a write takes."""
    write_sales(tmp_path / "csv_out")
    assert 0 == run_script("erp_simulator_producer.py").returncode
    sink = run_script.start("erp_kafka_to_mongo.py", "--idle-timeout", 2, SINK_BATCH_SIZE=10)
    until(lambda: database["sales_items"].count_documents({}), pause=0.01)
    stack.mongo.freeze()
    time.sleep(5)
    still_running = sink.process.poll() is None
    stack.mongo.thaw()
    assert still_running
    assert 0 == sink.wait(), sink.stderr
    assert SALES * LINES == database["sales_items"].count_documents({})


def write_sales(folder):
    """sales.csv and sales_items.csv with sales a minute apart."""
    folder.mkdir()
    with (folder / "sales.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["sale_id", "sale_datetime", "customer_id", "items_count", "total_amount"])
        for n in range(SALES):
            moment = f"2024-03-{n // 1440 + 1:02}T{n // 60 % 24:02}:{n % 60:02}:00Z"
            rows.writerow([f"s{n}", moment, f"c{n % 7}", LINES, f"{n / 4}"])
    with (folder / "sales_items.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["sale_id", "line_n", "product_id", "quantity", "net_amount"])
        for n in range(SALES):
            rows.writerows(
                [f"s{n}", line, f"p{n % 50}", line, f"{n / 12:.2f}"] for line in range(1, LINES + 1)
            )
