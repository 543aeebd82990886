"""The point-in-time join by hand, against a brute-force oracle, and with a planted future that it must not find."""

import numpy as np
import pyarrow as pa
import pytest
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
    """Rows of (user, item, time) as an interactions table, numbered so that one can be told from another."""
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
    return join.JoinSpec(
        **{"history_length": 3, "method": "leave_one_out", "eval_share": 0.1, "test_share": 0.1} | changes
    )


EVENTS = st.lists(
    st.tuples(st.sampled_from(["ann", "bob", "cay"]), st.sampled_from([f"i{n}" for n in range(8)]), st.integers(0, 6)),
    max_size=25,
)
THOROUGH = settings(max_examples=150, deadline=None)


# ---- by hand ----


def test_an_event_gets_its_user_its_item_and_what_came_before():
    events = table([("bob", "i5", 7), ("ann", "i2", 20), ("ann", "i0", 10), ("ann", "i3", 30)])
    joined, split, dropped = join.join(events, USERS, ITEMS, spec())
    assert joined.select([names.USER_ID, names.ITEM_ID, names.HISTORY, "age", "genres"]).to_pylist() == [
        {"user_id": "ann", "item_id": "i0", "history": [], "age": 30.0, "genres": ["x"]},
        {"user_id": "ann", "item_id": "i2", "history": ["i0"], "age": 30.0, "genres": ["x", "y"]},
        {"user_id": "ann", "item_id": "i3", "history": ["i0", "i2"], "age": 30.0, "genres": None},
        {"user_id": "bob", "item_id": "i5", "history": [], "age": None, "genres": ["z"]},
    ]
    assert split.tolist() == [0, 1, 2, 0]
    assert dropped == {}


def test_a_history_keeps_the_latest_oldest_first_and_no_event_of_the_same_second():
    events = table([("ann", f"i{n}", time) for n, time in enumerate([1, 2, 3, 4, 5, 5, 6])])
    joined, _, _ = join.join(events, USERS, ITEMS, spec())
    assert joined[names.HISTORY].to_pylist() == [
        [],
        ["i0"],
        ["i0", "i1"],
        ["i0", "i1", "i2"],
        ["i1", "i2", "i3"],
        ["i1", "i2", "i3"],
        ["i3", "i4", "i5"],
    ]


def test_no_events_join_to_no_events():
    joined, split, dropped = join.join(table([]), USERS, ITEMS, spec())
    assert joined.num_rows == len(split) == 0
    assert dropped == {}
    assert {names.HISTORY, "age", "genres"} <= set(joined.column_names)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (("zoe", "i1", 5), "event of user zoe, item i1, timestamp 5: its user_id is not in the table users (1 such"),
        (("ann", "i99", 5), "event of user ann, item i99, timestamp 5: its item_id is not in the table items (1 such"),
    ],
)
def test_an_event_of_nobody_or_nothing_is_refused_or_dropped_and_counted(row, told):
    events = table([("ann", "i0", 1), row, ("ann", "i1", 9)])
    with pytest.raises(DataError) as caught:
        join.join(events, USERS, ITEMS, spec())
    assert str(caught.value).startswith(f"interactions: {told}")
    assert "data.interactions.on_unknown: drop" in caught.value.todo
    joined, split, dropped = join.join(events, USERS, ITEMS, spec(drop_unknown=True))
    assert joined[names.HISTORY].to_pylist() == [[], ["i0"]]
    assert len(split) == 2
    assert dropped == {"unknown_user" if row[0] == "zoe" else "unknown_item": 1}


def test_an_event_of_neither_is_counted_once():
    _, _, dropped = join.join(table([("zoe", "i99", 1), ("zoe", "i1", 1)]), USERS, ITEMS, spec(drop_unknown=True))
    assert dropped == {"unknown_user": 2}


def test_a_split_that_cannot_be_made_is_refused():
    with pytest.raises(ValueError, match="should have a cut"):
        join.join(table([("ann", "i0", 1)]), USERS, ITEMS, spec(method="temporal"))
    with pytest.raises(ValueError, match=r"one of random, .*, leave_one_out; found 'by_moon'"):
        join.join(table([("ann", "i0", 1)]), USERS, ITEMS, spec(method="by_moon"))


def test_a_user_s_state_is_all_they_met_and_the_latest_of_it():
    events = table([("cay", f"i{n}", n) for n in range(5)] + [("ann", "i7", 1)])
    joined, _, _ = join.join(events, USERS, ITEMS, spec())
    states = join.user_states(joined, USERS, 3)
    assert states[names.USER_ID].to_pylist() == ["ann", "bob", "cay"]
    assert states[names.HISTORY].to_pylist() == [["i7"], [], ["i2", "i3", "i4"]]
    assert states[names.EXCLUDE].to_pylist() == [["i7"], [], ["i0", "i1", "i2", "i3", "i4"]]
    assert states["age"].to_pylist() == USERS["age"].to_pylist()


# ---- against an oracle ----


def expected(rows, length):
    """Row by row: (number, history), in the order of the join."""
    numbered = [(user, item, time, number) for number, (user, item, time) in enumerate(rows)]
    ordered = sorted(numbered, key=lambda row: (["ann", "bob", "cay"].index(row[0]), row[2], row[3]))
    found = []
    for user, _, time, number in ordered:
        earlier = [item for who, item, when, _ in ordered if who == user and when < time]
        found.append((number, earlier[max(0, len(earlier) - length) :]))
    return found


@THOROUGH
@given(EVENTS, st.integers(1, 5), st.sampled_from(["temporal", "temporal_per_user", "leave_one_out"]))
def test_every_history_is_what_the_oracle_says(rows, length, method):
    joined, split, _ = join.join(table(rows), USERS, ITEMS, spec(history_length=length, method=method, cut=(2, 4)))
    assert list(zip(joined["number"].to_pylist(), joined[names.HISTORY].to_pylist(), strict=True)) == expected(
        rows, length
    )
    assert len(split) == len(rows)
    for row in joined.to_pylist():
        [item] = ITEMS.filter(pa.compute.equal(ITEMS[names.ITEM_ID], row[names.ITEM_ID])).to_pylist()
        assert row["genres"] == item["genres"]


@THOROUGH
@given(EVENTS, st.integers(1, 5))
def test_states_are_what_the_oracle_says(rows, length):
    joined, _, _ = join.join(table(rows), USERS, ITEMS, spec())
    states = join.user_states(joined, USERS, length)
    for user, history, met in zip(
        *(states[name].to_pylist() for name in (names.USER_ID, names.HISTORY, names.EXCLUDE)), strict=True
    ):
        ordered = sorted(((time, n, item) for n, (who, item, time) in enumerate(rows) if who == user))
        assert met == [item for _, _, item in ordered]
        assert history == met[-length:]


# ---- a planted future ----


@THOROUGH
@given(EVENTS, EVENTS, st.integers(0, 6), st.integers(1, 5), st.randoms(use_true_random=False))
def test_a_planted_future_is_never_found(rows, later, now, length, random):
    """Events after `now`, of items and with features that no earlier event has, leave every earlier event as it was."""
    planted = [(user, f"future-{item}", now + 1 + time) for user, item, time in later]
    marked = pa.table(
        {
            names.ITEM_ID: [f"future-i{row}" for row in range(8)],
            "genres": pa.array([["future"]] * 8, pa.list_(pa.string())),
        }
    )
    items = pa.concat_tables([marked, ITEMS])
    past = [row for row in rows if row[2] <= now]
    mixed = list(past)
    for row in planted:  # anywhere between the others, whose order stays, since ties keep it
        mixed.insert(random.randint(0, len(mixed)), row)
    joined, _, _ = join.join(table(mixed), USERS, items, spec(history_length=length))
    kept = joined.filter(pa.compute.less_equal(joined[names.TIMESTAMP], now)).drop_columns(["number"])
    alone, _, _ = join.join(table(past), USERS, items, spec(history_length=length))
    assert "future" not in str(kept.to_pylist())
    assert kept.to_pylist() == alone.drop_columns(["number"]).to_pylist()


@THOROUGH
@given(EVENTS.filter(len), st.floats(0.05, 0.4), st.floats(0.05, 0.4))
def test_with_one_cut_in_time_train_knows_nothing_of_what_comes_after(rows, eval_share, test_share):
    events = table(rows)
    cut = splits.cuts(events[names.TIMESTAMP].to_numpy(), eval_share, test_share)
    joined, split, _ = join.join(events, USERS, ITEMS, spec(method="temporal", cut=cut))
    time = joined[names.TIMESTAMP].to_numpy()
    for before, after in ((0, 1), (1, 2), (0, 2)):
        if (split == before).any() and (split == after).any():
            assert time[split == before].max() < time[split == after].min()
    assert np.isin(split, [0, 1, 2]).all()


def test_the_events_of_an_item_are_counted_over_all_shards():
    shards = [table([("ann", "i1", 1), ("ann", "i1", 2), ("ann", "i7", 3)]), table([("bob", "i1", 1)]), table([])]
    parts = pa.concat_tables([join.event_counts(shard[names.ITEM_ID]) for shard in shards])
    assert join.counts_of(ITEMS[names.ITEM_ID], parts).to_pylist() == [0, 3, 0, 0, 0, 0, 0, 1]


def test_a_shard_holds_no_more_than_memory_and_one_array_of_strings():
    assert [join.shards_of(rows, 50) for rows in (0, 1, 500_000, 500_001)] == [1, 1, 1, 2]
    assert join.shards_of(1_469_293, 2_000) == 59  # 25,000 events with up to 50 million members
    assert join.shards_of(10, 10**9) == 10
