"""The servers start, keep their data, say what is wrong in one line and leave nothing."""

import json
import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pymongo
import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from local_stack import lifecycle
from local_stack.errors import StackError
from local_stack.server import Server
from local_stack.stack import Stack
from local_stack.toolchain import fetch_jars, find_java, versions
from tests.environments import ROOT
from tests.local_stack.conftest import Command
from tests.waiting import PATIENCE


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
    return psutil.wait_procs(there, PATIENCE)[1]


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
    admin.create_topics([NewTopic("kept", 2)])["kept"].result(PATIENCE)

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
    assert "kept" in AdminClient(kafka).list_topics(timeout=PATIENCE).topics

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
    with MongoClient(stack.mongo_uri) as client:
        client.admin.command("ping")
        stack.mongo.freeze()
        try:
            assert "frozen" == stack.mongo.state
            with pytest.raises(PyMongoError), pymongo.timeout(0.2):
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


def test_pid_of_a_stranger_is_not_taken_for_the_server(tmp_path: Path) -> None:
    """A process number that was given to another program since is not stopped."""
    server = Server("Kafka", 1, [], tmp_path, lambda: True)
    born = psutil.Process().create_time()
    server.pid_file.write_text(f"{os.getpid()} {born - 100}")
    assert server.process is None
    server.pid_file.write_text(f"{os.getpid()} {born}")
    assert psutil.Process() == server.process
