"""What every store does, as functions of a fresh store, which are called with real databases."""

from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest

from serving.stores import logged, sql
from serving.stores.store import Answer, Event, Inputs, Item, Known


def events_are_added_once(store):
    first = Event("1", "u", "a", 5, 4.0)
    assert store.add_events([first, Event("1", "u", "b", 6), Event("2", "v", "b", 6)]) == [True, False, True]
    assert store.add_events([Event("1", "w", "c", 7), Event("3", "u", "c", 7)]) == [False, True]
    assert store.histories(["u", "v", "w", "u"], 10) == {
        "u": [first, Event("3", "u", "c", 7)],
        "v": [Event("2", "v", "b", 6)],
    }


def a_history_has_the_latest_events_oldest_first(store):
    events = [Event(str(number), "u", f"i{number}", when) for number, when in enumerate([3, 1, 2, 2])]
    store.add_events(events)
    assert [event.id for event in store.histories(["u"], 3)["u"]] == ["2", "3", "0"]
    assert sorted(store.seen(["u", "x"])["u"]) == ["i0", "i1", "i2", "i3"]


def users_are_replaced_and_erased(store):
    store.put_user("u", {"age": 3, "city": "Ζ\U0001f600"})
    store.put_user("u", {"age": 4})
    store.put_user("v", {})
    assert store.users(["u", "v", "w"]) == {"u": {"age": 4}, "v": {}}
    store.add_events([Event("1", "u", "a", 5), Event("2", "v", "a", 5)])
    store.add_answers([Answer("r", "u", 5, "release", ("a",)), Answer("s", "v", 5, "release", ("b",))])
    assert store.erase_user("u") == 3
    assert store.users(["u"]) == store.histories(["u"], 9) == {}
    assert store.answer("r") is None
    assert store.answer("s") is not None
    assert store.histories(["v"], 9)


def a_query_gets_all_that_is_known_of_its_users_at_once(store):
    events = [Event(str(number), "u", f"i{number % 3}", number, 0.5 * number) for number in range(5)]
    assert store.known(["u"], 2, True) == {"u": Known()}
    store.add_events(events)
    store.put_user("v", {"age": 3})
    for _ in range(2):
        known = store.known(["u", "v", "w", "u"], 2, True)
        assert known.keys() == {"u", "v", "w"}
        assert (known["v"], known["w"]) == (Known([], {"age": 3}), Known([]))
        assert (known["u"].events, known["u"].features) == (events[3:], None)
        assert sorted(known["u"].seen) == ["i0", "i1", "i2"]
        assert store.known(["u"], 2, False)["u"] == Known(events[3:])
        assert store.known(["u"], 6, True)["u"] == Known(events)
    store.put_user("u", {})
    store.add_events([Event("5", "v", "i", 5)])
    assert store.known(["u", "v"], 1, False) == {
        "u": Known(events[4:], {}),
        "v": Known([Event("5", "v", "i", 5)], {"age": 3}),
    }


def changes_of_items_are_seen_once(store):
    assert store.items() == ({}, 0)
    shown, hidden = Item(), Item(True, 9, {"genres": ["noir", "é"], "year": 1949.5, "none": None})
    store.put_item("a", shown)
    store.put_item("b", hidden)
    changed, state = store.items()
    assert changed == {"a": shown, "b": hidden}
    assert store.items(state) == ({}, state)
    assert store.delete_item("b")
    assert not store.delete_item("b")
    assert not store.delete_item("c")
    assert store.items(state) == ({"b": None}, state + 1)


def answers_are_kept(store):
    answer = Answer("r", "u", 5, "release", ("a", "b"), {"offset": 1})
    store.add_answers([answer, answer])
    assert store.answer("r") == answer
    assert store.answer("x") is None


def old_answers_are_deleted_the_oldest_first(store):
    store.add_answers([Answer(str(when), "u", when, "release", ("a",)) for when in (5, 3, 4, 6)])
    assert store.delete_answers(6, 2) == 2
    assert [store.answer(each) is None for each in "3456"] == [True, True, False, False]
    assert store.delete_answers(6, 2) == 1
    assert store.delete_answers(6, 2) == 0
    assert store.answer("6") is not None


def inputs_are_kept_and_deleted_by_themselves(store):
    answers = [Answer(str(when), "u", when, "release", ("a",)) for when in (5, 3, 4)]
    inputs = [Inputs(str(when), "u", when, when + 2**40, f'"Ζ😀{when}"') for when in (5, 3)]
    store.add_answers(answers, inputs)
    store.add_answers(answers[:1], [Inputs("5", "u", 9, 9, "of another request with the same id")])
    assert [store.inputs(each) for each in "534"] == [*inputs, None]
    assert store.delete_inputs(5, 9) == 1
    assert store.inputs("3") is None
    assert store.answer("3") is not None
    assert store.erase_user("u") == 3
    assert store.inputs("5") is None


def items_are_known_as_they_were(store):
    first, second = Item(True), Item(False, 9)
    states = []
    for change in (
        lambda: store.put_item("a", first),
        lambda: store.put_item("b", first),
        lambda: store.put_item("a", second),
        lambda: store.delete_item("b"),
        lambda: store.put_item("b", second),
    ):
        change()
        states.append(store.items()[1])
    found = [{}, {"a": first}, {"a": first, "b": first}, {"a": second, "b": first}, {"a": second}]
    assert [store.items_at(each) for each in (0, *states[:4])] == found
    assert store.items_at(states[4]) == store.items_at(2**40) == {"a": second, "b": second}


def items_that_kept_inputs_need_stay(store):
    store.put_item("a", Item(True))
    store.put_item("b", Item(True))
    store.delete_item("b")
    needed, later = store.items()[1], 2**40
    store.put_item("a", Item(False, 9))
    store.add_answers([], [Inputs("r", "u", 5, needed, ""), Inputs("s", "u", 6, needed + 1, "")])
    assert store.trim_items(0) == 0
    assert store.trim_items(later) == 2
    assert store.trim_items(later) == 0
    assert store.items_at(needed) == {"a": Item(True)}
    store.delete_inputs(6, 9)
    assert store.trim_items(later) == 1
    assert store.items_at(needed + 1) == {"a": Item(False, 9)}


def many_ids_fit_into_one_call(store):
    events = [Event(str(number), f"u{number}", "a", number) for number in range(1203)]
    assert all(store.add_events(events))
    users = [event.user_id for event in events]
    assert len(store.histories(users, 1)) == len(store.seen(users)) == 1203
    assert store.users(users) == {}


def answers_and_events_are_read_in_parts(store):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sql, "ANSWERS_AT_ONCE", 3)
        patch.setattr(sql, "EVENTS_AT_ONCE", 3)
        _are_read_in_parts(store)


def _are_read_in_parts(store):
    assert list(store.answer_parts()) == list(store.event_parts()) == []
    arm = {"experiment": "e", "arm": "a\n\u2028", "propensity": 1, "more": {"x": [1]}}
    given = [Answer(f"r{n}", f"u{n}", n // 4, "v", (f'"i{n}', "Ζ\U0001f600"), arm if n % 2 else {}) for n in range(11)]
    store.add_answers(given[::-1])
    parts = list(store.answer_parts())
    assert [len(part) for part in parts] == [3, 3, 3, 2]
    read = pa.concat_tables(parts)
    assert read.schema == logged.ANSWERS
    assert sorted(read["request_id"].to_pylist()) == sorted(each.request_id for each in given)
    assert read["timestamp"].to_pylist() == sorted(each.timestamp for each in given)
    by_id = {row["request_id"]: row for row in read.to_pylist()}
    assert [tuple(by_id[each.request_id]["items"]) for each in given] == [each.items for each in given]
    expected = {"experiment": "e", "arm": "a\n\u2028", "propensity": 1.0, "k": None, "offset": None}
    assert {name: by_id["r1"][name] for name in logged.DETAIL} == expected
    assert {by_id["r2"][name] for name in logged.DETAIL} == {None}
    assert {row["timestamp"] for part in store.answer_parts(2) for row in part.to_pylist()} == {2}
    store.add_events([Event(str(n), f"u{n}", "a", 9 - n) for n in range(8)])
    events = pa.concat_tables(store.event_parts())
    assert events.schema == logged.EVENTS
    assert events.to_pydict() == {
        "user_id": [f"u{n}" for n in range(8)], "item_id": ["a"] * 8, "timestamp": list(range(9, 1, -1)),
    }  # fmt: skip


def threads_lose_nothing_and_add_nothing_twice(store):
    def add(thread):
        return [store.add_events([Event(f"{number}", f"u{thread}", "a", number)])[0] for number in range(40)]

    with ThreadPoolExecutor(4) as threads:
        new = [each for added in threads.map(add, range(4)) for each in added]
    assert sum(new) == 40
    assert sum(map(len, store.histories([f"u{thread}" for thread in range(4)], 99).values())) == 40


CHECKS = (
    events_are_added_once,
    a_history_has_the_latest_events_oldest_first,
    users_are_replaced_and_erased,
    a_query_gets_all_that_is_known_of_its_users_at_once,
    changes_of_items_are_seen_once,
    answers_are_kept,
    answers_and_events_are_read_in_parts,
    old_answers_are_deleted_the_oldest_first,
    inputs_are_kept_and_deleted_by_themselves,
    items_are_known_as_they_were,
    items_that_kept_inputs_need_stay,
    many_ids_fit_into_one_call,
    threads_lose_nothing_and_add_nothing_twice,
)
