"""A server with many connections, slow and broken callers, a full disk, and a release that is deleted; and its API."""

import asyncio
import contextlib
import json
import re
import resource
import shutil
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as with_settings
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from serving_process import published, serving

from core.release import reader

READ_S = 2
MOST_IDLE = 10_000
EXAMPLES = 8  # requests of each kind and route


@pytest.fixture(scope="module")
def store(releases):
    return f"sqlite:{releases.parent / 'store.sqlite'}"


@pytest.fixture(scope="module")
def server(releases, store):
    with serving(releases, "--store", store, read_s=READ_S) as server:
        yield server


@pytest.fixture(scope="module")
def client(server):
    with server.client() as client:
        yield client


def address(server):
    parts = urlsplit(server.url)
    return parts.hostname, parts.port


def connected(server):
    return socket.create_connection(address(server), timeout=20)


def rest(connection):
    """Return what is received until the server closes the connection."""
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


# ---- connections ----


@pytest.fixture
def many_files():
    """Return how many connections this process may open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield MOST_IDLE if hard == resource.RLIM_INFINITY else min(MOST_IDLE, hard - 500)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_server_answers_at_once_beside_thousands_of_idle_connections(server, client, many_files):
    async def beside():
        host, port = address(server)
        opened, limit = [], asyncio.Semaphore(200)

        async def open_one():
            async with limit:
                opened.append(await asyncio.open_connection(host, port))

        await asyncio.gather(*(open_one() for _ in range(many_files)))
        seconds = []
        for _ in range(20):
            began = time.monotonic()
            await asyncio.to_thread(client.recommend, "u", 5)
            seconds.append(time.monotonic() - began)
        closed = sum(reader.at_eof() for reader, _ in opened)
        # One that was idle until now is answered too.
        reading, writing = opened[0]
        writing.write(b"GET /healthz HTTP/1.1\r\nHost: server\r\nConnection: close\r\n\r\n")
        answer = await reading.read()
        for _, writing in opened:
            writing.transport.abort()
        return len(opened), closed, seconds, answer

    number, closed, seconds, answer = asyncio.run(beside())
    assert number >= min(many_files, 5000)
    assert closed == 0
    assert sorted(seconds)[-3] < 1, seconds  # the machine may be busy with other tests
    assert answer.startswith(b"HTTP/1.1 200")
    assert client.recommend("u", 5).items


def test_callers_that_hang_up_do_no_harm(server, client):
    body = json.dumps({"user": "u", "k": 5}).encode()
    head = b"POST /v1/recommend HTTP/1.1\r\nHost: server\r\nContent-Length: %d\r\n\r\n" % len(body)
    for sent in (b"", b"POS", head[:30], head, head + body[:5], head + body):
        for _ in range(30):
            connection = connected(server)
            connection.sendall(sent)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")  # closed by a reset
            connection.close()
    assert client.recommend("u", 5).items
    metrics = httpx.get(f"{server.url}/metrics").text
    assert 'status="500"' not in metrics
    assert server.process.poll() is None


@pytest.mark.parametrize(
    "part",
    [
        b"GET /healthz HTTP/1.1\r\nHost: ",
        b"POST /v1/recommend HTTP/1.1\r\nHost: server\r\nContent-Length: 100\r\n\r\n{",
    ],
    ids=["head", "body"],
)
def test_a_request_that_comes_byte_by_byte_is_ended(server, part):
    with connected(server) as connection:
        began = time.monotonic()
        connection.sendall(part)
        with contextlib.suppress(OSError):
            while time.monotonic() - began < 2 * READ_S:  # each byte comes within the time
                connection.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    if connection.recv(1, socket.MSG_PEEK):
                        break
                connection.setblocking(True)
                connection.sendall(b" ")
                time.sleep(0.1)
        connection.setblocking(True)
        answer = rest(connection)
    assert READ_S * 0.9 < time.monotonic() - began < READ_S + 2
    assert answer.startswith(b"HTTP/1.1 408")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    assert json.loads(body)["status"] == 408


def test_a_body_that_goes_on_after_its_refusal_is_ended(server):
    with connected(server) as connection:
        connection.sendall(b"POST /v1/recommend HTTP/1.1\r\nHost: server\r\nContent-Length: 9000000\r\n\r\n")
        began = time.monotonic()
        with contextlib.suppress(OSError):
            while time.monotonic() - began < 3 * READ_S:
                connection.sendall(b" " * 100)
                time.sleep(0.1)
        assert time.monotonic() - began < 2 * READ_S


# ---- faults ----


@contextlib.contextmanager
def full_disk(server, folder):
    """Let no file of the server grow in the block: a write beyond its end fails, as on a full disk."""
    largest = max(path.stat().st_size for path in folder.glob("store.sqlite*"))
    limits = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (largest, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, limits)


def sent(server, number):
    """Send an event of the user `full`; return its item if it was accepted."""
    event = {"id": f"full {number}", "user": "full", "item": f"item {number}", "timestamp": number}
    answer = httpx.post(f"{server.url}/v1/events", json={"events": [event]})
    if answer.status_code == 202:
        return event["item"]
    assert (answer.status_code, answer.json()["title"]) == (503, "The store cannot be used")
    assert answer.headers["retry-after"] == "1"
    return None


def test_a_full_disk_refuses_events_and_stops_no_answer(server, client, releases):
    accepted = {sent(server, number) for number in range(20)}
    refused = 0
    with full_disk(server, releases.parent):
        for number in range(1000, 2000):
            item = sent(server, number)
            accepted.add(item)
            refused += item is None
            if refused == 20:
                break
        assert refused == 20
        assert client.recommend("full", 5).degraded is None
        assert client.recommend("full", 5).items
    accepted |= {sent(server, number) for number in range(3000, 3010)}
    assert {f"item {number}" for number in range(3000, 3010)} <= accepted
    history = client.user("full")["history"]
    assert set(history) <= accepted
    assert accepted - {None} <= set(stored(releases.parent / "store.sqlite", "full"))


def stored(file, user):
    """Return the items of the events of a user in a store."""
    import sqlite3

    with contextlib.closing(sqlite3.connect(file)) as connection:
        return [item for (item,) in connection.execute("SELECT item_id FROM events WHERE user_id = ?", [user])]


def test_two_servers_write_one_user(server, releases, store):
    with serving(releases, "--store", store) as other, server.client() as first, other.client() as second:

        def add(number):
            client = (first, second)[number % 2]
            return client.add_events(
                [{"id": f"both {number // 2}", "user": "both", "item": f"i{number // 2}"}]
            ).accepted

        with ThreadPoolExecutor(8) as threads:
            new = list(threads.map(add, range(200)))  # each event is sent to both
        assert sum(new) == 100
        assert sorted(stored(releases.parent / "store.sqlite", "both")) == sorted(f"i{number}" for number in range(100))
        assert first.user("both")["history"] == second.user("both")["history"]
        [best] = first.recommend("both", 1).items
        second.put_item(best.item, hidden=True)
        end = time.monotonic() + 20
        while first.recommend("both", 1).items == [best]:  # the servers look for changed items every two seconds
            assert time.monotonic() < end
        second.delete_item(best.item)


def test_a_release_that_is_deleted_goes_on_until_the_next(server, client, releases):
    first = reader.current(releases)
    known = client._http.get("/v1/users").json()
    before = [client.recommend(user, 5).items for user in known[:5]]
    second = published(releases, candidates=20)
    shutil.rmtree(releases / second)  # while it is looked for, or read
    time.sleep(3)
    shutil.rmtree(releases / first)
    assert [client.recommend(user, 5).items for user in known[:5]] == before
    assert client.explain(known[0], 5).candidates
    assert client.similar(before[0][0].item).items


# ---- the API ----


def test_the_documentation_names_no_other_host(server):
    page = httpx.get(f"{server.url}/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "<script" not in page.text
    assert not re.findall(r"(?:src|href|action)\s*=\s*[\"']?(?:\w+:)?//", page.text)
    assert not re.findall(r"https?://", page.text)
    for path in httpx.get(f"{server.url}/openapi.json").json()["paths"]:
        assert path in page.text
    for name in re.findall(r'href="#(\w+)"', page.text):
        assert f'id="{name}"' in page.text
    for name in ("redoc", "docs/oauth2-redirect"):
        assert httpx.get(f"{server.url}/{name}").status_code == 404


def test_all_answers_are_as_the_description_says(server, client):
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    checks = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
    operations = [result.ok() for result in schema.get_all_operations()]
    assert len(operations) >= 17
    known = {"user": "new", "item": client.popular(1)[0]["item"]}
    seen = set()
    for operation in operations:
        kinds = [(GenerationMode.POSITIVE, {}), (GenerationMode.POSITIVE, known)]
        if operation.body or operation.query:  # any text is a valid id in a path
            kinds.append((GenerationMode.NEGATIVE, {}))
        for mode, ids in kinds:

            @given(case=operation.as_strategy(generation_mode=mode))
            @with_settings(
                max_examples=EXAMPLES,
                derandomize=True,
                deadline=None,
                database=None,
                phases=[Phase.explicit, Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            def conforms(case):
                if isinstance(case.body, dict):
                    case.body |= {key: value for key, value in ids.items() if key in case.body}  # noqa: B023
                for key in case.path_parameters or {}:
                    case.path_parameters[key] = ids.get(key.removesuffix("_id"), case.path_parameters[key])  # noqa: B023
                answer = case.call_and_validate(checks=checks)
                seen.add((case.operation.path, answer.status_code))

            conforms()
    for path in (
        "/v1/recommend",
        "/v1/rank",
        "/v1/explain",
        "/v1/similar",
        "/v1/users/{user_id}",
        "/v1/items/{item_id}",
    ):
        assert (path, 200) in seen
    assert ("/v1/events", 202) in seen
