"""Answers and events of a store as Arrow tables, many rows at once."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from core import names
from core.arrow import STRINGS

LEAST_BLOCK = 1 << 20  # the least number of bytes that Arrow parses at once
# What the server writes into `Answer.detail`. An answer outside an experiment has no arm.
DETAIL = {
    "k": pa.int64(), "offset": pa.int64(), "experiment": pa.string(), "arm": pa.string(), "propensity": pa.float64(),
}  # fmt: skip
EVENTS = pa.schema({names.USER_ID: pa.string(), names.ITEM_ID: pa.string(), names.TIMESTAMP: pa.int64()})
_PLAIN = {"request_id": pa.string(), names.USER_ID: pa.string(), names.TIMESTAMP: pa.int64(), "release": pa.string()}
ANSWERS = pa.schema({**_PLAIN, "items": STRINGS, **DETAIL})


def events(rows: Sequence[Sequence[Any]]) -> pa.Table:
    """Return a table with the schema EVENTS from rows of user_id, item_id and timestamp."""
    return pa.table(
        [pa.array(values, kind) for values, kind in zip(_columns(rows, 3), EVENTS.types, strict=True)], EVENTS
    )


def answers(rows: Sequence[Sequence[Any]]) -> pa.Table:
    """Return a table with the schema ANSWERS.

    Args:
      rows: request_id, user_id, timestamp, release, and the texts of `items`, a JSON list, and `detail`, a JSON object.
    """
    *plain, items, detail = _columns(rows, 6)
    columns = {name: pa.array(values, kind) for (name, kind), values in zip(_PLAIN.items(), plain, strict=True)}
    parsed = _parsed(pc.binary_join_element_wise('{"items":', pa.array(items), ',"detail":', pa.array(detail), "}", ""))
    columns["items"] = parsed["items"]
    columns |= {name: pc.struct_field(parsed["detail"], name) for name in DETAIL}
    return pa.table(columns, ANSWERS)


def _parsed(lines: pa.Array) -> pa.Table:
    """Return the columns `items` and `detail` of JSON objects, without keys of `detail` that are not in DETAIL."""
    schema = pa.schema({"items": STRINGS, "detail": pa.struct(DETAIL)})
    if not len(lines):
        return schema.empty_table()
    longest = pc.max(pc.binary_length(lines)).as_py()
    together = pc.binary_join(pa.ListArray.from_arrays([0, len(lines)], lines), "\n")[0]
    return pa.json.read_json(
        pa.BufferReader(together.as_buffer()),
        read_options=pa.json.ReadOptions(block_size=max(LEAST_BLOCK, 2 * longest)),
        parse_options=pa.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
    )


def _columns(rows: Sequence[Sequence[Any]], width: int) -> list[Sequence[Any]]:
    """Return the columns of rows."""
    return list(zip(*rows, strict=True)) or [()] * width
