"""Tables and queries of Spanner, as Arrow batches, at one timestamp.

The credentials are Google's application default credentials; SPANNER_EMULATOR_HOST names another server.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from core.errors import UsageError
from pipeline.sources import google
from pipeline.sources.reading import Reading
from pipeline.sources.settings import Spanner

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS = 10_000  # rows of a batch
_ROLE = "the role Cloud Spanner Database Reader"


def check(source: Spanner) -> None:
    """Check that the table exists, or that the query is valid, by its plan."""
    from google.cloud.spanner_v1 import ExecuteSqlRequest

    with google.explained(source.uri, _ROLE), _database(source).snapshot() as snapshot:
        list(snapshot.execute_sql(_text(source), query_mode=ExecuteSqlRequest.QueryMode.PLAN))


def start(source: Spanner) -> Reading:
    """Return the result of the query; it has no version, so it is read each time."""

    def read() -> "Iterator[pa.RecordBatch]":
        with google.explained(source.uri, _ROLE), _database(source).snapshot() as snapshot:
            yield from batches(snapshot.execute_sql(_text(source)), source)

    return Reading(None, read)


def batches(results: Any, source: Spanner) -> "Iterator[pa.RecordBatch]":
    """Yield the rows of a result of Spanner; one batch without rows if it has none.

    Args:
      results: a StreamedResultSet of Spanner's client.
      source: the settings, for messages.
    Raises:
      UsageError: a column has a type that a table cannot have, such as STRUCT, or no name.
    """
    import pyarrow as pa
    from google.cloud.spanner_v1 import TypeCode

    rows = iter(results)
    chunk = list(itertools.islice(rows, _ROWS))  # the types come with the first rows
    names, kinds = [], []
    for field in results.fields:
        kind = _kind(field.type_)
        if kind is None or not field.name or field.name in names:
            raise UsageError(
                f"{source.uri}: columns should have names, each once, and types such as INT64 or ARRAY<STRING>; found "
                f"{field.name or 'a column without a name'} of type {TypeCode(field.type_.code).name}. Select it with "
                "AS or CAST"
            )
        names.append(field.name)
        kinds.append(kind)
    schema = pa.schema(list(zip(names, kinds, strict=True)))
    while True:
        yield _batch(chunk, schema)
        chunk = list(itertools.islice(rows, _ROWS))
        if not chunk:
            return


def _batch(rows: Sequence[Sequence[Any]], schema: "pa.Schema") -> "pa.RecordBatch":
    import pyarrow as pa

    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    arrays = [pa.array(map(_plain, column), field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _plain(value: Any) -> Any:
    """Return a value as Arrow takes it; JSON becomes text."""
    serialised = getattr(value, "serialize", None)
    return serialised() if serialised is not None else value


def _kind(type_: Any) -> "pa.DataType | None":
    """Return the Arrow type of a type of Spanner; None for one that a table cannot have."""
    import pyarrow as pa
    from google.cloud.spanner_v1 import TypeCode

    if type_.code == TypeCode.ARRAY:
        inner = _kind(type_.array_element_type)
        return None if inner is None else pa.list_(inner)
    return {
        TypeCode.BOOL: pa.bool_(),
        TypeCode.INT64: pa.int64(),
        TypeCode.FLOAT32: pa.float32(),
        TypeCode.FLOAT64: pa.float64(),
        TypeCode.NUMERIC: pa.decimal128(38, 9),
        TypeCode.STRING: pa.string(),
        TypeCode.JSON: pa.string(),
        TypeCode.BYTES: pa.binary(),
        TypeCode.DATE: pa.date32(),
        TypeCode.TIMESTAMP: pa.timestamp("us", "UTC"),
    }.get(type_.code)


def _text(source: Spanner) -> str:
    return source.query or f"SELECT * FROM `{source.table}`"


def _database(source: Spanner) -> Any:
    from google.cloud import spanner

    return spanner.Client(source.project).instance(source.instance).database(source.database)
