"""Sales, lines and products as Spark reads them: MongoDB, Kafka, folders of CSV or Parquet files.

Each reader gives the columns of the contract that a model needs as they are in the source;
`spark_sales` makes texts, times and numbers of them as the local engine does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from pymongo.database import Database
from pymongo.errors import OperationFailure
from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812  as everybody calls it
from pyspark.sql.types import StringType, StructField, StructType

from erp import contract
from erp.recommender.columns import TrainingDataError

RAGGED = "_ragged"  # the text of a row with too few or too many fields
LINES = ("sale_id", "product_id", "quantity")
HEADERS = ("sale_id", "sale_datetime", "customer_id", "store_id")
PRODUCTS = ("product_id", "name", "category", "active")
REQUIRED = {
    contract.SALES_ITEMS.name: ("sale_id", "product_id"),
    contract.SALES.name: ("sale_id", "sale_datetime"),
    contract.PRODUCTS.name: ("product_id",),
}
ONE_READER = "com.mongodb.spark.sql.connector.read.partitioner.SinglePartitionPartitioner"


class Source(NamedTuple):
    """lines: LINES; headers: HEADERS and `turn`, which grows where a sale comes again; both with
    `ragged`, true of rows that had too few or too many fields; products: dicts of PRODUCTS.
    """

    lines: DataFrame
    headers: DataFrame
    products: list[dict]


def from_files(spark: SparkSession, folder: str, kind: str) -> Source:
    """The tables in a folder, each a file or a folder of parts: sales.csv, sales_items.csv ...

    kind : csv or parquet

    Raises
    ------
    TrainingDataError
        A file is missing or lacks a required column.
    """
    tables = {}
    wanted = {
        contract.SALES_ITEMS.name: (*LINES, "ragged"),
        contract.SALES.name: (*HEADERS, "turn", "ragged"),
        contract.PRODUCTS.name: (*PRODUCTS, "ragged"),
    }
    for name, columns in wanted.items():
        path = f"{folder}/{name}.{kind}"
        try:
            frame = _csv(spark, path) if kind == "csv" else spark.read.parquet(path)
        except AnalysisException as error:
            if name == contract.PRODUCTS.name:
                continue
            raise TrainingDataError(f"{path} cannot be read: {error.getCondition()}") from None
        missing = set(REQUIRED[name]) - set(frame.columns)
        if missing:
            raise TrainingDataError(f"{path} has no column {', '.join(sorted(missing))}")
        ragged = F.col(RAGGED).isNotNull() if RAGGED in frame.columns else F.lit(False)
        frame = frame.withColumn("ragged", ragged)
        if name == contract.SALES.name:
            place = ("_metadata.file_path", "_metadata.file_block_start")
            frame = frame.withColumn("turn", F.struct(*place, F.monotonically_increasing_id()))
        tables[name] = _with_columns(frame, columns)
    products = tables.get(contract.PRODUCTS.name)
    return Source(
        tables[contract.SALES_ITEMS.name],
        tables[contract.SALES.name],
        [] if products is None else _dicts(products.filter("not ragged")),
    )


def _csv(spark: SparkSession, path: str) -> DataFrame:
    options = {"header": True, "multiLine": True, "quote": '"', "escape": '"', "nullValue": ""}
    names = spark.read.options(**options).csv(path).columns
    fields = [StructField(name, StringType()) for name in (*names, RAGGED)]
    reader = spark.read.options(**options, columnNameOfCorruptRecord=RAGGED)
    return reader.schema(StructType(fields)).csv(path)


def from_mongo(spark: SparkSession, uri: str, database: Database) -> Source:
    """The collections; `database` is the same one, for a few questions of the driver's own."""
    reader = spark.read.format("mongodb").options(
        **{"connection.uri": uri, "database": database.name}
    )
    if not _can_sample(database):
        reader = reader.option("partitioner", ONE_READER)

    def collection(name: str, schema: str) -> DataFrame:
        """The documents of a collection with the fields of a schema."""
        return reader.option("collection", name).schema(schema).load()

    lines = collection(
        contract.SALES_ITEMS.name, "sale_id string, product_id string, quantity double"
    )
    headers = collection(
        contract.SALES.name,
        "sale_id string, sale_datetime timestamp, customer_id string, store_id string",
    )
    fields = dict.fromkeys(PRODUCTS[1:], 1)
    products = list(database[contract.PRODUCTS.name].find({}, fields))
    return _whole(lines, headers, products)


def _can_sample(database: Database) -> bool:
    """Whether the server answers what the connector asks to read in parallel."""
    try:
        list(database[contract.SALES.name].aggregate([{"$collStats": {"storageStats": {}}}]))
    except OperationFailure:
        return False
    return True


def from_kafka(spark: SparkSession, kafka: Mapping[str, str], prefix: str) -> Source:
    """The topics as they are now: the last message of each key, less what a tombstone deleted.

    kafka : the connection as librdkafka spells it
    """
    reader = spark.read.format("kafka").options(
        startingOffsets="earliest", endingOffsets="latest", **_java(kafka)
    )

    def messages(name: str, fields: str) -> DataFrame:
        """Every message of a topic: key, turn, whether it deletes, and the row it holds."""
        frame = reader.option("subscribe", prefix + name).load()
        return frame.select(
            F.col("key").cast("string").alias("key"),
            F.struct("timestamp", "partition", "offset").alias("turn"),
            F.col("value").isNull().alias("deleted"),
            F.from_json(F.col("value").cast("string"), fields).alias("row"),
        )

    def latest(name: str, fields: str) -> DataFrame:
        """The last row of each key, less what was deleted."""
        newest = (
            messages(name, fields)
            .groupBy("key")
            .agg(F.max_by(F.struct("deleted", "row"), "turn").alias("last"))
        )
        return newest.filter("not last.deleted").select("last.row.*")

    lines = messages(
        contract.SALES_ITEMS.name,
        "sale_id string, line_n bigint, product_id string, quantity double",
    )
    deleted = lines.filter("deleted").groupBy("key").agg(F.max("turn").alias("deleted_at"))
    lines = (
        lines.filter("not deleted")
        .groupBy("key", "row.line_n")
        .agg(F.max_by("row", "turn").alias("row"), F.max("turn").alias("turn"))
        .join(deleted, "key", "left")
        .filter("deleted_at is null or turn > deleted_at")
        .select("row.sale_id", "row.product_id", "row.quantity")
    )
    headers = latest(contract.SALES.name, ", ".join(f"{name} string" for name in HEADERS))
    products = latest(contract.PRODUCTS.name, ", ".join(f"{name} string" for name in PRODUCTS))
    return _whole(lines, headers, _dicts(products))


def _whole(lines: DataFrame, headers: DataFrame, products: list[dict]) -> Source:
    """A source that has each sale once and whole rows only."""
    once = headers.select("*", F.lit(0).alias("turn"), F.lit(False).alias("ragged"))
    return Source(lines.select("*", F.lit(False).alias("ragged")), once, products)


def _java(kafka: Mapping[str, str]) -> dict[str, str]:
    """The connection as Java clients spell it, for Spark's connector."""
    options = {
        "bootstrap.servers": kafka["bootstrap.servers"],
        "security.protocol": kafka.get("security.protocol"),
        "sasl.mechanism": kafka.get("sasl.mechanism"),
    }
    if "ssl.ca.location" in kafka:
        options |= {
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": kafka["ssl.ca.location"],
        }
    if "sasl.username" in kafka:
        scram = kafka.get("sasl.mechanism", "").startswith("SCRAM")
        module = "scram.ScramLoginModule" if scram else "plain.PlainLoginModule"
        user, password = (
            kafka.get(f"sasl.{name}", "").replace("\\", "\\\\").replace('"', '\\"')
            for name in ("username", "password")
        )
        options["sasl.jaas.config"] = (
            f"org.apache.kafka.common.security.{module} required"
            f' username="{user}" password="{password}";'
        )
    return {f"kafka.{name}": value for name, value in options.items() if value is not None}


def _with_columns(frame: DataFrame, columns: Iterable[str]) -> DataFrame:
    """Exactly these columns, null where the source has none."""
    there = set(frame.columns)
    return frame.select(
        *(F.col(name) if name in there else F.lit(None).cast("string").alias(name)
          for name in columns)
    )  # fmt: skip


def _dicts(frame: DataFrame) -> list[dict]:
    return [row.asDict() for row in frame.collect()]
