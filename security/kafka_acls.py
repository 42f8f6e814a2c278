"""Print what each script may do in Kafka, as lines of kafka-acls.sh.

Reads   TOPIC_PREFIX and CONSUMER_GROUP_PREFIX
Writes  a shell script to stdout; nothing is sent to the brokers
Run by  an administrator, once for each shop, where Kafka's own tools are

    python -m security.kafka_acls > acls.sh
    BROKER=broker.example.com:9093 ADMIN=admin.properties sh acls.sh

ADMIN is the file with the administrator's connection (kafka-acls.sh --command-config). The users
are named like the consumer groups: erp-producer, erp-sink, erp-recommender and erp-page. The
trainer, the processor and the pages of sales do not use Kafka.
"""

import shlex
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from config import Settings
from erp import contract
from erp.process import argument_parser, run


class Right(NamedTuple):
    """What a user may do with some topics or groups, or with all whose names begin so."""

    user: str
    operations: Sequence[str]
    kind: str  # topic or group
    names: Sequence[str]
    pattern: str = "literal"  # or prefixed


def rights(topic_prefix: str, group_prefix: str) -> list[Right]:
    """Every right that the scripts need, and no other."""
    producer, sink, recommender, page = (
        group_prefix + name for name in ("producer", "sink", "recommender", "page")
    )
    tables = [topic_prefix + table.name for table in contract.TABLES]
    sales = topic_prefix + contract.SALES.name
    answers = topic_prefix + contract.RECOMMENDATIONS
    letters = topic_prefix + contract.DEAD_LETTER
    shelf = f"{group_prefix}dead-letters-sink"
    return [
        *(
            Right(user, ["Describe"], "topic", [topic_prefix], "prefixed")
            for user in (producer, sink, recommender, page)
        ),
        Right(producer, ["Create"], "topic", [topic_prefix], "prefixed"),
        Right(producer, ["Write", "DescribeConfigs"], "topic", tables),
        Right(sink, ["Read"], "topic", [*tables, letters]),
        Right(sink, ["Write", "DescribeConfigs"], "topic", [letters]),
        Right(sink, ["Read"], "group", [sink, shelf]),
        Right(recommender, ["Read"], "topic", [sales]),
        Right(recommender, ["Write"], "topic", [answers, letters]),
        Right(recommender, ["DescribeConfigs"], "topic", [letters]),
        Right(recommender, ["Read"], "group", [recommender]),
        Right(page, ["Read"], "topic", [answers]),
    ]


def lines(found: Sequence[Right]) -> Iterator[str]:
    """The shell script."""
    yield "set -eu"
    for right in found:
        words = ["--add", "--allow-principal", f"User:{right.user}"]
        for operation in right.operations:
            words += ["--operation", operation]
        for name in right.names:
            words += [f"--{right.kind}", name]
        words += ["--resource-pattern-type", right.pattern]
        connection = '--bootstrap-server "$BROKER" --command-config "$ADMIN"'
        yield f"kafka-acls.sh {connection} {shlex.join(words)}"


def main() -> None:
    """Print them."""
    argument_parser(__doc__).parse_args()
    settings = Settings.load()
    print(*lines(rights(settings.topic_prefix, settings.consumer_group_prefix)), sep="\n")


if __name__ == "__main__":
    run(main)
