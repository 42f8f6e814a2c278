"""The producer when things break: signals, kills, full disks, a broker that goes; new files."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from erp import kafka
from tests.conftest import ROOT
from tests.producer.shop_files import MANY, SCRIPT, rows, write
from tests.waiting import until


def test_a_signal_ends_it_and_resume_sends_the_rest(
    many_products, run_script, produce, read_topic, wait_for_rows
):
    """After Ctrl-C and --resume each row is in the topic exactly once."""
    running = run_script.start(SCRIPT, "--json", "--tables", "products")
    wait_for_rows("products")
    assert 0 == running.stop(signal.SIGINT)
    so_far = len(read_topic("products"))
    assert so_far == json.loads(running.stdout)["tables"]["products"]["sent"]
    result = produce("--resume", "--tables", "products")
    assert len(many_products) == result["tables"]["products"]["sent"]
    keys = [message.key().decode() for message in read_topic("products")]
    assert many_products == sorted(keys, key=int)
    again = produce("--resume", "--tables", "products")
    assert result["tables"] == again["tables"]
    assert len(many_products) == len(read_topic("products"))


def test_a_stopped_live_run_goes_on_with_the_next_sale(
    settings, run_script, produce, read_topic, wait_for_rows
):
    """No sale and no line is sent twice or left out."""
    moments = [f"2024-03-01T{n // 60:02}:{n % 60:02}:00" for n in range(300)]
    write(
        settings.csv_dir,
        "sales.csv",
        ["sale_id,sale_datetime", *(f"{n},{moment}" for n, moment in enumerate(moments))],
    )
    write(
        settings.csv_dir,
        "sales_items.csv",
        ["sale_id,line_n,product_id", *(f"{n},{line},p" for line in (1, 2) for n in range(300))],
    )
    flags = ("--mode", "live", "--tables", "sales,sales_items")
    running = run_script.start(SCRIPT, "--json", *flags, "--rate", "20")
    wait_for_rows("sales", more_than=10)
    assert 0 == running.stop(signal.SIGTERM)
    assert len(read_topic("sales")) < 300
    result = produce(*flags, "--rate", "0", "--resume")
    assert (300, 600) == tuple(result["tables"][name]["sent"] for name in ("sales", "sales_items"))
    sent = [message.key().decode() for message in read_topic("sales")]
    assert [str(n) for n in range(300)] == sorted(sent, key=int)
    assert 600 == len({(row["sale_id"], row["line_n"]) for row in rows(read_topic("sales_items"))})
    assert 600 == len(read_topic("sales_items"))


def test_a_killed_run_loses_nothing(many_products, run_script, produce, read_topic, wait_for_rows):
    """After a kill --resume sends what was not confirmed: some rows come twice, none is lost."""
    running = run_script.start(SCRIPT, "--tables", "products")
    wait_for_rows("products")
    running.kill()
    produce("--resume", "--tables", "products")
    keys = {message.key().decode() for message in read_topic("products")}
    assert set(many_products) == keys


def test_refused_rows_are_counted_once_over_a_resume(settings, run_script, produce, wait_for_rows):
    """The counts and the rejects file of a resumed run speak of the whole job."""
    bad = range(0, MANY, 100)
    lines = [f"{n},{'x' if n in bad else n}," + "y" * 90 for n in range(MANY)]
    write(settings.csv_dir, "products.csv", ["product_id,unit_price,name", *lines])
    running = run_script.start(SCRIPT, "--tables", "products")
    wait_for_rows("products")
    running.stop(signal.SIGINT)
    result = produce("--resume", "--tables", "products")["tables"]["products"]
    assert (MANY, {"not_a_number": MANY // 100}) == (result["read"], result["rejected"])
    refused = (settings.csv_dir / "rejects.csv").read_text().splitlines()[1:]
    assert [str(n + 2) for n in bad] == [row.split(",")[1] for row in refused]


def test_a_full_disk_ends_the_run_and_resume_goes_on(settings, produce, read_topic, limited_files):
    """No room for the refused rows: one line says so, and once there is, each row is there once."""
    lines = [f"{n},{'x' if n % 20 == 0 else n},{'y' * 90}" for n in range(MANY // 3)]
    write(settings.csv_dir, "products.csv", ["product_id,unit_price,name", *lines])
    with limited_files(64 * 1024):
        message = produce("--tables", "products", code=1)
    assert "error: cannot write refused rows to" in message.splitlines()[-1]
    sent = len(read_topic("products"))
    assert sent < len(lines)
    result = produce("--resume", "--tables", "products")["tables"]["products"]
    assert {"not_a_number": len(lines) // 20} == result["rejected"]
    refused = (settings.csv_dir / "rejects.csv").read_text().splitlines()[1:]
    assert [str(n + 2) for n in range(0, len(lines), 20)] == [r.split(",")[1] for r in refused]
    keys = [message.key() for message in read_topic("products")]
    assert result["sent"] == len(keys) == len(set(keys)) == len(lines) * 19 // 20


@pytest.mark.usefixtures("shop", "many_products")
def test_no_room_for_temporary_files_or_for_the_result_is_one_clear_line(run_script, limited_files):
    """The line says what to do; rows that were confirmed stay so."""
    with limited_files(4 * 1024):
        full = run_script(SCRIPT, "--tables", "products")
    assert 1 == full.returncode
    assert "error: no room for temporary files" in full.stderr.splitlines()[-1]
    with Path("/dev/full").open("wb") as nowhere:
        unread = subprocess.run(
            [sys.executable, str(ROOT / SCRIPT), "--tables", "customers"],
            env=run_script.environment(),
            stdout=nowhere,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert 1 == unread.returncode
    assert "error: cannot print the result" in unread.stderr.splitlines()[-1]
    assert "0 messages are undelivered" in unread.stderr.splitlines()[-1]


def test_a_second_producer_leaves_the_first_alone(
    many_products, run_script, produce, read_topic, wait_for_rows
):
    """Anew or with --resume it ends with one line; what the first sends comes once."""
    running = run_script.start(SCRIPT, "--json", "--tables", "products")
    wait_for_rows("products")
    running.process.send_signal(signal.SIGSTOP)
    for flags in ([], ["--resume"]):
        message = produce("--tables", "products", *flags, code=1)
        assert "another producer is at work" in message.splitlines()[-1]
    running.process.send_signal(signal.SIGCONT)
    assert 0 == running.wait()
    assert len(many_products) == len(read_topic("products"))


def test_what_is_begun_anew_is_not_done_by_the_run_before(shop, many_products, run_script, produce):
    """Killed before Kafka confirmed anything, it goes on from its own beginning."""
    flags, state = ("--tables", "products"), shop / ".producer-batch.json"
    assert len(many_products) == produce(*flags)["tables"]["products"]["sent"]
    running = run_script.start(SCRIPT, *flags)
    until(lambda: '"done": true' not in state.read_text(), pause=0.01)
    running.kill()
    assert len(many_products) == produce(*flags, "--resume")["tables"]["products"]["sent"]


@pytest.mark.usefixtures("shop")
def test_resume_of_another_job_is_refused(produce):
    """Other flags than before are a usage error that names them.

    Read otherwise, other rows would be refused: a position in a file, or among the sales of live
    mode, would be another one.
    """
    produce()
    for flag, value in {
        "until": "2024-03-02",
        "date_order": "dmy",
        "decimal": "comma",
        "encoding": "cp1252",
    }.items():
        flags = ("--resume", f"--{flag.replace('_', '-')}", value)
        assert f"({flag} differs)" in produce(*flags, code=2).splitlines()[-1]


def test_messages_that_the_topics_do_not_count_are_undelivered(
    settings, many_products, run_script, produce, read_topic, wait_for_rows
):
    """A topic that is deleted and made anew in the middle ends the run with exit code 1."""
    running = run_script.start(SCRIPT, "--json", "--tables", "products")
    wait_for_rows("products")
    running.process.send_signal(signal.SIGSTOP)  # or it might be done before the topic is gone
    admin, topic = AdminClient(settings.kafka), settings.topic_prefix + "products"
    admin.delete_topics([topic])[topic].result(30)
    kafka.ensure_topics(settings.kafka, [topic], 3, 1)
    running.process.send_signal(signal.SIGCONT)
    assert 1 == running.wait()
    assert json.loads(running.stdout)["undelivered"] > 0
    produce("--tables", "products")
    assert set(many_products) <= {message.key().decode() for message in read_topic("products")}


def test_a_topic_that_is_deleted_once_it_was_confirmed_ends_the_run(
    shop, settings, run_script, wait_for_rows
):
    """One line says which topics to look after."""
    watching = run_script.start(SCRIPT, "--watch", "--tables", "products,customers")
    wait_for_rows("products", more_than=1)
    wait_for_rows("customers")
    admin, topic = AdminClient(settings.kafka), settings.topic_prefix + "products"
    admin.delete_topics([topic])[topic].result(30)
    write(shop, "customers-2.csv", ["customer_id", "2"])
    assert 1 == watching.wait()
    assert f"error: Kafka does not count the topics {topic}," in watching.stderr.splitlines()[-1]
    assert "Traceback" not in watching.stderr


@pytest.mark.parametrize("fault", ["freeze", "kill"])
def test_a_broker_that_goes_and_comes_back_costs_time_only(
    fault, stack, many_products, run_script, read_topic, wait_for_rows
):
    """Frozen or killed in the middle: every row arrives, and none twice."""
    running = run_script.start(SCRIPT, "--json", "--tables", "products")
    wait_for_rows("products")
    getattr(stack.kafka, fault)()
    time.sleep(2)
    stack.kafka.thaw() if fault == "freeze" else stack.kafka.restart()
    assert 0 == running.wait()
    assert 0 == json.loads(running.stdout)["undelivered"]
    keys = [message.key().decode() for message in read_topic("products")]
    assert many_products == sorted(keys, key=int)


def test_a_signal_while_kafka_is_away_is_a_failure_that_says_so(
    stack, many_products, run_script, produce, read_topic, wait_for_rows
):
    """Exit code 1 and the number of messages; --resume sends those, and few of the others."""
    running = run_script.start(SCRIPT, "--json", "--tables", "products")
    wait_for_rows("products", more_than=MANY // 4)
    stack.kafka.freeze()
    try:
        assert 1 == running.stop(signal.SIGINT)
    finally:
        stack.kafka.thaw()
    assert json.loads(running.stdout)["undelivered"] > 0
    assert "--resume sends them again" in running.stderr
    produce("--resume", "--tables", "products")
    keys = [message.key().decode() for message in read_topic("products")]
    assert set(many_products) == set(keys)
    assert len(keys) - MANY < MANY // 3  # 50,000 may wait, and a block begins before them


def test_watch_sends_new_files_once(shop, run_script, produce, read_topic, wait_for_rows):
    """Each file that appears or changes is sent, once, also over a restart; bad ones are told."""
    produce("--tables", "products")
    watching = run_script.start(SCRIPT, "--json", "--tables", "products", "--watch")
    write(shop, "products-3.csv", ["name", "no id"])  # seen no later than the one behind it
    write(shop, "products-2.csv", ["product_id", "9"])
    wait_for_rows("products", more_than=2)
    write(shop, "products-2.csv", ["product_id,name", "9,new"])
    wait_for_rows("products", more_than=3)
    assert 0 == watching.stop()
    counts = json.loads(watching.stdout)["tables"]["products"]
    assert (4, {"unusable_header": 1}) == (counts["sent"], counts["rejected"])
    again = produce("--tables", "products", "--watch", "--idle-timeout", "4")
    assert counts == again["tables"]["products"]
    assert 4 == len(read_topic("products"))
