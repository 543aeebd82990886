"""The deletion of old logged answers."""

import time

import pytest

from serving.server import retention
from serving.server.retention import DAY_S, Retention
from serving.stores.sql import SqlStore, sqlite_url
from serving.stores.store import Answer, StoreError


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
