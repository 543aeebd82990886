"""A user as a release and a store know it."""

import pyarrow as pa

from serving.stores.store import Event
from serving.users import User, fitting, merged


def events(*pairs):
    return [Event(str(number), "u", item, when) for number, (item, when) in enumerate(pairs)]


def test_a_user_of_neither_is_unknown():
    assert merged(None, [], None, 5) is None
    assert merged(None, [], {}, 5) == User({}, [], [], [])


def test_later_events_follow_and_an_event_of_both_counts_once():
    released = User({"age": 3}, ["a", "b"], [1, 2], ["z", "a", "b"])
    found = merged(released, events(("b", 2), ("c", 9), ("a", 10)), {"city": "x"}, 4)
    assert found == User({"age": 3, "city": "x"}, ["a", "b", "c", "a"], [1, 2, 9, 10], ["z", "a", "b", "c"])


def test_an_event_between_those_of_the_release_is_in_its_place():
    found = merged(User({}, ["a", "c"], [1, 3], ["a", "c"]), events(("b", 2)), None, 5)
    assert found.history == ["a", "b", "c"]


def test_the_latest_of_a_long_history_are_kept_and_all_seen_items():
    found = merged(User({}, ["a", "b"], [1, 2], ["a", "b"]), events(("c", 3), ("d", 4)), None, 3, ["y", "c", "d"])
    assert found.history == ["b", "c", "d"]
    assert found.seen == ["a", "b", "y", "c", "d"]


def test_events_of_unknown_times_are_the_oldest():
    found = merged(User({}, ["a", "b"], [], ["a", "b"]), events(("c", 3)), None, 5)
    assert found.history == ["a", "b", "c"]


def test_features_that_a_later_release_cannot_read_are_left_out():
    columns = {"age": pa.float32(), "city": pa.string(), "tags": pa.list_(pa.string())}
    stored = {"age": "old", "city": "x", "tags": ["a"], "colour": 1}
    assert fitting(stored, columns) == {"city": "x", "tags": ["a"]}
    assert fitting({"age": 3, "city": None, "tags": "a"}, columns) == {"age": 3, "city": None}
