"""What Spark's Python workers are forked from: everything is imported once, not by each of them."""

from pyspark import daemon

from erp.recommender import spark_learning, spark_pairs, spark_parts, spark_sales  # noqa: F401

if __name__ == "__main__":
    daemon.manager()
