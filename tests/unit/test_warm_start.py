"""Warm start, the pure parts: rows that are carried over, vocabularies that grow, and the events that a base knows."""

import numpy as np
import pyarrow as pa
import pytest
from facts import facts

from core import names
from trainer.retrieval import needs
from trainer.retrieval.warm_start.known import last_events, later
from trainer.retrieval.warm_start.rows import Vocabularies, carried
from transform import vocabularies
from transform.features import Features
from transform.statistics import NO_VALUE, grown


def table(rows, columns=2):
    """Return an embedding table whose row r is filled with r."""
    return np.repeat(np.arange(rows, dtype=np.float32)[:, None], columns, axis=1)


def events(**times):
    """Return the events of users: user → timestamps."""
    rows = [(user, time) for user, of_user in times.items() for time in of_user]
    users, timestamps = zip(*rows, strict=True)
    return pa.table({names.USER_ID: users, names.TIMESTAMP: pa.array(timestamps, pa.int64())})


# ---- rows ----


def test_rows_are_carried_over_by_value_and_new_values_keep_their_initial_row():
    before, now = table(1 + 3 + 2), table(1 + 4 + 2) + 100
    found = carried(now, before, Vocabularies([b"a", b"b", b"c"], [b"c", b"new", b"a", b"other"]))
    assert found[:, 0].tolist() == [0, 3, 102, 1, 104, 4, 5]
    assert now[0, 0] == 100  # the argument is unchanged


def test_buckets_are_carried_over_only_if_a_hash_gives_the_same_one():
    before, now = table(1 + 1 + 2), table(1 + 1 + 3) + 100
    assert carried(now, before, Vocabularies([b"a"], [b"a"]))[:, 0].tolist() == [0, 1, 102, 103, 104]
    assert carried(table(6) + 100, table(6), Vocabularies([], []))[:, 0].tolist() == [0, 1, 2, 3, 4, 5]
    assert carried(table(7) + 100, table(6), Vocabularies([], []))[:, 0].tolist() == [0, *range(101, 107)]


def test_what_does_not_fit_is_not_carried_over():
    words = Vocabularies([b"a"], [b"a"])
    assert carried(table(3), None, words) is None
    assert carried(table(3, 4), table(3, 2), words) is None
    assert carried(table(3), table(4), None) is None
    assert carried(table(3), table(3).astype(np.float64), None) is None
    assert carried(table(3) + 1, table(3), None).tolist() == table(3).tolist()


# ---- vocabularies ----


def test_a_grown_vocabulary_begins_with_the_earlier_one():
    assert grown([b"c", b"d", b"a"], [b"a", b"b", b"c"]) == [b"a", b"b", b"c", b"d"]
    assert grown([], [b"a"]) == [b"a"]
    assert grown([b"b", b"a"], []) == [b"b", b"a"]
    assert grown([b"a"], [NO_VALUE]) == [b"a"]


def test_vocabularies_are_read_from_a_saved_model(tmp_path):
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "user_id_vocabulary").write_bytes("u1\nü 2\n".encode())
    (tmp_path / "assets" / "gone_vocabulary").write_bytes(b"x\n")
    assert vocabularies.read(tmp_path, Features()) == {"user_id_vocabulary": [b"u1", "ü 2".encode()]}
    assert vocabularies.read(tmp_path / "nothing", Features()) == {}


# ---- known events ----


def test_the_last_event_of_each_user_is_that_of_all_tables():
    found = last_events(events(a=[3, 5, 4], b=[9]), events(a=[1], c=[2]))
    assert dict(zip(*(column.to_pylist() for column in found.columns), strict=True)) == {"a": 5, "b": 9, "c": 2}


@pytest.mark.parametrize(
    ("base", "own", "by_time", "of_each_user"),
    [
        ({"a": [10], "b": [20]}, {"a": [10], "b": [20]}, 0, 0),  # the same delivery
        ({"a": [10], "b": [20]}, {"a": [15], "b": [30]}, 0, 0),  # grown
        ({"a": [10], "b": [20]}, {"a": [5], "b": [30]}, 0, 1),  # an event of `a` that is not given, within the time
        ({"a": [10], "b": [20]}, {"a": [12], "b": [19]}, 1, 1),  # an event of eval or test
        ({"a": [10], "gone": [40]}, {"a": [12]}, 1, 0),  # the event of a user without events now
        ({"a": [10]}, {"new": [11], "a": [10]}, 0, 0),
    ],
)
def test_a_base_may_know_no_event_later_than_those_that_the_fit_is_given(base, own, by_time, of_each_user):
    base, own = last_events(events(**base)), last_events(events(**own))
    assert later(base, own, of_each_user=False) == by_time
    assert later(base, own, of_each_user=True) == of_each_user


# ---- the configuration ----


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("two_tower", {"history": "sasrec"}),
        ("fusion", {"models": {"ease": {}, "gru": {"model": "two_tower", "history": "gru"}}}),
    ],
)
def test_these_models_can_start_warm(name, params):
    needs.check_warm_start(name, params, in_time=True, earlier_windows=0)


@pytest.mark.parametrize(
    ("name", "params", "in_time", "windows", "message"),
    [
        ("ials", {}, True, 0, "false for ials … two_tower"),
        ("fusion", {"models": {"ease": {}, "bpr": {}}}, True, 0, "false for fusion … two_tower"),
        ("two_tower", {}, False, 0, "a split ordered in time … `temporal`"),
        ("two_tower", {}, True, 2, "`ranking.earlier_windows`, found 2"),
    ],
)
def test_what_cannot_start_warm_is_a_mistake_that_says_what_to_do(name, params, in_time, windows, message):
    with pytest.raises(ValueError, match=facts(message)):
        needs.check_warm_start(name, params, in_time, windows)
