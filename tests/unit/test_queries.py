"""The building of queries, per user and per event, compared with an oracle in plain Python and tested for leaks."""

import itertools

import numpy as np
import pyarrow as pa
import pytest
from facts import facts
from hypothesis import given, settings
from hypothesis import strategies as st

from components.event_joiner import join
from core import names, queries
from core.errors import DataError

CATALOGUE = pa.array([f"i{row}" for row in range(9)])
COLUMNS = [names.USER_ID, "age"]
THOROUGH = settings(max_examples=200, deadline=None)


def events(rows):
    """Return (user, item, time) rows as events; the age of a user is the number in the user's id."""
    users, items, times = zip(*rows, strict=True) if rows else ((), (), ())
    return pa.table(
        {
            names.USER_ID: pa.array(users, pa.string()),
            names.ITEM_ID: pa.array(items, pa.string()),
            names.TIMESTAMP: pa.array(times, pa.int64()),
            "age": pa.array([float(user[1:]) for user in users], pa.float32()),
        }
    )


def build(past, target, **changes):
    given = {"unit": "user", "user_columns": COLUMNS, "history_length": 3, "exclude_seen": True} | changes
    return queries.build(events(past), events(target), CATALOGUE, **given)


def as_tuples(found):
    """Return each query as (user, time, history, seen, relevant)."""
    offsets, ids = found.relevant_offsets, CATALOGUE.to_pylist()
    relevant = [[ids[row] for row in found.relevant_items[a:b]] for a, b in itertools.pairwise(offsets)]
    assert all(len(set(each)) == len(each) for each in relevant)  # each relevant item occurs once
    relevant = list(map(set, relevant))
    users = found.users[names.USER_ID].to_pylist()
    assert found.users["age"].to_pylist() == [float(user[1:]) for user in users]
    return list(
        zip(users, found.time.tolist(), found.history.to_pylist(), found.seen.to_pylist(), relevant, strict=True)
    )


# ---- by hand ----

PAST = [("u1", "i0", 1), ("u2", "i1", 2), ("u1", "i2", 3), ("u1", "i3", 4), ("u1", "i4", 5)]
TARGET = [("u1", "i5", 7), ("u1", "i6", 7), ("u1", "i2", 8), ("u1", "i5", 9), ("u3", "i1", 6)]


def test_one_query_a_user():
    assert as_tuples(build(PAST, TARGET)) == [
        ("u1", 7, ["i2", "i3", "i4"], ["i0", "i2", "i3", "i4"], {"i5", "i6"}),
        ("u3", 6, [], [], {"i1"}),
    ]


def test_one_query_an_event_with_what_was_strictly_earlier():
    met = ["i0", "i2", "i3", "i4"]
    assert as_tuples(build(PAST, TARGET, unit="event")) == [
        ("u1", 7, ["i2", "i3", "i4"], met, {"i5"}),
        ("u1", 7, ["i2", "i3", "i4"], met, {"i6"}),
        ("u1", 8, ["i4", "i5", "i6"], [*met, "i5", "i6"], set()),
        ("u1", 9, ["i5", "i6", "i2"], [*met, "i5", "i6", "i2"], set()),
        ("u3", 6, [], [], {"i1"}),
    ]


def test_with_repeats_no_item_is_excluded_and_seen_items_are_relevant():
    found = as_tuples(build(PAST, TARGET, exclude_seen=False))
    assert found == [("u1", 7, ["i2", "i3", "i4"], [], {"i2", "i5", "i6"}), ("u3", 6, [], [], {"i1"})]


def test_a_history_has_its_times():
    assert build(PAST, TARGET).history_time.to_pylist() == [[3, 4, 5], []]
    assert build(PAST, TARGET).take(np.array([1, 0])).history_time.to_pylist() == [[], [3, 4, 5]]
    assert build(PAST, TARGET, unit="event").history_time.to_pylist()[2] == [5, 7, 7]


def test_right_answers_have_the_latest_rating_they_were_given():
    rated = [
        table.append_column(names.RATING, pa.array(np.arange(len(table)) + first, pa.float32()))
        for table, first in ((events(PAST), 10), (events(TARGET), 20))
    ]
    common = {"unit": "user", "user_columns": COLUMNS, "history_length": 3, "exclude_seen": True}
    found = queries.build(*rated, CATALOGUE, **common)
    ids = CATALOGUE.to_pylist()
    given = dict(zip([ids[row] for row in found.relevant_items], found.relevant_ratings.tolist(), strict=True))
    assert given == {"i5": 23, "i6": 21, "i1": 24}  # i5 has two events
    assert found.take(np.array([1])).relevant_ratings.tolist() == [24]
    assert build(PAST, TARGET).relevant_ratings is None


def test_without_target_events_there_are_no_queries():
    for unit in ("user", "event"):
        found = build(PAST, [], unit=unit)
        assert len(found) == len(found.users) == len(found.history) == 0
        assert found.relevant_offsets.tolist() == [0]
    assert as_tuples(build([], [("u1", "i0", 1)])) == [("u1", 1, [], [], {"i0"})]


def test_an_item_outside_the_catalogue_is_refused():
    with pytest.raises(DataError, match=facts("item gone … 9 items … 2 such")):
        build([("u1", "gone", 1), ("u1", "i1", 2)], [("u1", "gone", 3)])


def test_a_past_that_is_not_earlier_than_a_target_is_refused():
    build([("u1", "i0", 2), ("u2", "i0", 9)], [("u1", "i1", 3), ("u1", "i1", 2**40)])
    for time in (3, 4):
        past, target = [("u1", "i0", time)], [("u1", "i1", 3)]
        assert as_tuples(build(past, target, in_time=False)) == [("u1", 3, ["i0"], ["i0"], {"i1"})]
        with pytest.raises(DataError, match=facts(f"timestamp {time} … of 3 … 1 such")):
            build([("u1", "i0", 1), *past, ("u2", "i0", 8)], [("u2", "i1", 9), *target, ("u1", "i1", 5)])


# ---- against an oracle ----

ROWS = st.lists(
    st.tuples(st.sampled_from(["u1", "u2", "u3"]), st.sampled_from(CATALOGUE.to_pylist()), st.integers(0, 9))
)


def split(rows):
    """Return past and target events: the last events of each user are targets, and a second is never divided."""
    past, target = [], []
    for user in ("u1", "u2", "u3"):
        mine = sorted((row for row in rows if row[0] == user), key=lambda row: row[2])
        edge = len(mine) - len(mine) // 3
        while 0 < edge < len(mine) and mine[edge][2] == mine[edge - 1][2]:
            edge += 1
        past += mine[:edge]
        target += mine[edge:]
    return past, target


def expected(past, target, unit, length, exclude_seen):
    """Return each query by definition; known are all past events of its user and targets strictly before the query."""
    found = []
    users = list(dict.fromkeys(user for user, _, _ in past + target))
    for user in users:
        before = [item for who, item, _ in sorted(past, key=lambda row: row[2]) if who == user]
        asked = sorted((row for row in target if row[0] == user), key=lambda row: row[2])
        for _, item, time in asked[: 1 if unit == "user" else None]:
            known = before + ([] if unit == "user" else [each for _, each, when in asked if when < time])
            right = {each for _, each, _ in asked} if unit == "user" else {item}
            seen = known if exclude_seen else []
            found.append((user, time, known[max(0, len(known) - length) :], seen, right - set(seen)))
    return found


@THOROUGH
@given(ROWS, st.sampled_from(["user", "event"]), st.integers(1, 4), st.booleans())
def test_queries_are_what_the_oracle_says(rows, unit, length, exclude_seen):
    past, target = split(rows)
    found = as_tuples(build(past, target, unit=unit, history_length=length, exclude_seen=exclude_seen))
    assert sorted(found, key=str) == sorted(expected(past, target, unit, length, exclude_seen), key=str)


# ---- no leak from the future ----


@THOROUGH
@given(ROWS.filter(len), st.sampled_from(["user", "event"]), st.booleans())
def test_no_query_holds_its_answer_or_what_came_later(rows, unit, exclude_seen):
    """Each event has a different item, so an item determines its timestamp."""
    rows = [(user, f"event-{number}", time) for number, (user, _, time) in enumerate(rows)]
    past, target = split(rows)
    catalogue = pa.array([item for _, item, _ in rows])
    when = {item: time for _, item, time in rows}
    whose = {item: user for user, item, _ in rows}
    targets = {item for _, item, _ in target}
    found = queries.build(events(past), events(target), catalogue, unit, COLUMNS, 50, exclude_seen)
    assert len(found) == (len(target) if unit == "event" else len({user for user, _, _ in target}))
    for row, (user, time, history) in enumerate(
        zip(found.users[names.USER_ID].to_pylist(), found.time, found.history.to_pylist(), strict=True)
    ):
        begin, end = found.relevant_offsets[row : row + 2]
        right = [catalogue[int(item)].as_py() for item in found.relevant_items[begin:end]]
        known = {*history, *found.seen[row].as_py()}
        assert right
        assert set(right) <= targets
        assert not known & set(right)
        assert all(whose[item] == user for item in known | set(right))
        assert all(when[item] < time for item in known)
        if unit == "user":
            assert not known & targets


def of_table(rows, method):
    """Return train, eval and test of (user, item, time) rows, made by the join, and the catalogue."""
    ids = sorted(item for _, item, _ in rows)
    users = pa.table({names.USER_ID: ["u1", "u2", "u3"], "age": pa.array([1.0, 2.0, 3.0], pa.float32())})
    items = pa.table({names.ITEM_ID: pa.array(ids, pa.string())})
    joined = join.join(events(rows).drop_columns(["age"]), users, items, join.JoinSpec(method, 0.3, 0.3, cut=(3, 6)))
    return [joined.table(joined.split == index) for index in range(3)], items[names.ITEM_ID].combine_chunks()


JOINED = (
    ROWS.map(lambda rows: [(user, f"event-{number}", time) for number, (user, _, time) in enumerate(rows)]),
    st.sampled_from(["temporal", "temporal_per_user", "leave_one_out"]),
    st.sampled_from(["user", "event"]),
)


@settings(max_examples=60, deadline=None)
@given(*JOINED)
def test_from_table_to_query_nothing_of_test_or_of_the_same_second_is_known(rows, method, unit):
    """After join and split, the known items of a query are earlier than the query; eval queries know no test event."""
    (train, held, test), ids = of_table(rows, method)
    when = {item: time for _, item, time in rows}
    for past, target in (([train], held), ([train, held], test)):
        found = queries.build(pa.concat_tables(past), target, ids, unit, COLUMNS, 3, True)
        right = {ids[int(row)].as_py() for row in found.relevant_items}
        assert right <= set(target[names.ITEM_ID].to_pylist())
        for time, *known in zip(found.time, found.history.to_pylist(), found.seen.to_pylist(), strict=True):
            assert all(when[item] < time for each in known for item in each)
        if target is held:
            met = {item for lists in (found.history, found.seen) for each in lists.to_pylist() for item in each}
            assert not (met | right) & set(test[names.ITEM_ID].to_pylist())


@settings(max_examples=60, deadline=None)
@given(*JOINED, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_changes_no_query(rows, method, unit, random):
    asked = []
    for each in (rows, random.sample(rows, len(rows))):
        (train, held, test), ids = of_table(each, method)
        for past, target in (([train], held), ([train, held], test)):
            asked.append(queries.build(pa.concat_tables(past), target, ids, unit, COLUMNS, 3, True, 4, 1))
    for first, second in zip(asked[:2], asked[2:], strict=True):
        assert first.users == second.users
        assert first.history == second.history
        assert first.history_time == second.history_time
        assert first.seen == second.seen
        for name in ("time", "relevant_offsets", "relevant_items"):
            np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


# ---- a sample or a part of the queries ----


@pytest.mark.parametrize("unit", ["user", "event"])
def test_a_sample_is_a_part_of_the_whole_and_the_same_under_one_seed(unit):
    past = [(f"u{n}", f"i{n % 9}", 1) for n in range(200)]
    target = [(f"u{n}", f"i{(n + 1 + m) % 9}", 2 + m) for n in range(200) for m in range(2)]
    whole = as_tuples(build(past, target, unit=unit))
    sample = as_tuples(build(past, target, unit=unit, max_queries=50, seed=1))
    assert len(sample) == 50
    places = [whole.index(query) for query in sample]
    assert places == sorted(places)
    assert as_tuples(build(past, target, unit=unit, max_queries=50, seed=1)) == sample
    assert as_tuples(build(past, target, unit=unit, max_queries=50, seed=2)) != sample
    assert as_tuples(build(past, target, unit=unit, max_queries=len(whole))) == whole


@THOROUGH
@given(ROWS, st.data())
def test_a_part_holds_the_queries_at_its_rows(rows, data):
    found = build(*split(rows), unit="event")
    chosen = data.draw(st.lists(st.integers(0, len(found) - 1), max_size=8)) if len(found) else []
    whole, part = as_tuples(found), found.take(np.array(chosen, np.int64))
    assert as_tuples(part) == [whole[row] for row in chosen]
    assert len(part) == len(chosen)


def test_lists_longer_than_the_catalogue_are_refused():
    queries.check_list_length(9, 9, "evaluation.at")
    with pytest.raises(DataError, match=facts("9 items … `evaluation.at` … 10")):
        queries.check_list_length(10, 9, "evaluation.at")


# ---- events in no split ----


def test_left_out_events_are_known_if_earlier_and_seen_if_of_the_same_second():
    past = [("u1", "i0", 1), ("u1", "i1", 2)]
    left = [("u1", "i2", 2), ("u1", "i3", 2), ("u1", "i4", 5), ("u1", "i6", 6), ("u2", "i7", 1)]
    left_out = events(left).drop_columns(["age"])
    found = build(past, [("u1", "i5", 5)], left_out=left_out, history_length=9)
    [(user, time, history, seen, relevant)] = as_tuples(found)
    assert (user, time, relevant) == ("u1", 5, {"i5"})
    assert history == ["i0", "i1", "i2", "i3"]
    assert found.history_time.to_pylist() == [[1, 2, 2, 2]]
    assert seen == ["i0", "i1", "i2", "i3", "i4"]  # i6 is later than the query
    assert as_tuples(build(past, [("u1", "i5", 5)], left_out=left_out, exclude_seen=False))[0][3] == []


@THOROUGH
@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(0, 8), st.integers(1, 6)), min_size=1, max_size=40, unique=True)
)
def test_leaving_one_out_a_query_knows_all_that_came_before_it(rows):
    table = events([(f"u{user}", f"i{item}", time) for user, item, time in rows])
    users = table.select(COLUMNS).group_by(names.USER_ID).aggregate([("age", "max")]).rename_columns(COLUMNS)
    items = pa.table({names.ITEM_ID: CATALOGUE})
    joined = join.join(table.drop_columns(["age"]), users, items, join.JoinSpec("leave_one_out", 0.1, 0.1, seed=1))
    parts = [joined.table(joined.split == index) for index in (0, 1, 2, -1)]
    found = queries.build(
        pa.concat_tables(parts[:2]), parts[2], CATALOGUE, unit="user", user_columns=COLUMNS, history_length=99,
        exclude_seen=True, left_out=parts[3],
    )  # fmt: skip
    for user, time, history, seen, relevant in as_tuples(found):
        mine = [
            (item, at)
            for each, item, at in zip(*(table[name].to_pylist() for name in ORDER), strict=True)
            if each == user
        ]
        assert sorted(history) == sorted(item for item, at in mine if at < time)
        answers = [item for item, at in mine if at == time]
        assert set(seen) | relevant == set(history) | set(answers)
        assert not relevant & set(seen)


ORDER = (names.USER_ID, names.ITEM_ID, names.TIMESTAMP)
