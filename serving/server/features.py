"""The check of features that callers send."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from core.errors import UsageError
from serving.users import fits


def check(values: Mapping[str, Any], columns: Mapping[str, pa.DataType], owners: str = "users") -> None:
    """Check that features have the names and types of columns.

    Args:
      values: raw values by column; null for a missing one.
      columns: the columns with their types.
      owners: what has the features, in the plural.
    Raises:
      UsageError: a column is unknown, or a value has another type.
    """
    for name, value in values.items():
        if name not in columns:
            known = ", ".join(columns) or "none"
            raise UsageError(f"features.{name}: {owners} have no such feature in the release; they have {known}")
        if not fits(value, columns[name]):
            raise UsageError(f"features.{name}: should be {columns[name]}; found {value!r}")
