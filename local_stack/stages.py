"""The project's scripts as processes: run to the end, kept running, stopped in order."""

import logging
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from config import ROOT
from local_stack.errors import StackError

log = logging.getLogger("local_stack.stages")

START_SECONDS = 90  # bound on a stage's first answer
STOP_SECONDS = 15  # bound on a stage's orderly end, after which it is killed


class Stages:
    """Runs scripts of the project, each with its own log in `folder`.

    Leaving the context stops those that run, the last started first.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder, self._environment = folder, dict(environment)
        self._running: list[tuple[str, subprocess.Popen[bytes]]] = []

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.stop()

    def run(self, script: str, *arguments: object) -> None:
        """Run a script to its end; raises StackError with its last words if it fails."""
        began = time.monotonic()
        process = self.start(script, *arguments)
        process.wait()
        self._running.pop()
        if process.returncode:
            raise StackError(self._last_words(script, process.returncode))
        log.info("%-34s %5.1f s", script, time.monotonic() - began)

    def start(self, script: str, *arguments: object) -> subprocess.Popen[bytes]:
        """Start a script that goes on; a signal of the terminal does not reach it."""
        with self._log(script).open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, str(ROOT / script), *map(str, arguments)],
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._running.append((script, process))
        return process

    def check(self) -> None:
        """Raise StackError if one of them ended with an error."""
        for script, process in self._running:
            if process.poll():
                raise StackError(self._last_words(script, process.returncode))

    def wait_for(self, script: str, address: str) -> None:
        """Return when a script answers there; raises StackError if it ends or never does."""
        deadline = time.monotonic() + START_SECONDS
        while not _answers(address):
            self.check()
            if time.monotonic() > deadline:
                raise StackError(f"{script} does not answer at {address}: see {self._log(script)}")
            time.sleep(0.2)

    def watch(self) -> None:
        """Stay until a signal, or until one of them fails."""
        while True:
            self.check()
            time.sleep(1)

    def stop(self) -> None:
        """End all of them, the last started first."""
        for script, process in reversed(self._running):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    log.warning("%s does not end, it is killed", script)
                    process.kill()
                    process.wait()
        self._running.clear()

    def _log(self, script: str) -> Path:
        return self._folder / f"{Path(script).stem}.log"

    def _last_words(self, script: str, code: int) -> str:
        lines = self._log(script).read_text(errors="replace").strip().splitlines()
        return f"{script} ended with {code}: {lines[-1] if lines else 'no word'}"


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=2) as answer:  # noqa: S310  our own address
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False
