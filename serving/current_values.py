"""The values of released items that were posted after the release's data was read. Arrow only."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa

from core import names, node_ids
from serving.users import all_fit, fits

_OWN = (names.ITEM_ID, names.EVENT_COUNT)  # columns that nobody posts


def read_at(manifest: Mapping[str, Any]) -> int:
    """Return when the items of a release were read, or else the release was made, in seconds since 1970-01-01 UTC.

    Args:
      manifest: the manifest of the release; see `core.release.reader`.
    """
    executions = (manifest["facts"].get("lineage") or {}).get("executions", ())
    started = [each["started"] for each in executions if each["node"] == node_ids.example_gen(names.ITEMS)]
    return int(datetime.fromisoformat(max(started, default=manifest["created"])).timestamp())


def with_values(table: pa.Table, values: Mapping[int, Mapping[str, Any]]) -> pa.Table:
    """Return items with other values in some columns; a value that does not fit its column is left out.

    Args:
      table: [N] the items.
      values: row → column → its value; a column that is not named keeps its value.
    """
    for name in sorted({name for each in values.values() for name in each} & set(table.column_names) - set(_OWN)):
        kind = table.schema.field(name).type
        given = {row: each[name] for row, each in values.items() if name in each}
        if not all_fit(given.values(), kind):
            given = {row: value for row, value in given.items() if fits(value, kind)}
        sources = np.arange(table.num_rows)
        sources[list(given)] = table.num_rows + np.arange(len(given))
        extended = pa.chunked_array([*table[name].chunks, pa.array(list(given.values()), kind)], kind)
        table = table.set_column(table.schema.get_field_index(name), name, extended.take(pa.array(sources)))
    return table
