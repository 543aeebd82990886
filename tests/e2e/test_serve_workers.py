"""A server of two workers: one is killed, and what they share."""

import contextlib
import os
import re
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest
from serving_process import serving

from core import names
from serving.client import ServerError

WAIT_S = 120
CALLERS = 3
ANSWERED = r'twostep_requests_total\{route="/healthz",status="200"\}'


@pytest.fixture(scope="module")
def server(releases):
    # Nobody looks for changed items by himself, so that they are told.
    store = f"sqlite:{releases.parent / 'store.sqlite'}"
    with serving(releases, "--store", store, "--workers", "2", refresh_s=3600) as server:
        yield server


def until(seen):
    end = time.monotonic() + WAIT_S
    while not seen():
        assert time.monotonic() < end
        time.sleep(0.05)


def workers(server):
    """Return the process ids of the workers."""
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    with contextlib.suppress(FileNotFoundError):
        return [int(each) for each in children if b"spawn_main" in Path(f"/proc/{each}/cmdline").read_bytes()]
    return []


def metric(server, name):
    """Return the value of a metric, given with its labels as a regular expression."""
    [value] = re.findall(rf"^{name} (\S+)$", httpx.get(f"{server.url}/metrics", timeout=60).text, re.MULTILINE)
    return float(value)


def by_connections(server, count, method, path, **keywords):
    """Return the answers to a request over as many connections, which are those of both workers with near certainty."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(httpx.Client(base_url=server.url, timeout=60)) for _ in range(count)]
        return [client.request(method, path, **keywords) for client in clients]


def items(answer):
    return [each["item"] for each in answer.json()["items"]]


def test_events_and_hidden_items_are_seen_by_all_workers(server):
    asked = {"user": "of two workers", "k": 5}
    lists = [items(each) for each in by_connections(server, 12, "POST", "/v1/recommend", json=asked)]
    assert lists == [lists[0]] * 12
    for number, item in enumerate(lists[0][:3]):
        event = {"id": f"two workers {number}", "user": "of two workers", "item": item}
        [answer] = by_connections(server, 1, "POST", "/v1/events", json={"events": [event]})
        assert answer.json()["accepted"] == 1
        for each in by_connections(server, 12, "POST", "/v1/recommend", json=asked):
            assert item not in items(each)
    [best, *_] = items(by_connections(server, 1, "POST", "/v1/recommend", json=asked)[0])
    by_connections(server, 1, "PUT", f"/v1/items/{best}", json={"hidden": True})
    time.sleep(1)
    for each in by_connections(server, 20, "POST", "/v1/recommend", json=asked):
        assert best not in items(each)


def test_the_activity_is_that_of_all_workers(server):
    def answers() -> set[int]:
        return {each.json()["answers"] for each in by_connections(server, 8, "GET", "/v1/activity")}

    [before] = answers()
    by_connections(server, 12, "POST", "/v1/recommend", json={"user": "counted", "k": 5})
    assert answers() == {before + 12}


def test_a_posted_item_is_recommended_by_all_workers_until_it_is_deleted(server):
    client, user = server.client(), "of a new item"
    only = [{"column": "title", "any_of": ["The new one"]}]
    asked = {"user": user, "k": 5, "filters": only}

    def lists():
        time.sleep(1)  # the other worker is told
        return [items(each) for each in by_connections(server, 12, "POST", "/v1/recommend", json=asked)]

    assert lists() == [[]] * 12
    [best, *_] = [each.item for each in client.recommend(user, 5).items]
    known = {key: value for key, value in client.item(best)["features"].items() if key != names.EVENT_COUNT}
    client.put_item("new", features=known | {"title": "The new one"})
    assert lists() == [["new"]] * 12
    [found] = client.recommend(**asked).items
    assert found.title == "The new one"
    assert 0 < found.probability < 1
    assert client.item("new")["posted"]
    client.add_events([{"user": user, "item": "new"}])
    assert lists() == [[]] * 12  # seen
    client.erase_user(user)
    with pytest.raises(ServerError, match=r"422.*features.colour: items have no such feature"):
        client.put_item("newer", features={"colour": "red"})
    client.delete_item("new")
    assert lists() == [[]] * 12
    with pytest.raises(ServerError, match="404"):
        client.item("new")


def test_the_first_event_of_a_new_user_changes_the_next_list(server):
    """The user's vector is computed from the history, without a fit."""
    client, user = server.client(), "a new user"
    before = client.recommend(user, 5)
    assert not before.known
    liked = before.items[-1].item
    client.add_events([{"user": user, "item": liked}])
    after = client.recommend(user, 5)
    assert after.known
    assert liked not in [each.item for each in after.items]
    assert [each.score for each in after.items[:2]] != [each.score for each in before.items[:2]]
    client.erase_user(user)


def test_a_killed_worker_costs_the_requests_that_it_was_answering_alone(server):
    assert httpx.get(f"{server.url}/healthz").status_code == 200
    before = metric(server, ANSWERED)
    answered, failed, stop = Counter(), [], threading.Event()

    def ask():
        while not stop.is_set():
            began = time.monotonic()
            try:
                answer = httpx.get(f"{server.url}/healthz", timeout=60)
            except httpx.HTTPError:
                failed.append(began)
            else:
                answered[answer.status_code] += 1

    threads = [threading.Thread(target=ask) for _ in range(CALLERS)]
    for each in threads:
        each.start()
    until(lambda: answered[200] > 50)
    first = workers(server)
    killed = time.monotonic()
    os.kill(first[0], signal.SIGKILL)
    until(lambda: len(set(workers(server)) - set(first)) == 1)
    until(lambda: metric(server, r'twostep_release\{version=".*"\}') == 2)
    stop.set()
    for each in threads:
        each.join()
    assert set(answered) == {200}
    assert len(failed) <= CALLERS
    assert all(began < killed + 0.5 for began in failed)
    assert answered[200] <= metric(server, ANSWERED) - before <= answered[200] + len(failed)
