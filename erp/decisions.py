"""Whether a new model took the place of the one in service, and why: kept beside the model.

The trainer writes it (--only-if-better), the page of recommendations shows it.
"""

import os
from datetime import datetime
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

ENDING = ".decision.json"


class Decision(Struct, frozen=True):
    """What was compared and decided; hit@10 is a share, 0 to 1, and None where none was measured.

    `compared` says what stood beside the candidate: "as it is" the model in service, on sales that
    are newer than what it learned from; "fitted anew" its settings, fitted on the same sales as the
    candidate, because it had seen those that both were asked about; "nothing".
    `ratio` is candidate to in service, `low` and `high` its 95 % interval.
    """

    replaced: bool
    reason: Literal["not worse", "worse", "no model", "unusable model", "too few sales"]
    compared: Literal["as it is", "fitted anew", "nothing"]
    decided_at: datetime
    margin: float  # share by which the candidate may be worse
    sales: int  # there are
    learned_from: int = 0  # the oldest so many sales, by the candidate that was compared
    asked: int = 0  # newer sales of which a product was hidden from both
    candidate: float | None = None
    in_service: float | None = None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    version_before: str | None = None


def path_of(model: Path) -> Path:
    """Where the decision about a model is kept: item_sim.decision.json beside item_sim.pkl."""
    return model.with_name(model.stem + ENDING)


def write(model: Path, decision: Decision) -> None:
    """Keep the newest decision, whole or not at all; raises OSError where it cannot be."""
    path = path_of(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(msgspec.json.format(msgspec.json.encode(decision)) + b"\n")
    temporary.replace(path)


def read(model: Path) -> Decision | None:
    """The newest decision about a model; None where there is none that can be read."""
    try:
        return msgspec.json.decode(path_of(model).read_bytes(), type=Decision)
    except (OSError, msgspec.DecodeError):
        return None
