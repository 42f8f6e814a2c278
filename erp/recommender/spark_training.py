"""From a source to a model by Spark; what can be expected to fail is one line."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from erp.process import Failure
from erp.recommender import spark, spark_sales, spark_session
from erp.recommender.catalogue import Catalogue
from erp.recommender.columns import TrainingDataError
from erp.recommender.model import Model
from erp.recommender.settings import ModelSettings
from erp.recommender.spark_sources import Source

log = logging.getLogger("erp.spark")


def train(
    open_source: Callable[[SparkSession], Source],
    kind: str,
    master: str | None,
    options: Mapping[str, str],
    settings: ModelSettings,
    timezone: str,
    until: float | None = None,
) -> Model:
    """A model of the sales of a source, those before `until` (seconds since 1970 UTC).

    Parameters
    ----------
    open_source : one of `spark_sources`, with all but its session
    kind : mongo, kafka, csv or parquet
    master, options : of the session, see `spark_session`
    timezone : the zone of times without an offset

    Raises
    ------
    Failure
        Spark does not start, the source cannot be read, or holds no sales.
    """
    session = spark_session.session(master, options, kind)
    try:
        began = time.perf_counter()
        source = open_source(session)
        sales = spark_sales.read(source, timezone, until)
        log.info("%d sales read in %.1f s", len(sales), time.perf_counter() - began)
        if not len(sales):
            raise Failure("there are no sales with lines in the source, or none before --until")
        began = time.perf_counter()
        catalogue = Catalogue.from_products(source.products, settings.never_recommend)
        model = spark.fit(sales, catalogue, settings)
        log.info("trained in %.1f s", time.perf_counter() - began)
        return model
    except TrainingDataError as error:
        raise Failure(str(error)) from error
    except (PySparkException, Py4JError) as error:
        log.debug("Spark", exc_info=True)
        raise Failure(f"Spark: {_reason(error)}") from None
    finally:
        session.stop()


def _reason(error: Exception) -> str:
    """The line of a Spark error that says what happened: the last cause of a long text."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    causes = [line for line in lines if line.startswith("Caused by: ")]
    return (causes[-1] if causes else lines[0] if lines else type(error).__name__)[:300]
