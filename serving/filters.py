"""The items that fulfil conditions. NumPy and Arrow only."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from core.errors import UsageError
from serving.conditions import Condition

MASKS = 256  # the number of conditions whose items are kept in memory, a bit for each item


class Filters:
    """The items of a catalogue that fulfil conditions.

    Args:
      table: the catalogue, one row per item.
    """

    def __init__(self, table: pa.Table):
        self._table = table
        self._packed = lru_cache(MASKS)(lambda condition: np.packbits(self._of_one(condition)))

    def allowed(self, conditions: Sequence[Condition]) -> np.ndarray:
        """Return [N] whether each item fulfils all conditions. Raises: UsageError for a column that does not fit."""
        masks = [np.unpackbits(self._packed(each), count=self._table.num_rows).view(bool) for each in conditions]
        return np.logical_and.reduce(masks) if masks else np.ones(self._table.num_rows, bool)

    def _of_one(self, condition: Condition) -> np.ndarray:
        """Return [N] whether each item fulfils a condition; a missing value fulfils `none_of` alone."""
        if condition.column not in self._table.column_names:
            known = ", ".join(self._table.column_names)
            raise UsageError(f"filters: the items have no column {condition.column!r}; they have {known}")
        column = self._table[condition.column].combine_chunks()
        result = np.ones(len(column), bool)
        if condition.at_least is not None or condition.at_most is not None:
            if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
                raise UsageError(f"filters: {condition.column} is no numeric column, so it has no at_least and at_most")
            numbers = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
            with np.errstate(invalid="ignore"):
                if condition.at_least is not None:
                    result &= numbers >= condition.at_least
                if condition.at_most is not None:
                    result &= numbers <= condition.at_most
        if condition.any_of is not None:
            result &= _has_one_of(column, condition.any_of)
        if condition.none_of is not None:
            result &= ~_has_one_of(column, condition.none_of)
        return result


def _has_one_of(column: pa.Array, values: Sequence[str | int | float]) -> np.ndarray:
    """Return [N] whether each item has one of the values; values of another type than the column are in no item."""
    lists = pa.types.is_list(column.type) or pa.types.is_large_list(column.type)
    flat = column.flatten() if lists else column
    try:
        wanted = pa.array(list(values)).cast(flat.type)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        return np.zeros(len(column), bool)
    found = pc.is_in(flat, value_set=wanted).to_numpy(zero_copy_only=False)
    if not lists:
        return found
    owners = pc.list_parent_indices(column).to_numpy()
    return np.bincount(owners, weights=found, minlength=len(column)) > 0
