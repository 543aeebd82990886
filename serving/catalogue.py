"""The catalogue as the engine holds it: decoded once, an item being its row. NumPy and Arrow only."""

from collections.abc import Iterable, Mapping

import numpy as np
import pyarrow as pa

from core import names
from transform.arrays import pad_numbers, pad_strings
from transform.features import Feature, Raw, raw_columns

NO_ITEM = -1  # in place of a row


class Catalogue:
    """N items with their raw features.

    Args:
      table: one row an item: item_id, the raw columns of `features`, and more.
      features: the items' features by column.
    Attributes:
      table: the same.
      ids: [N] object array of item ids.
      values: column → [N], or [N, V] where an item has up to V values; missing ones "" or NaN.
    """

    def __init__(self, table: pa.Table, features: Mapping[str, Feature]):
        self.table, self.features = table, features
        self.ids = table[names.ITEM_ID].combine_chunks().to_numpy(zero_copy_only=False)
        self.values = {name: _decoded(table[name], raw) for name, raw in raw_columns(features).items()}
        self._rows: dict[str, int] = dict(zip(self.ids, range(len(self.ids)), strict=True))

    def __len__(self) -> int:
        return len(self.ids)

    def row(self, item_id: str) -> int:
        """Return the row of an item, NO_ITEM where it is not in the catalogue."""
        return self._rows.get(item_id, NO_ITEM)

    def rows(self, item_ids: Iterable[str]) -> np.ndarray:
        """Return the rows of items as int32, NO_ITEM for each that is not in the catalogue."""
        return np.fromiter((self._rows.get(each, NO_ITEM) for each in item_ids), np.int32)

    def gather(self, name: str, rows: np.ndarray) -> np.ndarray:
        """Return a column at rows [...], as [...] or [..., V]; missing values at NO_ITEM."""
        values = self.ids if name == names.ITEM_ID else self.values[name]
        missing: float | str = np.nan if values.dtype == np.float32 else ""
        if not len(values):
            return np.full((*rows.shape, *values.shape[1:]), missing, values.dtype)
        found = values[np.maximum(rows, 0)]
        found[rows < 0] = missing
        return found


def _decoded(column: pa.ChunkedArray, raw: Raw) -> np.ndarray:
    array = column.combine_chunks()
    if raw.values is None:
        if raw.numbers:
            return np.asarray(array.to_numpy(zero_copy_only=False), np.float32)
        return array.fill_null("").to_numpy(zero_copy_only=False)
    return (pad_numbers if raw.numbers else pad_strings)(_first_values(array, raw.values), raw.values)


def _first_values(lists: pa.ListArray, most: int) -> pa.ListArray:
    """Return the lists cut to their first `most` values, a missing list empty."""
    lengths = np.minimum(lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False), most)
    offsets = np.r_[0, np.cumsum(lengths)]
    starts = lists.offsets.to_numpy()[:-1]
    members = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths) + np.repeat(starts, lengths)
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), lists.values.take(pa.array(members)))
