"""A Kafka broker and a MongoDB wire server as one thing to start and stop.

    with Stack(folder, *free_ports(3)) as stack:
        stack.kafka_bootstrap_servers, stack.mongo_uri
        stack.mongo.freeze()

Kafka's setting names: https://kafka.apache.org/43/configuration/broker-configs/
"""

import base64
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from local_stack.errors import StackError
from local_stack.server import LOOPBACK, Server, claim_port, free_ports
from local_stack.toolchain import fetch_jars, find_java, versions

__all__ = ["Stack", "StackError", "free_ports"]

KAFKA_PORT, CONTROLLER_PORT, MONGO_PORT = 9094, 9093, 27017
KAFKA_HEAP = "512m"
STORE_FILE = "store.mv"

SERVER_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller_port}
listeners=EXTERNAL://{host}:{kafka_port},CONTROLLER://{host}:{controller_port}
advertised.listeners=EXTERNAL://{host}:{kafka_port}
listener.security.protocol.map=EXTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=EXTERNAL
controller.listener.names=CONTROLLER
log.dirs={data}
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
# One broker holds the only copy, and a few partitions are enough for its own topics.
offsets.topic.replication.factor=1
offsets.topic.num.partitions=3
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=3
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=3
# A quarter of the default, of a small heap.
log.cleaner.dedupe.buffer.size=33554432
"""


class Stack:
    """Both servers, their data and their logs in one folder, on loopback only.

    Args:
        run_dir: folder of everything that this stack writes; made if missing.
        kafka_port, controller_port, mongo_port: where they listen on 127.0.0.1.
        mongo_backend: "memory" is fast and forgets, and Kafka with it; "file" keeps the data over
            a restart, but for the last second of writes before a crash.
        mongo_heap: the wire server's -Xmx.
        detached: True lets both servers outlive the process that starts them; False ends them
            with it, however it ends.
        quick_start: compile lightly: the start takes half the time and work under load takes
            longer, which suits a test and no measurement.
        kafka_settings: more lines of server.properties, which win over those above.
    """

    def __init__(
        self,
        run_dir: Path,
        kafka_port: int = KAFKA_PORT,
        controller_port: int = CONTROLLER_PORT,
        mongo_port: int = MONGO_PORT,
        mongo_backend: Literal["memory", "file"] = "memory",
        mongo_heap: str = "2g",
        detached: bool = False,
        quick_start: bool = False,
        kafka_settings: Mapping[str, str] | None = None,
    ) -> None:
        self.run_dir = Path(run_dir).resolve()
        self.kafka_port = kafka_port
        self.controller_port = controller_port
        self.mongo_port = mongo_port
        self.mongo_backend = mongo_backend
        self.mongo_heap = mongo_heap
        self.detached = detached
        self.quick_start = quick_start
        self.kafka_settings = dict(kafka_settings or {})
        self.kafka = Server("Kafka", kafka_port, [], self.run_dir, self._kafka_answers)
        self.mongo = Server("MongoDB", mongo_port, [], self.run_dir, self._mongo_answers)

    @property
    def kafka_bootstrap_servers(self) -> str:
        return f"{LOOPBACK}:{self.kafka_port}"

    @property
    def mongo_uri(self) -> str:
        return f"mongodb://{LOOPBACK}:{self.mongo_port}"

    @property
    def servers(self) -> list[Server]:
        return [self.kafka, self.mongo]

    def start(self, wanted: Sequence[Server] | None = None) -> Self:
        """Start what is not running, of both or of `wanted`, and return when it answers.

        Raises StackError, one line, for a missing Java or Maven, a taken port, data that another
        version wrote, or a server that does not come up; what this call started is then stopped.
        """
        missing = [server for server in wanted or self.servers if server.process is None]
        if not missing:
            return self
        java = find_java()
        jars = fetch_jars(java)
        for port, purpose in self._ports(missing):
            claim_port(port, purpose)
        kept = self._prepare_data(missing)
        self.kafka.command = self._kafka_command(java, jars)
        self.mongo.command = self._mongo_command(java, jars)
        try:
            for server in missing:
                server.launch()
            for server in missing:
                server.wait()
        except BaseException as error:
            for server in missing:
                server.stop()
            if kept and isinstance(error, StackError):
                hint = "if its data is broken, delete it with `make reset`"
                raise StackError(f"{error}; {hint}") from None
            raise
        return self

    def stop(self) -> None:
        """Stop both in order; what is on file stays."""
        for server in self.servers:
            server.stop()

    def erase(self) -> None:
        """Delete the data and the logs of a stopped stack."""
        for folder in ("kafka", "kafka-memory", "mongodb"):
            shutil.rmtree(self.run_dir / folder, ignore_errors=True)
        for file in (self._stamp, self._properties, self.kafka.log, self.mongo.log):
            file.unlink(missing_ok=True)

    def status(self) -> dict[str, str]:
        """Each server's name to its state: running, frozen or stopped."""
        return {server.name: server.state for server in self.servers}

    def keeps(self, server: Server) -> str:
        """Where a running server has its data: "in memory" or "on file"."""
        words = " ".join(server.process.cmdline()) if server.process else ""
        in_memory = STORE_FILE not in words if server is self.mongo else self._kafka_forgets
        return "in memory" if in_memory else "on file"

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def _kafka_data(self) -> Path:
        # A Kafka that remembers beside a MongoDB that forgot would never fill it again.
        return self.run_dir / ("kafka-memory" if self.mongo_backend == "memory" else "kafka")

    @property
    def _mongo_store(self) -> Path:
        return self.run_dir / "mongodb" / STORE_FILE

    @property
    def _properties(self) -> Path:
        return self.run_dir / "server.properties"

    @property
    def _stamp(self) -> Path:
        return self.run_dir / "versions.json"

    @property
    def _kafka_forgets(self) -> bool:
        return "kafka-memory" in self._properties.read_text()

    def _ports(self, servers: list[Server]) -> Iterator[tuple[int, str]]:
        if self.kafka in servers:
            yield self.kafka_port, "Kafka"
            yield self.controller_port, "Kafka's controller"
        if self.mongo in servers:
            yield self.mongo_port, "MongoDB"

    def _prepare_data(self, missing: list[Server]) -> bool:
        """Make the folders ready; says whether data of an earlier run is in them."""
        self.run_dir.mkdir(parents=True, exist_ok=True)
        kept = self.mongo_backend == "file" and (
            self._kafka_data.exists() or self._mongo_store.exists()
        )
        if kept:
            self._check_versions()
        elif self.mongo_backend == "file":
            self._stamp.write_text(json.dumps(versions()))
        elif self.kafka in missing:
            shutil.rmtree(self._kafka_data, ignore_errors=True)
        self._mongo_store.parent.mkdir(exist_ok=True)
        if self.kafka in missing:
            self._write_properties()
        return kept

    def _check_versions(self) -> None:
        ours = versions()
        try:
            theirs = json.loads(self._stamp.read_text())
        except (FileNotFoundError, ValueError):
            theirs = None
        if theirs != ours:
            raise StackError(
                f"the data in {self.run_dir} was written by {_named(theirs)}, "
                f"not by {_named(ours)}: delete it with `make reset`"
            )

    def _write_properties(self) -> None:
        if self._kafka_data.exists() and not (self._kafka_data / "meta.properties").is_file():
            raise StackError(
                f"{self._kafka_data} holds no formatted Kafka data (meta.properties is missing): "
                "delete it with `make reset`"
            )
        given = SERVER_PROPERTIES.format(
            host=LOOPBACK,
            kafka_port=self.kafka_port,
            controller_port=self.controller_port,
            data=self._kafka_data,
        )
        more = "".join(f"{name}={value}\n" for name, value in self.kafka_settings.items())
        self._properties.write_text(given + more)

    def _kafka_command(self, java: str, jars: Path) -> list[str]:
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        return self._java(java, jars, KAFKA_HEAP, ["Broker", str(self._properties), cluster_id])

    def _mongo_command(self, java: str, jars: Path) -> list[str]:
        main = ["WireServer", str(self.mongo_port)]
        if self.mongo_backend == "file":
            main.append(str(self._mongo_store))
        return self._java(java, jars, self.mongo_heap, main)

    def _java(self, java: str, jars: Path, heap: str, main: list[str]) -> list[str]:
        compiler = ["-XX:TieredStopAtLevel=1"] if self.quick_start else []
        log_settings = f"-Dlog4j2.configurationFile={jars}/log4j2.xml"
        classpath = f"{jars}{os.pathsep}{jars}/*"
        owner = [] if self.detached else ["Owned", str(os.getpid())]
        return [java, f"-Xmx{heap}", *compiler, log_settings, "-cp", classpath, *owner, *main]

    def _kafka_answers(self) -> bool:
        admin = AdminClient({"bootstrap.servers": self.kafka_bootstrap_servers, "log_level": 0})
        try:
            return bool(admin.list_topics(timeout=2).brokers)
        except KafkaException:
            return False

    def _mongo_answers(self) -> bool:
        try:
            with MongoClient(self.mongo_uri, serverSelectionTimeoutMS=2000) as client:
                client.admin.command("ping")
        except PyMongoError:
            return False
        return True


def _named(found: object) -> str:
    if not isinstance(found, dict):
        return "an unknown version"
    return " with ".join(f"{name} {version}" for name, version in found.items())
