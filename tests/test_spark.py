"""The trainer on Spark: the numbers of the local engine, from every source. One session for all."""

import json
import os
import random
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from erp import contract, kafka, mongo
from erp.outbox import Outbox
from erp.recommender import (
    columns,
    content,
    fit_baskets,
    spark,
    spark_pairs,
    spark_sales,
    spark_session,
    spark_sources,
    training_csv,
    training_parquet,
)
from erp.recommender.catalogue import Catalogue
from erp.recommender.settings import ModelSettings
from local_stack.toolchain import fetch_jars, find_java
from tests.conftest import ROOT

SALES, BIG = 300, 1_000
BAG = "bag"
MASTER = "local[2]"


@pytest.fixture(scope="module")
def session():
    """Spark on two cores, compiled lightly, with the jars of spark/pom.xml."""
    jars = fetch_jars(find_java(), ROOT / "spark")
    options = {
        "spark.jars": f"{jars}/*.jar",
        "spark.driver.memory": "1g",
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1",
        "spark.sql.shuffle.partitions": "2",
    }
    running = spark_session.session(MASTER, options, "csv")
    yield running
    running.stop()


@pytest.fixture(scope="module")
def shop():
    """Rows of a shop: a bag in every basket, two huge baskets, returns, gaps, sales without lines.

    Many sales share a moment, some have no customer or no store, one has no time.
    """
    rng = random.Random(5)
    start = datetime(2025, 1, 1, tzinfo=UTC)
    sales, lines = [], []

    def sell(number, products):
        sales.append(
            {
                "sale_id": f"s{number}",
                "sale_datetime": (start + timedelta(hours=5 * (number // 2))).isoformat(),
                "customer_id": f"c{rng.randrange(30)}" if number % 4 else None,
                "store_id": f"t{number % 3}" if number % 5 else None,
            }
        )
        for line, product in enumerate(products, 1):
            quantity = rng.choice([1, 2, 1.5, None, -1 if line == 3 else 1])
            lines.append((f"s{number}", line, product, quantity))

    for number in range(SALES):
        first = rng.randrange(40)
        sell(number, [BAG, f"p{first}", f"p{(first + 1) % 40}", f"p{rng.randrange(40)}", BAG])
    for number in (SALES, SALES + 1):
        sell(number, [BAG, *(f"q{product}" for product in range(BIG))])
    sell(SALES + 2, [])
    sales.append({"sale_id": "timeless", "sale_datetime": None})
    lines += [("nowhere", 1, "p1", 1), ("timeless", 1, "unsold", 1)]
    names = ("sale_id", "line_n", "product_id", "quantity")
    return {
        "products": [
            {"product_id": f"p{i}", "name": f"Ñ {i}", "category": f"k{i % 4}", "active": i != 7}
            for i in range(40)
        ],
        "sales": sales,
        "sales_items": [dict(zip(names, line, strict=True)) for line in lines],
    }


@pytest.fixture(scope="module")
def folder(shop, tmp_path_factory):
    """The rows as CSV and as Parquet; the CSV has a row too long in it."""
    folder = tmp_path_factory.mktemp("shop")
    for name, rows in shop.items():
        frame = pl.DataFrame(rows, infer_schema_length=None)
        frame.write_parquet(folder / f"{name}.parquet")
        frame.write_csv(folder / f"{name}.csv")
    with (folder / "sales_items.csv").open("a") as file:
        file.write("s1,99,p1,1,surplus\n")
    return folder


def from_files(session, folder, kind="csv"):
    return spark_sources.from_files(session, str(folder), kind)


def same(ours, theirs, path=""):
    """Where two contents differ by more than 1e-9."""
    if isinstance(ours, dict):
        assert list(ours) == list(theirs), path
        return [one for key in ours for one in same(ours[key], theirs[key], f"{path}/{key}")]
    if isinstance(ours, np.ndarray):
        if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
            return [path]
        return [] if np.allclose(ours, theirs, rtol=0, atol=1e-9) else [path]
    if isinstance(ours, float):
        return [] if abs(ours - theirs) <= 1e-9 else [path]
    return [] if ours == theirs or path == "/facts/trained_at" else [path]


@pytest.mark.stack
def test_the_model_is_the_local_engines(session, folder, monkeypatch):
    """Every number: similarities, support, popularity, history, learned weights, counts."""
    # so few products a block that baskets are cut, and that a row alone is a block
    monkeypatch.setattr(spark_pairs, "PRODUCTS_WORTH_A_BLOCK", 300)
    settings = ModelSettings(top_sim_per_item=20)
    source = from_files(session, folder)
    sales = spark_sales.read(source, "UTC")
    catalogue = Catalogue.from_products(source.products)
    found = content.content_of(spark.fit(sales, catalogue, settings))
    baskets = training_csv.read_baskets(folder)
    catalogue = Catalogue.from_products(training_csv.read_products(folder))
    expected = content.content_of(fit_baskets(baskets, catalogue, settings))
    assert 1 == expected["facts"]["counts"]["rows_ragged"]
    assert None is not expected["heads"]["order_known"]
    assert None is not expected["heads"]["next_sale"]
    assert [] == same(expected, found)


def test_no_block_is_large_whatever_a_basket_holds():
    """A row of many products is a block alone, the rest share evenly; all rows are in one."""
    cost = np.array([5, 5, 2_000_000, 5, 400_000, 200_000, 0])
    assert [0, 2, 3, 5, 7] == spark_pairs._edges(cost, cores=100).tolist()


def test_the_bag_in_every_basket_is_paired_in_the_rows_of_the_others():
    """Of ten baskets with a bag none is sent to the bag's own block."""
    grid = spark_pairs.Grid(
        np.array([1, 2, 0], np.int32), np.array([2, 0, 1], np.int32), np.arange(4)
    )
    sent = []
    for batch in spark_pairs._sent(_Always(), grid)(iter([_baskets([[0, 1], [0, 2], [0, 1, 2]])])):
        rows = batch.to_pylist()
        sent += [(row["block"], row["place"], row["items"]) for row in rows]
    assert [(0, 0, [0, 2]), (1, 1, [1, 2]), (0, 2, [0, 1, 2]), (1, 2, [1, 2])] == sent


class _Always:
    """An era that every sale is in."""

    def inside(self, place):
        return np.ones(len(place), bool)

    def weights(self, sizes, _times):
        return np.ones(len(sizes), np.float32)


def _baskets(baskets):
    return pa.RecordBatch.from_pydict(
        {
            "place": np.arange(len(baskets)),
            "time": np.zeros(len(baskets)),
            "items": pa.array(baskets, pa.list_(pa.int32())),
        }
    )


def baskets_of(sales):
    """What was read, as plain values."""
    rows = sales.frame.orderBy("place").collect()
    return [
        (row.sale_id, row.time, row.customer_id, row.store_id,
         [sales.item_ids[item] for item in row["items"]])
        for row in rows
    ]  # fmt: skip


def expected_baskets(baskets):
    """What the local engine reads, in the same form."""
    names = (baskets.customer_ids, baskets.store_ids)
    return [
        (
            sale,
            baskets.times[place],
            *(
                ids[code] if code >= 0 else None
                for ids, code in zip(
                    names, (baskets.customers[place], baskets.stores[place]), strict=True
                )
            ),
            [
                baskets.item_ids[item]
                for item in baskets.items[baskets.indptr[place] : baskets.indptr[place + 1]]
            ],
        )
        for place, sale in enumerate(baskets.sale_ids.to_pylist())
    ]


@pytest.mark.stack
def test_parquet_and_a_last_moment(session, folder):
    """Parquet gives what it gives the local engine, up to the moment that was asked for."""
    until = columns.moment("2025-01-10")
    sales = spark_sales.read(from_files(session, folder, "parquet"), "UTC", until)
    expected = training_parquet.read_baskets(folder).until(until)
    assert 0 < len(expected) < SALES
    assert len(expected) == len(sales)
    assert expected_baskets(expected) == baskets_of(sales)
    assert expected.store_ids == sales.store_ids
    assert expected.counts == expected.counts | sales.counts


def test_mongodb(session, shop, folder, settings, database):
    """The collections give what the files give."""
    for name, rows in shop.items():
        documents = [{k: v for k, v in row.items() if v is not None} for row in rows]
        for row in documents:
            if "sale_datetime" in row:
                row["sale_datetime"] = datetime.fromisoformat(row["sale_datetime"])
            row["_id"] = row[f"{name.removesuffix('s')}_id"] if name != "sales_items" else None
            if name == "sales_items":
                row["_id"] = f"{row['sale_id']}:{row['line_n']}"
        database[name].insert_many(documents)
    uri = settings.mongo_uri.get_secret_value()
    opened = mongo.connect(uri, settings.mongo_database)
    source = spark_sources.from_mongo(session, uri, opened)
    sales = spark_sales.read(source, "UTC")
    assert expected_baskets(training_parquet.read_baskets(folder)) == baskets_of(sales)
    assert 40 == len(source.products)


def test_kafka(session, shop, folder, settings):
    """The last message of each key counts, and tombstones delete."""
    topics = [settings.topic_prefix + name for name in contract.TOPICS]
    kafka.ensure_topics(settings.kafka, topics, 3, 1)
    outbox = Outbox(settings.kafka)

    def send(table, rows):
        messages = [{"key": row[table.message_key], "value": json.dumps(row)} for row in rows]
        outbox.send(settings.topic_prefix + table.name, messages)

    first = shop["sales"][0]
    again = {"sale_id": "gone", "line_n": 1, "product_id": "p1", "quantity": 1}
    send(contract.SALES, [first | {"store_id": "old"}, first | {"sale_id": "gone"}])
    send(contract.SALES_ITEMS, [shop["sales_items"][0] | {"product_id": "old"}, again])
    for table in contract.TABLES:
        send(table, shop.get(table.name, []))
    for table in (contract.SALES, contract.SALES_ITEMS):
        outbox.send(settings.topic_prefix + table.name, [{"key": "gone", "value": None}])
    assert 0 == outbox.flush(30)
    source = spark_sources.from_kafka(session, settings.kafka, settings.topic_prefix)
    sales = spark_sales.read(source, "UTC")
    assert expected_baskets(training_parquet.read_baskets(folder)) == baskets_of(sales)
    assert 40 == len(source.products)


def test_java_spells_the_connection_its_own_way():
    """User, password and certificate of librdkafka become those of Spark's connector."""
    found = spark_sources._java(
        {
            "bootstrap.servers": "k:1",
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": "erp",
            "sasl.password": 'se"cret',
            "ssl.ca.location": "/ca.pem",
        }
    )
    assert "k:1" == found["kafka.bootstrap.servers"]
    assert "/ca.pem" == found["kafka.ssl.truststore.location"]
    assert "PEM" == found["kafka.ssl.truststore.type"]
    login = 'scram.ScramLoginModule required username="erp" password="se\\"cret";'
    assert found["kafka.sasl.jaas.config"].endswith(login)


def test_an_evaluation_is_the_local_engines_work(run_script):
    """It is refused in one line, before Spark starts."""
    done = run_script("model_train_reco.py", "--engine", "spark", "--evaluate")
    assert 2 == done.returncode
    assert "--engine local" in done.stderr.splitlines()[-1]


def test_without_pyspark_the_trainer_says_how_to_install_it(run_script, tmp_path):
    """A machine that trains locally need not have Spark."""
    (tmp_path / "pyspark").mkdir()
    (tmp_path / "pyspark" / "__init__.py").write_text(
        "raise ModuleNotFoundError('no pyspark', name='pyspark')"
    )
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    done = run_script("model_train_reco.py", "--engine", "spark", PYTHONPATH=path)
    assert 1 == done.returncode
    assert "requirements-spark.txt" in done.stderr.splitlines()[-1]
