"""Whole files to Kafka, block after block, table after table."""

import logging
from collections.abc import Iterator

import polars as pl

from erp.contract import SALES, SALES_ITEMS, Table
from erp.ingest.checkpoint import Position
from erp.ingest.csv_files import CsvFile
from erp.ingest.csv_load import Load, ahead, load
from erp.ingest.csv_reader import LINE, Block
from erp.ingest.csv_survey import survey
from erp.ingest.job import Files, Job

log = logging.getLogger("erp.producer")


def send_files(job: Job, files: Files, wanted: tuple[Table, ...]) -> None:
    """Send the wanted tables; the sales are looked at when they choose among their lines."""
    choosing = SALES_ITEMS in wanted and not job.selection.everything
    for table, its_files in files.items():
        if table in wanted or (table is SALES and choosing):
            for file in its_files:
                send_file(job, file, only_choose=table not in wanted)
                if job.stop.requested:
                    return


def send_file(job: Job, file: CsvFile, only_choose: bool = False) -> None:
    """Send one file from where it was left, or only choose the sales in it."""
    name = file.name
    position = Position(name)
    if not only_choose:
        position = job.state.position(file.table.name, name, file.digest())
    if position.done:
        log.info("%s was sent before, as %s", name, position.name)
        if file.table is not SALES or job.selection.everything:
            return
    for part in parts(job, file):
        if only_choose or position.done or part.end_line <= position.line:
            continue
        # the refused ones first: a full disk must not stop a block of which half was sent
        job.refuse(file, part)
        messages = part.messages
        if position.reached:
            messages = messages.filter(pl.col(LINE) > position.reached)
        taken = job.send(file.table, messages["key"], messages["value"])
        job.counts(file.table).sent += taken
        if taken < messages.height:
            if taken:
                position.reached = messages[LINE][taken - 1]
            return
        job.count(file.table, part.faults, part.read, part.not_selected)
        position.line, position.reached = part.end_line, 0
        job.delivery.confirm_now_and_then()
    if not (only_choose or job.stop.requested):
        position.done = True


def parts(job: Job, file: CsvFile) -> Iterator[Load]:
    """The blocks of a file after a first look at the whole of it; no more once asked to stop.

    Raises UnusableFileError where it changed meanwhile.
    """
    reading = job.reading
    job.progress.step(f"{file.name}, first look", file.size())
    for item in ahead(survey(file, reading.time_zone, reading.decimal, reading.date_order)):
        if job.stop.requested:
            return
        if isinstance(item, Block):
            job.progress.advance(item.end_byte, item.rows)
        else:
            found = item
    file.check_unchanged()
    job.progress.step(file.name, file.size())
    for part in ahead(load(file, found, job.selection, job.largest)):
        if job.stop.requested:
            return
        job.progress.advance(part.end_byte, part.read)
        yield part
    file.check_unchanged()
