"""A Kafka Connect worker with the connector of connect/, as a process of the local stack.

    with worker(folder, connector(topic_prefix), environment) as running:
        running.process.cpu_times()

It is Apache's own, from Maven Central, in standalone mode; the environment holds
KAFKA_BOOTSTRAP_SERVERS, MONGO_URI and MONGO_DATABASE, which connect/*.properties ask for.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

from local_stack.errors import StackError
from local_stack.server import LOOPBACK, Server, free_ports
from local_stack.toolchain import fetch_jars, find_java

CONFIGURATIONS = Path(__file__).resolve().parent.parent / "connect"
TOPICS = "products|customers|sales|sales_items|connect_dead_letter"
HEAP = "512m"
STRATEGIES = "com.mongodb.kafka.connect.sink.processor.id.strategy"

Properties = dict[str, str]


def read_properties(path: Path) -> Properties:
    """A Java properties file; a backslash at the end of a line continues it."""
    lines = re.sub(r"\\\n\s*", "", path.read_text()).splitlines()
    pairs = (line.split("=", 1) for line in lines if line.strip() and not line.startswith("#"))
    return dict(pairs)


def connector(topic_prefix: str = "erp.") -> Properties:
    """connect/erp-mongo-sink.properties, for the topics of another prefix if so wanted."""
    named = re.compile(rf"\berp\.(?=(?:{TOPICS})\b)")

    def renamed(text: str) -> str:
        return named.sub(lambda _: topic_prefix, text)

    settings = read_properties(CONFIGURATIONS / "erp-mongo-sink.properties")
    return {renamed(name): renamed(value) for name, value in settings.items()}


@contextmanager
def worker(
    folder: Path, connector: Properties, environment: Mapping[str, str], quick_start: bool = False
) -> Iterator[Server]:
    """A worker that runs one connector, from when its tasks run to the end of the block.

    Everything that it writes is in `folder`. Raises StackError when it does not come up.
    `quick_start` compiles lightly, which suits a test and no measurement.
    """
    java = find_java()
    folder.mkdir(parents=True, exist_ok=True)
    [port] = free_ports(1)
    settings = read_properties(CONFIGURATIONS / "worker.properties") | {
        "listeners": f"http://{LOOPBACK}:{port}",
        "offset.storage.file.filename": str(folder / "connect.offsets"),
    }
    files = [
        _write_properties(folder / "worker.properties", settings),
        _write_properties(folder / "connector.properties", connector),
    ]
    command = _command(java, files, quick_start)
    variables = [f"{name}={value}" for name, value in environment.items()]
    status = f"http://{LOOPBACK}:{port}/connectors/{connector['name']}/status"
    tasks = int(connector["tasks.max"])
    server = Server(
        "Connect", port, ["env", *variables, *command], folder, lambda: _runs(status, tasks)
    )
    try:
        server.launch()
        server.wait()
        yield server
    finally:
        server.stop()


def _command(java: str, files: list[Path], quick_start: bool) -> list[str]:
    own, stack = fetch_jars(java, CONFIGURATIONS), fetch_jars(java)
    options = [f"-Xmx{HEAP}", f"-Dlog4j2.configurationFile={own}/log4j2.xml"]
    if quick_start:
        options.append("-XX:TieredStopAtLevel=1")
    classpath = os.pathsep.join([str(own), f"{own}/*", str(stack)])
    main = ["Owned", str(os.getpid()), "org.apache.kafka.connect.cli.ConnectStandalone"]
    return [java, *options, "-cp", classpath, *main, *map(str, files)]


def _write_properties(path: Path, settings: Properties) -> Path:
    path.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    return path


def _runs(status: str, tasks: int) -> bool:
    """Whether all tasks run. Raises StackError, with its reason, when one failed."""
    try:
        with urlopen(status, timeout=5) as answer:  # noqa: S310  our own worker, on loopback
            told = json.load(answer)
    except OSError:  # not there yet, or too busy to answer
        return False
    for part in [told["connector"], *told["tasks"]]:
        if part["state"] == "FAILED":
            raise StackError(f"Connect: {part['trace'].splitlines()[0]}")
    states = [task["state"] for task in told["tasks"]]
    return ["RUNNING"] * tasks == states
