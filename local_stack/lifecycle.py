"""What `up`, `down` and `reset` do: which stack is meant, and what is there already.

Three kinds: a Java stack in `.run/`, the containers of docker-compose.yml, or servers that
somebody else runs. Settings that name servers elsewhere are respected: those are not started.
"""

import logging
import os
from collections.abc import Mapping
from pathlib import Path

from dotenv import dotenv_values
from pymongo import MongoClient
from pymongo.errors import InvalidURI, PyMongoError
from pymongo.uri_parser import parse_uri

from erp.process import UsageError
from local_stack import docker
from local_stack.errors import StackError
from local_stack.server import Server
from local_stack.stack import Stack
from local_stack.toolchain import HERE, file_lock, find_java, find_maven, jars_folder

LOCAL_HOSTS = ("127.0.0.1", "localhost")
log = logging.getLogger("local_stack")


def explicit_settings() -> dict[str, str]:
    """What the person set in `.env` and in the environment, which wins; empty is not set.

    An empty STACK in the environment does win: it takes back the word of `.env`.
    """
    file = {name: value for name, value in dotenv_values(HERE.parent / ".env").items() if value}
    environment = {name: value for name, value in os.environ.items() if value or name == "STACK"}
    return file | environment


def up(stack: Stack, settings: Mapping[str, str]) -> None:
    """Have Kafka and MongoDB answer on the stack's addresses, by whatever is there.

    Raises UsageError for settings that contradict each other and StackError for what is missing.
    """
    wanted = wanted_servers(stack, settings)
    if not wanted:
        log.info("KAFKA_BOOTSTRAP_SERVERS and MONGO_URI point elsewhere: nothing is started")
        return
    kind = settings.get("STACK", "")
    if kind not in ("", "java", "docker"):
        raise UsageError(f"STACK={kind}: must be java, docker or empty")
    with file_lock(stack.run_dir / "stack.lock"):
        if not kind and _strangers_answer(wanted):
            log.info("servers that were not started from here answer: they are used")
            _write_environment(stack)
        elif kind == "docker" or (not kind and not _java_is_here(wanted)):
            _up_docker(stack, wanted)
        else:
            _refuse_user_name(stack, wanted, settings)
            stack.start(wanted)
            _tell_other_backend(stack)
            _write_environment(stack)


def down(stack: Stack, settings: Mapping[str, str], erase: bool = False) -> None:
    """Stop what was started from here; with `erase` delete its data."""
    with file_lock(stack.run_dir / "stack.lock"):
        if settings.get("STACK") == "docker" or _docker_mark(stack).exists():
            docker.down(docker.compose_command(), erase)
            _docker_mark(stack).unlink(missing_ok=True)
        stack.stop()
        environment_file(stack).unlink(missing_ok=True)
        if erase:
            stack.erase()


def environment_file(stack: Stack) -> Path:
    """Where a running stack leaves its addresses for config.py."""
    return stack.run_dir / "stack.env"


def wanted_servers(stack: Stack, settings: Mapping[str, str]) -> list[Server]:
    """Those servers that no setting places elsewhere."""
    wanted = []
    brokers = settings.get("KAFKA_BOOTSTRAP_SERVERS")
    if brokers is None or all(_is_local(each, stack.kafka_port) for each in brokers.split(",")):
        wanted.append(stack.kafka)
    uri = settings.get("MONGO_URI")
    if uri is None or _mongo_is_local(uri, stack.mongo_port):
        wanted.append(stack.mongo)
    for server in set(stack.servers) - set(wanted):
        log.info("%s is elsewhere by the settings, so none is started here", server.name)
    return wanted


def _is_local(address: str, port: int) -> bool:
    return address.strip() in {f"{host}:{port}" for host in LOCAL_HOSTS}


def _mongo_is_local(uri: str, port: int) -> bool:
    if uri.startswith("mongodb+srv:"):
        return False  # parsing one asks the name server
    try:
        nodes = parse_uri(uri)["nodelist"]
    except (InvalidURI, PyMongoError, ValueError):
        raise UsageError("MONGO_URI is no MongoDB connection string") from None
    return all(host in LOCAL_HOSTS and at == port for host, at in nodes)


def _strangers_answer(wanted: list[Server]) -> bool:
    started = any(server.process for server in wanted)
    return not started and all(server.accepts() and server.answers() for server in wanted)


def _java_is_here(wanted: list[Server]) -> bool:
    """Whether the Java stack can be used; raises StackError if Docker cannot be used either."""
    if any(server.process for server in wanted):
        return True
    try:
        find_java()
        if not jars_folder().is_dir():
            find_maven()
    except StackError as no_java:
        try:
            docker.compose_command()
        except StackError as no_docker:
            raise StackError(f"no way to run Kafka and MongoDB: {no_java}; {no_docker}") from None
        log.info("%s; Docker is used", no_java)
        return False
    return True


def _up_docker(stack: Stack, wanted: list[Server]) -> None:
    if any(server.process for server in stack.servers):
        raise StackError("the local stack without Docker runs: stop it with `make down`")
    names = {stack.kafka: ["kafka", "kafdrop"], stack.mongo: ["mongo"]}
    environment_file(stack).unlink(missing_ok=True)
    compose = docker.compose_command()
    _docker_mark(stack).touch()
    docker.up(compose, [name for server in wanted for name in names[server]])


def _refuse_user_name(stack: Stack, wanted: list[Server], settings: Mapping[str, str]) -> None:
    uri = settings.get("MONGO_URI")
    if uri and stack.mongo in wanted and parse_uri(uri)["username"]:
        raise UsageError(
            "MONGO_URI names a user, and the MongoDB of the local stack has none: "
            "leave MONGO_URI unset (`up` says where it is), or run with STACK=docker"
        )


def _tell_other_backend(stack: Stack) -> None:
    asked = "in memory" if stack.mongo_backend == "memory" else "on file"
    if stack.mongo.process and stack.keeps(stack.mongo) != asked:
        log.info("MongoDB runs already, not %s: `make down` first to change that", asked)


def _write_environment(stack: Stack) -> None:
    """Leave the addresses for config.py, unless MongoDB asks for a user as compose's does."""
    file = environment_file(stack)
    try:
        with MongoClient(stack.mongo_uri, serverSelectionTimeoutMS=2000) as client:
            client.admin.command("listDatabases", nameOnly=True)
    except PyMongoError:
        file.unlink(missing_ok=True)
        return
    file.write_text(
        "# Written by `python -m local_stack up`; the environment and .env win over it.\n"
        f"KAFKA_BOOTSTRAP_SERVERS={stack.kafka_bootstrap_servers}\n"
        f"MONGO_URI={stack.mongo_uri}\n"
    )


def _docker_mark(stack: Stack) -> Path:
    return stack.run_dir / "docker"
