"""A stack of its own and the project's scripts as processes, for the programs that measure."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from config import Settings  # noqa: E402  the project is run from its folder, not installed
from local_stack.stack import Stack, free_ports  # noqa: E402


class Scripts:
    """The project's scripts, each with the settings of one measurement; logs go to `folder`."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings, self.folder = settings, folder
        self.started: list[subprocess.Popen[bytes]] = []

    def start(self, script: str, *arguments: object, **settings: object) -> subprocess.Popen[bytes]:
        """Start a script and return at once; its attribute `log` is the file of what it says."""
        log = self.folder / f"{Path(script).stem}-{len(self.started)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, str(ROOT / script), *map(str, arguments)],
                cwd=ROOT,
                env=self._environment(settings),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        process.log = log
        self.started.append(process)
        return process

    def run(self, script: str, *arguments: object, **settings: object) -> None:
        """Run a script to its end; its failure ends the measurement."""
        process = self.start(script, *arguments, **settings)
        if process.wait() != 0:
            sys.exit(f"{script} failed:\n{process.log.read_text()[-3000:]}")

    def check(self, *processes: subprocess.Popen[bytes]) -> None:
        """End the measurement when one of these scripts, which run on, has ended by itself."""
        for process in processes:
            if process.poll() is not None:
                said = process.log.read_text()[-3000:]
                sys.exit(f"{process.args[1]} ended with {process.returncode}:\n{said}")

    def stop(self, *processes: subprocess.Popen[bytes]) -> None:
        """End these scripts in order, or everything that runs."""
        for process in processes or self.started:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in processes or self.started:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _environment(self, changed: dict[str, object]) -> dict[str, str]:
        values = {name: value for name, value in self.settings if value is not None}
        values["mongo_uri"] = self.settings.mongo_uri.get_secret_value()
        values |= {name.lower(): value for name, value in changed.items()}
        return os.environ | {name.upper(): _text(value) for name, value in values.items()}


def _text(value: object) -> str:
    return json.dumps(value) if isinstance(value, tuple) else str(value)


@contextmanager
def services(
    kafka: bool = True, mongo_heap: str = "2g", mongo_backend: str = "memory", **settings: object
) -> Iterator[tuple[Stack, Settings, Scripts]]:
    """MongoDB and, unless told not to, Kafka on free ports, empty, gone afterwards."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stack = Stack(
            folder / "stack", *free_ports(3), mongo_backend=mongo_backend, mongo_heap=mongo_heap
        )
        stack.start(None if kafka else [stack.mongo])
        made = Settings(
            _env_file=None,
            **{
                "kafka_bootstrap_servers": stack.kafka_bootstrap_servers,
                "mongo_uri": stack.mongo_uri,
                "mongo_database": "bench",
                "csv_dir": folder / "csv",
                "model_path": folder / "models" / "item_sim.pkl",
                **settings,
            },
        )
        scripts = Scripts(made, folder)
        try:
            yield stack, made, scripts
        finally:
            scripts.stop()
            stack.stop()
