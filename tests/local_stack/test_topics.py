"""`make topics`: what the tables tell, and what is said where there is nothing to tell."""

import subprocess
import sys

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from local_stack.server import free_ports
from tests.environments import ROOT
from tests.waiting import PATIENCE


def test_topics_shows_counts_lag_and_newest(settings, run_script) -> None:
    """The tables tell partitions, messages, a group's lag and the newest values in one line."""
    topic = f"{settings.topic_prefix}sales"
    admin = AdminClient(settings.kafka)
    admin.create_topics([NewTopic(topic, 1)])[topic].result(PATIENCE)
    producer = Producer(settings.kafka)
    for number in range(1200):
        producer.produce(topic, f"line\nof [bold]{number}", key=str(number))
    producer.produce(topic, None, key=b"\xff")
    producer.flush(PATIENCE)
    group = f"{settings.consumer_group_prefix}sink"
    consumer = Consumer(settings.kafka | {"group.id": group})
    consumer.commit(offsets=[TopicPartition(topic, 0, 200)], asynchronous=False)
    consumer.close()

    told = run_module(run_script, "topics", "--newest", "2")
    assert 0 == told.returncode, told.stderr
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in told.stdout.splitlines()]
    assert [topic, "1", "1,201", "1,201"] in rows
    assert [group, "empty", topic, "1,001"] in rows
    newest = [row for row in rows if row and row[0].startswith(f"{topic}[0]@")]
    assert [
        [f"{topic}[0]@1200", "\\xff", "(null)"],
        [f"{topic}[0]@1199", "1199", "line of [bold]1199"],
    ] == newest


def test_topics_without_any(run_script) -> None:
    """No topic yet: a sentence that says who makes them."""
    told = run_module(run_script, "topics")
    assert 0 == told.returncode, told.stderr
    assert "the producer makes them" in told.stdout


def test_topics_without_kafka(run_script) -> None:
    """No Kafka: one line with the address."""
    nowhere = f"127.0.0.1:{free_ports(1)[0]}"
    told = run_module(run_script, "topics", KAFKA_BOOTSTRAP_SERVERS=nowhere)
    assert 1 == told.returncode
    [line] = told.stderr.splitlines()
    assert nowhere in line


def run_module(run_script, *arguments: str, **changed: object) -> subprocess.CompletedProcess:
    """`python -m local_stack` with a test's settings."""
    return subprocess.run(
        [sys.executable, "-m", "local_stack", *arguments],
        cwd=ROOT,
        env=run_script.environment(**changed),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
