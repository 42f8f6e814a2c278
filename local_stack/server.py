"""One server process: started in a session of its own, watched, frozen, stopped, found again.

The process outlives whoever started it; its number and birth time are kept in a file, so another
program finds it again and never mistakes a stranger with the same number for it.
"""

import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from local_stack.errors import StackError

LOOPBACK = "127.0.0.1"
START_SECONDS = 120  # bound on a server's first answer
STOP_SECONDS = 30  # bound on a server's orderly end, after which it is killed


@dataclass(eq=False)
class Server:
    """A server on a loopback port, running or not.

    Attributes:
        name: what people call it, such as "Kafka".
        port: where it listens on 127.0.0.1.
        command: the program and its arguments.
        folder: where its log and its process number are kept.
        answers: says whether it serves requests.
    """

    name: str
    port: int
    command: list[str]
    folder: Path
    answers: Callable[[], bool]
    _child: subprocess.Popen | None = field(default=None, init=False, repr=False)
    _log_start: int = field(default=0, init=False, repr=False)

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name.lower()}.log"

    @property
    def pid_file(self) -> Path:
        return self.folder / f"{self.name.lower()}.pid"

    @property
    def process(self) -> psutil.Process | None:
        """The running process, or None."""
        try:
            pid, born = self.pid_file.read_text().split()
            process = psutil.Process(int(pid))
            alive = process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
        except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
            return None
        return process if alive and abs(process.create_time() - float(born)) < 1 else None

    @property
    def state(self) -> str:
        """running, frozen or stopped."""
        process = self.process
        if process is None:
            return "stopped"
        return "frozen" if process.status() == psutil.STATUS_STOPPED else "running"

    def accepts(self) -> bool:
        """Whether anything takes connections on the port, which is quick to know."""
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=1):
                return True
        except OSError:
            return False

    def launch(self) -> None:
        """Start the process and return at once; `wait` until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self._child = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        born = psutil.Process(self._child.pid).create_time()
        self.pid_file.write_text(f"{self._child.pid} {born}\n")

    def wait(self) -> None:
        """Return when the server answers. Raises StackError when it ends or takes too long."""
        deadline = time.monotonic() + START_SECONDS
        while not (self.accepts() and self.answers()):
            if self.process is None:
                raise StackError(f"{self.name} ended at its start: {self._last_error()}")
            if time.monotonic() > deadline:
                raise StackError(
                    f"{self.name} did not answer within {START_SECONDS} s: see {self.log}"
                )
            time.sleep(0.05)

    def stop(self) -> None:
        """End it in order (SIGTERM, so that its data is whole); killed only if it does not end."""
        process = self.process
        if process is not None:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            try:
                self._reap(process, STOP_SECONDS)
            except psutil.TimeoutExpired:
                process.kill()
                self._reap(process, STOP_SECONDS)
        self.pid_file.unlink(missing_ok=True)

    def kill(self) -> None:
        """SIGKILL, as a crash would: nothing is flushed."""
        process = self._running()
        process.kill()
        self._reap(process, STOP_SECONDS)
        self.pid_file.unlink(missing_ok=True)

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and nothing answers, as behind a broken network."""
        process = self._running()
        process.suspend()
        deadline = time.monotonic() + STOP_SECONDS
        while process.status() != psutil.STATUS_STOPPED and time.monotonic() < deadline:
            time.sleep(0.01)

    def thaw(self) -> None:
        """SIGCONT after `freeze`."""
        self._running().resume()

    def restart(self) -> None:
        """Stop in order if it runs, start again on the same data, return when it answers."""
        self.stop()
        self.launch()
        self.wait()

    def _running(self) -> psutil.Process:
        process = self.process
        if process is None:
            raise StackError(f"{self.name} is not running")
        return process

    def _reap(self, process: psutil.Process, seconds: float) -> None:
        if self._child is not None and self._child.pid == process.pid:
            try:
                self._child.wait(seconds)
            except subprocess.TimeoutExpired:
                raise psutil.TimeoutExpired(seconds, process.pid) from None
        else:
            process.wait(seconds)

    def _last_error(self) -> str:
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            lines = log.read().decode(errors="replace").splitlines()
        thrown = [line for line in lines if re.match(r"[\w.$]+(Exception|Error): ", line)]
        errors = [line for line in lines if "ERROR" in line]
        told = (thrown or errors or lines[-1:] or ["it said nothing"])[0]
        return f"{told.strip()[:300]} (more in {self.log})"


def free_ports(count: int) -> list[int]:
    """Ports on 127.0.0.1 that nothing listens on, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def claim_port(port: int, purpose: str) -> None:
    """Raise StackError, naming the holder where it can be told, unless the port is free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            raise StackError(
                f"port {port} ({purpose}) is taken by {port_holder(port)}: stop that first"
            ) from None


def port_holder(port: int) -> str:
    """Who listens on a port, such as "java (pid 4711)"."""
    try:
        listeners = [
            each.pid
            for each in psutil.net_connections("tcp")
            if each.status == psutil.CONN_LISTEN and each.laddr.port == port and each.pid
        ]
        if listeners:
            return f"{psutil.Process(listeners[0]).name()} (pid {listeners[0]})"
    except psutil.Error:
        pass
    return "a program of another user"
