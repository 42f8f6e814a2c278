"""A Spark session for the trainer: on this machine, on a cluster, or the one spark-submit made."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from pyspark import SparkConf
from pyspark.errors import PySparkRuntimeError
from pyspark.sql import SparkSession

from erp.process import Failure

PROJECT = Path(__file__).resolve().parents[2]
LOOPBACK = "127.0.0.1"
SPARK = "4.1.1"  # that pyspark is pinned to
CONNECTORS = {  # what Spark fetches from Maven Central unless spark.jars names files
    "mongo": "org.mongodb.spark:mongo-spark-connector_2.13:10.5.0",
    "kafka": f"org.apache.spark:spark-sql-kafka-0-10_2.13:{SPARK}",
}
ALWAYS = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.python.daemon.module": "erp.recommender.spark_daemon",
    # rows with too few or too many fields are noticed only where all fields are read
    "spark.sql.csv.parser.columnPruning.enabled": "false",
}


def session(master: str | None, options: Mapping[str, str], source: str) -> SparkSession:
    """The session that runs, or a new one.

    Parameters
    ----------
    master : local[2], spark://host:7077, yarn, k8s://...; None: what spark-submit says, or all of
        this machine
    options : Spark's own, which win over ours
    source : mongo and kafka need a connector's jars

    Raises
    ------
    Failure
        Java or a connector is missing.
    """
    conf = SparkConf()
    master = master or conf.get("spark.master", "local[*]")
    chosen = dict(ALWAYS)
    if master.startswith("local"):
        chosen |= _on_this_machine()
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    given = dict(conf.getAll()) | dict(options)
    if source in CONNECTORS and not {"spark.jars", "spark.jars.packages"} & given.keys():
        chosen["spark.jars.packages"] = CONNECTORS[source]
    builder = SparkSession.builder.appName("model_train_reco").master(master)
    for name, value in (chosen | given).items():
        builder = builder.config(name, value)
    try:
        running = builder.getOrCreate()
    except PySparkRuntimeError as error:
        if error.getCondition() == "JAVA_GATEWAY_EXITED":
            raise Failure(
                "Spark did not start, see above: it needs Java 17 or newer (JAVA_HOME), and for"
                " --source mongo and kafka Maven Central, or the jars of spark/pom.xml in --conf"
                " spark.jars=FOLDER/*.jar"
            ) from None
        raise
    running.sparkContext.setLogLevel("ERROR")
    logging.getLogger("py4j").setLevel(logging.WARNING)
    return running


def _on_this_machine() -> dict[str, str]:
    """Nothing listens to the network, and workers find this project."""
    return {
        "spark.driver.bindAddress": LOOPBACK,
        "spark.driver.host": LOOPBACK,
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.executorEnv.PYTHONPATH": str(PROJECT),
        "spark.sql.shuffle.partitions": str(2 * (os.cpu_count() or 1)),
        "spark.driver.memory": "4g",
    }
