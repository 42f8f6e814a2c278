"""Who runs, where, since when and how big: the table of `status`."""

import time
from collections.abc import Mapping

import psutil
from rich.console import Console
from rich.table import Table

from local_stack.lifecycle import wanted_servers
from local_stack.server import LOOPBACK, Server, port_holder
from local_stack.stack import Stack

PIPED_WIDTH = 120  # characters, where no terminal says how wide it is


def print_status(stack: Stack, settings: Mapping[str, str]) -> int:
    """Print a line for each server that is meant to be here; 0 if all of them answer, else 1."""
    wanted = wanted_servers(stack, settings)
    if not wanted:
        return 0
    table = Table("server", "address", "state", "process", "memory", "up for", "data", box=None)
    all_answer = True
    for server in wanted:
        answers = server.state != "frozen" and server.accepts() and server.answers()
        all_answer = all_answer and answers
        table.add_row(server.name, f"{LOOPBACK}:{server.port}", *_facts(stack, server, answers))
    terminal = Console()
    if not terminal.is_terminal:
        terminal = Console(width=PIPED_WIDTH)
    terminal.print(table)
    return 0 if all_answer else 1


def _facts(stack: Stack, server: Server, answers: bool) -> tuple[str, ...]:
    process = server.process
    if process is None:
        if answers:
            return "running", port_holder(server.port), "", "", "not started from here"
        return "stopped", "", "", "", ""
    state = server.state if answers or server.state == "frozen" else "does not answer"
    try:
        memory = f"{process.memory_info().rss / 2**20:,.0f} MiB"
        minutes, seconds = divmod(int(time.time() - process.create_time()), 60)
        return state, f"pid {process.pid}", memory, f"{minutes}:{seconds:02d}", stack.keeps(server)
    except psutil.Error:
        return "stopped", "", "", "", ""
