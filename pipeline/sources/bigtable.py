"""Tables of Bigtable, as Arrow batches: ranges of rows are read in parallel, and yielded in the order of their keys.

The credentials are Google's application default credentials; BIGTABLE_EMULATOR_HOST names another server.
"""

import itertools
import logging
import os
import queue
import re
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from core.errors import UsageError
from core.storage import errors
from pipeline.sources import google
from pipeline.sources.reading import Reading
from pipeline.sources.settings import Bigtable

if TYPE_CHECKING:
    import pyarrow as pa

PARALLEL = 4  # ranges that are read side by side
_MOST_RANGES = 64  # each is a request
_ROWS = 10_000  # rows of a batch
_WAITING = 4  # batches of a range that wait until the ranges before it are written; with _ROWS the bound of the memory
_ROLE = "the role Bigtable Reader"
_RANGE_SECONDS = 3600.0  # for a range with its repeats, which may have to wait until the ranges before it are written


def check(source: Bigtable) -> None:
    """Check that the table exists and may be read, by the keys that delimit its parts."""
    with google.explained(source.uri, _ROLE), _client(source) as client:
        client.get_table(source.instance, source.table).sample_row_keys(operation_timeout=google.SECONDS)


def start(source: Bigtable) -> Reading:
    """Return the table; it has no version, so it is read each time."""
    return Reading(None, lambda: _batches(source))


def _batches(source: Bigtable) -> "Iterator[pa.RecordBatch]":
    """Yield the rows in the order of their keys. Raises: UsageError if no row has a cell of a column."""
    with google.explained(source.uri, _ROLE), _client(source) as client:
        table = client.get_table(source.instance, source.table)
        samples = table.sample_row_keys(operation_timeout=google.SECONDS)
        ranges = _ranges([key for key, _ in samples])
        rows, valued = 0, set[str]()
        for batch in _in_order([_Range(table, source, *each) for each in ranges]):
            rows += batch.num_rows
            valued |= {name for name in batch.schema.names if batch[name].null_count < batch.num_rows}
            yield batch
    lacking = [f"{name}: {cell}" for name, cell in source.columns.items() if name not in valued]
    if lacking:
        raise UsageError(
            f"{source.uri}: should have the cells of all columns; found none of {', '.join(lacking)}. Correct `columns`"
        )
    if not rows:
        yield as_batch([], source)


def _ranges(samples: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    """Return at most some 64 ranges between sampled keys, from the first key to the last; an empty key has no bound."""
    keys = list(dict.fromkeys(key for key in samples if key))
    step = max(1, -(-len(keys) // _MOST_RANGES))
    return list(itertools.pairwise([b"", *keys[step - 1 :: step], b""]))


class _Range:
    """The rows from one key, inclusive, to another, read by a thread.

    Args:
      table: the client of the table.
      source: the settings.
      first, end: the keys; empty for no bound.
    """

    def __init__(self, table: Any, source: Bigtable, first: bytes, end: bytes):
        self._table, self._source, self._first, self._end = table, source, first, end
        self.read: queue.Queue[Any] = queue.Queue(_WAITING)  # batches, then None or an error

    def run(self, stop: threading.Event) -> None:
        """Read the rows until the end, or until `stop` is set."""
        last: Exception | None = None
        try:
            for rows in _chunks(iter(self._table.read_rows_stream(self._query(), operation_timeout=_RANGE_SECONDS))):
                if not self._put(as_batch(rows, self._source), stop):
                    return
        except Exception as error:
            last = error
        self._put(last, stop)

    def _put(self, each: Any, stop: threading.Event) -> bool:
        while not stop.is_set():
            try:
                self.read.put(each, timeout=0.2)
            except queue.Full:
                continue
            return True
        return False

    def _query(self) -> Any:
        from google.cloud.bigtable.data import ReadRowsQuery, RowRange, row_filters

        cells = [cell.split(":", 1) for cell in self._source.columns.values()]
        filters = []
        if cells:  # of some families and some qualifiers, so perhaps more cells than those of the columns
            families = "|".join(sorted({re.escape(family) for family, _ in cells}))
            qualifiers = b"|".join(sorted({re.escape(qualifier.encode()) for _, qualifier in cells}))
            parts = [
                row_filters.FamilyNameRegexFilter(families),
                row_filters.ColumnQualifierRegexFilter(qualifiers),
                row_filters.CellsColumnLimitFilter(1),
            ]
            filters.append(row_filters.RowFilterChain(filters=parts))
        if self._source.row_key is not None:  # of a row without these cells the first cell, without its value
            first = [row_filters.CellsRowLimitFilter(1), row_filters.StripValueTransformerFilter(True)]
            filters.append(row_filters.RowFilterChain(filters=first))
        either = filters[0] if len(filters) == 1 else row_filters.RowFilterUnion(filters=filters)
        return ReadRowsQuery(row_ranges=[RowRange(self._first, self._end)], row_filter=either)


def _in_order(ranges: Sequence[_Range]) -> "Iterator[pa.RecordBatch]":
    """Yield the batches of ranges, one range after the other, while the next ones are read already."""
    stop = threading.Event()
    with ThreadPoolExecutor(PARALLEL) as pool:
        try:
            for each in ranges:
                pool.submit(each.run, stop)
            for each in ranges:
                while (batch := each.read.get()) is not None:
                    if isinstance(batch, Exception):
                        raise batch
                    yield batch
        finally:
            stop.set()


def _chunks(rows: Iterator[Any]) -> Iterator[list[Any]]:
    while chunk := list(itertools.islice(rows, _ROWS)):
        yield chunk


def as_batch(rows: Sequence[Any], source: Bigtable) -> "pa.RecordBatch":
    """Return rows of Bigtable as columns of bytes, null where a row lacks the cell; the row keys come first."""
    import pyarrow as pa

    wanted = {name: (cell.split(":", 1)[0], cell.split(":", 1)[1].encode()) for name, cell in source.columns.items()}
    columns: dict[str, list[bytes | None]] = {source.row_key: []} if source.row_key is not None else {}
    columns |= {name: [] for name in wanted}
    for row in rows:
        # A cell comes a second time without its value if it is the first of its row.
        found = {(cell.family, cell.qualifier): cell.value for cell in sorted(row.cells, key=lambda cell: cell.value)}
        if source.row_key is not None:
            columns[source.row_key].append(row.row_key)
        for name, cell in wanted.items():
            columns[name].append(found.get(cell))
    return pa.RecordBatch.from_pydict({name: pa.array(values, pa.binary()) for name, values in columns.items()})


def _client(source: Bigtable) -> Any:
    from google.cloud.bigtable.data import BigtableDataClient

    logging.getLogger("google.cloud.bigtable").setLevel(logging.CRITICAL)  # its metrics warn after each failed request
    project = source.project or os.environ.get("GOOGLE_CLOUD_PROJECT")
    try:
        return BigtableDataClient(project=project)
    except OSError as error:  # no project in the credentials
        raise errors.NoCredentialsError(f"{source.uri}: no project: {error}. Set `project`") from None
