"""The values of items in a column, as numbers, and the items with a value. NumPy and Arrow only."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


class ColumnValues:
    """The values of N items in a column, which may hold lists. Null, NaN and the empty text are no values.

    Args:
      column: [N] the column.
    """

    def __init__(self, column: pa.Array):
        lists = pa.types.is_list(column.type) or pa.types.is_large_list(column.type)
        flat = column.flatten() if lists else column
        owners = pc.list_parent_indices(column).to_numpy() if lists else np.arange(len(column))
        valid = flat.is_valid()
        if pa.types.is_floating(flat.type):
            valid = pc.and_kleene(valid, pc.invert(pc.is_nan(flat)))
        if pa.types.is_string(flat.type) or pa.types.is_large_string(flat.type):
            valid = pc.and_kleene(valid, pc.not_equal(flat, ""))
        kept = valid.to_numpy(zero_copy_only=False).astype(bool)
        encoded = flat.filter(pa.array(kept)).dictionary_encode()
        values = encoded.indices.to_numpy().astype(np.int64)
        self._numbers = {each: number for number, each in enumerate(encoded.dictionary.to_pylist())}
        count = max(1, len(self._numbers))
        pairs = np.unique(owners[kept].astype(np.int64) * count + values)  # a value that an item has twice counts once
        rows, values = pairs // count, pairs % count
        self._values = values.astype(np.int32)
        self._of_row = np.searchsorted(rows, np.arange(len(column) + 1))
        order = np.argsort(values, kind="stable")
        self._rows = rows[order].astype(np.int32)
        self._of_value = np.searchsorted(values[order], np.arange(count + 1))

    def of(self, row: int) -> list[int]:
        """Return the values of an item, as numbers from 0."""
        return self._values[self._of_row[row] : self._of_row[row + 1]].tolist()

    def rows(self, values: Sequence[int]) -> np.ndarray:
        """Return the rows of the items that have one of some values."""
        parts = [self._rows[self._of_value[each] : self._of_value[each + 1]] for each in values]
        return np.concatenate(parts) if parts else self._rows[:0]

    def rows_with(self, value: str) -> np.ndarray:
        """Return the rows of the items that have a value."""
        number = self._numbers.get(value)
        return self._rows[:0] if number is None else self.rows([number])
