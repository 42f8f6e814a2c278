"""Train the recommender: past sales in, models/item_sim.pkl out.

Reads   the collections sales, sales_items and products of MongoDB, or a folder with sales.csv,
        sales_items.csv and, for names and categories, products.csv (no server needed then), or
        the same as Parquet; with --engine spark also the topics of Kafka.
Writes  the model at MODEL_PATH, whole or not at all; the one before stays beside it;
        with --evaluate evaluation.json and evaluation.html instead, in the model's folder;
        with --only-if-better also item_sim.decision.json beside the model, why it was replaced
        or stayed.

Who runs it, and when: a person or a timer, when a good deal of new sales has come: daily in a
busy shop. The recommendation service takes the new model over by itself.

    python model_train_reco.py                                # from MongoDB
    python model_train_reco.py --source csv:csv_out           # from files
    python model_train_reco.py --engine spark                 # all processors, or a cluster's
    python model_train_reco.py --show 1082185                 # and what goes with this product
    python model_train_reco.py --evaluate                     # how good, beside its peers
    python model_train_reco.py --only-if-better               # for a timer: it can't hurt
    python model_train_reco.py --tune                         # settings for this shop, in minutes
    python model_train_reco.py --until 2017-12-01 --output /tmp/november.pkl
    python model_train_reco.py --rollback                     # back to the model before
"""

import argparse
import logging
import time
from dataclasses import fields, replace
from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from pathlib import Path

import msgspec
from pymongo.database import Database
from rich.console import Console
from rich.progress import Progress

from config import Settings
from erp import decisions, mongo, recommender
from erp.decisions import Decision
from erp.flags import positive, share
from erp.process import Failure, UsageError, argument_parser, run, start_logging
from erp.recommender import (
    artefact,
    columns,
    evaluation_report,
    evaluation_tables,
    model_tables,
    replacement,
    sources,
    tuning,
)
from erp.recommender.catalogue import Catalogue
from erp.recommender.comparison import compare, first_asked
from erp.recommender.model import Model, ModelSettings
from erp.recommender.training_data import Baskets

log = logging.getLogger("erp.trainer")


def flags() -> argparse.Namespace:
    """What was asked for on the command line."""
    parser = argument_parser(__doc__)
    parser.add_argument(
        "--source",
        default="mongo",
        metavar="mongo|csv:PATH|parquet:PATH|kafka",
        help="where the sales are; kafka with --engine spark",
    )
    parser.add_argument(
        "--engine",
        choices=("local", "spark"),
        default="local",
        help="train in this process, or by Apache Spark: the same model, of more sales",
    )
    parser.add_argument(
        "--master",
        metavar="URL",
        help="of Spark: local[2], spark://host:7077, yarn ... (default: spark-submit's, or all of"
        " this machine)",
    )
    parser.add_argument(
        "--conf",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting of Spark, such as spark.driver.memory=8g; may be repeated",
    )
    parser.add_argument("--output", type=Path, metavar="PATH", help="the model, if not MODEL_PATH")
    parser.add_argument("--until", metavar="DATE", help="only sales before this date or time")
    parser.add_argument("--show", metavar="PRODUCT_ID", help="print what goes with this product")
    parser.add_argument(
        "--evaluate",
        action="store_true",
        help="fit on the older sales, ask about the newest, tell that beside peers, and end",
    )
    parser.add_argument(
        "--report", type=Path, metavar="FOLDER", help="of the evaluation, if not the model's"
    )
    parser.add_argument(
        "--tune",
        action="store_true",
        help="search for this shop's settings, judged on sales before those that --evaluate or"
        " --only-if-better ask about; without it those of the configuration",
    )
    parser.add_argument(
        "--tune-seconds",
        type=positive,
        metavar="N",
        help=f"after which the search tries nothing else (default: {tuning.SECONDS:g})",
    )
    parser.add_argument(
        "--only-if-better",
        action="store_true",
        help="ask the model in service and the new one about the newest sales, and keep the former"
        " where the new one is worse beyond the margin",
    )
    parser.add_argument(
        "--margin",
        type=share,
        metavar="SHARE",
        help="by which hit@10 of the new model may be lower with --only-if-better (default:"
        f" {replacement.MARGIN:g})",
    )
    parser.add_argument(
        "--rollback", action="store_true", help="put the model before in place again, and end"
    )
    asked = parser.parse_args()
    refuse_what_does_nothing(asked)
    return asked


def refuse_what_does_nothing(asked: argparse.Namespace) -> None:
    """Raise UsageError for a flag that another one, or none, leaves without effect."""
    spark = asked.engine == "spark"
    for flag, given, effect, needed in (
        ("--report", asked.report, asked.evaluate, "--evaluate"),
        ("--margin", asked.margin is not None, asked.only_if_better, "--only-if-better"),
        ("--tune-seconds", asked.tune_seconds is not None, asked.tune, "--tune"),
        ("--master", asked.master, spark, "--engine spark"),
        ("--conf", asked.conf, spark, "--engine spark"),
        ("--evaluate", asked.evaluate, not spark, "--engine local"),
        ("--only-if-better", asked.only_if_better, not spark, "--engine local"),
        ("--tune", asked.tune, not spark, "--engine local"),
        ("--only-if-better", asked.only_if_better, not asked.evaluate, "a model that is trained"),
        ("--show", asked.show, not (asked.evaluate or asked.rollback), "a model that is trained"),
        (
            "--rollback",
            asked.rollback,
            not (asked.evaluate or asked.tune or asked.only_if_better),
            "none of --evaluate, --tune and --only-if-better",
        ),
    ):
        if given and not effect:
            raise UsageError(f"{flag} needs {needed}")
    kind, _, path = asked.source.partition(":")
    kinds = {"mongo", "kafka"} if spark else {"mongo"}
    if not (asked.source in kinds or (kind in sources.FILES and path)):
        raise UsageError(
            "--source is mongo, csv:PATH, parquet:PATH or, with --engine spark, kafka;"
            f" not {asked.source}"
        )
    if wrong := [text for text in asked.conf if "=" not in text]:
        raise UsageError(f"--conf is NAME=VALUE, not {wrong[0]}")


def main() -> None:
    """Read, train, save, tell."""
    asked = flags()
    settings = Settings.load()
    start_logging("model_train_reco", settings.log_level, settings.describe())
    output = asked.output or settings.model_path
    console = Console()
    if asked.rollback:
        roll_back(output, console)
        return
    until = moment_of(asked.until, settings.business_timezone)
    model: Model | None
    if asked.engine == "spark":
        model = trained_by_spark(asked, settings, until)
    else:
        model = trained_here(asked, settings, until, output, console)
    if model is not None:
        save(model, output, settings.versions_kept)
        console.print(model_tables.summary(model, output))
        if asked.show:
            console.print(model_tables.neighbours(model, asked.show))


def trained_by_spark(asked: argparse.Namespace, settings: Settings, until: float | None) -> Model:
    """Read the sales before `until` and train, on the executors of a Spark session."""
    try:
        spark = import_module("erp.recommender.spark_sources")
        training = import_module("erp.recommender.spark_training")
    except ModuleNotFoundError as error:
        if error.name not in ("pyspark", "py4j"):
            raise
        raise Failure(
            "--engine spark needs pyspark: pip install -r requirements-spark.txt"
        ) from None
    kind, _, path = asked.source.partition(":")
    if kind in sources.FILES:
        opened = partial(spark.from_files, folder=path, kind=kind)
    elif asked.source == "kafka":
        opened = partial(spark.from_kafka, kafka=settings.kafka, prefix=settings.topic_prefix)
    else:
        uri = settings.mongo_uri.get_secret_value()
        opened = partial(spark.from_mongo, uri=uri, database=shop_of(settings))
    options = dict(text.split("=", 1) for text in asked.conf)
    chosen, zone = model_settings(settings), settings.business_timezone
    return training.train(opened, kind, asked.master, options, chosen, zone, until)


def trained_here(
    asked: argparse.Namespace,
    settings: Settings,
    until: float | None,
    output: Path,
    console: Console,
) -> Model | None:
    """Read the sales before `until` and train, in this process.

    None where no model was asked for, or a better one stays.
    """
    started = time.perf_counter()
    baskets, catalogue = read(asked.source, settings)
    if until is not None:
        baskets = baskets.until(until)
        if not len(baskets):
            raise Failure(f"there is no sale before {asked.until}")
    log.info("%d sales read in %.1f s", len(baskets), time.perf_counter() - started)
    chosen, tuned = model_settings(settings), None
    if asked.tune:
        past = baskets.between(0, unseen_from(asked, baskets))
        tuned = tune(past, catalogue, chosen, asked.tune_seconds or tuning.SECONDS, console)
        chosen = tuned.settings if tuned else chosen
    if asked.evaluate:
        evaluate(baskets, chosen, asked.report or output.parent, console)
        return None
    made = None
    if asked.only_if_better:
        margin = replacement.MARGIN if asked.margin is None else asked.margin
        made = decide(baskets, catalogue, chosen, output, margin, console)
        if not made.replaced:
            return None
    started = time.perf_counter()
    model = recommender.fit_baskets(baskets, catalogue, chosen)
    log.info("trained in %.1f s", time.perf_counter() - started)
    if made:
        model.facts["decision"] = msgspec.to_builtins(made)
    if tuned:
        model.facts["metrics"]["tuning"] = tuned.facts
    return model


def unseen_from(asked: argparse.Namespace, baskets: Baskets) -> int:
    """The place of the first sale that tells later how good the settings are."""
    if asked.evaluate:
        return first_asked(baskets)
    return replacement.slice_of(baskets) if asked.only_if_better else len(baskets)


def tune(
    baskets: Baskets,
    catalogue: Catalogue,
    chosen: ModelSettings,
    seconds: float,
    console: Console,
) -> tuning.Tuned | None:
    """The settings found for these sales, told in a line."""
    terminal = Console(stderr=True)
    with Progress(console=terminal, disable=not terminal.is_terminal, transient=True) as bar:
        task = bar.add_task("tuning", total=tuning.TRIALS)
        found = tuning.tune(baskets, catalogue, chosen, seconds, lambda: bar.advance(task))
    console.print(tuning.in_words(found), soft_wrap=True)
    return found


def evaluate(baskets: Baskets, chosen: ModelSettings, folder: Path, console: Console) -> None:
    """Tell how good a model with these settings is on sales it has not seen."""
    found = compare(baskets, chosen)
    if found is None:
        raise Failure("too few sales to evaluate: none of the newest has two products")
    for part in evaluation_tables.tables(found):
        console.print(part)
    try:
        written = evaluation_report.write(found, folder, f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC")
    except OSError as error:
        raise Failure(f"{folder} cannot be written: {error.strerror}") from error
    console.print(f"written: {' and '.join(str(path) for path in written)}", soft_wrap=True)


def decide(
    baskets: Baskets,
    catalogue: Catalogue,
    chosen: ModelSettings,
    output: Path,
    margin: float,
    console: Console,
) -> Decision:
    """Whether a new model may replace the one at `output`: told, logged, and kept beside it."""
    try:
        before = recommender.load(output)
    except artefact.ArtefactMissingError:
        made = replacement.decision(True, "no model", baskets, margin)
    except artefact.ArtefactError as error:
        log.warning("%s", error)
        made = replacement.decision(True, "unusable model", baskets, margin)
    else:
        asked = replacement.contest(baskets, before)
        made = replacement.judge(baskets, catalogue, chosen, before, asked, margin)
    log.info("%s", msgspec.json.encode(made).decode())
    try:
        decisions.write(output, made)
    except OSError as error:
        raise Failure(f"{output.parent} cannot be written: {error.strerror}") from error
    console.print(replacement.in_words(made), soft_wrap=True)
    return made


def model_settings(settings: Settings) -> ModelSettings:
    """The fields that model and configuration have in common."""
    named = {field.name for field in fields(ModelSettings)} & set(type(settings).model_fields)
    return replace(
        ModelSettings(threads=settings.trainer_threads),
        **{name: getattr(settings, name) for name in named},
    )


def read(source: str, settings: Settings) -> tuple[Baskets, Catalogue]:
    """The baskets, and the products' catalogue; Failure where there are none."""
    if source == "mongo":
        opened = partial(sources.from_mongo, shop_of(settings))
    else:
        kind, _, path = source.partition(":")
        opened = partial(sources.from_files, kind, Path(path), settings.business_timezone)
    try:
        baskets, products = opened()
    except columns.TrainingDataError as error:
        raise Failure(str(error)) from error
    return baskets, Catalogue.from_products(products, settings.never_recommend)


def shop_of(settings: Settings) -> Database[mongo.Document]:
    """The database that the sink fills."""
    uri, patience = settings.mongo_uri.get_secret_value(), settings.startup_timeout_seconds
    return mongo.connect(uri, settings.mongo_database, patience)


def moment_of(text: str | None, timezone: str) -> float | None:
    """Seconds since 1970 UTC of --until, None where it was not given; UsageError for no time."""
    if not text:
        return None
    try:
        return columns.moment(text, timezone)
    except ValueError:
        raise UsageError(f"--until is a date or a time such as 2017-12-01, not {text}") from None


def save(model: Model, output: Path, kept: int) -> None:
    """Keep the model before, then put the new one in its place."""
    try:
        before = artefact.read(output)
    except artefact.ArtefactError:
        before = None
    try:
        if before is not None:
            content, digest = before
            stamp = content["facts"]["trained_at"].replace("-", "").replace(":", "")
            artefact.keep_version(output, f"{stamp[:15]}-{digest[:12]}", kept)
        model.save(output)
    except OSError as error:
        raise Failure(f"{output} cannot be written: {error.strerror}") from error


def roll_back(output: Path, console: Console) -> None:
    """The newest kept version becomes the model."""
    try:
        came_from = artefact.rollback(output)
        model = recommender.load(output)
    except artefact.ArtefactError as error:
        raise Failure(str(error)) from error
    console.print(f"{output} is model {model.version} of {model.trained_at} ({came_from.name})")


if __name__ == "__main__":
    run(main)
