"""What every test may ask for: one real Kafka and MongoDB, settings of its own, scripts to run."""

import resource
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Message, TopicPartition
from confluent_kafka.admin import AdminClient
from pymongo import MongoClient
from pymongo.database import Database
from xdist.remote import Producer as Log
from xdist.scheduler import LoadScopeScheduling

from config import Settings
from local_stack.stack import Stack, free_ports
from tests.environments import ROOT, environment
from tests.waiting import PATIENCE

# what shares a browser, page servers, Spark, secured servers or compiled code: best in one process
WHOLE = ("tests/pages/", "tests/test_spark.py", "tests/test_security.py", "tests/erp/recommender/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what uses the stack, so that `make test-fast` can leave it out, and put it first.

    It takes longest: in the end the processes that test have small tests to share.
    """
    for item in items:
        if "stack" in getattr(item, "fixturenames", ()):
            item.add_marker("stack")
    items.sort(key=lambda item: item.get_closest_marker("stack") is None)


class Scheduler(LoadScopeScheduling):
    """Gives each process the next test, or all of those that are WHOLE."""

    def _split_scope(self, nodeid: str) -> str:
        return next((whole for whole in WHOLE if nodeid.startswith(whole)), nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Log) -> Scheduler:
    """The scheduler of `pytest -n 3`."""
    return Scheduler(config, log)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One Kafka and one MongoDB for the whole run, on free ports; nothing of it stays."""
    folder = tmp_path_factory.mktemp("stack")
    with Stack(folder, *free_ports(3), quick_start=True) as running:
        yield running


@pytest.fixture
def settings(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """Settings with topics, groups, a database and folders that no other test has."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    mine = uuid.uuid4().hex[:10]
    made = Settings(
        _env_file=None,
        kafka_bootstrap_servers=stack.kafka_bootstrap_servers,
        mongo_uri=stack.mongo_uri,
        mongo_database=f"test_{mine}",
        topic_prefix=f"t{mine}.",
        consumer_group_prefix=f"g{mine}-",
        csv_dir=tmp_path / "csv_out",
        model_path=tmp_path / "models" / "item_sim.pkl",
        startup_timeout_seconds=20,
    )
    yield made
    with MongoClient(stack.mongo_uri) as client:
        client.drop_database(made.mongo_database)
    admin = AdminClient(made.kafka)
    topics = [name for name in admin.list_topics().topics if name.startswith(made.topic_prefix)]
    for deleted in admin.delete_topics(topics).values() if topics else ():
        deleted.result(PATIENCE)


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    """The test's own MongoDB database."""
    with MongoClient(settings.mongo_uri.get_secret_value(), tz_aware=True) as client:
        yield client[settings.mongo_database]


@pytest.fixture
def limited_files(monkeypatch):
    """No file grows over so many bytes, in scripts started within too: a full disk for any user."""

    @contextmanager
    def limited(size: int) -> Iterator[None]:
        for name in ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG"):
            monkeypatch.delenv(name, raising=False)  # which would have no room for its own file
        # nor would compiled modules, of which Python keeps the half that was written
        monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
        monkeypatch.setattr("sys.dont_write_bytecode", True)
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited


@dataclass
class Background:
    """A script that runs beside the test; its output goes to files."""

    process: subprocess.Popen
    stdout_file: Path
    stderr_file: Path

    @property
    def stdout(self) -> str:
        return self.stdout_file.read_text()

    @property
    def stderr(self) -> str:
        return self.stderr_file.read_text()

    def wait(self, seconds: float = PATIENCE) -> int:
        """The exit code, once it ends by itself."""
        return self.process.wait(seconds)

    def stop(self, sent: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(sent)
        return self.wait()

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.kill()
        self.process.wait()


class ScriptRunner:
    """Runs the project's scripts with a test's settings as their environment."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings, self.folder = settings, folder
        self.started: list[Background] = []

    def environment(self, **changed: object) -> dict[str, str]:
        """The environment of a script under these settings, some of them changed."""
        return environment(self.settings, **changed)

    def __call__(
        self, script: str, *arguments: object, seconds: float = PATIENCE, **changed: object
    ) -> subprocess.CompletedProcess[str]:
        """Run to the end; settings may be changed by name: `run_script("x.py", TOP_N=3)`."""
        return subprocess.run(
            _command(script, arguments),
            cwd=ROOT,
            env=self.environment(**changed),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    def start(self, script: str, *arguments: object, **changed: object) -> Background:
        """Start it and return at once; it is stopped at the test's end if it still runs."""
        number = len(self.started)
        out, err = (self.folder / f"{Path(script).stem}-{number}.{kind}" for kind in ("out", "err"))
        with out.open("wb") as stdout, err.open("wb") as stderr:
            process = subprocess.Popen(
                _command(script, arguments),
                cwd=ROOT,
                env=self.environment(**changed),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
            )
        self.started.append(Background(process, out, err))
        return self.started[-1]

    def stop_all(self) -> None:
        for each in self.started:
            if each.process.poll() is None:
                each.process.terminate()
        for each in self.started:
            try:
                each.process.wait(10)
            except subprocess.TimeoutExpired:
                each.kill()


@pytest.fixture
def run_script(settings: Settings, tmp_path: Path) -> Iterator[ScriptRunner]:
    """Run a top-level script: `run_script("x.py", "--flag")`, or `run_script.start("x.py")`."""
    runner = ScriptRunner(settings, tmp_path)
    yield runner
    runner.stop_all()


@pytest.fixture
def read_topic(settings: Settings):
    """Read a topic from its beginning to its end: `read_topic("recommendations")`."""

    def read(name: str) -> list[Message]:
        topic = settings.topic_prefix + name
        with _consumer(settings) as consumer:
            partitions = consumer.list_topics(topic, timeout=PATIENCE).topics[topic]
            ends = {}
            for partition in partitions.partitions:
                low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition))
                if high > low:
                    ends[partition] = high
            consumer.assign([TopicPartition(topic, partition, 0) for partition in ends])
            messages = []
            while ends:
                for message in consumer.consume(1000, timeout=1):
                    assert message.error() is None
                    messages.append(message)
                    if message.offset() + 1 == ends[message.partition()]:
                        del ends[message.partition()]
            return messages

    return read


@contextmanager
def _consumer(settings: Settings) -> Iterator[Consumer]:
    consumer = Consumer(
        settings.kafka
        | {
            "group.id": f"{settings.consumer_group_prefix}read-topic",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
    )
    try:
        yield consumer
    finally:
        consumer.close()


def _command(script: str, arguments: tuple[object, ...]) -> list[str]:
    return [sys.executable, str(ROOT / script), *map(str, arguments)]
