"""The conversion of a raw column to its canonical type, with the faults of its values. Arrow and NumPy only.

Every function takes an array as read from the file and returns the converted array, null where the conversion failed,
and the faults. A fault does not affect other values.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from components.table_example_gen import parsing
from core.times import DAY

_YEAR_2100 = 4_102_444_800
_UNITS = {10**3: "milliseconds", 10**6: "microseconds", 10**9: "nanoseconds"}


@dataclass(frozen=True)
class Fault:
    """One kind of bad value in a column.

    Args:
      reason: the name of the fault in reports.
      bad: [N] bool, the rows with the fault.
      found: the description for an error message; `{value}` is replaced by the first bad value.
      todo: the advice to the user.
      fatal: whether the whole column has the fault, so that its rows cannot be dropped.
    """

    reason: str
    bad: np.ndarray
    found: str
    todo: str
    fatal: bool = False


Converted = tuple[pa.Array, list[Fault]]


def text(raw: pa.Array) -> Converted:
    """Return strings, null for empty ones. Whole numbers and booleans become text."""
    raw = _plain(raw)
    bad = np.zeros(len(raw), bool)
    if _is_text(raw.type):
        try:
            values = raw.cast(pa.string())
        except pa.ArrowInvalid:
            decoded = [_decoded(value) for value in raw.to_pylist()]
            values = pa.array(decoded, pa.string())
            bad = parsing.mask(pc.and_(raw.is_valid(), values.is_null()))
    elif pt.is_integer(raw.type) or pt.is_boolean(raw.type) or pt.is_null(raw.type):
        values = raw.cast(pa.string())
    else:
        return _wrong_type(raw, pa.string(), "text or whole numbers")
    values = pc.if_else(pc.equal(values, ""), pa.scalar(None, pa.string()), values)
    return values, _faults(("bad_bytes", bad, "{value} is not valid UTF-8", "Save the file as UTF-8"))


def identifier(raw: pa.Array) -> Converted:
    """Return ids as strings; missing ids and ids that were written as floats are faults."""
    values, faults = text(raw)
    if any(fault.fatal for fault in faults):
        return values, faults
    known_bad = np.logical_or.reduce([fault.bad for fault in faults] or [np.zeros(len(raw), bool)])
    missing = parsing.mask(pc.or_kleene(values.is_null(), pc.utf8_is_space(values))) & ~known_bad
    floats = parsing.mask(pc.fill_null(pc.match_substring_regex(values, r"^-?\d+\.0+$"), False))
    keep_whole = (
        "Write ids as text or whole numbers; a column of floats often comes from missing values in a data frame"
    )
    return values, faults + _faults(
        ("missing_id", missing, "is empty or blank", "Every row needs an id: fill it in"),
        ("float_id", floats, "{value} is an id written as a float", keep_whole),
    )


def number(raw: pa.Array) -> Converted:
    """Return float32; empty values and NaN are missing. Text that is not a number and infinities are faults."""
    raw = _plain(raw)
    faults: list[Fault] = []
    wrong = np.zeros(len(raw), bool)
    if _is_text(raw.type):
        strings, faults = text(raw)
        values, wrong = parsing.parsed_numbers(strings)
    elif pt.is_integer(raw.type) or pt.is_floating(raw.type) or pt.is_boolean(raw.type) or pt.is_null(raw.type):
        values = raw.cast(pa.float32(), safe=False)
    elif pt.is_decimal(raw.type):
        values = raw.cast(pa.float64()).cast(pa.float32(), safe=False)
    else:
        return _wrong_type(raw, pa.float32(), "numbers")
    values = pc.if_else(pc.is_nan(values), pa.scalar(None, pa.float32()), values)
    infinite = parsing.mask(pc.fill_null(pc.is_inf(values), False))
    return values, faults + _faults(
        ("not_a_number", wrong, "{value} is not a number", "Correct it, or leave it empty if it is unknown"),
        ("not_finite", infinite, "{value} is too large for a 32-bit float", "Correct it, or leave it empty"),
    )


def rating(raw: pa.Array, bounds: tuple[float, float] | None) -> Converted:
    """Return float32 within `bounds`, if there are any; missing values are faults."""
    values, faults = number(raw)
    if any(fault.fatal for fault in faults):
        return values, faults
    known_bad = np.logical_or.reduce([fault.bad for fault in faults] or [np.zeros(len(raw), bool)])
    missing = parsing.mask(values.is_null()) & ~known_bad
    faults += _faults(("missing_rating", missing, "is empty or NaN", "Every event needs its rating: fill it in"))
    if bounds is not None:
        low, high = bounds
        inside = pc.and_(pc.greater_equal(values, low), pc.less_equal(values, high))
        outside = ~parsing.mask(pc.fill_null(inside, True)) & ~known_bad
        todo = "Correct it, or `data.interactions.rating_range`"
        faults += _faults(("rating_out_of_range", outside, f"{{value}} is outside [{low:g}, {high:g}]", todo))
    return values, faults


def timestamp(raw: pa.Array, now: int) -> Converted:
    """Return int64 seconds since 1970 from whole numbers, Arrow times and dates, or ISO-8601 text (UTC without a zone).

    Args:
      raw: the column as read from the file.
      now: the present timestamp; a value more than a day after it is a fault.
    """
    raw = _plain(raw)
    faults: list[Fault] = []
    wrong = np.zeros(len(raw), bool)
    if _is_text(raw.type):
        strings, faults = text(raw)
        values, wrong = parsing.parsed_times(strings)
    elif pt.is_integer(raw.type) or pt.is_null(raw.type):
        values = raw.cast(pa.int64(), safe=False)
    elif pt.is_floating(raw.type):
        given = parsing.mask(pc.fill_null(pc.invert(pc.is_nan(raw)), False))
        whole = parsing.mask(pc.fill_null(pc.and_(pc.equal(pc.floor(raw), raw), pc.less(pc.abs(raw), 2.0**62)), False))
        values, wrong = pc.if_else(whole, raw, pa.scalar(None, raw.type)).cast(pa.int64()), given & ~whole
    elif _is_time(raw.type):
        values = _seconds(raw)
    else:
        return _wrong_type(raw, pa.int64(), "times")
    known_bad = np.logical_or.reduce([wrong, *(fault.bad for fault in faults)])
    todo = "Give whole seconds since 1970-01-01 UTC, or ISO-8601 such as 2024-05-01T12:00:00Z"
    faults += _faults(
        ("not_a_time", wrong, "{value} is not a time", todo),
        ("missing_timestamp", parsing.mask(values.is_null()) & ~known_bad, "is empty", todo),
    )
    return values, faults + _implausible(values.fill_null(0).to_numpy(zero_copy_only=False), now, _is_time(raw.type))


def moment(raw: pa.Array) -> Converted:
    """Return float32 seconds since 1970 from numbers, Arrow times and dates, or ISO-8601 text.

    Empty values and NaN are missing. Times before 1970 and in the future are valid. A 32-bit float holds a time of this
    century to about a minute.
    """
    raw = _plain(raw)
    faults: list[Fault] = []
    wrong = np.zeros(len(raw), bool)
    if _is_text(raw.type):
        strings, faults = text(raw)
        (times, no_time), (numbers, no_number) = parsing.parsed_times(strings), parsing.parsed_numbers(strings)
        values, wrong = pc.coalesce(times.cast(pa.float32(), safe=False), numbers), no_time & no_number
    elif _is_time(raw.type):
        values = _seconds(raw).cast(pa.float32(), safe=False)
    else:
        values, faults = number(raw)
    todo = "Give seconds since 1970-01-01 UTC, or ISO-8601 such as 2024-05-01, or leave it empty if it is unknown"
    faults += _faults(("not_a_time", wrong, "{value} is not a time", todo))
    return values, faults + _wrong_unit(values.fill_null(0).to_numpy(zero_copy_only=False), _is_time(raw.type))


def strings(raw: pa.Array, separator: str, max_values: int) -> Converted:
    """Return list<string> of the first `max_values` non-empty values per row; null for a row without any.

    Args:
      raw: the column as read from the file.
      separator: the text between the values in a field of text.
      max_values: the maximum number of values of a row; the others are left out.
    """
    lists, faults = _lists(_plain(raw), separator)
    if any(fault.fatal for fault in faults):
        return pa.nulls(len(raw), pa.list_(pa.string())), faults
    lengths = lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    row = np.repeat(np.arange(len(lists)), lengths)
    values, inner = text(lists.flatten())
    faults += [_of_rows(fault, row, len(lists)) for fault in inner]
    keep = parsing.mask(values.is_valid())
    ordinal = np.cumsum(keep) - 1  # the position of a kept value among all kept values
    kept = np.bincount(row[keep], minlength=len(lists))
    keep &= ordinal - (np.cumsum(kept) - kept)[row] < max_values
    kept = np.minimum(kept, max_values)
    offsets = pa.array(np.concatenate([[0], np.cumsum(kept)]), pa.int32())
    none = pa.array(kept == 0) if len(kept) else None
    return pa.ListArray.from_arrays(offsets, values.filter(pa.array(keep)), mask=none), faults


def vector(raw: pa.Array, separator: str, size: int) -> Converted:
    """Return list<float32> of exactly `size` numbers per row; null for a row without any.

    Args:
      raw: the column as read from the file.
      separator: the text between the numbers in a field of text.
      size: the required number of numbers; another number of them is a fault.
    """
    lists, faults = _lists(_plain(raw), separator)
    if any(fault.fatal for fault in faults):
        return pa.nulls(len(raw), pa.list_(pa.float32())), faults
    lengths = lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    row = np.repeat(np.arange(len(lists)), lengths)
    values, inner = number(lists.flatten())
    faults += [_of_rows(fault, row, len(lists)) for fault in inner]
    if any(fault.fatal for fault in inner):
        return pa.nulls(len(raw), pa.list_(pa.float32())), faults
    known_bad = np.logical_or.reduce([np.zeros(len(lists), bool), *(fault.bad for fault in faults)])
    missing = (np.bincount(row[parsing.mask(values.is_null())], minlength=len(lists)) > 0) & ~known_bad
    wrong = (lengths > 0) & (lengths != size)
    faults += _faults(
        (
            "missing_number",
            missing,
            "{value} has a missing number or NaN",
            "Give all numbers of the vector, or leave it empty",
        ),
        ("wrong_size", wrong & ~known_bad & ~missing, f"{{value}} should have {size} numbers", "Correct it, or `size`"),
    )
    good = (lengths == size) & ~known_bad & ~missing
    offsets = pa.array(np.concatenate([[0], np.cumsum(np.where(good, size, 0))]), pa.int32())
    none = pa.array(~good) if len(good) else None
    return pa.ListArray.from_arrays(offsets, values.filter(pa.array(good[row])), mask=none), faults


def _lists(raw: pa.Array, separator: str) -> Converted:
    """Return a column as large_list of raw values; text is split at the separator, missing text gives no values."""
    if pt.is_list(raw.type) or pt.is_large_list(raw.type) or pt.is_fixed_size_list(raw.type):
        return raw.cast(pa.large_list(raw.type.value_type)), []
    values, faults = text(raw)
    if any(fault.fatal for fault in faults):
        return pa.nulls(len(raw), pa.large_list(pa.string())), faults
    return pc.split_pattern(values, separator).cast(pa.large_list(pa.string())), faults


def _of_rows(fault: Fault, row: np.ndarray, rows: int) -> Fault:
    """Return a fault of list elements as a fault of their rows; `row` is the row of each element."""
    bad = np.bincount(row[fault.bad], minlength=rows) > 0
    return Fault(fault.reason, bad, fault.found, fault.todo, fault.fatal)


# ---- faults ----


def _implausible(seconds: np.ndarray, now: int, unit_known: bool) -> list[Fault]:
    """Return the faults of times before 1970, in another unit, or in the future."""
    faults = _faults(
        ("before_1970", seconds < 0, "{value} is before 1970", "Correct it: times count from 1970-01-01 UTC"),
    )
    future = (seconds > now + DAY) & (seconds <= _YEAR_2100)
    todo = "Correct it, or the clock of this machine"
    return faults + _wrong_unit(seconds, unit_known) + _faults(("future", future, "{value} is in the future", todo))


def _wrong_unit(seconds: np.ndarray, unit_known: bool) -> list[Fault]:
    """Return the fault of times after 2100: a number is then in another unit, a date or Arrow time is simply wrong."""
    wrong = (seconds > _YEAR_2100) & np.isfinite(seconds)
    if not wrong.any():
        return []
    if unit_known:
        todo = "Correct it; if the time is unknown, leave it empty instead of a distant date"
        return _faults(("time_unit", wrong, "{value} is after the year 2100", todo))
    first = int(seconds[wrong][0])
    scale = next((scale for scale in _UNITS if first // scale <= _YEAR_2100), 10**9)
    year = 1970 + first // 31_556_952
    found = f"{{value}}, read as seconds, is in the year {year:,}; it seems to be in {_UNITS[scale]}"
    return _faults(("time_unit", wrong, found, f"Divide the column by {scale:,}: times are in seconds"))


def _faults(*candidates: tuple[str, np.ndarray, str, str]) -> list[Fault]:
    return [Fault(*candidate) for candidate in candidates if candidate[1].any()]


def _wrong_type(raw: pa.Array, to: pa.DataType, wanted: str) -> Converted:
    """Return the fault of a column of a wrong type; a column of nulls has none."""
    bad = parsing.mask(raw.is_valid())
    if not bad.any():
        return pa.nulls(len(raw), to), []
    found = f"{{value}} is of type {raw.type}, not {wanted}"
    todo = f"Write the column as {wanted}" + (": 1 and not 1.0" if pt.is_floating(raw.type) else "")
    return pa.nulls(len(raw), to), [Fault("wrong_type", bad, found, todo, fatal=True)]


# ---- small helpers ----


def _plain(raw: pa.Array) -> pa.Array:
    return raw.dictionary_decode() if pt.is_dictionary(raw.type) else raw


def _is_time(type_: pa.DataType) -> bool:
    return pt.is_timestamp(type_) or pt.is_date(type_)


def _seconds(raw: pa.Array) -> pa.Array:
    """Return Arrow times or dates as int64 seconds since 1970."""
    return raw.cast(pa.timestamp("s", getattr(raw.type, "tz", None)), safe=False).cast(pa.int64())


def _is_text(type_: pa.DataType) -> bool:
    tests: Iterable = (pt.is_string, pt.is_large_string, pt.is_string_view, pt.is_binary, pt.is_large_binary)
    return any(test(type_) for test in tests)


def _decoded(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None
