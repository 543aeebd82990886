"""The limits of requests and callers, in the process of the test."""

import asyncio
from urllib.parse import quote

import httpx
import pytest
from small_engine import OneRelease, recommender

from serving.server import callers
from serving.server.app import Server, application
from serving.server.callers import MOST_CALLERS, Callers, of_address
from serving.server.settings import ServerSettings
from serving.stores.sql import SqlStore, sqlite_url

TOKEN = "a token of the tests"


@pytest.fixture
def clock(monkeypatch):
    """Return the time, which a test changes."""
    now = [1000.0]
    monkeypatch.setattr(callers.time, "monotonic", lambda: now[0])
    return now


def test_a_caller_has_a_burst_and_then_a_rate(clock):
    limits = Callers(2.0, 3)
    assert [limits.wait_s("a") for _ in range(4)] == [0, 0, 0, 0.5]
    assert limits.wait_s("b") == 0
    clock[0] += 0.25
    assert limits.wait_s("a") == 0.25
    clock[0] += 0.25
    assert [limits.wait_s("a"), limits.wait_s("a")] == [0, 0.5]
    clock[0] += 100
    assert [limits.wait_s("a") for _ in range(4)] == [0, 0, 0, 0.5]


def test_the_table_of_callers_is_bounded_and_the_active_stay(clock):
    limits = Callers(1.0, 1)
    assert limits.wait_s("active") == 0
    for number in range(2 * MOST_CALLERS):
        limits.wait_s(f"other {number}")
        if number % 1000 == 0:
            assert limits.wait_s("active") == 1
    assert len(limits) == MOST_CALLERS


def test_addresses_of_one_network_are_one_caller():
    assert of_address("2001:db8::1") == of_address("2001:db8::ffff:1") != of_address("2001:db8:0:1::1")
    assert of_address("10.0.0.1") != of_address("10.0.0.2")
    assert of_address("testclient") == "testclient"


@pytest.fixture
def serve(tmp_path):
    """Return a function that answers requests by a server with settings."""
    opened = []

    def make(calls, **settings):
        store = SqlStore(sqlite_url(tmp_path / "store.sqlite"))
        using = recommender(tmp_path / f"release {len(opened)}", store)
        server = Server(OneRelease(using), store, ServerSettings(**{"budget_ms": 60_000, **settings}))
        opened.append(server)
        app = application(server)

        async def all_of_them():
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://server", timeout=30) as client:
                return await calls(client)

        return asyncio.run(all_of_them())

    yield make
    for each in opened:
        each.close()


def test_more_requests_than_allowed_are_refused_and_health_is_answered(serve):
    async def calls(client):
        answers = [await client.get("/v1/popular") for _ in range(4)]
        free = [await client.get(path) for path in ("/healthz", "/readyz", "/metrics") for _ in range(5)]
        return answers, free

    answers, free = serve(calls, requests_per_s=0.1, burst=3)
    assert [each.status_code for each in answers] == [200, 200, 200, 429]
    assert answers[3].headers["content-type"] == "application/problem+json"
    assert answers[3].headers["retry-after"] in ("9", "10")
    assert answers[3].json()["title"] == "Too many requests"
    assert {each.status_code for each in free} == {200}


def test_wrong_tokens_count_for_the_address_and_not_for_the_token(serve):
    async def calls(client):
        wrong = [await client.get("/v1/popular", headers={"Authorization": f"Bearer {n}"}) for n in range(3)]
        right = [await client.get("/v1/popular", headers={"Authorization": f"Bearer {TOKEN}"}) for _ in range(3)]
        return [each.status_code for each in wrong], [each.status_code for each in right]

    wrong, right = serve(calls, requests_per_s=0.1, burst=2, token=TOKEN)
    assert (wrong, right) == ([401, 401, 429], [200, 200, 429])


def test_the_rate_is_unlimited_on_the_loopback_and_limited_elsewhere():
    assert ServerSettings().rate is None
    assert ServerSettings(host="0.0.0.0", token=TOKEN).rate == 1000
    assert ServerSettings(host="0.0.0.0", token=TOKEN, requests_per_s=0).rate is None
    assert ServerSettings(requests_per_s=5).rate == 5


def test_requests_beyond_those_in_progress_are_refused(serve):
    async def calls(client):
        asked = [client.post("/v1/recommend", json={"user": "u", "k": 2}) for _ in range(6)]
        return await asyncio.gather(*asked)

    answers = serve(calls, max_requests=2, wait_ms=50)
    statuses = [each.status_code for each in answers]
    assert sorted(set(statuses)) == [200, 503]
    assert statuses.count(200) == 2
    assert all(each.headers["retry-after"] == "1" for each in answers if each.status_code == 503)


@pytest.mark.parametrize("user", ["a\nb", "a\n", "a/b", "a?b#c", "%2F", "Ζ\U0001f600", " "])
def test_any_id_has_a_path(serve, user):
    async def calls(client):
        await client.post("/v1/events", json={"events": [{"user": user, "item": "i1"}]})
        path = f"/v1/users/{quote(user, safe='')}"
        return await client.get(path), await client.put(path, json={"features": {}}), await client.delete(path)

    found, put, erased = serve(calls)
    assert (found.json()["user"], found.json()["history"]) == (user, ["i1"])
    assert (put.status_code, erased.json()) == (204, {"erased": 2})


def test_an_answer_says_how_it_was_degraded(serve):
    async def calls(client):
        full = await client.post("/v1/recommend", json={"user": "u", "k": 2})
        body = {"requests": [{"user": "u", "k": 2, "budget_ms": 1e-6}, {"user": "u", "k": 2}]}
        both = await client.post("/v1/recommend/batch", json=body)
        wrong = await client.post("/v1/recommend", json={"user": "u", "budget_ms": 0})
        return full.json(), both.json()["answers"], wrong, (await client.get("/metrics")).text

    full, (popular, other), wrong, metrics = serve(calls)
    assert full["degraded"] is other["degraded"] is None
    assert popular["degraded"] == "popular"
    assert [each["item"] for each in popular["items"]] == ["i11", "i10"]
    assert popular["items"][0]["probability"] is popular["items"][0]["retrieval_rank"] is None
    assert wrong.status_code == 422
    assert 'twostep_degraded_answers_total{reason="popular"} 1.0' in metrics
