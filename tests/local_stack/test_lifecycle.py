"""Which servers `up` starts, by the settings, and where Docker takes their place."""

from collections.abc import Callable
from pathlib import Path

import pytest

from erp.process import UsageError
from local_stack import lifecycle
from local_stack.errors import StackError
from local_stack.stack import Stack
from tests.local_stack.conftest import Command

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
def docker_calls(
    empty_path: Path, put_program: Callable[[str, str], None]
) -> Callable[[], list[str]]:
    """A `docker` whose engine runs, which writes down what it is asked to do."""
    calls = empty_path / "calls"
    calls.touch()
    put_program("docker", f'echo "$@" >> {calls}')
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


def test_docker_without_engine(
    local_stack: Command, put_program: Callable[[str, str], None]
) -> None:
    """STACK=docker with no engine running is one line."""
    put_program("docker", "exit 1")
    refused = local_stack("up", STACK="docker")
    assert 1 == refused.returncode
    assert "local_stack: docker is installed, but its engine does not run\n" == refused.stderr
