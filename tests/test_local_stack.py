"""The local stack starts, keeps its data, says what is wrong in one line and leaves nothing."""

import json
import os
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from erp.process import UsageError
from local_stack import lifecycle
from local_stack.errors import StackError
from local_stack.server import Server, free_ports
from local_stack.stack import Stack
from local_stack.toolchain import fetch_jars, find_java, find_maven, jars_folder, versions

ROOT = Path(__file__).resolve().parent.parent
PATIENCE_SECONDS = 150
Command = Callable[..., subprocess.CompletedProcess]


@pytest.fixture
def ports() -> list[int]:
    """Free ports for Kafka, its controller and MongoDB."""
    return free_ports(3)


@pytest.fixture
def local_stack(tmp_path: Path, ports: list[int]) -> Iterator[Command]:
    """Run `python -m local_stack COMMAND` on a folder and ports of its own."""

    def run(command: str, *options: str, **environment: str) -> subprocess.CompletedProcess:
        names = ("--kafka-port", "--controller-port", "--mongo-port")
        where = [f"{name}={port}" for name, port in zip(names, ports, strict=True)]
        here = {
            "STACK": "",
            "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{ports[0]}",
            "MONGO_URI": f"mongodb://127.0.0.1:{ports[2]}",
        }
        return subprocess.run(
            [
                sys.executable,
                "-m",
                "local_stack",
                command,
                f"--run-dir={tmp_path}",
                *where,
                *options,
            ],
            cwd=ROOT,
            env=os.environ | here | environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )

    yield run
    Stack(tmp_path).stop()


@pytest.fixture
def idle(tmp_path: Path, ports: list[int]) -> Iterator[Stack]:
    """A stack on file that is not started; stopped at the end."""
    made = Stack(tmp_path, *ports, mongo_backend="file", quick_start=True)
    yield made
    made.stop()


@pytest.fixture
def empty_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with nothing in it but what the test writes there."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    return folder


def write_program(path: Path, script: str) -> None:
    """A shell script that can be run by its name."""
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def listening(process: psutil.Process) -> set[tuple[str, int]]:
    """Where a process takes connections."""
    return {
        (each.laddr.ip.removeprefix("::ffff:"), each.laddr.port)
        for each in process.net_connections("inet")
        if each.status == psutil.CONN_LISTEN
    }


def wait_until_gone(pids: list[int]) -> list[psutil.Process]:
    """The processes that are still there when patience ends."""
    there = [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]
    return psutil.wait_procs(there, PATIENCE_SECONDS)[1]


@pytest.mark.stack
def test_command_line_story(local_stack: Command, tmp_path: Path, ports: list[int]) -> None:
    """Up, up again, status, down, up, reset: data stays until it is reset, processes do not."""
    stack = Stack(tmp_path, *ports)
    kafka = {"bootstrap.servers": stack.kafka_bootstrap_servers}

    started = local_stack("up")
    assert 0 == started.returncode, started.stderr
    first = [server.process for server in stack.servers]
    assert {("127.0.0.1", ports[0]), ("127.0.0.1", ports[1])} == listening(first[0])
    assert {("127.0.0.1", ports[2])} == listening(first[1])
    assert f"MONGO_URI=mongodb://127.0.0.1:{ports[2]}" in (tmp_path / "stack.env").read_text()
    with MongoClient(stack.mongo_uri) as client:
        client.shop.sales.insert_one({"_id": "1"})
    admin = AdminClient(kafka)
    admin.create_topics([NewTopic("kept", 2)])["kept"].result(PATIENCE_SECONDS)

    again = local_stack("up", "--memory")
    assert 0 == again.returncode, again.stderr
    assert "MongoDB runs already, not in memory" in again.stderr
    assert first == [server.process for server in stack.servers]
    assert 0 == local_stack("status").returncode

    stopped = local_stack("down")
    assert 0 == stopped.returncode, stopped.stderr
    assert not any(process.is_running() for process in first)
    assert not (tmp_path / "stack.env").exists()
    assert 1 == local_stack("status").returncode

    assert 0 == local_stack("up").returncode
    second = [server.process for server in stack.servers]
    with MongoClient(stack.mongo_uri) as client:
        assert {"_id": "1"} == client.shop.sales.find_one()
    assert "kept" in AdminClient(kafka).list_topics(timeout=PATIENCE_SECONDS).topics

    assert 0 == local_stack("reset").returncode
    assert not any(process.is_running() for process in second)
    assert {"stack.lock"} == {left.name for left in tmp_path.iterdir()}


@pytest.mark.stack
def test_servers_end_with_their_owner_and_keep_their_data(tmp_path: Path, idle: Stack) -> None:
    """A program that is killed leaves no server behind, and the store is closed in order."""
    program = textwrap.dedent(f"""
        import signal
        from pymongo import MongoClient
        from local_stack.stack import Stack
        ports = {idle.kafka_port}, {idle.controller_port}, {idle.mongo_port}
        stack = Stack({str(tmp_path)!r}, *ports, mongo_backend="file", quick_start=True).start()
        MongoClient(stack.mongo_uri).shop.sales.insert_one({{"_id": "1"}})
        print(*(server.process.pid for server in stack.servers), flush=True)
        signal.pause()
    """)
    owner = subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    pids = [int(word) for word in owner.stdout.readline().split()]
    owner.kill()
    owner.wait()
    assert 2 == len(pids)
    assert [] == wait_until_gone(pids)
    idle.start([idle.mongo])
    with MongoClient(idle.mongo_uri) as client:
        assert {"_id": "1"} == client.shop.sales.find_one()
        client.shop.sales.insert_one({"_id": "2"})
        idle.mongo.restart()
        assert 2 == client.shop.sales.count_documents({})
    idle.mongo.kill()
    assert "stopped" == idle.mongo.state
    with pytest.raises(StackError, match="MongoDB is not running"):
        idle.mongo.freeze()


def test_freeze_and_thaw(stack: Stack) -> None:
    """A frozen server answers nothing and goes on where it was when thawed."""
    with MongoClient(stack.mongo_uri, socketTimeoutMS=200, retryReads=False) as client:
        client.admin.command("ping")
        stack.mongo.freeze()
        try:
            assert "frozen" == stack.mongo.state
            with pytest.raises(PyMongoError):
                client.admin.command("ping")
        finally:
            stack.mongo.thaw()
    with MongoClient(stack.mongo_uri) as client:
        assert 1.0 == client.admin.command("ping")["ok"]
    assert "running" == stack.mongo.state


def test_servers_that_run_already_are_used(
    stack: Stack, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """`up` beside somebody else's servers starts none; `down` leaves them alone."""
    caplog.set_level("INFO")
    beside = Stack(
        tmp_path, stack.kafka_port, stack.controller_port, stack.mongo_port, detached=True
    )
    lifecycle.up(beside, {})
    assert "they are used" in caplog.text
    assert stack.mongo_uri in lifecycle.environment_file(beside).read_text()
    lifecycle.down(beside, {})
    assert not lifecycle.environment_file(beside).exists()
    assert {"Kafka": "running", "MongoDB": "running"} == stack.status()


@pytest.mark.stack
@pytest.mark.parametrize("which", [0, 1, 2])
def test_taken_port_is_named_with_its_holder(
    local_stack: Command, ports: list[int], which: int
) -> None:
    """A port that another program holds: one line with the port and the program."""
    fetch_jars(find_java())
    with socket.create_server(("127.0.0.1", ports[which])):
        refused = local_stack("up")
    assert 1 == refused.returncode
    [line] = refused.stderr.splitlines()
    assert f"port {ports[which]} " in line
    assert f"(pid {os.getpid()})" in line


@pytest.mark.usefixtures("empty_path")
def test_missing_java(local_stack: Command) -> None:
    """Without Java and without Docker: one line that names both."""
    refused = local_stack("up")
    assert 1 == refused.returncode
    [line] = refused.stderr.splitlines()
    assert "java was not found" in line
    assert "docker was not found" in line


def test_old_java(empty_path: Path) -> None:
    """A Java that Kafka cannot run on is refused with its version."""
    write_program(empty_path / "java", "echo 'openjdk version \"11.0.2\"' >&2")
    with pytest.raises(StackError, match="is Java 11: install a JDK, 17"):
        find_java()


@pytest.mark.usefixtures("empty_path")
def test_missing_maven() -> None:
    """Maven is asked for by name."""
    with pytest.raises(StackError, match="install Maven"):
        find_maven()


def test_failing_maven_is_one_line(
    empty_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What Maven says of a failed download reaches the person; no folder stays half full."""
    monkeypatch.setattr("local_stack.toolchain.RUN_DIR", tmp_path / "run")
    write_program(empty_path / "mvn", "echo '[INFO] x'; echo '[ERROR] no route to host'; exit 1")
    with pytest.raises(StackError, match=r"Maven could not fetch.*no route to host"):
        fetch_jars("java")
    assert not jars_folder().exists()
    assert [] == list(jars_folder().parent.iterdir())


@pytest.mark.stack
def test_data_of_another_version(idle: Stack) -> None:
    """Data that another version wrote is not touched; the line names both versions."""
    (idle.run_dir / "kafka").mkdir()
    (idle.run_dir / "versions.json").write_text(json.dumps(versions() | {"kafka": "3.9.1"}))
    with pytest.raises(StackError, match=r"written by kafka 3\.9\.1 .* not by .*make reset"):
        idle.start()
    assert (idle.run_dir / "kafka").exists()


@pytest.mark.stack
def test_data_folder_without_format(idle: Stack) -> None:
    """A Kafka folder whose formatting was cut short is told apart."""
    (idle.run_dir / "kafka").mkdir()
    (idle.run_dir / "versions.json").write_text(json.dumps(versions()))
    with pytest.raises(StackError, match=r"meta\.properties is missing.*make reset"):
        idle.start()


@pytest.mark.stack
def test_broken_store(idle: Stack) -> None:
    """A store that cannot be read is one line, and nothing stays running."""
    (idle.run_dir / "mongodb").mkdir()
    (idle.run_dir / "mongodb" / "store.mv").write_bytes(b"no store" * 1000)
    (idle.run_dir / "versions.json").write_text(json.dumps(versions()))
    with pytest.raises(StackError, match=r"^MongoDB ended.*cannot open the store.*make reset`$"):
        idle.start([idle.mongo])
    assert "stopped" == idle.mongo.state


ATLAS = "mongodb+srv://ana:secret@shop.example.net/?retryWrites=true"


def test_settings_that_point_elsewhere_start_nothing(local_stack: Command, tmp_path: Path) -> None:
    """With a Kafka and a MongoDB elsewhere nothing is started, and no password is shown."""
    told = local_stack("up", KAFKA_BOOTSTRAP_SERVERS="kafka.example.net:9092", MONGO_URI=ATLAS)
    assert 0 == told.returncode
    assert "nothing is started" in told.stderr
    assert "secret" not in told.stderr + told.stdout
    assert [] == list(tmp_path.iterdir())


def test_settings_come_from_the_file_and_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment wins over .env, unless it is empty; an empty STACK takes the word back."""
    monkeypatch.setattr(lifecycle, "HERE", tmp_path / "local_stack")
    (tmp_path / ".env").write_text(
        "MONGO_URI=mongodb://file\nSTACK=docker\nKAFKA_BOOTSTRAP_SERVERS=file:9092\n"
    )
    monkeypatch.setenv("MONGO_URI", "")
    monkeypatch.setenv("STACK", "")
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "environment:9092")
    found = lifecycle.explicit_settings()
    assert "mongodb://file" == found["MONGO_URI"]
    assert "" == found["STACK"]
    assert "environment:9092" == found["KAFKA_BOOTSTRAP_SERVERS"]


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({}, ["Kafka", "MongoDB"]),
        ({"KAFKA_BOOTSTRAP_SERVERS": "localhost:{kafka}"}, ["Kafka", "MongoDB"]),
        ({"KAFKA_BOOTSTRAP_SERVERS": "localhost:1"}, ["MongoDB"]),
        ({"MONGO_URI": "mongodb://localhost:{mongo}/?w=1"}, ["Kafka", "MongoDB"]),
        ({"MONGO_URI": "mongodb://localhost:1"}, ["Kafka"]),
        ({"MONGO_URI": "mongodb://10.0.0.1:{mongo}"}, ["Kafka"]),
        ({"MONGO_URI": ATLAS}, ["Kafka"]),
    ],
)
def test_only_local_servers_are_wanted(
    idle: Stack, settings: dict[str, str], names: list[str]
) -> None:
    """A server is started here unless its setting says that it is elsewhere."""
    ports = {"kafka": idle.kafka_port, "mongo": idle.mongo_port}
    given = {name: value.format(**ports) for name, value in settings.items()}
    assert names == [server.name for server in lifecycle.wanted_servers(idle, given)]


def test_user_name_without_users(idle: Stack) -> None:
    """MONGO_URI with compose's user does not fit a server that has no users: told, not tried."""
    uri = f"mongodb://admin:admin123@localhost:{idle.mongo_port}"
    with pytest.raises(UsageError, match="names a user") as refused:
        lifecycle.up(idle, {"MONGO_URI": uri, "STACK": "java"})
    assert "admin123" not in str(refused.value)


def test_wrong_word(local_stack: Command) -> None:
    """An unknown STACK is a usage error."""
    refused = local_stack("up", STACK="podman")
    assert 2 == refused.returncode
    assert "STACK=podman: must be java, docker or empty" in refused.stderr


@pytest.fixture
def docker_calls(empty_path: Path) -> Callable[[], list[str]]:
    """A `docker` whose engine runs, which writes down what it is asked to do."""
    calls = empty_path / "calls"
    calls.touch()
    write_program(empty_path / "docker", f'echo "$@" >> {calls}')
    return lambda: [
        line.split("docker-compose.yml ")[-1] for line in calls.read_text().splitlines()
    ]


def test_docker_by_word(local_stack: Command, docker_calls: Callable[[], list[str]]) -> None:
    """STACK=docker starts the containers and waits; `down` and `reset` know without a word."""
    local_stack("up", STACK="docker")
    assert "up -d --wait kafka kafdrop mongo" == docker_calls()[-1]
    local_stack("down")
    assert "down" == docker_calls()[-1]
    local_stack("up", STACK="docker", MONGO_URI=ATLAS)
    assert "up -d --wait kafka kafdrop" == docker_calls()[-1]
    local_stack("reset")
    assert "down --volumes" == docker_calls()[-1]


def test_docker_beside_the_java_stack(stack: Stack, docker_calls: Callable[[], list[str]]) -> None:
    """STACK=docker while the other stack holds the ports: told what to stop."""
    with pytest.raises(StackError, match="make down"):
        lifecycle.up(stack, {"STACK": "docker"})
    assert not any(call.startswith("up") for call in docker_calls())


def test_docker_where_there_is_no_java(
    local_stack: Command, docker_calls: Callable[[], list[str]]
) -> None:
    """Without Java a running Docker engine is used."""
    told = local_stack("up")
    assert "java was not found" in told.stderr
    assert "up -d --wait kafka kafdrop mongo" == docker_calls()[-1]


def test_docker_without_engine(local_stack: Command, empty_path: Path) -> None:
    """STACK=docker with no engine running is one line."""
    write_program(empty_path / "docker", "exit 1")
    refused = local_stack("up", STACK="docker")
    assert 1 == refused.returncode
    assert "local_stack: docker is installed, but its engine does not run\n" == refused.stderr


def test_topics_shows_counts_lag_and_newest(settings, run_script) -> None:
    """The tables tell partitions, messages, a group's lag and the newest values in one line."""
    topic = f"{settings.topic_prefix}sales"
    admin = AdminClient(settings.kafka)
    admin.create_topics([NewTopic(topic, 1)])[topic].result(PATIENCE_SECONDS)
    producer = Producer(settings.kafka)
    for number in range(1200):
        producer.produce(topic, f"line\nof [bold]{number}", key=str(number))
    producer.produce(topic, None, key=b"\xff")
    producer.flush(PATIENCE_SECONDS)
    group = f"{settings.consumer_group_prefix}sink"
    consumer = Consumer(settings.kafka | {"group.id": group})
    consumer.commit(offsets=[TopicPartition(topic, 0, 200)], asynchronous=False)
    consumer.close()

    told = run_module(run_script, "topics", "--newest", "2")
    assert 0 == told.returncode, told.stderr
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in told.stdout.splitlines()]
    assert [topic, "1", "1,201", "1,201"] in rows
    assert [group, "empty", topic, "1,001"] in rows
    newest = [row for row in rows if row and row[0].startswith(f"{topic}[0]@")]
    assert [
        [f"{topic}[0]@1200", "\\xff", "(null)"],
        [f"{topic}[0]@1199", "1199", "line of [bold]1199"],
    ] == newest


def test_topics_without_any(run_script) -> None:
    """No topic yet: a sentence that says who makes them."""
    told = run_module(run_script, "topics")
    assert 0 == told.returncode, told.stderr
    assert "the producer makes them" in told.stdout


def test_topics_without_kafka(run_script) -> None:
    """No Kafka: one line with the address."""
    nowhere = f"127.0.0.1:{free_ports(1)[0]}"
    told = run_module(run_script, "topics", KAFKA_BOOTSTRAP_SERVERS=nowhere)
    assert 1 == told.returncode
    [line] = told.stderr.splitlines()
    assert nowhere in line


def run_module(run_script, *arguments: str, **changed: object) -> subprocess.CompletedProcess:
    """`python -m local_stack` with a test's settings."""
    return subprocess.run(
        [sys.executable, "-m", "local_stack", *arguments],
        cwd=ROOT,
        env=run_script.environment(**changed),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


def test_pid_of_a_stranger_is_not_taken_for_the_server(tmp_path: Path) -> None:
    """A process number that was given to another program since is not stopped."""
    server = Server("Kafka", 1, [], tmp_path, lambda: True)
    born = psutil.Process().create_time()
    server.pid_file.write_text(f"{os.getpid()} {born - 100}")
    assert server.process is None
    server.pid_file.write_text(f"{os.getpid()} {born}")
    assert psutil.Process() == server.process
