"""The impressions without an event, compared with values found by hand and with an oracle in plain Python."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.candidate_generator import impressions
from core import names, queries
from core.errors import DataError

USERS = pa.array(["ann", "bob", "cid"])
ITEMS = pa.array([f"i{row}" for row in range(8)])
DAY = 100


def table(rows):
    """Return a table of (user, item, time) rows."""
    users, items, times = zip(*rows, strict=True) if rows else ((), (), ())
    return pa.table(
        {
            names.USER_ID: pa.array(users, pa.string()),
            names.ITEM_ID: pa.array(items, pa.string()),
            names.TIMESTAMP: pa.array(times, pa.int64()),
        }
    )


def not_chosen(past, target, shown, of_each_user=True, **changes):
    """Return (user, time of the query) → the items that were shown for the query and have no event."""
    given = {"unit": "user", "user_columns": [names.USER_ID], "history_length": 3, "exclude_seen": True} | changes
    query_set = queries.build(table(past), table(target), ITEMS, **given)
    known = impressions.known([table(shown)], USERS, ITEMS, drop_unknown=False)
    pairs = impressions.not_chosen(known, query_set, table(target), ITEMS, of_each_user)
    assert (np.diff(pairs.queries) >= 0).all()
    users = query_set.users[names.USER_ID].to_pylist()
    found = {(user, time): set() for user, time in zip(users, query_set.time.tolist(), strict=True)}
    for query, item in zip(pairs.queries.tolist(), pairs.items.tolist(), strict=True):
        items = found[users[query], int(query_set.time[query])]
        assert ITEMS[item].as_py() not in items  # no pair twice
        items.add(ITEMS[item].as_py())
    return found


PAST = [("ann", "i0", 1), ("bob", "i0", 2)]
TARGET = [("ann", "i1", 10), ("ann", "i2", 20), ("bob", "i3", 12)]


def test_an_item_counts_that_was_shown_after_all_that_is_known_until_the_window_s_last_event():
    shown = [("ann", "i3", 1), ("ann", "i4", 2), ("ann", "i5", 10), ("ann", "i6", 20), ("ann", "i6", 21)]
    shown += [("bob", "i4", 2), ("bob", "i5", 13)]
    shown += [("ann", "i7", 19)]
    assert not_chosen(PAST, TARGET, shown) == {("ann", 10): {"i4", "i5", "i7"}, ("bob", 12): set()}


def test_of_a_user_without_a_past_all_counts_that_was_shown_before():
    assert not_chosen([], TARGET, [("ann", "i4", -5)]) == {("ann", 10): {"i4"}, ("bob", 12): set()}


def test_where_the_window_is_of_all_it_ends_with_the_last_event_of_all():
    shown = [("bob", "i4", 13), ("bob", "i5", 20), ("bob", "i6", 21)]
    found = not_chosen(PAST, TARGET, shown, of_each_user=False)
    assert found == {("ann", 10): set(), ("bob", 12): {"i4", "i5"}}


def test_what_was_chosen_at_any_time_of_the_window_is_no_negative():
    shown = [("ann", "i1", 10), ("ann", "i2", 11), ("ann", "i3", 11), ("ann", "i3", 12)]  # bob has an event with i3
    assert not_chosen(PAST, TARGET, shown)["ann", 10] == {"i3"}


def test_where_each_event_is_a_query_each_has_what_was_shown_since():
    target = [("ann", "i1", 10), ("ann", "i2", 20), ("ann", "i3", 30)]
    shown = [("ann", "i4", 10), ("ann", "i5", 20), ("ann", "i4", 25), ("ann", "i3", 11), ("ann", "i6", 31)]
    assert not_chosen(PAST, target, shown, unit="event") == {
        ("ann", 10): {"i4", "i5"},
        ("ann", 20): {"i4", "i5"},
        ("ann", 30): {"i4"},
    }


def test_without_impressions_there_is_nothing():
    assert not_chosen(PAST, TARGET, []) == {("ann", 10): set(), ("bob", 12): set()}


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_as_a_plain_loop_finds_it(data):
    event = st.tuples(st.sampled_from(USERS.to_pylist()), st.sampled_from(ITEMS.to_pylist()))
    past = [(*row, data.draw(st.integers(0, DAY - 1))) for row in data.draw(st.lists(event, max_size=6))]
    target = [(*row, DAY + data.draw(st.integers(0, 9))) for row in data.draw(st.lists(event, min_size=1, max_size=8))]
    shown = [(*row, data.draw(st.integers(0, DAY + 12))) for row in data.draw(st.lists(event, max_size=25))]
    of_each_user, unit = data.draw(st.booleans()), data.draw(st.sampled_from(["user", "event"]))
    found = not_chosen_of_each(past, target, shown, of_each_user, unit)
    for user, time, items in found:
        earlier = [when for who, _, when in past + target if who == user and when < time]
        since = max(earlier, default=-DAY)
        end = max(when for who, _, when in target if not of_each_user or who == user)
        chosen = {item for who, item, _ in target if who == user}
        assert (
            items == {item for who, item, when in shown if who == user and since < when <= end - of_each_user} - chosen
        )


def not_chosen_of_each(past, target, shown, of_each_user, unit):
    """Yield (user, time, items without an event) of each query; queries of one user and second have the same items."""
    known = impressions.known([table(shown[:9]), table(shown[9:])], USERS, ITEMS, drop_unknown=False)
    query_set = queries.build(table(past), table(target), ITEMS, unit, [names.USER_ID], 3, exclude_seen=False)
    pairs = impressions.not_chosen(known, query_set, table(target), ITEMS, of_each_user)
    ids = ITEMS.take(pa.array(pairs.items)).to_pylist()
    for query, user in enumerate(query_set.users[names.USER_ID].to_pylist()):
        mine = [item for item, owner in zip(ids, pairs.queries, strict=True) if owner == query]
        assert len(set(mine)) == len(mine)
        yield user, int(query_set.time[query]), set(mine)


def test_impressions_of_nobody_or_nothing_are_refused_or_dropped_and_counted():
    parts = [table([("ann", "i0", 1), ("zoe", "i0", 2), ("zoe", "i9", 2)]), table([("bob", "i9", 3), ("bob", "i7", 4)])]
    with pytest.raises(DataError) as caught:
        impressions.known(parts, USERS, ITEMS, drop_unknown=False)
    for fact in ("user zoe", "item i0", "timestamp 2", "user_id", "2 such", "`data.impressions.on_unknown: drop`"):
        assert fact in str(caught.value)
    found = impressions.known(parts, USERS, ITEMS, drop_unknown=True)
    assert (found.user.tolist(), found.item.tolist(), found.time.tolist()) == ([0, 1], [0, 7], [1, 4])
    assert found.dropped == {"unknown_user": 2, "unknown_item": 1}
