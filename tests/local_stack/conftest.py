"""What the tests of the local stack share: its command line, a stack of their own, a bare PATH."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local_stack.server import free_ports
from local_stack.stack import Stack
from tests.environments import ROOT
from tests.waiting import PATIENCE

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
            timeout=PATIENCE,
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


@pytest.fixture
def put_program(empty_path: Path) -> Callable[[str, str], None]:
    """Put a shell script under a name on the PATH."""

    def put(name: str, script: str) -> None:
        path = empty_path / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    return put
