"""The parsing of numbers and of times from text, with a mask of invalid text. Arrow and NumPy only."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_MISSING = pa.array(["NA", "N/A", "NaN", "nan", "NULL", "null", "None"])  # the texts of a missing number
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_WHOLE = r"^[+-]?\d+(\.0*)?$"
_DATE = r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])([T ]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d)?"
_NAIVE, _ZONED = rf"{_DATE})?$", rf"{_DATE})(Z|[+-]\d\d(:?\d\d)?)$"


def parsed_numbers(strings: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """Return float32 numbers, null for other strings, and [N] whether each string is neither a number nor missing."""
    try:
        return strings.cast(pa.float32()), np.zeros(len(strings), bool)
    except pa.ArrowInvalid:
        tidy = pc.utf8_trim_whitespace(strings)
        values = _cast(_only(pc.replace_substring_regex(tidy, r"^\+", ""), _NUMBER), pa.float32())
        missing = pc.is_in(tidy, _MISSING)
        return values, mask(pc.and_(strings.is_valid(), pc.and_(values.is_null(), pc.invert(missing))))


def parsed_times(strings: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """Return int64 seconds since 1970, null for other strings, and [N] whether each string is not a time."""
    try:
        return strings.cast(pa.int64()), np.zeros(len(strings), bool)
    except pa.ArrowInvalid:
        tidy = pc.utf8_trim_whitespace(strings)
        whole = pc.replace_substring_regex(_only(tidy, _WHOLE), r"^\+|\.0*$", "")
        iso = pc.replace_substring_regex(tidy, r"(:\d\d)[.,]\d+", r"\1")  # drops fractions of a second
        values = pc.coalesce(
            _cast(whole, pa.int64()),
            _cast(_only(iso, _NAIVE), pa.timestamp("s")).cast(pa.int64()),
            _cast(_only(iso, _ZONED), pa.timestamp("s", "UTC")).cast(pa.int64()),
        )
        return values, mask(pc.and_(strings.is_valid(), values.is_null()))


def _only(strings: pa.Array, pattern: str) -> pa.Array:
    """Return `strings`, with null for those that do not match `pattern`."""
    return pc.if_else(pc.match_substring_regex(strings, pattern), strings, pa.scalar(None, pa.string()))


def _cast(strings: pa.Array, to: pa.DataType) -> pa.Array:
    """Return `strings.cast(to)`, null where the cast fails. The few failures are found by bisection."""
    try:
        return strings.cast(to)
    except pa.ArrowInvalid:
        half = len(strings) // 2
        if half == 0:
            return pa.nulls(1, to)
        return pa.concat_arrays([_cast(strings[:half], to), _cast(strings[half:], to)])


def mask(values: pa.Array) -> np.ndarray:
    return values.to_numpy(zero_copy_only=False).astype(bool)
