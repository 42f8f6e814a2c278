"""A folder in which an ERP leaves its exports: each new file is sent once."""

import logging
from pathlib import Path

from erp.contract import Table
from erp.ingest import csv_files
from erp.ingest.batch import send_file
from erp.ingest.csv_files import UnusableFileError
from erp.ingest.job import Job

log = logging.getLogger("erp.producer")

LOOK_EVERY = 1.0  # s between two looks at the folder

Looks = dict[Path, tuple[int, int, int]]  # size, and when content and rights changed last


def watch(job: Job, folder: Path) -> None:
    """Send each file that appears or changes, once, when it has stopped growing."""
    log.info("watching %s", folder)
    before: Looks = {}
    done: Looks = {}
    while not job.stop.due:
        now: Looks = {}
        for table, paths in csv_files.find(folder, job.tables).items():
            for path in paths:
                if (look := _look(path)) is None:
                    continue
                now[path] = look
                if before.get(path) == look != done.get(path):
                    done[path] = look
                    send_new_file(job, path, table)
        before = now
        done = {path: look for path, look in done.items() if path in now}  # back it is new
        job.stop.wait(LOOK_EVERY)


def send_new_file(job: Job, path: Path, table: Table) -> None:
    """Send a file that appeared; one that cannot be used is refused as a whole."""
    name, sent = csv_files.as_text(path.name), job.counts(table).sent
    try:
        file = csv_files.describe(path, table, job.reading.encoding)
        if file is None:
            return
        send_file(job, file)
    except UnusableFileError as error:
        refuse(job, path, table, error)
        return
    job.delivery.confirm()
    job.stop.count(1)
    log.info("%s: %d rows sent", name, job.counts(table).sent - sent)


def refuse(job: Job, path: Path, table: Table, why: UnusableFileError) -> None:
    """Say and count that a file cannot be used, once for each content, over restarts too."""
    name = csv_files.as_text(path.name)
    if not path.exists():
        log.warning("%s went away before it was sent", name)
        return
    try:
        digest = csv_files.digest(path)
    except UnusableFileError:
        digest = ""
    if job.state.is_news(table.name, name, digest):
        log.error("%s", why)
        job.refuse_whole(table, name, why)
        job.delivery.confirm()


def _look(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:  # it went while we looked
        return None
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns
