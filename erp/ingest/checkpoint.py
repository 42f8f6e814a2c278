"""How far a job got, in a small file that is never half written.

Only what Kafka confirmed is in it. After a stop by signal it is exact, unless Kafka is away: then
it is as old as the oldest message under way. After a kill it is at most some seconds old. What was
confirmed since then is sent again.
"""

import contextlib
import os
from copy import copy
from pathlib import Path
from typing import Any

import msgspec

from erp.process import Failure, UsageError

VERSION = 3  # raised where a job has more to be told by


class Position(msgspec.Struct):
    """How far the content `digest` of a file got: up to the line `line`, or to its end.

    `name` is the file that it was sent from. Where sending was given up in the middle of a block,
    its rows up to the line `reached` are sent too; its refused rows are not told yet.
    """

    name: str
    digest: str = ""
    line: int = 0
    reached: int = 0
    done: bool = False


class Counts(msgspec.Struct):
    """What became of a table's rows."""

    read: int = 0
    sent: int = 0
    not_selected: int = 0
    rejected: dict[str, int] = {}


class Checkpoint(msgspec.Struct):
    """The state of a job.

    Attributes
    ----------
    job : dict
        What the job was asked to do; another job cannot go on from here.
    files : dict
        The position in each file, by `table:name`; the one that was sent last is the last.
    unusable : dict
        The digest of each file that could not be used, by `table:name`: it was told.
    tickets : int
        In live mode, the sales that were confirmed, in the order of their time.
    rejects_bytes : int
        Length of the rejects file at this point.
    """

    job: dict[str, Any] = {}
    files: dict[str, Position] = {}
    unusable: dict[str, str] = {}
    tickets: int = 0
    rejects_bytes: int = 0
    counts: dict[str, Counts] = {}
    version: int = VERSION

    def position(self, table: str, name: str, digest: str) -> Position:
        """How far a file with this content got; nowhere, if it is to be sent from its beginning.

        A content is not sent again under the name under which it came last, nor under another
        unless a file of its table came since: then it is the news that a value is back.
        """
        key, its_table = f"{table}:{name}", f"{table}:"
        known = self.files.get(key)
        last = next((self.files[k] for k in reversed(self.files) if k.startswith(its_table)), None)
        if known and known.digest == digest and (known.done or known is last):
            return known
        self.files.pop(key, None)
        self.unusable.pop(key, None)
        same = last is not None and last.digest == digest
        self.files[key] = copy(last) if last and same else Position(name, digest)
        return self.files[key]

    def is_news(self, table: str, name: str, digest: str) -> bool:
        """True the first time that this content of a file is said to be unusable."""
        key = f"{table}:{name}"
        before, self.unusable[key] = self.unusable.get(key), digest
        return digest != before


def begin(path: Path, job: dict[str, Any]) -> Checkpoint:
    """A new checkpoint, that will stand in the place of an older one, if any.

    Anything else, such as a file of products or /dev/null, is left alone: UsageError.
    """
    with contextlib.suppress(OSError):  # what cannot be read is told when it is written
        if path.exists() and not (path.is_file() and _holds_checkpoint(path)):
            raise UsageError(f"{path} is something else than a checkpoint: set --checkpoint")
    return Checkpoint(job)


def _holds_checkpoint(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(99)
    return not head or b'"job"' in head


def load(path: Path, job: dict[str, Any]) -> Checkpoint:
    """The checkpoint of this very job, or a new one where there is none.

    Raises UsageError when it belongs to another job.
    """
    try:
        state = msgspec.json.decode(path.read_bytes(), type=Checkpoint)
    except FileNotFoundError:
        return Checkpoint(job=job)
    except (OSError, UnicodeDecodeError, RecursionError, msgspec.DecodeError) as error:
        raise Failure(
            f"cannot read the checkpoint {path} ({error}): move it away to begin anew"
        ) from None
    if state.version != VERSION:
        raise UsageError(f"{path} was written by another version: move it away to begin anew")
    differences = [name for name in {**job, **state.job} if state.job.get(name) != job.get(name)]
    if differences:
        raise UsageError(
            f"{path} is of another job ({', '.join(differences)} differs): give the same flags,"
            " or move it away to begin anew"
        )
    return state


def save(path: Path, state: Checkpoint) -> None:
    """Write the checkpoint, atomically."""
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(state), indent=1))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise Failure(
            f"cannot write the checkpoint {path} ({error.strerror}): make room or set --checkpoint"
        ) from None
