"""The catalogue of an engine, decoded to arrays once. NumPy and Arrow only."""

from collections.abc import Iterable, Mapping

import numpy as np
import pyarrow as pa

from core import names
from transform.features import Feature, raw_columns

NO_ITEM = -1  # the row of no item


class Catalogue:
    """N items with their raw features.

    Args:
      table: one row per item: item_id, the raw columns of `features`, and others.
      features: the features of items by column.
    Attributes:
      table, features: the arguments.
      ids: [N] object array of item ids.
      values: column → [N], or [N, V] where an item has up to V values; missing ones "" or NaN.
    """

    def __init__(self, table: pa.Table, features: Mapping[str, Feature]):
        self.table, self.features = table, features
        self.ids = table[names.ITEM_ID].combine_chunks().to_numpy(zero_copy_only=False)
        self.values = {
            name: raw.to_fixed_numpy(table[name].combine_chunks()) for name, raw in raw_columns(features).items()
        }
        self._rows: dict[str, int] = dict(zip(self.ids, range(len(self.ids)), strict=True))

    def __len__(self) -> int:
        return len(self.ids)

    def row(self, item_id: str) -> int:
        """Return the row of an item; NO_ITEM for an item that is not in the catalogue."""
        return self._rows.get(item_id, NO_ITEM)

    def rows(self, item_ids: Iterable[str]) -> np.ndarray:
        """Return the rows of items as int32; NO_ITEM for each item that is not in the catalogue."""
        return np.fromiter((self._rows.get(each, NO_ITEM) for each in item_ids), np.int32)

    def gather(self, name: str, rows: np.ndarray) -> np.ndarray:
        """Return the values of a column at `rows` [...], as [...] or [..., V]; a missing value for row NO_ITEM."""
        values = self.ids if name == names.ITEM_ID else self.values[name]
        missing: float | str = np.nan if values.dtype == np.float32 else ""
        if not len(values):
            return np.full((*rows.shape, *values.shape[1:]), missing, values.dtype)
        gathered = values[np.maximum(rows, 0)]
        gathered[rows < 0] = missing
        return gathered
