"""Answers that have no time, or no store."""

import asyncio
import time
from dataclasses import replace

import httpx
import numpy as np
import pytest
from small_engine import Away, OneRelease, recommender

from serving import estimate
from serving.estimate import Estimate
from serving.popular import FIRST, Popular
from serving.requests import Request
from serving.server.app import Server, application
from serving.server.settings import ServerSettings
from serving.stores.sql import SqlStore, sqlite_url
from serving.stores.store import Event, Item

FULL = Request("known", 4, 100)
RANKED, RETRIEVED, POPULAR = ["i5", "i4", "i3", "i2"], ["i0", "i1", "i2", "i3"], ["i9", "i8", "i7", "i6"]


@pytest.fixture
def store(tmp_path):
    store = Away(SqlStore(sqlite_url(tmp_path / "store.sqlite")))
    yield store
    store.close()


@pytest.fixture
def using(tmp_path, store):
    return recommender(tmp_path / "release", store)


def ids(answer):
    return [each.item for each in answer.items]


def slow(using, seconds):
    """Let the ranker take some seconds, and be known to."""
    using.engine.ranker.seconds = seconds
    for _ in range(2):
        using.recommend([FULL])


def test_a_request_without_time_for_the_ranker_gets_the_order_of_the_retriever(using):
    slow(using, 0.2)
    ranked = len(using.engine.ranker.batches)
    [answer] = using.recommend([replace(FULL, until=time.monotonic() + 0.1)])
    assert len(using.engine.ranker.batches) == ranked
    assert (ids(answer), answer.degraded, answer.known) == (RETRIEVED, "retrieval_order", True)
    assert [(each.probability, each.retrieval_rank) for each in answer.items] == [(None, rank) for rank in (1, 2, 3, 4)]
    [page] = using.recommend([replace(FULL, k=2, offset=2, until=time.monotonic() + 0.1)])
    assert (ids(page), page.items[0].retrieval_rank) == (RETRIEVED[2:], 3)
    [answer] = using.recommend([replace(FULL, until=time.monotonic() + 10)])
    assert (ids(answer), answer.degraded) == (RANKED, None)


def test_requests_without_time_do_not_wait_for_the_ranker_of_the_others(using):
    using.engine.ranker.seconds = 0.2
    for _ in range(2):
        using.recommend([FULL] * 2)
    began, order = time.monotonic(), []
    for index, answer in using.answers([FULL, replace(FULL, until=began + 0.1)]):
        order.append((index, ids(answer), answer.degraded, time.monotonic() - began < 0.1))
    assert order == [(1, RETRIEVED, "retrieval_order", True), (0, RANKED, None, False)]
    assert using.engine.ranker.batches[-1] == 1


def test_given_items_without_time_are_in_the_order_of_the_retriever(using):
    slow(using, 0.2)
    asked = replace(FULL, only=("i7", "i3", "x", "i5"), seen=True, until=time.monotonic() + 0.1)
    assert ids(using.recommend([asked])[0]) == ["i3", "i5", "i7"]
    assert ids(using.without_models(asked)) == ["i7", "i5", "i3"]


def test_popular_items_are_those_that_may_be_shown(using, store):
    store.put_item("i9", Item(hidden=True))
    store.put_item("i8", Item(expires=100))
    store.put_item("i7", Item(expires=101))
    using.refresh()
    answer = using.without_models(replace(FULL, exclude=("i6",)))
    assert (ids(answer), answer.degraded, answer.known) == (["i7", "i5", "i4", "i3"], "popular", True)
    assert [each.score for each in answer.items] == [7, 5, 4, 3]
    assert ids(using.without_models(replace(FULL, user_id="new", k=3, offset=1))) == ["i10", "i7", "i6"]
    assert ids(using.without_models(replace(FULL, seen=True, k=2))) == ["i11", "i10"]
    assert ids(using.without_models(replace(FULL, history=("i11",), k=2))) == ["i10", "i7"]


def test_popular_items_beyond_the_first_are_found():
    events = np.arange(FIRST * 2)
    allowed = events < 10
    assert Popular(events).best(3, [9], allowed) == ([8, 7, 6], [8, 7, 6])
    assert Popular(events).best(100, [], allowed)[0] == list(range(9, -1, -1))


def test_without_the_store_users_are_those_of_the_release(using, store):
    store.add_events([Event("1", "known", "i0", 5), Event("2", "new", "i0", 5)])
    assert ids(using.recommend([FULL])[0])[-1] != "i0"
    store.gone = store.store.away = True
    known, new = using.recommend([replace(FULL, k=6), replace(FULL, user_id="new")])
    assert (ids(known), known.degraded, known.known) == ([*RANKED, "i1", "i0"], "no_store", True)
    assert (new.degraded, new.known) == ("no_store", False)
    store.gone = store.store.away = False
    assert using.recommend([FULL])[0].degraded is None


def test_a_store_that_is_away_is_not_asked_by_every_query(using, store, monkeypatch):
    def away(*_):
        raise OSError("no answer")

    monkeypatch.setattr(store.store._engine.pool, "connect", away)
    assert using.recommend([FULL])[0].degraded == "no_store"
    asked = store.asked
    assert [using.recommend([FULL])[0].degraded for _ in range(3)] == ["no_store"] * 3
    assert store.asked == asked
    monkeypatch.undo()
    assert using.recommend([FULL])[0].degraded == "no_store"
    using.refresh()
    assert using.recommend([FULL])[0].degraded is None


def test_a_recommender_begins_with_the_items_of_the_one_before(using, store, tmp_path):
    store.put_item("i5", Item(hidden=True))
    using.refresh()
    store.gone = True
    second = recommender(tmp_path / "second", store, using)
    assert "i5" not in ids(second.recommend([FULL])[0])
    store.gone = False
    store.delete_item("i5")
    second.refresh()
    assert "i5" in ids(second.recommend([FULL])[0])


# ---- the server ----


@pytest.fixture
def server(using, store):
    server = Server(OneRelease(using), store, ServerSettings(budget_ms=150))
    yield server
    server.close()


def answered(server, *requests):
    async def all_of_them():
        return await asyncio.gather(*(server.answer(each) for each in requests))

    return [answer for _, answer in asyncio.run(all_of_them())]


def in_time(server, **changes):
    return replace(FULL, until=server.until(None), **changes)


def test_a_request_is_answered_in_time_while_the_retriever_is_slow(server, using):
    using.engine.retriever.seconds = 1.0
    began = time.monotonic()
    [answer] = answered(server, in_time(server))
    assert time.monotonic() - began < 0.6
    assert (ids(answer), answer.degraded) == (POPULAR, "popular")
    assert 'twostep_degraded_answers_total{reason="popular"} 1.0' in server.metrics.text(server.current).decode()


def test_a_query_that_was_answered_meanwhile_is_not_answered_again(server, using):
    using.engine.retriever.seconds = 0.4

    async def calls():
        first = asyncio.create_task(server.answer(FULL))
        await asyncio.sleep(0.1)
        return [await server.answer(in_time(server)), await first, await server.answer(FULL)]

    assert [answer.degraded for _, answer in asyncio.run(calls())] == ["popular", None, None]
    assert using.engine.retriever.batches == [1, 1]


def test_a_query_beyond_those_that_may_wait_gets_popular_items(using, store):
    using.engine.retriever.seconds = 0.3
    server = Server(OneRelease(using), store, ServerSettings(batch=1, wait_ms=0, max_waiting=2))

    async def calls():
        first = asyncio.create_task(server.answer(FULL))
        await asyncio.sleep(0.1)  # it is answered now, and the next ones wait
        others = await asyncio.gather(*(server.answer(FULL) for _ in range(5)))
        return [answer.degraded for _, answer in (await first, *others)]

    degraded = asyncio.run(calls())
    server.close()
    assert degraded.count(None) == 3
    assert degraded.count("popular") == 3


def test_a_budget_is_at_most_that_of_the_server(server):
    now = time.monotonic()
    assert server.until(10) - now == pytest.approx(0.01, abs=0.05)
    assert server.until(10_000) - now == pytest.approx(0.15, abs=0.05)


# ---- the estimate ----


def test_the_first_time_is_not_counted_and_an_old_estimate_fades(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(estimate.time, "monotonic", lambda: now[0])
    made = Estimate()
    made.measured(4, 10.0)
    assert made.seconds(4) == 0
    made.measured(5, 1.0)
    assert made.seconds(7) == 1.0
    assert made.seconds(8) == 0
    made.measured(4, 2.0)
    assert made.seconds(4) == pytest.approx(1.2)
    now[0] += estimate.HALF_LIFE_S
    assert made.seconds(4) == pytest.approx(0.6)


def test_a_server_begins_without_its_store_and_takes_it_up(tmp_path):
    store = SqlStore(sqlite_url(tmp_path / "not yet" / "store.sqlite"))
    using = recommender(tmp_path / "release", store)
    server = Server(OneRelease(using), store, ServerSettings())

    async def calls():
        transport = httpx.ASGITransport(application(server))
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:

            async def state():
                event = {"id": "1", "user": "known", "item": "i5"}
                added = await client.post("/v1/events", json={"events": [event]})
                answer = (await client.post("/v1/recommend", json={"user": "known", "k": 4})).json()
                shown = [each["item"] for each in answer["items"]]
                ready = (await client.get("/readyz")).json()["store"]
                return added.status_code, added.headers.get("retry-after"), answer["degraded"], shown, ready

            first = await state()
            (tmp_path / "not yet").mkdir()
            using.refresh()
            return first, await state()

    first, second = asyncio.run(calls())
    server.close()
    assert first == (503, "1", "no_store", RANKED, "away")
    assert second[:3] == (202, None, None)
    assert "i5" not in second[3]
    assert second[4] == "ready"
