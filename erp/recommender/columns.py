"""What the columns of sales mean, whatever they hold: ids as text, times, numbers."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

NONE = -1  # the code of a customer, store or time that is absent


class TrainingDataError(Exception):
    """The input cannot be read: the message says which file or column and what to do."""


def encode(column: pa.ChunkedArray) -> tuple[np.ndarray, pa.Array]:
    """Codes (int32, -1 for null and empty) and the distinct texts, a text column, by code."""
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    if not pa.types.is_dictionary(array.type):
        array = array.dictionary_encode()
    codes = array.indices.fill_null(NONE).to_numpy(zero_copy_only=False).astype(np.int32)
    texts = _texts(array.dictionary).dictionary_encode()  # two values may have the same text
    known = pc.drop_null(pc.if_else(pc.equal(texts.dictionary, ""), None, texts.dictionary))
    to_known = pc.index_in(texts.dictionary, value_set=known).fill_null(NONE)
    translated = pc.take(to_known, texts.indices).fill_null(NONE).to_numpy(zero_copy_only=False)
    return np.append(translated, NONE).astype(np.int32)[codes], known


def _texts(values: pa.Array) -> pa.Array:
    """Ids as a text column."""
    if pa.types.is_string(values.type):
        return values
    kind = values.type
    if pa.types.is_integer(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return values.cast(pa.string())
    return pa.array([id_text(value) for value in values.to_pylist()], pa.string())


def id_text(value) -> str | None:
    """An id as text: 17850.0, which a column of numbers with gaps turns into, is '17850'."""
    if value is None or value != value or value == "":
        return None
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value if isinstance(value, str) else str(value)


def seconds(column: pa.ChunkedArray, timezone: str = "UTC") -> np.ndarray:
    """Times as float64 seconds since 1970 UTC, NaN where there is none.

    Takes timestamps, dates and ISO 8601 text; without an offset they are in `timezone`.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        column = _parse_times(column.cast(pa.string()), timezone)
    elif pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        if not pa.types.is_timestamp(kind) or kind.tz is None:
            column = _localise(column.cast(pa.timestamp("us"), safe=False), timezone)
        column = column.cast(pa.timestamp("us", "UTC"), safe=False)
    elif pa.types.is_null(kind):
        return np.full(len(column), np.nan)
    else:
        raise TrainingDataError(f"sale_datetime holds {kind}; give times or ISO 8601 text")
    micros = column.cast(pa.int64()).to_numpy().astype(np.float64)  # null becomes NaN
    return micros / 1e6


def moment(text: str, timezone: str = "UTC") -> float:
    """Seconds since 1970 UTC of one ISO 8601 date or time.

    Raises
    ------
    ValueError
        The text is no ISO 8601 time.
    """
    parsed = dt.datetime.fromisoformat(text.strip())
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=ZoneInfo(timezone))
    return parsed.timestamp()


def _localise(column, timezone: str):
    try:
        return pc.assume_timezone(column, timezone, ambiguous="earliest", nonexistent="earliest")
    except pa.ArrowInvalid as error:
        raise TrainingDataError(f"unknown time zone {timezone}") from error


def _parse_times(column, timezone: str):
    try:
        return _localise(column.cast(pa.timestamp("us")), timezone)
    except pa.ArrowInvalid:
        pass  # offsets, or a value that is no time: one by one
    values = []
    for text in column.to_pylist():
        try:
            values.append(None if text is None else int(moment(text, timezone) * 1e6))
        except (ValueError, OverflowError):
            values.append(None)
    return pa.chunked_array([pa.array(values, pa.timestamp("us", "UTC"))])


def numbers(column: pa.ChunkedArray) -> np.ndarray:
    """Float64, NaN where absent, infinite where it is no number."""
    codes, texts = encode(column)
    parsed = np.array([_number(text) for text in texts.to_pylist()] + [np.nan])
    return parsed[codes]


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return np.inf
    return value if np.isfinite(value) else np.inf
