"""The point-in-time join, compared with values found by hand and a brute-force oracle, and tested for leaks."""

import numpy as np
import pyarrow as pa
import pytest
from facts import facts, lacking
from hypothesis import given, settings
from hypothesis import strategies as st

from components.event_joiner import join, splits
from core import names
from core.errors import DataError

USERS = pa.table({names.USER_ID: ["ann", "bob", "cay"], "age": pa.array([30.0, None, 50.0], pa.float32())})
ITEMS = pa.table(
    {
        names.ITEM_ID: [f"i{row}" for row in range(8)],
        "genres": pa.array([["x"], [], ["x", "y"], None, ["y"], ["z"], ["x"], ["y"]], pa.list_(pa.string())),
    }
)


def table(rows):
    """Return (user, item, time) rows as a table of interactions, with a row number that tells equal rows apart."""
    users, items, times = zip(*rows, strict=True) if rows else ((), (), ())
    return pa.table(
        {
            names.USER_ID: pa.array(users, pa.string()),
            names.ITEM_ID: pa.array(items, pa.string()),
            names.TIMESTAMP: pa.array(times, pa.int64()),
            "number": pa.array(range(len(rows)), pa.int64()),
        }
    )


def spec(**changes):
    return join.JoinSpec(**{"method": "leave_one_out", "eval_share": 0.1, "test_share": 0.1} | changes)


def whole(joined):
    """Return all joined events as one table, including events in no split."""
    return joined.table(np.ones(len(joined), bool))


EVENTS = st.lists(
    st.tuples(st.sampled_from(["ann", "bob", "cay"]), st.sampled_from([f"i{n}" for n in range(8)]), st.integers(0, 6)),
    max_size=25,
)
METHODS = st.sampled_from(["temporal", "temporal_per_user", "leave_one_out"])
THOROUGH = settings(max_examples=150, deadline=None)


# ---- by hand ----


def test_an_event_gets_its_user_and_its_item():
    events = table([("bob", "i5", 7), ("ann", "i2", 20), ("ann", "i0", 10), ("ann", "i3", 30)])
    joined = join.join(events, USERS, ITEMS, spec())
    assert whole(joined).select([names.USER_ID, names.ITEM_ID, names.TIMESTAMP, "age", "genres"]).to_pylist() == [
        {"user_id": "ann", "item_id": "i0", "timestamp": 10, "age": 30.0, "genres": ["x"]},
        {"user_id": "ann", "item_id": "i2", "timestamp": 20, "age": 30.0, "genres": ["x", "y"]},
        {"user_id": "ann", "item_id": "i3", "timestamp": 30, "age": 30.0, "genres": None},
        {"user_id": "bob", "item_id": "i5", "timestamp": 7, "age": None, "genres": ["z"]},
    ]
    assert joined.split.tolist() == [0, 1, 2, 0]
    assert joined.dropped == {}


def test_no_events_join_to_no_events():
    joined = join.join(table([]), USERS, ITEMS, spec())
    assert len(joined) == whole(joined).num_rows == 0
    assert joined.dropped == {}
    assert {names.USER_ID, names.ITEM_ID, names.TIMESTAMP, "age", "genres"} <= set(whole(joined).column_names)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("zoe", "i1", 5), "user zoe, item i1, timestamp 5 … user_id … table users … 1 such"),
        (("ann", "i99", 5), "user ann, item i99, timestamp 5 … item_id … table items … 1 such"),
    ],
)
def test_an_event_of_nobody_or_nothing_is_refused_or_dropped_and_counted(row, message):
    events = table([("ann", "i0", 1), row, ("ann", "i1", 9)])
    with pytest.raises(DataError) as caught:
        join.join(events, USERS, ITEMS, spec())
    assert caught.value.file == "interactions"
    assert lacking(str(caught.value), message) == []
    assert "data.interactions.on_unknown: drop" in caught.value.todo
    joined = join.join(events, USERS, ITEMS, spec(drop_unknown=True))
    assert whole(joined)[names.ITEM_ID].to_pylist() == ["i0", "i1"]
    assert joined.split.tolist() == [0, 2]
    assert joined.dropped == {"unknown_user" if row[0] == "zoe" else "unknown_item": 1}


def test_an_event_of_neither_is_counted_once():
    joined = join.join(table([("zoe", "i99", 1), ("zoe", "i1", 1)]), USERS, ITEMS, spec(drop_unknown=True))
    assert joined.dropped == {"unknown_user": 2}


def test_a_split_that_cannot_be_made_is_refused():
    with pytest.raises(ValueError, match=r"`temporal`.*`cut`"):
        join.join(table([("ann", "i0", 1)]), USERS, ITEMS, spec(method="temporal"))
    with pytest.raises(ValueError, match=facts("random, … leave_one_out … found 'by_moon'")):
        join.join(table([("ann", "i0", 1)]), USERS, ITEMS, spec(method="by_moon"))


def test_a_user_s_state_has_all_seen_items_and_the_latest_as_history():
    events = table([("cay", f"i{n}", n) for n in range(5)] + [("ann", "i7", 1)])
    states = join.user_states(join.join(events, USERS, ITEMS, spec()), 3)
    assert states[names.USER_ID].to_pylist() == ["ann", "bob", "cay"]
    assert states[names.HISTORY].to_pylist() == [["i7"], [], ["i2", "i3", "i4"]]
    assert states[names.HISTORY_TIME].to_pylist() == [[1], [], [2, 3, 4]]
    assert states[names.EXCLUDE].to_pylist() == [["i7"], [], ["i0", "i1", "i2", "i3", "i4"]]
    assert states["age"].to_pylist() == USERS["age"].to_pylist()


def test_states_are_sorted_by_user_id_whatever_the_order_of_the_users():
    users = USERS.take(pa.array([2, 0, 1]))
    states = join.user_states(join.join(table([("bob", "i1", 1), ("ann", "i2", 1)]), users, ITEMS, spec()), 3)
    assert states[names.USER_ID].to_pylist() == ["ann", "bob", "cay"]
    assert states["age"].to_pylist() == [30.0, None, 50.0]
    assert states[names.EXCLUDE].to_pylist() == [["i2"], ["i1"], []]


def test_events_that_are_left_out_are_known_of_the_user_and_counted_nowhere():
    events = table([("ann", "i0", 1), ("ann", "i1", 2), *(("ann", f"i{n}", 3) for n in range(2, 6))])
    joined = join.join(events, USERS, ITEMS, spec())
    assert joined.split.tolist() == [0, 1, -1, -1, -1, 2]
    [state] = join.user_states(joined, 5).slice(0, 1).to_pylist()
    assert sorted(state[names.EXCLUDE]) == [f"i{n}" for n in range(6)]
    assert len(state[names.HISTORY]) == 5
    counts = join.event_counts(joined, joined.split >= 0)
    assert sum(counts[names.EVENT_COUNT].to_pylist()) == 3


# ---- against an oracle ----


@THOROUGH
@given(EVENTS, METHODS)
def test_every_event_stands_once_with_its_item_in_the_order_of_users_and_time(rows, method):
    joined = join.join(table(rows), USERS, ITEMS, spec(method=method, cut=(2, 4)))
    found = whole(joined).to_pylist()
    assert sorted(row["number"] for row in found) == list(range(len(rows)))
    for row in found:
        assert (row[names.USER_ID], row[names.ITEM_ID], row[names.TIMESTAMP]) == rows[row["number"]]
        assert row["genres"] == ITEMS["genres"][int(row[names.ITEM_ID][1:])].as_py()
    keys = [(row[names.USER_ID], row[names.TIMESTAMP]) for row in found]
    assert keys == sorted(keys)


@THOROUGH
@given(EVENTS, st.integers(1, 5))
def test_states_are_what_the_oracle_says(rows, length):
    joined = join.join(table(rows), USERS, ITEMS, spec())
    ordered = whole(joined).to_pylist()
    states = join.user_states(joined, length)
    for user, history, met in zip(
        *(states[name].to_pylist() for name in (names.USER_ID, names.HISTORY, names.EXCLUDE)), strict=True
    ):
        assert met == [row[names.ITEM_ID] for row in ordered if row[names.USER_ID] == user]
        assert history == met[-length:]


# ---- one second, and the order of the rows ----


@THOROUGH
@given(EVENTS, METHODS, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_changes_nothing(rows, method, random):
    shuffled, users = random.sample(rows, len(rows)), USERS.take(pa.array(random.sample(range(3), 3)))
    first, second = (
        join.join(table(each), people, ITEMS, spec(method=method, cut=(2, 4)))
        for each, people in ((rows, USERS), (shuffled, users))
    )
    assert first.split.tolist() == second.split.tolist()
    assert whole(first).drop_columns(["number"]) == whole(second).drop_columns(["number"])
    assert join.user_states(first, 3) == join.user_states(second, 3)


@THOROUGH
@given(EVENTS, METHODS, st.sampled_from([(0.1, 0.1), (0.3, 0.3), (0.2, 0.5)]))
def test_events_of_one_user_and_second_stand_on_one_side(rows, method, shares):
    changes = {"method": method, "cut": (2, 4), "eval_share": shares[0], "test_share": shares[1]}
    joined = join.join(table(rows), USERS, ITEMS, spec(**changes))
    sides = {}
    for user, time, split in zip(
        joined.user_row, joined.events[names.TIMESTAMP].to_pylist(), joined.split, strict=True
    ):
        if split >= 0:
            sides.setdefault((user, time), set()).add(split)
    assert all(len(found) == 1 for found in sides.values())
    if method != "leave_one_out":
        assert (joined.split >= 0).all()


def test_of_equal_events_with_several_ratings_the_order_of_the_rows_changes_nothing():
    events = table([("ann", "i0", 1), ("ann", "i1", 3), ("ann", "i1", 3), ("ann", "i2", 2)])
    events = events.append_column(names.RATING, pa.array([1.0, 5.0, 2.0, 3.0], pa.float32()))
    backwards = events.take(pa.array([3, 2, 1, 0]))
    for each in (events, backwards):
        joined = join.join(each, USERS, ITEMS, spec())
        assert joined.table(joined.split == 2)[names.RATING].to_pylist() == [5.0]


# ---- no leak from the future ----


@THOROUGH
@given(EVENTS.filter(len), st.floats(0.05, 0.4), st.floats(0.05, 0.4))
def test_with_one_cut_in_time_train_knows_nothing_of_what_comes_after(rows, eval_share, test_share):
    events = table(rows)
    cut = splits.cuts(events[names.TIMESTAMP].to_numpy(), eval_share, test_share)
    joined = join.join(events, USERS, ITEMS, spec(method="temporal", cut=cut))
    time, split = joined.events[names.TIMESTAMP].to_numpy(), joined.split
    for before, after in ((0, 1), (1, 2), (0, 2)):
        if (split == before).any() and (split == after).any():
            assert time[split == before].max() < time[split == after].min()
    assert np.isin(split, [0, 1, 2]).all()


def test_the_events_of_an_item_are_counted_over_all_shards():
    shards = [table([("ann", "i1", 1), ("ann", "i1", 2), ("ann", "i7", 3)]), table([("bob", "i1", 1)]), table([])]
    joined = [join.join(shard, USERS, ITEMS, spec(method="temporal", cut=(9, 9))) for shard in shards]
    parts = pa.concat_tables([join.event_counts(each, each.split == 0) for each in joined])
    assert join.counts_of(ITEMS[names.ITEM_ID], parts).to_pylist() == [0, 3, 0, 0, 0, 0, 0, 1]
