"""A progress bar where a person waits; nothing where there is no terminal."""

import sys
from typing import Self

from rich import progress
from rich.console import Console


class Progress:
    """One bar on stderr for the step in hand; use it in a with statement."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._bars = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.TaskProgressColumn(),
            progress.TextColumn("{task.fields[rows]:>12,} rows"),
            progress.TimeRemainingColumn(),
            console=console,
            disable=not sys.stderr.isatty(),
            transient=True,
        )
        self._task: progress.TaskID | None = None

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._bars.stop()

    def step(self, description: str, total: float) -> None:
        """Begin a step of `total` units; the bar of the one before goes."""
        if self._task is not None:
            self._bars.remove_task(self._task)
        self._task = self._bars.add_task(description, total=total, rows=0)
        self._rows = 0

    def advance(self, completed: float, rows: int) -> None:
        """The step is `completed` units far and went over so many rows more."""
        if self._task is not None:
            self._rows += rows
            self._bars.update(self._task, completed=completed, rows=self._rows)
