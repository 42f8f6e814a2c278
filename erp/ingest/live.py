"""The shop replayed: sale by sale, each header before its lines, at the pace that was asked for."""

import logging
import time
from collections.abc import Callable
from datetime import timedelta

import polars as pl

from erp.contract import CUSTOMERS, PRODUCTS, SALES, SALES_ITEMS, Table
from erp.ingest.batch import parts, send_files
from erp.ingest.job import Files, Job
from erp.ingest.scratch import scratch
from erp.ingest.tickets import Ticket, TicketBook

log = logging.getLogger("erp.producer")

LONG_PAUSE = 30  # s that are worth a word
LONGEST_PAUSE = 7 * 24 * 3600  # s; a longer one is a date that stands for 'unknown', not a holiday
Pace = Callable[[int, timedelta], float]  # number of the sale, time since the first -> s to wait


def pace(speed: float | None, rate: float) -> Pace:
    """`speed` times as fast as it happened, or `rate` sales a second (0: without a pause)."""
    if speed:
        return lambda _number, since_first: since_first.total_seconds() / speed
    return lambda number, _since_first: number / rate if rate else 0.0


def replay(job: Job, files: Files, pace: Pace, limit: int | None = None) -> None:
    """Send the catalogue, then at most `limit` sales in the order of their time."""
    catalogue = tuple(table for table in (PRODUCTS, CUSTOMERS) if table in job.tables)
    send_files(job, files, catalogue)
    if job.stop.requested or not job.delivery.confirm():
        return
    job.replaying = True
    with scratch("erp-tickets-") as folder:
        book = TicketBook(folder / "tickets.sqlite")
        fill(job, files, book)
        if not job.stop.requested:
            play(job, book, pace, limit)
        book.close()


def fill(job: Job, files: Files, book: TicketBook) -> None:
    """Put every sale and its lines into the book."""
    for table in (SALES, SALES_ITEMS):
        counts = job.counts(table)
        counts.read, counts.not_selected, counts.rejected = 0, 0, {}
        add = book.add_sales if table is SALES else book.add_lines
        for file in files.get(table, []):
            for part in parts(job, file):
                job.refuse(file, part)
                job.count(table, part.faults, part.read, part.not_selected)
                add(part.rows, part.messages)
    book.close_input()


def play(job: Job, book: TicketBook, pace: Pace, limit: int | None) -> None:
    """Send the tickets of the book at their pace, from where the last run got to."""
    state = job.state
    job.progress.step("sales", min(len(book), limit or len(book)))
    began, first, skipped = time.monotonic(), None, state.tickets
    for ticket in book.tickets(skip=skipped, limit=limit):
        first = first or ticket.moment
        due = began + pace(state.tickets - skipped, ticket.moment - first)
        if (excess := due - time.monotonic() - LONGEST_PAUSE) > 0:
            log.warning(
                "a pause of %.0f s is made one of %d: --since leaves out the sales before it",
                LONGEST_PAUSE + excess,
                LONGEST_PAUSE,
            )
            began -= excess
            due -= excess
        wait_until(job, due)
        if job.stop.requested or not send_ticket(job, ticket):
            return
        state.tickets += 1
        job.progress.advance(state.tickets, 1 + len(ticket.lines))
        job.delivery.confirm_now_and_then()
    for table in (SALES, SALES_ITEMS):
        counts = job.counts(table)
        counts.not_selected = counts.read - counts.sent - sum(counts.rejected.values())
    if counts.not_selected and job.selection.everything and limit is None:
        log.warning(
            "%d lines are of no sale that was sent, or stand in a later file anew",
            counts.not_selected,
        )


def send_ticket(job: Job, ticket: Ticket) -> bool:
    """Send a header and then its lines; False if Kafka did not take them in time."""
    messages = {SALES: [ticket.header], SALES_ITEMS: ticket.lines}
    wanted: dict[Table, list[str]] = {t: texts for t, texts in messages.items() if t in job.tables}
    for table, texts in wanted.items():
        keys = pl.Series([ticket.sale_id] * len(texts), dtype=pl.String)
        if job.send(table, keys, pl.Series(texts, dtype=pl.String)) < len(texts):
            return False
    for table, texts in wanted.items():
        job.counts(table).sent += len(texts)
    return True


def wait_until(job: Job, due: float) -> None:
    """Wait for a point of the monotonic clock, or a signal."""
    if (seconds := due - time.monotonic()) > LONG_PAUSE:
        job.delivery.confirm()
        log.info("the next sale comes in %.0f s", seconds)
    if seconds > 0:
        job.stop.wait(due - time.monotonic())
