"""Java and Maven: what is missing or fails is one line."""

from collections.abc import Callable
from pathlib import Path

import pytest

from local_stack.errors import StackError
from local_stack.toolchain import fetch_jars, find_java, find_maven, jars_folder
from tests.local_stack.conftest import Command


@pytest.mark.usefixtures("empty_path")
def test_missing_java(local_stack: Command) -> None:
    """Without Java and without Docker: one line that names both."""
    refused = local_stack("up")
    assert 1 == refused.returncode
    [line] = refused.stderr.splitlines()
    assert "java was not found" in line
    assert "docker was not found" in line


def test_old_java(put_program: Callable[[str, str], None]) -> None:
    """A Java that Kafka cannot run on is refused with its version."""
    put_program("java", "echo 'openjdk version \"11.0.2\"' >&2")
    with pytest.raises(StackError, match="is Java 11: install a JDK, 17"):
        find_java()


@pytest.mark.usefixtures("empty_path")
def test_missing_maven() -> None:
    """Maven is asked for by name."""
    with pytest.raises(StackError, match="install Maven"):
        find_maven()


def test_failing_maven_is_one_line(
    put_program: Callable[[str, str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What Maven says of a failed download reaches the person; no folder stays half full."""
    monkeypatch.setattr("local_stack.toolchain.RUN_DIR", tmp_path / "run")
    put_program("mvn", "echo '[INFO] x'; echo '[ERROR] no route to host'; exit 1")
    with pytest.raises(StackError, match=r"Maven could not fetch.*no route to host"):
        fetch_jars("java")
    assert not jars_folder().exists()
    assert [] == list(jars_folder().parent.iterdir())
