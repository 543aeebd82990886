"""The catalogue of an engine, decoded to arrays once. NumPy and Arrow only."""

import copy
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
        self._added: dict[str, int] = {}

    def with_items(self, items: pa.Table) -> "Catalogue":
        """Return the catalogue with further items, whose rows follow; an id that was added before has its last row.

        Args:
          items: [M] with the schema of the table; no id of the items that the catalogue was made from.
        """
        other, first = copy.copy(self), len(self)
        other.table = pa.concat_tables([self.table, items])
        own = Catalogue(items, self.features)
        other.ids = np.concatenate([self.ids, own.ids])
        other.values = {name: np.concatenate([self.values[name], own.values[name]]) for name in self.values}
        other._added = self._added | {each: first + row for row, each in enumerate(own.ids)}
        return other

    def __len__(self) -> int:
        return len(self.ids)

    def row(self, item_id: str) -> int:
        """Return the row of an item; NO_ITEM for an item that is not in the catalogue."""
        return self._rows.get(item_id, NO_ITEM) if item_id not in self._added else self._added[item_id]

    def rows(self, item_ids: Iterable[str]) -> np.ndarray:
        """Return the rows of items as int32; NO_ITEM for each item that is not in the catalogue."""
        if self._added:
            return np.fromiter((self.row(each) for each in item_ids), np.int32)
        return np.fromiter((self._rows.get(each, NO_ITEM) for each in item_ids), np.int32)

    def columns(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Return the id and the raw features of items, as the inputs of a model: column → [...] or [..., V]."""
        return {name: self.gather(name, rows) for name in (names.ITEM_ID, *self.values)}

    def gather(self, name: str, rows: np.ndarray) -> np.ndarray:
        """Return the values of a column at `rows` [...], as [...] or [..., V]; a missing value for row NO_ITEM."""
        values = self.ids if name == names.ITEM_ID else self.values[name]
        missing: float | str = np.nan if values.dtype == np.float32 else ""
        if not len(values):
            return np.full((*rows.shape, *values.shape[1:]), missing, values.dtype)
        gathered = values[np.maximum(rows, 0)]
        gathered[rows < 0] = missing
        return gathered
