"""How a stage behaves as a process: its flags, its log, its signals, its exit code."""

import argparse
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import Event, Thread
from types import FrameType
from typing import Any, NoReturn

from erp import flags

log = logging.getLogger("erp")

DONE, FAILED, USAGE = 0, 1, 2  # exit codes
# A thread that a server answered waits until the busy one lets go of the interpreter: after 5 ms
# by default, as long as the server itself took.
SWITCH_SECONDS = 0.0005
TOO_SLOW = "not done in time, as when a server is away: what is in hand is done at the next start"


class Failure(Exception):
    """An expected failure: its text is the one line that the person reads. Exit code 1."""


class UsageError(Failure):
    """The command or the configuration asks for what cannot be. Exit code 2."""


class _Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Keep the docstring's lines and show the default of each flag."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default in (None, False):
            return action.help
        return super()._get_help_string(action)


def argument_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser that prints the script's own docstring as its help."""
    return argparse.ArgumentParser(description=description, formatter_class=_Formatter)


def add_endless_flags(parser: argparse.ArgumentParser) -> None:
    """The flags that endless scripts share, so that a test and a demo can end them."""
    parser.add_argument(
        "--max-messages", type=flags.whole, metavar="N", help="end after N messages"
    )
    parser.add_argument(
        "--idle-timeout",
        type=flags.positive,
        metavar="SECONDS",
        help="end when nothing came for so long",
    )
    parser.add_argument(
        "--metrics-port",
        type=flags.port,
        metavar="PORT",
        help="serve Prometheus metrics on this port",
    )


class Stop:
    """The wish to end: the first SIGINT or SIGTERM asks, the second forces.

    `max_messages` and `idle_timeout` (seconds) end an endless script without a signal. `grace`
    seconds after the first signal the process ends whatever it does, which is for stages that lose
    nothing by it: a call to a server that is away may take longer than a supervisor waits.
    """

    def __init__(
        self,
        max_messages: int | None = None,
        idle_timeout: float | None = None,
        grace: float | None = None,
    ) -> None:
        self._event = Event()
        self._grace = grace
        self._starting = False
        self._requested_at: float | None = None
        self._max_messages = max_messages
        self._idle_timeout = idle_timeout
        self._messages = 0
        self._last_message = time.monotonic()
        signal.signal(signal.SIGINT, self._on_signal)
        signal.signal(signal.SIGTERM, self._on_signal)
        if grace is not None:
            hears, self._tells = socket.socketpair()
            self._tells.setblocking(False)
            signal.set_wakeup_fd(self._tells.fileno())
            Thread(target=self._bound, args=[hears], name="last resort", daemon=True).start()

    def _on_signal(self, signum: int, _frame: FrameType | None) -> None:
        if self._event.is_set():
            os._exit(128 + signum)
        if self._starting:
            _leave("stopped before it had begun")
        log.info("stopping after the batch in hand; once more to force")
        self._requested_at = time.monotonic()
        self._event.set()

    def _bound(self, signals: socket.socket) -> None:
        """End the process in time after a signal, also while its main thread hears none.

        It does not within a call of a library, such as a commit that waits for Kafka.
        """
        signals.recv(1)
        signals.settimeout(self._grace)
        try:
            again = signals.recv(1)
        except TimeoutError:
            _leave(TOO_SLOW)
        else:
            os._exit(128 + again[0])

    @contextmanager
    def starting(self) -> Iterator[None]:
        """While nothing is in hand yet: a signal ends the process at once, with exit code 0."""
        self._starting = True
        try:
            yield
        finally:
            self._starting = False

    def count(self, messages: int) -> None:
        """Say that so many messages came just now."""
        if messages:
            self._messages += messages
            self.rest()

    def rest(self) -> None:
        """Let the idle time begin anew: the stage is only now ready for messages."""
        self._last_message = time.monotonic()

    @property
    def remaining(self) -> int | None:
        """Messages still wanted, or None without a limit."""
        return None if self._max_messages is None else max(0, self._max_messages - self._messages)

    @property
    def requested(self) -> bool:
        """True once a signal came."""
        return self._event.is_set()

    @property
    def requested_for(self) -> float:
        """Seconds since the first signal, 0 before it."""
        return 0.0 if self._requested_at is None else time.monotonic() - self._requested_at

    @property
    def due(self) -> bool:
        """True once a signal came, enough messages came, or none came for too long."""
        if self.requested or self.remaining == 0:
            return True
        idle = time.monotonic() - self._last_message
        return self._idle_timeout is not None and idle >= self._idle_timeout

    def wait(self, seconds: float) -> bool:
        """Sleep unless a signal comes; True if one came."""
        return self._event.wait(seconds)


def _leave(why: str) -> None:
    log.warning(why)
    logging.shutdown()
    os._exit(DONE)


def start_logging(script: str, level: str, settings: Mapping[str, Any]) -> None:
    """Log to stderr, a line a record that can be grepped, and say once which settings hold."""
    logging.basicConfig(
        stream=sys.stderr,
        level=level,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        force=True,
    )
    log.info("%s with %s", script, " ".join(f"{k}={v}" for k, v in settings.items()))


@contextmanager
def printing(told: str) -> Iterator[None]:
    """Print within on stdout; raises Failure, which tells the least, when nobody takes it."""
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python tries again
        raise Failure(f"cannot print the result ({error.strerror}); {told}") from None


def run(main: Callable[[], int | None]) -> NoReturn:
    """Call main and exit with its code; an expected failure is one line, not a traceback."""
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        code = main() or DONE
    except Failure as failure:
        print(f"error: {failure}", file=sys.stderr)
        code = USAGE if isinstance(failure, UsageError) else FAILED
    except KeyboardInterrupt:
        code = DONE
    sys.exit(code)
