"""Warnings that repeat themselves, said once in a while."""

import logging
import re
import time


class OnceInAWhile(logging.Filter):
    """Of warnings that differ in nothing but numbers one in QUIET seconds.

    librdkafka tells of every attempt to connect, twenty a second while a broker is away.
    """

    QUIET = 10.0

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """True for what is to be logged."""
        if record.levelno < logging.WARNING:
            return True
        now, text = time.monotonic(), re.sub(r"\d+", "", record.getMessage())
        if now - self._last.get(text, -self.QUIET) < self.QUIET:
            return False
        self._last[text] = now
        return True
