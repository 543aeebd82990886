"""A proxy in front of a real server that drops, delays, answers or cuts chosen requests, or kills who made them."""

import http.client
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote


@dataclass(frozen=True)
class Request:
    """A request that reached the proxy; `number` counts from 1."""

    number: int
    method: str
    path: str


@dataclass(frozen=True)
class Fault:
    """What happens to a request.

    Args:
      status: the answer that the client gets without the request reaching the server; 0 to close the connection.
      body: the body of that answer.
      after: whether the server gets the request before, so that only its answer is lost.
      cut: whether the server gets half of the body and the end of the connection.
      kill: the process that is killed.
    """

    status: int = 0
    body: bytes = b""
    after: bool = False
    cut: bool = False
    kill: int = 0


class Proxy:
    """A proxy on a free port of 127.0.0.1, while the block runs.

    Args:
      port: the port of the server.
      keep_host: whether the server sees the host that the client named, as signatures of S3 need it.
    Attributes:
      rule: Request → the fault, None to pass it on; may be replaced at any time.
      requests: the requests so far.
    """

    def __init__(self, port: int, keep_host: bool):
        self.rule: Callable[[Request], Fault | None] = lambda request: None
        self.requests: list[Request] = []
        self._upstream, self._keep_host, self._lock = port, keep_host, threading.Lock()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                return

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except OSError:  # the client has gone
                    self.close_connection = True

            def do_GET(self) -> None:
                proxy._pass(self)

            do_PUT = do_POST = do_DELETE = do_HEAD = do_PATCH = do_GET  # noqa: N815

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> "Proxy":
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _pass(self, handler: BaseHTTPRequestHandler) -> None:
        body = _body(handler)
        with self._lock:
            request = Request(len(self.requests) + 1, handler.command, unquote(handler.path))
            self.requests.append(request)
        fault = self.rule(request)
        if fault is not None and not fault.after:
            if fault.cut:
                self._forward(handler, body[: len(body) // 2], len(body))
            self._fail(handler, fault)
            return
        answer, content = self._forward(handler, body, len(body))
        if fault is not None or answer is None:
            self._fail(handler, fault or Fault())
            return
        handler.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                handler.send_header(name, value)
        length = answer.getheader("Content-Length") if handler.command == "HEAD" else str(len(content))
        handler.send_header("Content-Length", length or "0")
        handler.end_headers()
        handler.wfile.write(content)

    def _fail(self, handler: BaseHTTPRequestHandler, fault: Fault) -> None:
        if fault.kill:
            os.kill(fault.kill, signal.SIGKILL)
        if not fault.status:
            handler.close_connection = True
            handler.connection.close()
            return
        handler.send_response_only(fault.status)
        handler.send_header("Content-Length", str(len(fault.body)))
        handler.end_headers()
        handler.wfile.write(fault.body)

    def _forward(
        self, handler: BaseHTTPRequestHandler, body: bytes, length: int
    ) -> tuple[http.client.HTTPResponse | None, bytes]:
        """Return the answer of the server and its content; None if only a part of the body was sent."""
        connection = http.client.HTTPConnection("127.0.0.1", self._upstream, timeout=30)
        try:
            connection.putrequest(handler.command, handler.path, skip_host=True, skip_accept_encoding=True)
            host = handler.headers["Host"] if self._keep_host else f"127.0.0.1:{self._upstream}"
            connection.putheader("Host", host)
            for name, value in handler.headers.items():
                if name.lower() not in ("host", "transfer-encoding", "content-length", "expect", "connection"):
                    connection.putheader(name, value)
            connection.putheader("Content-Length", str(length))
            connection.endheaders()
            connection.send(body)
            if len(body) < length:
                return None, b""
            answer = connection.getresponse()
            return answer, answer.read()
        finally:
            connection.close()


def _body(handler: BaseHTTPRequestHandler) -> bytes:
    if handler.headers.get("Transfer-Encoding", "").lower() == "chunked":
        content = b""
        while size := int(handler.rfile.readline().split(b";")[0], 16):
            content += handler.rfile.read(size)
            handler.rfile.readline()
        handler.rfile.readline()
        return content
    return handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
