"""The store in SQLite behind a real Redis; tests/engines/test_store_postgresql.py has the one in PostgreSQL."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import cache_servers
import pytest
from store_contract import CHECKS

from serving.stores import cache, cached, generation
from serving.stores.cached import CachedStore
from serving.stores.sql import SqlStore, sqlite_url
from serving.stores.store import Event, StoreError

ROOT = Path(__file__).parents[2]
TRUST_S, PAUSE_S = 0.2, 0.4


@pytest.fixture(scope="module")
def server():
    with cache_servers.running() as server:
        yield server


@pytest.fixture(autouse=True)
def _times(monkeypatch):
    monkeypatch.setattr(cached, "TRUST_S", TRUST_S)
    monkeypatch.setattr(cached, "PAUSE_S", PAUSE_S)
    monkeypatch.setattr(cached, "RETRY_S", 0.05)


@pytest.fixture
def fresh(server):
    """Return the server, which runs and is empty."""
    if server.process is None:
        server.start()
    server.client.config_set("maxmemory", 0)
    server.client.flushall()
    return server


@pytest.fixture
def make(fresh, tmp_path):
    """Return a function that opens the same database and Redis once more; `counts` of a store has its counts."""
    stores = []

    def make(url=None, redis_url=None):
        store = CachedStore(url or sqlite_url(tmp_path / "store.sqlite"), redis_url or fresh.url())
        store.counts = {"hit": 0, "miss": 0, "error": 0}
        store.count = lambda result, number: store.counts.update({result: store.counts[result] + number})
        stores.append(store)
        return store

    yield make
    for store in stores:
        store.close()


@pytest.fixture
def store(make):
    return make()


def event(number, user="u"):
    return Event(str(number), user, f"i{number}", number)


def numbers(store, user="u"):
    """Return the numbers of the events of a user."""
    return [int(each.id) for each in store.known([user], 50, True)[user].events]


def hits(store, user="u"):
    """Return whether a user is read from Redis."""
    before = store.counts["hit"]
    numbers(store, user)
    return store.counts["hit"] > before


# ---- the contract ----


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_sqlite_and_redis(store, check):
    check(store)
    assert store.counts["error"] == 0


# ---- what is read from Redis ----


def test_a_second_read_asks_redis_once_and_says_the_same(store, fresh, monkeypatch):
    ratings = [4.5, None, 1]
    store.add_events([Event(f"Ζ{n}\U0001f600", "u", f'"i{n % 2}', n, ratings[n % 3]) for n in range(150)])
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
    before = fresh.client.info("commandstats")["cmdstat_eval"]["calls"]
    assert [each() for each in reads] == first
    assert fresh.client.info("commandstats")["cmdstat_eval"]["calls"] - before == len(reads)
    plain = SqlStore(store._engine.url)
    assert first[0] == plain.known(asked, 50, True)
    assert first[3] == plain.known(asked, 120, True)
    assert first[4:6] == [plain.histories(asked, 7), plain.users(asked)]
    assert {each: sorted(items) for each, items in first[6].items()} == plain.seen(asked)
    plain.close()


def test_entries_are_bounded(store, fresh, monkeypatch):
    monkeypatch.setattr(cached, "MOST_BYTES", 1000)
    store.add_events([event(number) for number in range(60)])
    assert numbers(store) == numbers(store) == list(range(10, 60))
    assert not hits(store)
    assert "i59" not in fresh.texts()
    monkeypatch.setattr(cached, "MOST_BYTES", 20_000)
    fresh.client.flushall()
    assert not hits(store)
    assert hits(store)
    assert len(store.histories(["u"], cached.MOST + 1)["u"]) == 60
    [key] = fresh.client.scan_iter()
    assert 0 < fresh.client.pttl(key) <= cache.TTL_S * 1000


def test_two_databases_share_a_redis(make, tmp_path):
    stores = [make(sqlite_url(tmp_path / f"{name}.sqlite")) for name in "ab"]
    for number, store in enumerate(stores):
        store.add_events([event(number)])
        assert numbers(store) == [number]
    assert [numbers(store) for store in stores] == [[0], [1]]
    assert [hits(store) for store in stores] == [True, True]


def test_a_user_who_is_erased_leaves_nothing_in_redis(store, fresh):
    user = "user to erase"
    store.add_events([event(1, user), event(2, "other")])
    store.put_user(user, {"city": "a city"})
    assert numbers(store, user) == [1]
    assert numbers(store, "other") == [2]
    assert user in fresh.texts()
    assert "a city" in fresh.texts()
    assert store.erase_user(user) == 2
    assert user not in fresh.texts()
    assert "a city" not in fresh.texts()
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
def test_what_was_read_before_a_write_is_not_written_after_it(make, fresh, monkeypatch, flush):
    """With `flush` Redis also loses all that it knows between them."""
    store, other = make(), make()
    store.add_events([event(1)])

    def change():
        other.add_events([event(2)])
        if flush:
            fresh.client.flushall()

    during_a_fill(store, monkeypatch, change)
    assert numbers(store) == numbers(other) == [1, 2]
    assert hits(store)


def test_nobody_fills_an_entry_while_it_is_changed(make, monkeypatch):
    store, other, third = make(), make(), make()
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


def test_a_writer_that_does_not_know_whether_it_wrote_leaves_no_old_entry(make, monkeypatch):
    store, other = make(), make()
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


def test_a_writer_that_is_killed_after_the_commit_leaves_no_old_entry(make, fresh, tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "TTL_S", 3600)
    store = make()
    store.add_events([event(1)])
    numbers(store)
    command = [sys.executable, "-c", KILLED, str(tmp_path / "store.sqlite"), fresh.url()]
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
    [key] = fresh.client.scan_iter()
    assert 0 < fresh.client.pttl(key) <= cache.BLOCK_S * 1000
    fresh.client.pexpire(key, 1)
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


def test_processes_and_threads_never_miss_an_acknowledged_event(make, fresh, tmp_path):
    rounds, acknowledged, stop, lost, reads = 15, set(), threading.Event(), [], [0]
    command = [sys.executable, "-c", WRITER, str(tmp_path / "store.sqlite"), fresh.url()]
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

    store = make()
    readers = [threading.Thread(target=read, args=(each,)) for each in (store, make())]
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


# ---- a Redis that fails ----


def until(seen, seconds=20):
    end = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_redis_that_is_gone_costs_no_answer_and_is_used_again_when_it_comes(make, fresh, caplog):
    store, other = make(), make()
    store.add_events([event(1)])
    assert numbers(other) == [1]
    assert hits(other)
    fresh.stop()
    for number in range(2, 8):
        store.add_events([event(number)])
        assert numbers(other)[-1] == numbers(store)[-1] == number
    began = time.monotonic()
    store.add_events([event(8)])
    assert time.monotonic() - began < TRUST_S / 2  # nobody trusts the cache any more
    assert caplog.text.count("the cache fails, so the database is asked") == 1
    assert cache_servers.PASSWORD not in caplog.text
    assert store.counts["error"] > 0
    assert store.erase_user("u") == 8
    store.add_events([event(9)])
    fresh.start()
    until(lambda: hits(store))
    assert numbers(store) == numbers(other) == [9]


def test_a_redis_that_says_nothing_costs_a_moment(store, fresh, monkeypatch):
    monkeypatch.setattr(cached, "RETRY_S", 60)
    store.add_events([event(1)])
    numbers(store)
    with fresh.silent():
        began = time.monotonic()
        assert numbers(store) == [1]
        assert time.monotonic() - began < 5 * cache.READ_S
        began = time.monotonic()
        store.add_events([event(2)])
        assert time.monotonic() - began < cache.WRITE_S + TRUST_S + 1
        began = time.monotonic()
        for _ in range(20):
            assert numbers(store) == [1, 2]
        assert time.monotonic() - began < 1


def test_a_full_redis_keeps_its_entries_right(make, fresh):
    store, other = make(), make()
    store.add_events([event(1), event(2, "v")])
    for each in (store, other):
        numbers(each)
        numbers(each, "v")
    fresh.client.config_set("maxmemory-policy", "noeviction")
    fresh.client.config_set("maxmemory", 1)
    assert hits(other)
    store.add_events([event(3)])
    assert numbers(other) == numbers(store) == [1, 3]
    assert hits(other, "v")
    assert store.erase_user("v") == 1
    assert '"v"' not in fresh.texts()
    assert not fresh.client.exists(*fresh.client.keys("*:v") or ["none"])
    fresh.client.config_set("maxmemory", 0)
    numbers(other)
    assert hits(other)


@pytest.mark.parametrize(
    "garbage", ["MARK[3", "MARK[1,5,[],[]]", 'MARK[100,{},[["1"]],[]]', "[]", "2:9:[]", b"\xff", ""]
)
def test_entries_that_cannot_be_read_are_replaced(store, fresh, garbage):
    store.add_events([event(1)])
    numbers(store)
    [key] = fresh.client.scan_iter()
    mark = fresh.client.get(key).partition(b"[")[0]
    fresh.client.set(key, garbage.replace("MARK", mark.decode()) if isinstance(garbage, str) else garbage)
    for _ in range(3):
        assert numbers(store) == [1]
    assert hits(store)
    fresh.client.delete(key)
    fresh.client.rpush(key, "a list")
    assert numbers(store) == [1]
    assert hits(store)
    fresh.client.delete(key)
    fresh.client.rpush(key, "a list")
    store.add_events([event(2)])
    assert numbers(store) == [1, 2]
    assert hits(store)


def test_a_redis_that_starts_with_entries_of_before_is_not_trusted(store, fresh):
    store.add_events([event(1)])
    numbers(store)
    assert hits(store)
    fresh.client.save()
    store.add_events([event(2)])
    fresh.stop()
    fresh.start()
    assert b"i1" in fresh.client.get(fresh.client.keys()[0])
    for _ in range(3):
        assert numbers(store) == [1, 2]
    until(lambda: hits(store))
    assert numbers(store) == [1, 2]


@pytest.mark.parametrize("wrong", ["nothing", "another"])
def test_a_writer_that_does_not_reach_the_redis_of_the_others_costs_no_right_answer(make, fresh, wrong):
    """It reaches nothing, or another Redis."""
    with cache_servers.running() as second:
        url = second.url()
        if wrong == "nothing":
            second.stop()
        reader, writer, third = make(), make(redis_url=url), make()
        reader.add_events([event(1)])
        assert numbers(reader) == numbers(third) == [1]
        assert hits(reader)
        for number in range(2, 14):
            writer.add_events([event(number)])
            for each in (reader, third, writer):
                assert numbers(each) == list(range(1, number + 1)), number
            time.sleep(random.uniform(0, 0.1))
        if wrong == "nothing":
            until(lambda: hits(reader))
            assert numbers(reader) == list(range(1, 14))


def test_a_generation_of_another_redis_that_begins_during_a_write_begins_with_it(make, fresh, monkeypatch):
    """The writer believes still that no Redis is used, and that the last one was the one that it deleted from."""
    monkeypatch.setattr(cached, "TRUST_S", 1)
    with cache_servers.running() as second:
        reader, writer = make(), make(redis_url=second.url())
        writer.add_events([event(1)])
        writer._suspend()
        reader._row = time.monotonic(), reader._resume(reader._look(), reader._cache.run())
        add = SqlStore.add_events

        def slow(self, events):
            assert numbers(reader) == [1]
            assert hits(reader)
            return add(self, events)

        monkeypatch.setattr(SqlStore, "add_events", slow)
        writer.add_events([event(2)])
        assert numbers(reader) == [1, 2]


def test_a_complaint_that_comes_first_keeps_the_cache_unused(store):
    numbers(store)
    with store._writing() as connection:
        seen = generation.suspend(connection)
        generation.suspend(connection)
        generation.resume(connection, seen, "a run")
        assert not generation.read(connection).used
        generation.resume(connection, generation.read(connection), "a run")
        assert generation.read(connection).used
    store._row = None
    assert numbers(store) == []


def test_a_write_that_cannot_report_that_the_cache_is_wrong_is_not_acknowledged(make, fresh, monkeypatch):
    store = make()
    store.add_events([event(1)])
    fresh.stop()

    def away(_):
        raise OSError("the database is away")

    monkeypatch.setattr(generation, "suspend", away)
    with pytest.raises(StoreError, match="the database is away"):
        store.add_events([event(2)])


def test_a_database_that_is_away_is_away(store, monkeypatch):
    store.add_events([event(1)])
    numbers(store)

    def away(*_):
        raise OSError("no answer")

    monkeypatch.setattr(store._engine.pool, "connect", away)
    time.sleep(TRUST_S)
    with pytest.raises(StoreError):
        numbers(store)
    assert store.away
