"""The examples run as they are printed, and each is one short file."""

import random
import subprocess
import sys
import time

import pytest
from confluent_kafka import Producer

from erp import kafka
from tests.environments import ROOT
from tests.recommendation_samples import message, recommendation
from tests.waiting import PATIENCE

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
MEALS = [["bread", "butter", "jam"], ["tea", "milk", "sugar"], ["pasta", "tomato", "basil"]]


def run(name, *arguments):
    """What an example prints; it must end well."""
    done = subprocess.run(
        [sys.executable, f"examples/{name}.py", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    return done.stdout


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_short_and_says_how_it_is_run(example):
    """Under 60 lines, with its command in the docstring."""
    text = example.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 60
    assert f"    python examples/{example.name}" in text


def test_recommending_from_data_frames(tmp_path):
    """Bread leads to butter and jam, and says so; the model is saved."""
    first, second, _ = run("recommend_from_data_frames", tmp_path / "model.pkl").splitlines()
    assert {"Butter", "Jam"} == {first.split()[0], second.split()[0]}
    assert first.endswith("because of Bread")
    assert (tmp_path / "model.pkl").is_file()


def test_evaluating_against_popularity(tmp_path):
    """Where products go together, the model finds more than the bestsellers do."""
    chance = random.Random(1)
    meals = [[f"{product}{n}" for product in meal] for n in range(9) for meal in MEALS]
    sales, lines = ["sale_id,sale_datetime,customer_id"], ["sale_id,line_n,product_id,quantity"]
    for number in range(600):
        sales.append(
            f"s{number},2026-01-{1 + number // 24:02}T{number % 24:02}:00:00Z,c{number % 9}"
        )
        basket = chance.sample(chance.choice(meals), 2)
        lines += [f"s{number},{place},{product},1" for place, product in enumerate(basket, 1)]
    for name, rows in (("sales", sales), ("sales_items", lines)):
        (tmp_path / f"{name}.csv").write_text("\n".join(rows) + "\n")
    products = ["product_id,name", *(f"{one},{one}" for meal in meals for one in meal)]
    (tmp_path / "products.csv").write_text("\n".join(products) + "\n")
    _, ours, theirs = run("evaluate_against_popularity", tmp_path).splitlines()
    assert float(ours.split()[-1].rstrip("%")) > float(theirs.split()[-1].rstrip("%")) + 20


def test_reading_recommendations_from_another_program(settings, run_script):
    """An answer is a line, and so is one that is taken back."""
    topic = settings.topic_prefix + "recommendations"
    kafka.ensure_topics(settings.kafka, [topic], 1, 1)
    producer = Producer(settings.kafka)
    producer.produce(topic, **message(recommendation(1)))
    producer.produce(topic, None, b"s1")
    producer.flush(30)
    reading = run_script.start(
        "examples/read_recommendations.py", "--from-beginning", GROUP=settings.topic_prefix
    )
    until = time.monotonic() + PATIENCE
    while len(reading.stdout.splitlines()) < 2 and time.monotonic() < until:
        time.sleep(0.1)
    first, second = reading.stdout.splitlines()
    assert first.startswith("sale s1, customer ")
    assert "%)" in first
    assert "sale s1 was taken back" == second
