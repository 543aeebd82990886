"""Raw features as dense NumPy arrays. No TensorFlow here.

A missing string is "", a missing number NaN; a list is padded with these.
"""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transform.features import Feature, Raw, raw_columns


def raw_arrays(table: pa.Table, features: Mapping[str, Feature]) -> dict[str, np.ndarray]:
    """Return the raw columns of features, [N] each, or [N, V] where a row holds several values."""
    return {name: _array(table[name], raw) for name, raw in raw_columns(features).items()}


def _array(column: pa.ChunkedArray, raw: Raw) -> np.ndarray:
    array = column.combine_chunks()
    if raw.values is not None:
        return pad_numbers(array) if raw.numbers else pad_strings(array)
    if raw.numbers:
        return array.to_numpy(zero_copy_only=False).astype(np.float32)  # None is NaN
    return array.fill_null("").to_numpy(zero_copy_only=False)


def pad_strings(column: pa.ListArray, width: int | None = None) -> np.ndarray:
    """Return lists of strings as an object array [N, W] padded with ""; W is the longest list, at least 1."""
    return _padded(column, width, "", object)


def pad_numbers(column: pa.ListArray, width: int | None = None) -> np.ndarray:
    """Return lists of numbers as float32 [N, W] padded with NaN; W is the longest list, at least 1."""
    return _padded(column, width, np.nan, np.float32)


def pad_integers(column: pa.ListArray, width: int) -> np.ndarray:
    """Return lists of at most `width` integers as int64 [N, width] padded with 0."""
    return _padded(column, width, 0, np.int64)


def _padded(column: pa.ListArray, width: int | None, fill: float | str, dtype: type) -> np.ndarray:
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    width = width or max(1, int(lengths.max(initial=0)))
    padded: np.ndarray = np.full((len(column), width), fill, dtype)
    padded[np.arange(width) < lengths[:, None]] = column.flatten().to_numpy(zero_copy_only=False)
    return padded
