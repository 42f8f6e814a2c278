"""The same two servers, and Kafdrop, from docker-compose.yml by the `docker` command."""

import shutil
import subprocess

from local_stack.errors import StackError
from local_stack.toolchain import HERE

COMPOSE_FILE = HERE.parent / "docker-compose.yml"
ENGINE_SECONDS = 20  # bound on the engine's word that it runs


def compose_command() -> list[str]:
    """How to call compose here. Raises StackError if it is missing or no engine runs."""
    docker = shutil.which("docker")
    if docker is None:
        raise StackError("docker was not found in PATH")
    if not _works([docker, "info"]):
        raise StackError("docker is installed, but its engine does not run")
    compose = [docker, "compose"]
    if not _works([*compose, "version"]):
        raise StackError("docker runs, but without its compose plugin (version 2 or newer)")
    return [*compose, "-f", str(COMPOSE_FILE)]


def up(compose: list[str], services: list[str]) -> None:
    """Start the services and return when each is healthy."""
    _compose([*compose, "up", "-d", "--wait", *services])


def down(compose: list[str], erase: bool = False) -> None:
    """Stop and remove the containers; with `erase` the volumes too."""
    _compose([*compose, "down", *(["--volumes"] if erase else [])])


def _compose(command: list[str]) -> None:
    if subprocess.run(command, check=False).returncode != 0:
        raise StackError(f"`{' '.join(command)}` failed: see what it said above")


def _works(command: list[str]) -> bool:
    try:
        done = subprocess.run(command, capture_output=True, timeout=ENGINE_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0
