"""The join in parts: the limit of bytes per part does not change the result, and no array is above the limit."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.event_joiner import join, shards
from core import names

U, N, E = 30, 12, 400
SPEC = join.JoinSpec("temporal_per_user", 0.2, 0.2, seed=3)


@pytest.fixture(scope="module")
def tables():
    """Return tables of events, users and items in several chunks, with text, lists, numbers and missing values."""
    rng = np.random.default_rng(0)
    users = pa.table(
        {
            names.USER_ID: [f"user-{row:02d}" for row in rng.permutation(U)],
            "about": [None if row % 7 == 0 else "a" * int(rng.integers(0, 60)) for row in range(U)],
        }
    )
    items = pa.table(
        {
            names.ITEM_ID: [f"item-{row}" for row in range(N)],
            "tags": pa.array([None, *([["x"] * (row % 4) for row in range(1, N)])], pa.list_(pa.string())),
            "picture": pa.array([[0.5] * 3] * N, pa.list_(pa.float32())),
            "story": ["s" * int(rng.integers(0, 200)) for _ in range(N)],
        }
    )
    events = pa.table(
        {
            names.USER_ID: [f"user-{row:02d}" for row in rng.integers(0, U - 1, E)],
            names.ITEM_ID: [f"item-{row}" for row in rng.integers(0, N, E)],
            names.TIMESTAMP: rng.integers(0, 50, E),
            names.RATING: rng.integers(1, 6, E).astype(np.float32),
        }
    )
    return tuple(chunked(table, size) for table, size in ((events, 37), (users, 8), (items, 5)))


def chunked(table, size):
    return pa.concat_tables([table.slice(start, size) for start in range(0, len(table), size)])


def outputs(tables):
    joined = join.join(*tables, SPEC)
    return [*(list(joined.tables(joined.split == index)) for index in range(3)), [join.user_states(joined, 4)]]


def largest(tables):
    return max(chunk.nbytes for table in tables for column in table.columns for chunk in column.chunks)


@pytest.mark.parametrize("limit", [700, 2_000, 10_000])
def test_a_lower_limit_gives_the_same_rows_in_arrays_below_it(monkeypatch, tables, limit):
    expected = outputs(tables)
    assert [len(parts) for parts in expected] == [1, 1, 1, 1]
    monkeypatch.setattr(shards, "BYTES_AT_ONCE", limit)
    found = outputs(tables)
    for one, parts in zip(expected, found, strict=True):
        assert pa.concat_tables(parts).combine_chunks() == one[0].combine_chunks()
        assert largest(parts) <= limit
    assert len(found[0]) > 1
    assert largest(one for parts in expected for one in parts) > limit


@pytest.mark.parametrize(("limit", "count"), [(2**28, 1), (2**28, 4), (900, 4)])
def test_every_row_of_a_block_is_in_the_shard_of_its_user_once_and_in_order(monkeypatch, tables, limit, count):
    monkeypatch.setattr(shards, "BYTES_AT_ONCE", limit)
    events = tables[0].append_column("number", pa.array(range(E)))
    blocks = list(shards.blocks(events.to_batches()))
    assert pa.Table.from_batches(blocks) == events
    assert len(blocks) > 1 or limit > 900
    found: dict[int, list] = {}
    for block in blocks:
        for shard, rows in shards.by_shard(block, count):
            found.setdefault(shard, []).append(pa.Table.from_batches([rows]))
    assert sorted(found) == list(range(count))
    whole = {shard: pa.concat_tables(parts) for shard, parts in found.items()}
    assert sorted(number for rows in whole.values() for number in rows["number"].to_pylist()) == list(range(E))
    for shard, rows in whole.items():
        assert rows["number"].to_pylist() == sorted(rows["number"].to_pylist())
        assert set(shards.shard_of(rows[names.USER_ID].combine_chunks(), count)) == {shard} or count == 1


def test_shards_follow_from_rows_and_from_bytes():
    assert [shards.shards_of(rows, 0) for rows in (0, 1, 500_000, 500_001)] == [1, 1, 1, 2]
    assert [shards.shards_of(1, size) for size in (2**29, 2**29 + 1, 10 * 2**29)] == [1, 2, 10]
    assert shards.shards_of(1_000_000, 5 * 2**29) == 5


def test_no_batch_makes_no_block_and_an_empty_one_stays():
    empty = pa.record_batch({names.USER_ID: pa.array([], pa.string())})
    assert list(shards.blocks([])) == []
    assert list(shards.blocks([empty, empty])) == [empty]
    assert [rows.num_rows for _, rows in shards.by_shard(empty, 1)] == [0]
    assert list(shards.by_shard(empty, 3)) == []


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 40), max_size=30))
def test_slices_are_all_rows_and_as_many_as_fit(sizes):
    sizes = np.array(sizes, np.int64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "BYTES_AT_ONCE", 50)
        parts = list(shards.slices(sizes))
    assert np.concatenate([np.arange(len(sizes))[part] for part in parts]).tolist() == list(range(len(sizes)))
    for part, after in zip(parts, [*parts[1:], None], strict=True):
        assert sizes[part].sum() <= 50
        assert after is None or sizes[part].sum() + sizes[after.start] > 50


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.text(max_size=3), max_size=4), max_size=5), st.data())
def test_gathered_values_are_those_at_the_rows(chunks, data):
    column = pa.chunked_array([pa.array(chunk, pa.string()) for chunk in chunks], pa.string())
    rows = data.draw(st.lists(st.integers(0, len(column) - 1), max_size=10)) if len(column) else []
    found = shards.gather(column, np.array(rows, np.int64))
    assert found.type == pa.string()
    assert found.to_pylist() == [column[row].as_py() for row in rows]


def test_the_bytes_of_a_row_are_at_least_those_of_its_arrays(tables):
    for table in tables:
        whole = table.combine_chunks()
        sizes = shards.row_bytes(table)
        assert sizes.shape == (len(table),)
        assert sizes.sum() >= sum(column.chunk(0).nbytes for column in whole.columns)
        np.testing.assert_array_equal(sizes, shards.row_bytes(whole))
