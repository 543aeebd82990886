"""Raw features as dense NumPy arrays. No TensorFlow here.

A missing string is "", a missing number NaN; lists are padded with these.
"""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transform.features import Feature, raw_columns


def raw_arrays(table: pa.Table, features: Mapping[str, Feature]) -> dict[str, np.ndarray]:
    """Return the raw columns of features, [N] each, or [N, V] where a row has a list."""
    return {name: raw.to_numpy(table[name].combine_chunks()) for name, raw in raw_columns(features).items()}


def pad_strings(column: pa.ListArray, width: int | None = None) -> np.ndarray:
    """Return lists of strings as an object array [N, W] padded with ""; for W see `_padded`."""
    return _padded(column, width, "", object)


def pad_numbers(column: pa.ListArray, width: int | None = None) -> np.ndarray:
    """Return lists of numbers as float32 [N, W] padded with NaN; for W see `_padded`."""
    return _padded(column, width, np.nan, np.float32)


def pad_integers(column: pa.ListArray, width: int) -> np.ndarray:
    """Return lists of at most `width` integers as int64 [N, width] padded with 0."""
    return _padded(column, width, 0, np.int64)


def first_values(lists: pa.ListArray, most: int) -> pa.ListArray:
    """Return the lists cut to their first `most` values; a missing list becomes an empty one."""
    lengths = np.minimum(lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False), most)
    offsets = np.r_[0, np.cumsum(lengths)]
    starts = lists.offsets.to_numpy()[:-1]
    members = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths) + np.repeat(starts, lengths)
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), lists.values.take(pa.array(members)))


def _padded(column: pa.ListArray, width: int | None, fill: float | str, dtype: type) -> np.ndarray:
    """Return lists as an array [N, W] padded with `fill`; W is `width` or the longest list's length, at least 1."""
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    width = width or max(1, int(lengths.max(initial=0)))
    padded: np.ndarray = np.full((len(column), width), fill, dtype)
    padded[np.arange(width) < lengths[:, None]] = column.flatten().to_numpy(zero_copy_only=False)
    return padded
