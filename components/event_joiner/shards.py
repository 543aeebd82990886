"""Shards of users, and tables in parts whose arrays stay far below Arrow's limit of 2 GiB. Arrow and NumPy only."""

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from core import names

ROWS_A_SHARD = 500_000
BYTES_A_SHARD = 2**29
# Arrow's strings have 32-bit offsets: past 2 GiB `combine_chunks` raises, and `take` of a chunked array gives wrong
# values without an error.
BYTES_AT_ONCE = 2**28


def shards_of(rows: int, size: int) -> int:
    """Return the number of shards for `rows` events; `size` is the number of bytes of the events and users."""
    return max(1, -(-rows // ROWS_A_SHARD), -(-size // BYTES_A_SHARD))


def shard_of(user_ids: pa.Array, shards: int) -> np.ndarray:
    """Return [N] int64 the shard of each user, equal on every worker and in every run."""
    import pandas as pd

    return (pd.util.hash_array(user_ids.to_numpy(zero_copy_only=False)) % shards).astype(np.int64)


def blocks(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield batches, each of consecutive input batches merged up to BYTES_AT_ONCE bytes."""
    waiting: list[pa.RecordBatch] = []
    size = 0
    for batch in batches:
        if waiting and size + batch.nbytes > BYTES_AT_ONCE:
            yield _joined(waiting)
            waiting, size = [], 0
        waiting.append(batch)
        size += batch.nbytes
    if waiting:
        yield _joined(waiting)


def by_shard(block: pa.RecordBatch, shards: int) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Yield (shard, its rows in the block, in their order) for each shard that has rows in the block.

    Args:
      block: user_id and other columns.
      shards: the number of shards.
    """
    if shards == 1:
        yield 0, block
        return
    shard = shard_of(block.column(names.USER_ID), shards)
    order = np.argsort(shard, kind="stable")
    grouped = block.take(pa.array(order))
    for one, start, count in zip(*np.unique(shard[order], return_index=True, return_counts=True), strict=True):
        yield int(one), grouped.slice(start, count)


def compact(table: pa.Table) -> pa.Table:
    """Merge small chunks of a table into chunks of up to BYTES_AT_ONCE bytes."""
    return pa.Table.from_batches(blocks(table.to_batches()), schema=table.schema)


def gather(column: pa.ChunkedArray, rows: np.ndarray) -> pa.Array:
    """Return the values of a column at `rows` [R], taken chunk by chunk, so that no array holds the whole column."""
    if column.num_chunks == 1:
        return column.chunk(0).take(pa.array(rows))
    ends = np.cumsum([len(chunk) for chunk in column.chunks])
    owner = np.searchsorted(ends, rows, side="right")
    order = np.argsort(owner, kind="stable")
    parts = [pa.array([], column.type)]
    for one, start, count in zip(*np.unique(owner[order], return_index=True, return_counts=True), strict=True):
        chunk = column.chunk(int(one))
        parts.append(chunk.take(pa.array(rows[order[start : start + count]] - (ends[one] - len(chunk)))))
    place = np.empty(len(rows), np.int64)
    place[order] = np.arange(len(rows))
    return pa.concat_arrays(parts).take(pa.array(place))


def row_bytes(table: pa.Table) -> np.ndarray:
    """Return [N] int64 the size of each row in bytes, counting 8 for each number, offset and length."""
    total = np.zeros(table.num_rows, np.int64)
    for column in table.columns:
        total += np.concatenate([np.zeros(0, np.int64), *map(_value_bytes, column.chunks)])
    return total


def slices(sizes: np.ndarray) -> Iterator[slice]:
    """Yield consecutive slices of rows of at most BYTES_AT_ONCE bytes, or of one larger row; an empty one for no rows.

    Args:
      sizes: [N] int64, the size of each row in bytes.
    """
    ends = np.cumsum(sizes)
    start = 0
    while start < len(sizes) or start == 0:
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + BYTES_AT_ONCE, side="right")))
        yield slice(start, min(stop, len(sizes)))
        start = stop


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    """Return the batches merged into one."""
    if len(batches) == 1:
        return batches[0]
    [whole] = pa.Table.from_batches(batches).combine_chunks().to_batches() or [batches[0]]
    return whole


def _value_bytes(values: pa.Array) -> np.ndarray:
    """Return [N] the size of each value in bytes."""
    if pa.types.is_list(values.type) or pa.types.is_large_list(values.type):
        lengths = pc.fill_null(pc.list_value_length(values), 0).to_numpy(zero_copy_only=False)
        total = np.r_[0, np.cumsum(_value_bytes(values.flatten()))]
        ends = np.cumsum(lengths)
        return 8 + total[ends] - total[ends - lengths]
    if pa.types.is_string(values.type) or pa.types.is_binary(values.type):
        return 8 + pc.fill_null(pc.binary_length(values), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    return np.full(len(values), 8, np.int64)
