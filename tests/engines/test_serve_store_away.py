"""A server under load whose PostgreSQL stops, starts again, and says nothing; and one whose Redis does."""

import itertools
import re
import threading
import time
from collections import Counter
from urllib.parse import quote

import cache_servers
import database_servers
import httpx
import pytest
import shop
from serving_process import published, serving

USERS = [f"c{number}" for number in range(20)]
WAIT_S = 90


@pytest.fixture(scope="module")
def releases(tmp_path_factory):
    """Return the folder of the releases of a shop."""
    folder = tmp_path_factory.mktemp("away")
    shop.make(folder)
    shop.call("run", shop.config(folder, "shop", evaluation={"rules": []}))
    return folder / "runs" / "shop" / "releases"


@pytest.fixture(scope="module")
def database():
    with database_servers.running() as database:
        yield database


@pytest.fixture(scope="module")
def url(database):
    password = quote(database_servers.PASSWORD, safe="")
    return f"postgresql://{database_servers.USER}:{password}@127.0.0.1:{database.port}/postgres"


@pytest.fixture(scope="module")
def server(releases, url):
    with serving(releases, "--store", url, budget_ms=1000) as server:
        yield server


class Load:
    """Threads that send events and queries; the status of each answer, and the longest time of a query.

    Args:
      url: the URL of the server.
    """

    def __init__(self, url):
        self.url, self.stop, self.numbers = url, threading.Event(), itertools.count()
        self.accepted, self.statuses, self.degraded, self.slowest, self.without_hint = [], Counter(), Counter(), 0.0, 0
        self.threads = [threading.Thread(target=each) for each in (self._events, self._events, self._queries)]

    def __enter__(self):
        for each in self.threads:
            each.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for each in self.threads:
            each.join()

    def _events(self):
        with httpx.Client(base_url=self.url, timeout=60) as client:
            while not self.stop.is_set():
                number = next(self.numbers)
                event = {"id": f"event {number}", "user": USERS[number % len(USERS)], "item": "p1", "timestamp": number}
                answer = client.post("/v1/events", json={"events": [event]})
                self.statuses["events", answer.status_code] += 1
                if answer.status_code == 202:
                    self.accepted.append(event["id"])
                else:
                    self.without_hint += "retry-after" not in answer.headers
                    time.sleep(0.05)

    def _queries(self):
        with httpx.Client(base_url=self.url, timeout=60) as client:
            for user in itertools.cycle(USERS):
                if self.stop.is_set():
                    break
                began = time.monotonic()
                answer = client.post("/v1/recommend", json={"user": user, "k": 5})
                self.slowest = max(self.slowest, time.monotonic() - began)
                self.statuses["queries", answer.status_code] += 1
                self.degraded[answer.json().get("degraded")] += 1


def until(seen):
    end = time.monotonic() + WAIT_S
    while not seen():
        assert time.monotonic() < end
        time.sleep(0.05)


def after(load, key, counts):
    """Wait until an answer of a kind is given that was not given before."""
    before = counts(load)[key]
    until(lambda: counts(load)[key] > before)


def stored(database):
    return set(database.ask("SELECT id FROM events"))


def test_a_server_that_starts_without_its_store_takes_it_up_when_it_comes(releases, database, url):
    """The first test of the module, so that there are no tables yet."""
    database.stop()
    with serving(releases, "--store", url, budget_ms=1000) as server, Load(server.url) as load:
        after(load, "no_store", lambda load: load.degraded)
        after(load, ("events", 503), lambda load: load.statuses)
        assert httpx.get(f"{server.url}/readyz").json()["store"] == "away"
        database.start()
        after(load, ("events", 202), lambda load: load.statuses)
        after(load, None, lambda load: load.degraded)
    assert set(load.statuses) == {("events", 202), ("events", 503), ("queries", 200)}
    assert load.without_hint == 0
    assert set(load.accepted) <= stored(database)


def test_a_store_that_stops_under_load_costs_no_accepted_event_and_no_answer(server, database, releases):
    with Load(server.url) as load:
        after(load, ("events", 202), lambda load: load.statuses)
        for round_ in range(2):
            database.stop()
            after(load, "no_store", lambda load: load.degraded)
            after(load, ("events", 503), lambda load: load.statuses)
            if round_ == 0:  # another release is served while the store is away
                second = published(releases, candidates=15)
                until(lambda: httpx.get(f"{server.url}/v1/release").json()["release"] == second)  # noqa: B023
                assert httpx.get(f"{server.url}/readyz").json()["store"] == "away"
                assert httpx.get(f"{server.url}/v1/users/c1").status_code == 503
            database.start()
            after(load, ("events", 202), lambda load: load.statuses)
            after(load, None, lambda load: load.degraded)
    assert set(load.statuses) == {("events", 202), ("events", 503), ("queries", 200)}
    assert load.without_hint == 0
    assert set(load.accepted) <= stored(database)


def test_a_store_that_says_nothing_stops_no_query(server, database):
    with Load(server.url) as load:
        after(load, None, lambda load: load.degraded)
        with database.silent():
            after(load, "no_store", lambda load: load.degraded)
            after(load, ("events", 503), lambda load: load.statuses)
        after(load, ("events", 202), lambda load: load.statuses)
        after(load, None, lambda load: load.degraded)
    assert set(load.statuses) == {("events", 202), ("events", 503), ("queries", 200)}
    assert load.slowest < 5
    assert set(load.accepted) <= stored(database)


def test_a_server_with_a_cache_that_stops_knows_each_accepted_event(releases, url):
    with (
        cache_servers.running() as cache,
        serving(releases, "--store", url, "--cache", cache.url(), budget_ms=1000) as server,
        server.client() as client,
    ):

        def history(user):
            return httpx.get(f"{server.url}/v1/users/{user}", timeout=60).json()["history"]

        def check(user):
            client.put_user(user, {})
            for item in ("p1", "p2"):
                client.add_events([{"user": user, "item": item}])
                assert [history(user)[-1] for _ in range(2)] == [item] * 2

        check("before")
        cache.stop()
        assert history("before") == ["p1", "p2"]
        check("meanwhile")
        cache.start()
        check("after")
        metrics = httpx.get(f"{server.url}/metrics").text
        counts = re.findall(r'^twostep_cache_reads_total{result="(\w+)"} (\S+)', metrics, re.MULTILINE)
        assert {result for result, number in counts if float(number) > 0} == {"hit", "miss", "error"}
        assert client.erase_user("after") == 3
        assert "after" not in cache.texts()
