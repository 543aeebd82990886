"""The store in SQLite behind a real Redis; tests/engines/test_store_postgresql.py has the one in PostgreSQL."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from cached_stores import event, hits, numbers
from store_contract import CHECKS

from serving.stores import cache, cached
from serving.stores.sql import SqlStore, sqlite_url
from serving.stores.store import Event, StoreError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def store(make_cached):
    return make_cached()


# ---- the contract ----


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_sqlite_and_redis(store, check):
    check(store)
    assert store.counts["error"] == 0


# ---- what is read from Redis ----


def test_a_second_read_asks_redis_once_and_says_the_same(store, redis, monkeypatch):
    ratings = [4.5, None, 1]
    items = ["seen long ago"] * 10 + ['"i0', '"i1'] * 70
    store.add_events([Event(f"Ζ{n}\U0001f600", "u", item, n, ratings[n % 3]) for n, item in enumerate(items)])
    store.put_user("u", {"city": "Ζ\n", "age": 3})
    asked = ["u", "nobody"]
    reads = [
        lambda: store.known(asked, 50, True),
        lambda: store.known(asked, 50, False),
        lambda: store.known(asked, 100, True),
        lambda: store.known(asked, 120, True),
        lambda: store.histories(asked, 7),
        lambda: store.users(asked),
        lambda: store.seen(asked),
    ]
    for each in reads:
        each()
    first = [each() for each in reads]
    monkeypatch.setattr(store, "_from_database", None)
    monkeypatch.setattr(cached, "TRUST_S", 60)
    before = redis.client.info("commandstats")["cmdstat_eval"]["calls"]
    assert [each() for each in reads] == first
    assert redis.client.info("commandstats")["cmdstat_eval"]["calls"] - before == len(reads)
    plain = SqlStore(store._engine.url)
    assert first[0] == plain.known(asked, 50, True)
    assert first[3] == plain.known(asked, 120, True)
    assert first[4:6] == [plain.histories(asked, 7), plain.users(asked)]
    assert {each: sorted(seen) for each, seen in first[6].items()} == plain.seen(asked)
    plain.close()


def test_entries_are_bounded(store, redis, monkeypatch):
    monkeypatch.setattr(cached, "MOST_BYTES", 1000)
    store.add_events([event(number) for number in range(60)])
    assert numbers(store) == numbers(store) == list(range(10, 60))
    assert not hits(store)
    assert "i59" not in redis.texts()
    monkeypatch.setattr(cached, "MOST_BYTES", 20_000)
    redis.client.flushall()
    assert not hits(store)
    assert hits(store)
    assert len(store.histories(["u"], cached.MOST + 1)["u"]) == 60
    [key] = redis.client.scan_iter()
    assert 0 < redis.client.pttl(key) <= cache.TTL_S * 1000


def test_two_databases_share_a_redis(make_cached, tmp_path):
    stores = [make_cached(sqlite_url(tmp_path / f"{name}.sqlite")) for name in "ab"]
    for number, store in enumerate(stores):
        store.add_events([event(number)])
        assert numbers(store) == [number]
    assert [numbers(store) for store in stores] == [[0], [1]]
    assert [hits(store) for store in stores] == [True, True]


def test_a_user_who_is_erased_leaves_nothing_in_redis(store, redis):
    user = "user to erase"
    store.add_events([event(1, user), event(2, "other")])
    store.put_user(user, {"city": "a city"})
    assert numbers(store, user) == [1]
    assert numbers(store, "other") == [2]
    assert user in redis.texts()
    assert "a city" in redis.texts()
    assert store.erase_user(user) == 2
    assert user not in redis.texts()
    assert "a city" not in redis.texts()
    assert hits(store, "other")
    assert store.known([user], 5, True)[user].features is None


# ---- reads beside writes ----


def during_a_fill(store, monkeypatch, change):
    """Read `u`, and change something after the database was read and before Redis gets the entry."""
    fill = store._fill

    def changed(*arguments):
        monkeypatch.undo()
        change()
        fill(*arguments)

    monkeypatch.setattr(store, "_fill", changed)
    numbers(store)


@pytest.mark.parametrize("flush", [False, True])
def test_what_was_read_before_a_write_is_not_written_after_it(make_cached, redis, monkeypatch, flush):
    """With `flush` Redis also loses all that it knows between them."""
    store, other = make_cached(), make_cached()
    store.add_events([event(1)])

    def change():
        other.add_events([event(2)])
        if flush:
            redis.client.flushall()

    during_a_fill(store, monkeypatch, change)
    assert numbers(store) == numbers(other) == [1, 2]
    assert hits(store)


def test_nobody_fills_an_entry_while_it_is_changed(make_cached, monkeypatch):
    store, other, third = make_cached(), make_cached(), make_cached()
    store.add_events([event(1)])
    numbers(store)
    add = SqlStore.add_events

    def slow(self, events):
        if self is third:
            return add(self, events)
        numbers(store), numbers(store)
        third.add_events([event(3)])  # another writer of the user comes and goes
        numbers(store), numbers(store)
        assert not hits(store)
        return add(self, events)

    monkeypatch.setattr(SqlStore, "add_events", slow)
    other.add_events([event(2)])
    assert numbers(store) == [1, 2, 3]
    assert hits(store)


def test_a_writer_that_does_not_know_whether_it_wrote_leaves_no_old_entry(make_cached, monkeypatch):
    store, other = make_cached(), make_cached()
    store.add_events([event(1)])
    add = SqlStore.add_events

    def fails(self, events):
        add(self, events)
        numbers(store)  # would fill an entry
        raise StoreError("the connection was lost during the commit")

    monkeypatch.setattr(SqlStore, "add_events", fails)
    with pytest.raises(StoreError):
        other.add_events([event(2)])
    for _ in range(2):
        assert numbers(store) == [1, 2]
    assert not hits(store)


KILLED = """
import os, signal, sys
from pathlib import Path
from serving.stores.cached import CachedStore
from serving.stores.sql import SqlStore, sqlite_url
from serving.stores.store import Event

store = CachedStore(sqlite_url(Path(sys.argv[1])), sys.argv[2])
add = SqlStore.add_events
def pause(place):
    print(place, flush=True)
    sys.stdin.readline()
def slow(self, events):
    pause("before")
    add(self, events)
    pause("after")
SqlStore.add_events = slow
store.add_events([Event("2", "u", "i2", 2)])
"""


def test_a_writer_that_is_killed_after_the_commit_leaves_no_old_entry(make_cached, redis, tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "TTL_S", 3600)
    store = make_cached()
    store.add_events([event(1)])
    numbers(store)
    command = [sys.executable, "-c", KILLED, str(tmp_path / "store.sqlite"), redis.url()]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout.readline() == "before\n"
        assert numbers(store) == numbers(store) == [1]
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "after\n"
        process.send_signal(signal.SIGKILL)
    assert numbers(store) == [1, 2]
    [key] = redis.client.scan_iter()
    assert 0 < redis.client.pttl(key) <= cache.BLOCK_S * 1000
    redis.client.pexpire(key, 1)
    time.sleep(0.01)
    assert numbers(store) == numbers(store) == [1, 2]
    assert hits(store)


WRITER = """
import sys
from pathlib import Path
from serving.stores.cached import CachedStore
from serving.stores.sql import sqlite_url
from serving.stores.store import Event

store, name = CachedStore(sqlite_url(Path(sys.argv[1])), sys.argv[2]), sys.argv[3]
for number in range(int(sys.argv[4])):
    sys.stdin.readline()
    store.add_events([Event(f"{name}{number}", "u", "i", number)])
    for _ in range(3):
        found = {each.id for each in store.histories(["u"], 1000)["u"]}
        assert f"{name}{number}" in found, "an event of this process is missing"
    print(number, flush=True)
"""


def test_processes_and_threads_never_miss_an_acknowledged_event(make_cached, redis, tmp_path):
    rounds, acknowledged, stop, lost, reads = 15, set(), threading.Event(), [], [0]
    command = [sys.executable, "-c", WRITER, str(tmp_path / "store.sqlite"), redis.url()]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    processes = {
        name: subprocess.Popen(
            [*command, name, str(rounds)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        for name in "ab"
    }

    def write(name):
        for number in range(rounds):
            processes[name].stdin.write("\n")
            processes[name].stdin.flush()
            assert processes[name].stdout.readline() == f"{number}\n"
            acknowledged.add(f"{name}{number}")
            time.sleep(random.uniform(0, 0.01))

    def read(store):
        while not stop.is_set():
            before = set(acknowledged)
            found = {each.id for each in store.histories(["u"], 1000).get("u", [])}
            lost.extend(before - found)
            reads[0] += 1
            time.sleep(0.002)

    store = make_cached()
    readers = [threading.Thread(target=read, args=(each,)) for each in (store, make_cached())]
    writers = [threading.Thread(target=write, args=(name,)) for name in processes]
    for each in (*readers, *writers):
        each.start()
    for each in writers:
        each.join()
    stop.set()
    for each in readers:
        each.join()
    for process in processes.values():
        process.stdin.close()
        assert process.wait(30) == 0
        process.stdout.close()
    assert lost == []
    assert len(acknowledged) == 2 * rounds
    assert reads[0] > 50
    assert store.counts["hit"] > 0
