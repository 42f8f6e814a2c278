"""Kafka and MongoDB on this machine, for trying the project out, tests and benchmarks.

Reads   STACK, KAFKA_BOOTSTRAP_SERVERS and MONGO_URI, from the environment or .env
Writes  local_stack/.run/ (jars, data, logs, and stack.env with the addresses)
Run by  a person or `make`, before anything else of the project

    python -m local_stack up               start both, or use what answers already
    python -m local_stack up --memory      faster; MongoDB and Kafka forget when they stop
    STACK=docker python -m local_stack up  the containers of docker-compose.yml instead
    python -m local_stack status           who runs, where, since when, how big
    python -m local_stack topics           topics, counts, groups with lag, newest messages
    python -m local_stack topics --raise 12  more partitions, of topics in use
    python -m local_stack down             stop both; the data stays
    python -m local_stack reset            stop both and delete their data

Exit codes: 0 done; 1 failed, or `status` found a server stopped; 2 usage or configuration.
"""

import argparse
import logging
import sys
from pathlib import Path

from config import Settings
from erp import contract
from erp.process import FAILED, USAGE, Failure, UsageError
from local_stack import lifecycle
from local_stack.partitions import raise_partitions
from local_stack.report import print_status
from local_stack.stack import CONTROLLER_PORT, KAFKA_PORT, MONGO_PORT, Stack
from local_stack.toolchain import RUN_DIR
from local_stack.topics import print_topics

FILE_HEAP, MEMORY_HEAP = "2g", "4g"


def main() -> int:
    options = parse_options()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.getLogger("pymongo").setLevel(logging.WARNING)
    try:
        return options.run(options)
    except Failure as failure:
        print(f"local_stack: {failure}", file=sys.stderr)
        return USAGE if isinstance(failure, UsageError) else FAILED
    except KeyboardInterrupt:
        print("local_stack: interrupted", file=sys.stderr)
        return FAILED


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m local_stack",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    where = argparse.ArgumentParser(add_help=False)
    add = where.add_argument
    add("--run-dir", type=Path, default=RUN_DIR, help="data, logs, state (default: %(default)s)")
    add("--kafka-port", type=int, default=KAFKA_PORT, help="(default: %(default)s)")
    add("--controller-port", type=int, default=CONTROLLER_PORT, help="(default: %(default)s)")
    add("--mongo-port", type=int, default=MONGO_PORT, help="(default: %(default)s)")

    starting = commands.add_parser("up", parents=[where], help="start both and wait for them")
    starting.add_argument(
        "--memory",
        action="store_true",
        help=f"keep everything in memory, MongoDB's heap {MEMORY_HEAP} (default: on file, "
        f"{FILE_HEAP})",
    )
    starting.set_defaults(run=run_up)
    for name, run, told in (
        ("down", run_down, "stop both; the data stays"),
        ("reset", run_reset, "stop both and delete their data"),
        ("status", run_status, "say who runs"),
    ):
        commands.add_parser(name, parents=[where], help=told).set_defaults(run=run)

    topics = commands.add_parser("topics", help="show topics, groups and newest messages")
    topics.add_argument("--all", action="store_true", help="topics of any prefix (default: ours)")
    topics.add_argument(
        "--newest", type=int, default=3, help="messages shown of each topic (default: %(default)s)"
    )
    topics.add_argument(
        "--raise",
        dest="partitions",
        type=int,
        metavar="N",
        help="first give our topics N partitions where they have fewer; set TOPIC_PARTITIONS too",
    )
    topics.set_defaults(run=run_topics)
    return parser.parse_args()


def make_stack(options: argparse.Namespace, memory: bool = False) -> Stack:
    return Stack(
        options.run_dir,
        options.kafka_port,
        options.controller_port,
        options.mongo_port,
        mongo_backend="memory" if memory else "file",
        mongo_heap=MEMORY_HEAP if memory else FILE_HEAP,
        detached=True,
    )


def run_up(options: argparse.Namespace) -> int:
    lifecycle.up(make_stack(options, options.memory), lifecycle.explicit_settings())
    return run_status(options)


def run_down(options: argparse.Namespace) -> int:
    lifecycle.down(make_stack(options), lifecycle.explicit_settings())
    return 0


def run_reset(options: argparse.Namespace) -> int:
    lifecycle.down(make_stack(options), lifecycle.explicit_settings(), erase=True)
    return 0


def run_status(options: argparse.Namespace) -> int:
    return print_status(make_stack(options), lifecycle.explicit_settings())


def run_topics(options: argparse.Namespace) -> int:
    settings = Settings.load()
    if options.partitions is not None:
        names = [settings.topic_prefix + name for name in contract.TOPICS]
        raise_partitions(settings.kafka, names, options.partitions)
    print_topics(settings.kafka, "" if options.all else settings.topic_prefix, options.newest)
    return 0


if __name__ == "__main__":
    sys.exit(main())
