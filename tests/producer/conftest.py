"""What the producer's tests share: files to send, a run of the script, a look at the topics."""

import contextlib
import json
import time

import pytest
from confluent_kafka import Consumer, KafkaException, TopicPartition

from tests.producer.shop_files import MANY, SCRIPT, TABLES, write
from tests.waiting import PATIENCE


@pytest.fixture
def shop(settings):
    """Four small files, unsorted as a stranger's are."""
    for name, lines in TABLES.items():
        write(settings.csv_dir, f"{name}.csv", lines)
    return settings.csv_dir


@pytest.fixture
def many_products(settings):
    """A file of 300,000 rows of some length, several blocks of the reader."""
    write(
        settings.csv_dir,
        "products.csv",
        ["product_id,name", *(f"{n},{'x' * 90}{n}" for n in range(MANY))],
    )
    return [f"{n}" for n in range(MANY)]


@pytest.fixture
def produce(run_script):
    """Run the producer to its end; its result, or the process where it must fail."""

    def produce(*flags, code=0, **changed):
        done = run_script(SCRIPT, "--json", *flags, **changed)
        assert code == done.returncode, done.stderr
        assert "Traceback" not in done.stderr
        return json.loads(done.stdout) if done.stdout else done.stderr

    return produce


@pytest.fixture
def wait_for_rows(settings):
    """Wait until a topic has more than so many messages, looking often and reading none."""
    consumer = Consumer(settings.kafka | {"group.id": "asks-only"})

    def wait(name, more_than=0):
        places = [TopicPartition(settings.topic_prefix + name, n) for n in range(3)]
        deadline = time.monotonic() + PATIENCE
        count = -1
        while count <= more_than:
            assert time.monotonic() < deadline, count
            time.sleep(0.005)
            with contextlib.suppress(KafkaException):  # not there yet
                count = sum(consumer.get_watermark_offsets(each, timeout=2)[1] for each in places)

    yield wait
    consumer.close()
