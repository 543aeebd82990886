"""The deletion of old logged answers."""

import time

import pytest
from small_engine import OneRelease, recommender

from serving.server import retention
from serving.server.app import Server
from serving.server.retention import DAY_S, HOUR_S, Retention
from serving.server.settings import ServerSettings
from serving.stores.sql import SqlStore, sqlite_url
from serving.stores.store import Answer, Inputs, Item, StoreError


@pytest.fixture
def store(tmp_path):
    store = SqlStore(sqlite_url(tmp_path / "store.sqlite"))
    now = int(time.time())
    store.add_answers([Answer(f"old {n}", "u", now - 3 * DAY_S - n, "release", ()) for n in range(25)])
    store.add_answers([Answer("young", "u", now - DAY_S, "release", ())])
    yield store
    store.close()


def until(seen):
    end = time.monotonic() + 10
    while not seen():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(retention, "AT_ONCE", 10)
    monkeypatch.setattr(retention, "PAUSE_S", 0.01)


def test_old_answers_go_in_small_transactions_and_young_ones_stay(store, monkeypatch):
    deleted, delete = [], store.delete_answers
    monkeypatch.setattr(store, "delete_answers", lambda *given: deleted.append(delete(*given)) or deleted[-1])
    made = Retention(store, 2)
    until(lambda: len(deleted) == 3)
    made.close()
    assert deleted == [10, 10, 5]
    assert store.answer("young") is not None
    assert all(store.answer(f"old {n}") is None for n in range(25))


def test_all_answers_are_kept_if_the_settings_say_so(store):
    made = Retention(store, 0, every_s=0.01)
    time.sleep(0.1)
    made.close()
    assert store.answer("old 0") is not None


def test_one_of_several_workers_deletes_old_answers(store, tmp_path):
    using, settings = OneRelease(recommender(tmp_path / "release", store)), ServerSettings(keep_answers_days=2)
    other = Server(using, store, settings, deletes=False)
    time.sleep(0.2)
    other.close()
    assert store.answer("old 0") is not None
    first = Server(using, store, settings)
    until(lambda: store.answer("old 0") is None)
    first.close()


def test_a_store_that_is_away_is_asked_again(store, monkeypatch):
    failures, delete = [], store.delete_answers

    def away_twice(*given):
        if len(failures) < 2:
            failures.append(given)
            raise StoreError("away")
        return delete(*given)

    monkeypatch.setattr(store, "delete_answers", away_twice)
    made = Retention(store, 2, every_s=0.01)
    until(lambda: store.answer("old 0") is None)
    made.close()
    assert len(failures) == 2


def test_inputs_go_before_their_answers_with_the_items_that_only_they_need(store):
    now = int(time.time())
    for hidden in (True, False):
        store.put_item("a", Item(hidden))
    [first, second] = store.items()[1] - 1, store.items()[1]
    times = {"old": now - 2 * HOUR_S, "young": now}
    store.add_answers(
        [Answer(name, "u", when, "release", ()) for name, when in times.items()],
        [
            Inputs(name, "u", when, state, "")
            for (name, when), state in zip(times.items(), (first, second), strict=True)
        ],
    )
    made = Retention(store, 2, 1, every_s=0.01)
    until(lambda: store.inputs("old") is None)
    made.close()
    assert store.answer("old") is not None
    assert store.inputs("young") is not None
    assert store.items_at(second) == {"a": Item()}
    made = Retention(store, 2, 0, every_s=0.01)
    time.sleep(1.1)  # the timestamps are whole seconds
    until(lambda: store.inputs("young") is None)
    until(lambda: store.items_at(first) == {})
    made.close()
