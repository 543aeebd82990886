"""The limits of connections, with a small application in a thread."""

import asyncio
import contextlib
import socket
import threading
import time

import pytest
import uvicorn

from serving.server import connection

IDLE_S, READ_S = 1, 0.5
GET = b"GET / HTTP/1.1\r\nHost: server\r\n\r\n"


async def application(scope, receive, send):
    if scope["path"] == "/slow":
        await asyncio.sleep(2 * READ_S)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture(scope="module")
def port():
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        application, http=connection.protocol(3, READ_S), timeout_keep_alive=IDLE_S, lifespan="off", log_level="error"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    yield listening.getsockname()[1]
    server.should_exit = True
    thread.join()


@contextlib.contextmanager
def connections(port, number):
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10)) for _ in range(number)]
    time.sleep(0.2)  # until the server knows that they are closed


def answered(opened):
    """Return whether a request is answered; False if the connection is closed."""
    content = b""
    with contextlib.suppress(ConnectionError):
        opened.sendall(GET)
        while not content.endswith(b"\r\n\r\nok") and (part := opened.recv(1000)):
            content += part
    return content.startswith(b"HTTP/1.1 200") and content.endswith(b"ok")


def until_closed(opened):
    """Return the bytes that come until the connection is closed, and the seconds until then."""
    began, parts = time.monotonic(), []
    with contextlib.suppress(ConnectionError):
        while part := opened.recv(1000):
            parts.append(part)
    return b"".join(parts), time.monotonic() - began


def test_connections_beyond_the_limit_are_closed_and_the_others_go_on(port):
    with connections(port, 5) as opened:
        time.sleep(0.2)
        assert [answered(each) for each in opened] == [True, True, True, False, False]
        assert [answered(each) for each in opened[:3]] == [True] * 3
    with connections(port, 1) as [opened]:
        assert answered(opened)


def test_an_idle_connection_is_closed_before_and_after_a_request(port):
    with connections(port, 2) as (silent, used):
        assert answered(used)
        for each in (silent, used):
            content, seconds = until_closed(each)
            assert seconds < 3 * IDLE_S
            assert content == b""


@pytest.mark.parametrize("before", [b"", GET], ids=["first", "second"])
def test_the_head_of_a_request_has_a_time(port, before):
    with connections(port, 1) as [opened]:
        if before:
            assert answered(opened)
        opened.sendall(GET[:20])
        content, seconds = until_closed(opened)
        assert content.startswith(b"HTTP/1.1 408")
        assert READ_S * 0.8 < seconds < 3 * READ_S


def test_a_request_that_is_answered_late_is_not_cut(port):
    with connections(port, 1) as [opened]:
        opened.sendall(GET.replace(b" / ", b" /slow ")[:20])
        opened.sendall(GET.replace(b" / ", b" /slow ")[20:] + GET)  # the next request waits behind it
        time.sleep(3 * READ_S)
        assert opened.recv(1000).count(b"200 OK") == 2
        assert answered(opened)
