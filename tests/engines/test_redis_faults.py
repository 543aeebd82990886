"""A Redis before a database that stops, says nothing, is full or wrong, or that not all servers reach."""

import random
import time

import cache_servers
import pytest
from cached_stores import event, hits, numbers, until

from serving.stores import cache, cached, generation
from serving.stores.sql import SqlStore
from serving.stores.store import StoreError


@pytest.fixture
def store(make_cached):
    return make_cached()


def test_a_redis_that_is_gone_costs_no_answer_and_is_used_again_when_it_comes(make_cached, redis, caplog, monkeypatch):
    store, other = make_cached(), make_cached()
    store.add_events([event(1)])
    assert numbers(other) == [1]
    assert hits(other)
    redis.stop()
    for number in range(2, 8):
        store.add_events([event(number)])
        assert numbers(other)[-1] == numbers(store)[-1] == number
    with monkeypatch.context() as patch:
        patch.setattr(cached, "TRUST_S", 30)
        began = time.monotonic()
        store.add_events([event(8)])
        assert time.monotonic() - began < 15  # nobody trusts the cache any more
    assert caplog.text.count("the cache fails, so the database is asked") == 1
    assert cache_servers.PASSWORD not in caplog.text
    assert store.counts["error"] > 0
    assert store.erase_user("u") == 8
    store.add_events([event(9)])
    redis.start()
    until(lambda: hits(store))
    assert numbers(store) == numbers(other) == [9]


def test_a_redis_that_says_nothing_costs_a_moment(store, redis, monkeypatch):
    monkeypatch.setattr(cached, "RETRY_S", 60)
    store.add_events([event(1)])
    numbers(store)
    with redis.silent():
        began = time.monotonic()
        assert numbers(store) == [1]
        assert time.monotonic() - began < 5 * cache.READ_S
        began = time.monotonic()
        store.add_events([event(2)])
        assert time.monotonic() - began < cache.WRITE_S + cached.TRUST_S + 1
        began = time.monotonic()
        for _ in range(20):
            assert numbers(store) == [1, 2]
        assert time.monotonic() - began < 1


def test_a_full_redis_keeps_its_entries_right(make_cached, redis):
    store, other = make_cached(), make_cached()
    store.add_events([event(1), event(2, "v")])
    for each in (store, other):
        numbers(each)
        numbers(each, "v")
    redis.client.config_set("maxmemory-policy", "noeviction")
    redis.client.config_set("maxmemory", 1)
    assert hits(other)
    store.add_events([event(3)])
    assert numbers(other) == numbers(store) == [1, 3]
    assert hits(other, "v")
    assert store.erase_user("v") == 1
    assert '"v"' not in redis.texts()
    assert not redis.client.exists(*redis.client.keys("*:v") or ["none"])
    redis.client.config_set("maxmemory", 0)
    numbers(other)
    assert hits(other)


@pytest.mark.parametrize(
    "garbage", ["MARK[3", "MARK[1,5,[],[]]", 'MARK[100,{},[["1"]],[]]', "[]", "2:9:[]", b"\xff", ""]
)
def test_entries_that_cannot_be_read_are_replaced(store, redis, garbage):
    store.add_events([event(1)])
    numbers(store)
    [key] = redis.client.scan_iter()
    mark = redis.client.get(key).partition(b"[")[0]
    redis.client.set(key, garbage.replace("MARK", mark.decode()) if isinstance(garbage, str) else garbage)
    for _ in range(3):
        assert numbers(store) == [1]
    assert hits(store)
    redis.client.delete(key)
    redis.client.rpush(key, "a list")
    assert numbers(store) == [1]
    assert hits(store)
    redis.client.delete(key)
    redis.client.rpush(key, "a list")
    store.add_events([event(2)])
    assert numbers(store) == [1, 2]
    assert hits(store)


def test_a_redis_that_starts_with_entries_of_before_is_not_trusted(store, redis):
    store.add_events([event(1)])
    numbers(store)
    assert hits(store)
    redis.client.save()
    store.add_events([event(2)])
    redis.stop()
    redis.start()
    assert b"i1" in redis.client.get(redis.client.keys()[0])
    for _ in range(3):
        assert numbers(store) == [1, 2]
    until(lambda: hits(store))
    assert numbers(store) == [1, 2]


@pytest.mark.parametrize("wrong", ["nothing", "another"])
def test_a_writer_that_does_not_reach_the_redis_of_the_others_costs_no_right_answer(make_cached, redis, wrong):
    """It reaches nothing, or another Redis."""
    with cache_servers.running() as second:
        url = second.url()
        if wrong == "nothing":
            second.stop()
        reader, writer, third = make_cached(), make_cached(redis_url=url), make_cached()
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


def test_a_generation_of_another_redis_that_begins_during_a_write_begins_with_it(make_cached, redis, monkeypatch):
    """The writer believes still that no Redis is used, and that the last one was the one that it deleted from."""
    monkeypatch.setattr(cached, "TRUST_S", 1)
    with cache_servers.running() as second:
        reader, writer = make_cached(), make_cached(redis_url=second.url())
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


def test_a_write_that_cannot_report_that_the_cache_is_wrong_is_not_acknowledged(make_cached, redis, monkeypatch):
    store = make_cached()
    store.add_events([event(1)])
    redis.stop()

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
    time.sleep(cached.TRUST_S)
    with pytest.raises(StoreError):
        numbers(store)
    assert store.away
