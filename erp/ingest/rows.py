"""Rows checked against the contract and turned into messages, a column at a time.

A value that cannot be what its column must be refuses its row, with the reason by name.
"""

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import get_args, get_type_hints

import polars as pl

from erp.contract import ID_LENGTH_MAX, Table
from erp.ingest.csv_lines import Fault, shown
from erp.ingest.csv_reader import LINE
from erp.ingest.values import CASTS, TYPES, Decimal, Forms

# NULL of a database, #N/D and 8,41E+12 of a spreadsheet, the rule below a header
_NO_ID = r"(?i)^\s*(null|\\N|nan|n/[ad]|#.*|-+|\d([.,]\d+)?E\+\d+)\s*$"


@dataclass
class Checked:
    """The rows that keep the contract, as messages, and the faults of the others.

    `messages` has LINE, `key` and `value` (JSON); `rows` are the typed rows they were made of, in
    the same order.
    """

    messages: pl.DataFrame
    rows: pl.DataFrame
    faults: list[Fault]


def check(table: Table, frame: pl.DataFrame, forms: Forms, largest: int | None = None) -> Checked:
    """Check the columns of `frame`; messages longer than `largest` bytes are refused.

    A column of numbers that is read as such already (`numbers`) has nothing left to check.
    A row has one fault, that of its first column at fault in the contract's order.
    """
    columns: list[pl.Series] = []
    faults: list[Fault] = []
    good = pl.repeat(True, frame.height, dtype=pl.Boolean, eager=True)
    required = table.required
    for name, kind in kinds(table).items():
        if name not in frame.columns:
            columns.append(
                pl.Series(name, [None], dtype=TYPES[kind]).new_from_index(0, frame.height)
            )
            continue
        text = frame[name]
        done = text.dtype == TYPES[kind]
        if kind is str:
            values = _without_blanks(text)
            reasons = _no_ids(values) if name in table.ids else None
        else:
            values, reasons = (text, None) if done else CASTS[kind](text, forms, name)
        if name in required:
            reasons = _missing(values, reasons)
        if reasons is not None:
            bad = good & reasons.is_not_null()
            faults += [
                Fault(line, name, shown(value or ""), reason)
                for line, value, reason in zip(
                    frame[LINE].filter(bad), text.filter(bad), reasons.filter(bad), strict=True
                )
            ]
            good &= reasons.is_null()
        columns.append(values.alias(name))
    rows = pl.DataFrame([frame[LINE], *columns])
    if faults:
        rows = rows.filter(good)
    messages = _encode(table, rows)
    if largest is not None:
        size = messages["value"].str.len_bytes() + messages["key"].str.len_bytes()
        if (too_large := size > largest).any():
            faults += [
                Fault(line, "", f"{bytes_} bytes", "message_too_large")
                for line, bytes_ in zip(
                    messages[LINE].filter(too_large), size.filter(too_large), strict=True
                )
            ]
            rows, messages = rows.filter(~too_large), messages.filter(~too_large)
    return Checked(messages, rows, faults)


@cache
def kinds(table: Table) -> dict[str, type]:
    """The column names of a table and what each holds: str, int, float, bool or datetime."""
    hints = get_type_hints(table.record)
    return {name: _plain(hints[name]) for name in table.columns}


def numbers(table: Table, forms: Forms) -> dict[str, pl.DataType]:
    """The columns that the reader may take for numbers at once, and the type of each.

    None where the decimal mark is in doubt; none of the natural key, which is compared as text.
    """
    if forms.decimal is not Decimal.POINT:
        return {}
    return {
        name: TYPES[kind]
        for name, kind in kinds(table).items()
        if kind in (int, float) and name not in table.natural_key
    }


def natural_keys(table: Table, frame: pl.DataFrame) -> pl.DataFrame:
    """The natural keys of rows as text, comparable: line 01, 1.0, 1,0 and 1 of a sale are one."""
    return pl.DataFrame(
        [
            _same_integers(frame[name]) if kinds(table)[name] is int else frame[name]
            for name in table.natural_key
        ]
    )


def _same_integers(text: pl.Series) -> pl.Series:
    """Whole numbers in one way of writing; what is none stays as it is."""
    numbers = text.cast(pl.Int64, strict=False)
    if numbers.null_count() == text.null_count() and str(text.min()) >= "1":  # no 01, no +1
        return text
    # not ,000: that is a thousand, or none
    written = text.str.strip_chars().str.replace(r",(0{1,2}|0{4,})$", "")
    written = written.cast(pl.Float64, strict=False)
    whole = written.cast(pl.Int64, strict=False)
    plain = pl.select(pl.when(whole == written).then(whole.cast(pl.String))).to_series()
    return plain.fill_null(text).alias(text.name)


def _plain(hint: type) -> type:
    return next((part for part in get_args(hint) if part is not type(None)), hint)


def _encode(table: Table, rows: pl.DataFrame) -> pl.DataFrame:
    wanted = [
        pl.col(name).dt.to_string("%Y-%m-%dT%H:%M:%S%.fZ") if kind is datetime else pl.col(name)
        for name, kind in kinds(table).items()
    ]
    return rows.select(
        LINE,
        key=pl.col(table.message_key),
        value=pl.struct(wanted).struct.json_encode(),
    )


def _without_blanks(text: pl.Series) -> pl.Series:
    """What is nothing but blanks, as in columns of a fixed width, is absent, as what is empty."""
    if text.is_empty() or (str(text.min()) >= "!" and str(text.max()) < "\x80"):
        return text  # none begins with a blank, of ASCII or beyond
    return pl.select(pl.when(text.str.strip_chars() != "").then(text)).to_series()


def _no_ids(texts: pl.Series) -> pl.Series | None:
    """A reason for each text that is no id: too long, or what programs write in its place."""
    long = texts.str.len_bytes() > ID_LENGTH_MAX
    digits = str(texts.min()) >= "0" and str(texts.max()) < ":"  # all begin with one: faster
    if not long.any() and digits and not texts.str.contains_any(["E+", "e+"]).any():
        return None
    reasons = pl.select(
        pl.when(long & (texts.str.len_chars() > ID_LENGTH_MAX))
        .then(pl.lit("id_too_long"))
        .when(texts.str.strip_chars(" \ufeff").str.to_lowercase() == texts.name)
        .then(pl.lit("repeated_header"))
        .when(texts.str.contains("\ufeff", literal=True))
        .then(pl.lit("invalid_characters"))
        .when(texts.str.contains(_NO_ID))
        .then(pl.lit("not_an_id"))
    ).to_series()
    return None if reasons.null_count() == len(reasons) else reasons


def _missing(values: pl.Series, reasons: pl.Series | None) -> pl.Series | None:
    """The reasons, with one for what is absent."""
    if values.null_count() == 0:
        return reasons
    missing = pl.select(pl.when(values.is_null()).then(pl.lit("missing_value"))).to_series()
    return missing if reasons is None else reasons.fill_null(missing)
